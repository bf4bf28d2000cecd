"""Dates with slashes or dashes have the day or the month first, and years may have two digits: how they
are read, the whole column decides."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

import pyarrow as pa

from modelyard.kit.tables.notation import MOSTLY, is_text
from modelyard.kit.tables.table import Table
from modelyard.settings.family import DateOrder

_CLOCK = r"(?P<hour>\d{1,2}):(?P<minute>\d\d)(?::(?P<second>\d\d(?:\.\d{1,6})?))?"
_TURNED = re.compile(
    r"(?P<first>\d{1,2})(?P<mark>[./-])(?P<then>\d{1,2})(?P=mark)(?P<year>\d{4}|\d\d)"
    rf"(?:[T ,]+{_CLOCK}(?:\s*(?P<half>[ap])\.?m\.?)?)?",
    re.IGNORECASE,
)
_STEADY = "one number is the same in all of them, and is taken for the day"
_LEAST_MONTHS = 12
"""Fewer dates with one number in common may be days of one month."""
PIVOT = 69
"""Two-digit years from here on are of the 20th century, smaller ones of the 21st: POSIX's strptime."""
SHORT_YEARS = "two-digit years were read as 1969 to 2068"
_WORDS: Mapping[DateOrder, str] = {"day_first": "day/month/year", "month_first": "month/day/year"}


class Reading(NamedTuple):
    """How the dates of a column are read."""

    order: DateOrder = "auto"
    """Of dates with slashes or dashes; `auto` where there is none."""
    short: bool = False
    """Whether years have two digits."""


class Shown:
    """What the different texts of a column show."""

    def __init__(self, texts: Iterable[str]) -> None:
        self.turned = False
        """Whether any is a date with slashes or dashes."""
        self.dates = 0
        """How many are dates with slashes, dashes, or dots and a year of two digits."""
        self.short: str | None = None
        """The first text with a year of two digits; None where another has four."""
        self.decisive: dict[DateOrder, str] = {}
        """The first text with a day above 12, by what it shows."""
        self.unclear: str | None = None
        """The first text that may be two days."""
        self.steady: DateOrder = "auto"
        """Where one of the two numbers is the same in all texts, over several years: it is the day, of
        months that are written as their first days."""
        self.year_may_be_first = False
        """Whether years have two digits, and all texts are dates with the year first too. Their last
        numbers are then no more alike than their first ones, as years of one table mostly are."""
        firsts, thens, lasts = set(), set(), set()
        of_year_first, long = True, False
        for text in texts:
            found = _matched(text)
            if found is None:
                continue
            self.dates += 1
            first, then, last = int(found["first"]), int(found["then"]), int(found["year"])
            firsts.add(first)
            thens.add(then)
            lasts.add(last)
            if len(found["year"]) == 4:
                long = True
            else:
                self.short = self.short or text
                of_year_first &= 1 <= then <= 12 and 1 <= last <= 31
            # Between dots the day is first everywhere.
            if found["mark"] != ".":
                self._take(text, first, then)
        if long:
            self.short = None
        # Years of one table are few: the numbers that vary less are those of the years.
        firsts_vary_less = len(firsts) <= len(lasts)
        if self.short is not None:
            self.year_may_be_first = of_year_first and firsts_vary_less
        elif self.dates >= _LEAST_MONTHS and len(lasts) > 1:
            if len(firsts) == 1 < len(thens):
                self.steady = "day_first"
            elif len(thens) == 1 < len(firsts):
                self.steady = "month_first"

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
        if not is_text(first) or not len(first):
            continue
        # A column whose first cell is no date holds no dates: the other cells need no look.
        if _matched(first[0].as_py()) is None:
            continue
        texts: list[str] = []
        for table in tables:
            texts += _different(table.column(name))
        seen = Shown(texts)
        decisive = list(seen.decisive)
        if not decisive and seen.steady != "auto" and name not in (otherwise or {}):
            decisive = [seen.steady]
        # Texts that contradict each other or the setting are refused with their row, by `_order`.
        if len(decisive) == 1 and setting in ("auto", *decisive):
            for table in tables:
                table.orders[name] = decisive[0]
    for table in tables:
        table.dates = setting
        table.otherwise = dict(otherwise or {})


