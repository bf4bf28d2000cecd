"""Dates with slashes or dashes have the day or the month first: which, the whole column decides."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from modelyard.kit.tables.notation import is_text
from modelyard.kit.tables.table import Table
from modelyard.settings.family import DateOrder

_CLOCK = r"(?P<hour>\d{1,2}):(?P<minute>\d\d)(?::(?P<second>\d\d(?:\.\d{1,6})?))?"
_TURNED = re.compile(
    r"(?P<first>\d{1,2})(?P<mark>[/-])(?P<then>\d{1,2})(?P=mark)(?P<year>\d{4})"
    rf"(?:[T ,]+{_CLOCK}(?:\s*(?P<half>[ap])\.?m\.?)?)?",
    re.IGNORECASE,
)
_WORDS: Mapping[DateOrder, str] = {"day_first": "day/month/year", "month_first": "month/day/year"}


class Shown:
    """What the different texts of a column show."""

    def __init__(self, texts: Iterable[str]) -> None:
        self.turned = False
        """Whether any is such a date."""
        self.decisive: dict[DateOrder, str] = {}
        """The first text with a day above 12, by what it shows."""
        self.unclear: str | None = None
        """The first text that may be two days."""
        for text in texts:
            if found := _TURNED.fullmatch(text.strip()):
                self._take(text, int(found["first"]), int(found["then"]))

    def _take(self, text: str, first: int, then: int) -> None:
        self.turned = True
        if first > 12 >= then:
            self.decisive.setdefault("day_first", text)
        elif then > 12 >= first:
            self.decisive.setdefault("month_first", text)
        elif first != then and self.unclear is None:
            self.unclear = text


def share_date_orders(
    tables: Sequence[Table], setting: DateOrder, otherwise: Mapping[str, DateOrder] | None = None
) -> None:
    """Reads the dates of a column alike in all files: what one of them shows holds for the others.

    Args:
        setting: what holds where nothing shows it; a column that contradicts it is refused when its
            times are read.
        otherwise: by column, what holds where neither shows it: the order of the training data.
    """
    for name in tables[0].names:
        first = tables[0].column(name).drop_null()
        if not is_text(first) or not len(first) or not _TURNED.fullmatch(first[0].as_py().strip()):
            continue
        seen = Shown(text for table in tables for text in _different(table.column(name)))
        for table in tables:
            if len(seen.decisive) == 1 and setting in ("auto", *seen.decisive):
                (table.orders[name],) = seen.decisive
    for table in tables:
        table.dates = setting
        table.otherwise = dict(otherwise or {})


def date_order(table: Table, name: str, texts: Sequence[str]) -> DateOrder:
    """How the dates of a column, whose different cells are `texts`, are read. `auto` where none has
    day and month turned. It is noted.

    Raises:
        BadData: cells that contradict each other or the setting, or none that decides.
    """
    seen = Shown(texts)
    if not seen.turned:
        return "auto"
    if len(seen.decisive) == 2:
        day, month = seen.decisive["day_first"], seen.decisive["month_first"]
        problem = f"{day!r} has the day first, and {month!r} the month"
        raise _fault(table, name, day, problem, "Write all dates as year-month-day")
    for order, text in seen.decisive.items():
        if table.dates not in ("auto", order):
            problem = f"{text!r} cannot be {_WORDS[table.dates]}"
            raise _fault(table, name, text, problem, f"Type: --set features.dates={order}")
        return _noted(table, name, order, f"{text!r} decides")
    if seen.unclear is None:
        # 02/02/2026 is the same day either way.
        return "month_first"
    for order, reason in (
        (table.orders.get(name, "auto"), "another file decides"),
        (table.dates, "features.dates says so"),
        (table.otherwise.get(name, "auto"), "the training data were"),
    ):
        if order != "auto":
            return _noted(table, name, order, reason)
    problem = (
        f"{seen.unclear!r} may have the day or the month first: no day of the column is above 12"
    )
    hint = "Type: --set features.dates=month_first (or day_first)"
    raise _fault(table, name, seen.unclear, problem, hint)


def seconds_in(text: str, order: DateOrder) -> float | None:
    """Since 1970, UTC, of such a date; None for another text, and for a day that no month has."""
    found = _TURNED.fullmatch(text.strip())
    if found is None or order == "auto":
        return None
    day, month = int(found["first"]), int(found["then"])
    if order == "month_first":
        day, month = month, day
    hour, second = int(found["hour"] or 0), float(found["second"] or 0)
    if half := found["half"]:
        if not 1 <= hour <= 12:
            return None
        # 12 AM is midnight, 12 PM noon.
        hour = hour % 12 + 12 * (half.lower() == "p")
    try:
        time = datetime(int(found["year"]), month, day, hour, int(found["minute"] or 0), tzinfo=UTC)
    except ValueError:
        return None
    return time.timestamp() + second if second < 60 else None


def _noted(table: Table, name: str, order: DateOrder, reason: str) -> DateOrder:
    table.note(f"{name}: dates were read as {_WORDS[order]}: {reason}")
    return order


def _different(cells: pa.Array) -> list[str]:
    found: list[str] = cells.drop_null().unique().to_pylist() if is_text(cells) else []
    return found


def _fault(table: Table, name: str, text: str, problem: str, hint: str) -> Any:
    cells = table.column(name).to_pylist()
    row = next(row for row, cell in enumerate(cells) if cell is not None and cell.strip() == text)
    return table.fault(name, row, problem, hint)