def reading_of(table: Table, name: str, texts: Sequence[str]) -> Reading:
    """How the dates of a column, whose different cells are `texts`, are read. It is noted.

    Raises:
        BadData: cells that contradict each other or the setting, or none that decides.
    """
    seen = Shown(texts)
    if seen.short is not None:
        _check_years(table, name, seen)
        table.note(f"{name}: {SHORT_YEARS}")
    return Reading(_order(table, name, seen), seen.short is not None)


def _check_years(table: Table, name: str, seen: Shown) -> None:
    said = (table.dates, table.otherwise.get(name, "auto"))
    if seen.year_may_be_first and said == ("auto", "auto"):
        assert seen.short is not None
        problem = f"{seen.short!r} may have the year first: years of the column have two digits"
        hint = "Write them with four, or type: --set features.dates=day_first (or month_first)"
        raise _fault(table, name, seen.short, problem, hint)


def _order(table: Table, name: str, seen: Shown) -> DateOrder:
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
    by_all: DateOrder = table.orders.get(name, "auto")
    shown_by = "another file decides"
    if seen.steady == by_all:
        shown_by = _STEADY
    for order, reason in (
        (by_all, shown_by),
        (table.dates, "features.dates says so"),
        (table.otherwise.get(name, "auto"), "the training data were"),
        (seen.steady, _STEADY),
    ):
        if order != "auto":
            return _noted(table, name, order, reason)
    problem = (
        f"{seen.unclear!r} may have the day or the month first: no day of the column is above 12"
    )
    hint = "Type: --set features.dates=month_first (or day_first)"
    raise _fault(table, name, seen.unclear, problem, hint)


def short_years(texts: Sequence[str]) -> Literal["none", "clear", "unclear"]:
    """Whether the texts, all different, are dates with years of two digits, and whether they can be read in
    one way only; a few may be something else."""
    seen = Shown(texts)
    if seen.short is None or seen.dates < MOSTLY * len(texts):
        return "none"
    decided = len(seen.decisive) == 1 or not seen.turned
    if decided and not seen.year_may_be_first:
        return "clear"
    return "unclear"


def seconds_in(text: str, reading: Reading) -> float | None:
    """Since 1970, UTC, of such a date; None for another text, and for a day that no month has."""
    found = _matched(text)
    if found is None:
        return None
    dotted = found["mark"] == "."
    year = int(found["year"])
    if len(found["year"]) == 2:
        if not reading.short:
            return None
        year += 1900 if year >= PIVOT else 2000
    if reading.order == "auto" and not dotted:
        return None
    day, month = int(found["first"]), int(found["then"])
    if reading.order == "month_first" and not dotted:
        day, month = month, day
    hour, second = int(found["hour"] or 0), float(found["second"] or 0)
    if half := found["half"]:
        if not 1 <= hour <= 12:
            return None
        # 12 AM is midnight, 12 PM noon.
        hour = hour % 12 + 12 * (half.lower() == "p")
    try:
        time = datetime(year, month, day, hour, int(found["minute"] or 0), tzinfo=UTC)
    except ValueError:
        return None
    if second < 60:
        return time.timestamp() + second
    return None


def _matched(text: str) -> re.Match[str] | None:
    """A date with slashes or dashes, or with dots and a year of two digits: others with dots are
    read by `moment`."""
    found = _TURNED.fullmatch(text.strip())
    if found is None or (found["mark"] == "." and len(found["year"]) == 4):
        return None
    return found


def _noted(table: Table, name: str, order: DateOrder, reason: str) -> DateOrder:
    table.note(f"{name}: dates were read as {_WORDS[order]}: {reason}")
    return order


def _different(cells: pa.Array) -> list[str]:
    found: list[str] = []
    if is_text(cells):
        found = cells.drop_null().unique().to_pylist()
    return found


def _fault(table: Table, name: str, text: str, problem: str, hint: str) -> Any:
    # Found, since cells of a column are trimmed when a file is read, as `text` is.
    row = table.column(name).to_pylist().index(text)
    return table.fault(name, row, problem, hint)
