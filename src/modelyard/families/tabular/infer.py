"""What the columns of a table are, judged by their cells; and the cells as values of that kind."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from modelyard.families.tabular.config import TabularFeatures
from modelyard.families.tabular.schema import Column
from modelyard.families.tabular.written import number_style, plainly, unit_of, without_unit
from modelyard.kit.tables import (
    Table,
    are_placeholders,
    as_numbers,
    as_texts,
    checked_numbers,
    is_dates,
    is_text,
    with_points,
)

if TYPE_CHECKING:
    import pandas as pd

MOSTLY = 0.9
"""From this share of numeric (or date) cells on, the others are errors to fix, not another kind
of cell."""
SOME_TEXTS = 20
"""A column with no more different values than this is never free text."""
SAMPLE = 1000
"""Cells by which text is judged."""

_ID_NAME = re.compile(
    r"(^|[_\-. ])(id|uuid|guid|key|index|rownum|row)$|[a-z](Id|ID)$", re.IGNORECASE
)
_DATE = re.compile(r"\d{4}-\d{1,2}-\d{1,2}|\d{4}/\d{1,2}/\d{1,2}|\d{1,2}[./-]\d{1,2}[./-]\d{4}")
_WITH_UNIT = re.compile(r"[$€£]?\s*[-+]?\d[\d.,' ]*\s*(%|[$€£]|[a-zA-Zµ°]{1,3})?")
_DAYS = ("%Y-%m-%d", "%Y/%m/%d", "%m/%d/%Y", "%d/%m/%Y", "%d.%m.%Y", "%m-%d-%Y", "%d-%m-%Y")
_CLOCKS = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f")
_STYLES = ("ISO8601", *(day + clock for day in _DAYS for clock in _CLOCKS))


class Guess(NamedTuple):
    """What a column is taken for."""

    role: str
    reason: str = ""
    """Why it is dropped."""


def infer_column(table: Table, name: str, settings: TabularFeatures, forced: str | None) -> Column:
    """The column's role, whether it may be empty, and how its cells are written. `forced` is a role
    given by a person.

    A role of `drop` carries its reason as the description.
    """
    unit, style, plain = as_written(table.column(name), table.delimiter)
    there = plain.drop_null()
    nullable = len(there) < table.rows
    guess = Guess(forced) if forced else _guess(name, there, nullable, settings)
    column: dict[str, Any] = {
        "name": name,
        "role": guess.role,
        "nullable": nullable,
        "description": guess.reason,
    }
    if guess.role == "numeric" and _is_boolean(there):
        column |= {"boolean": True, "transform": "identity"}
    elif guess.role == "numeric":
        column |= {"unit": unit, "format": style, "transform": settings.numeric}
    elif guess.role == "time":
        column["format"] = _to_times(there, _STYLES)[1]
    return Column.model_validate(column)


def as_written(cells: pa.Array, delimiter: str) -> tuple[str, str, pa.Array]:
    """Unit and style of a column of numbers, "" each where there is none; and the cells as numbers
    are written plainly."""
    unit = unit_of(cells)
    bare = without_unit(cells, unit)
    style = number_style(bare, delimiter)
    plain = with_points(plainly(bare, style), delimiter)
    if unit and _numeric_share(plain.drop_null()) < MOSTLY:
        return "", number_style(cells, delimiter), cells
    return unit, style, plain


def convert(column: Column, table: Table, required: bool) -> pd.Series[Any]:
    """A column's cells as values of its role: numbers, booleans, text or UTC times.

    Raises:
        BadData: a cell that is not of the role, infinite, or empty where one is `required`; with
            its row.
    """
    import pandas as pd

    if column.boolean:
        values = as_booleans(column, table)
    elif column.role == "numeric":
        values = _with_integers(numbers(column, table), table.column(column.name))
    elif column.role == "time":
        values = times(column, table)
    else:
        values = pd.Series(as_texts(table.column(column.name)), dtype=object)
    missing = np.flatnonzero(values.isna().to_numpy())
    if required and len(missing):
        problem = "the cell is empty, but the column is not nullable"
        hint = 'Fill it, or set "nullable": true'
        raise table.fault(column.name, int(missing[0]), problem, hint)
    return values


def numbers(column: Column, table: Table, hint: str = "") -> np.ndarray:
    """The cells as float64 (rows,), NaN where one is empty.

    Raises:
        BadData: a cell that is no number, or infinite; with its row.
    """
    name, cells = column.name, table.column(column.name)
    bare = without_unit(cells, column.unit)
    plain = with_points(plainly(bare, column.format), table.delimiter)
    values = checked_numbers(table, name, plain, hint or _mend(name))
    if column.format:
        table.notes.append(f"{name}: numbers were read as written {column.format}")
    if column.unit and is_text(cells):
        same = pc.equal(bare, cells).fill_null(False).to_numpy(zero_copy_only=False)
        others = int((same & ~np.isnan(values)).sum())
        without = f"; {others} cells have none, and were taken for the same" if others else ""
        table.notes.append(f"{name}: numbers were read without their unit {column.unit!r}{without}")
    return values


def _with_integers(values: np.ndarray, cells: pa.Array) -> pd.Series[Any]:
    """Numbers of a Parquet file in their type; of a CSV as integers where all are whole."""
    import pandas as pd

    if pa.types.is_integer(cells.type) and cells.null_count:
        return pd.Series(cells.to_pylist(), dtype="Int64")
    if not is_text(cells):
        return pd.Series(cells.to_pandas())
    there = values[~np.isnan(values)]
    whole = bool(((there % 1 == 0) & (np.abs(there) < 2**53)).all())
    return pd.Series(values).astype("Int64") if whole and len(there) else pd.Series(values)


def as_booleans(column: Column, table: Table) -> pd.Series[Any]:
    """True, false or missing, from booleans or from the words.

    Raises:
        BadData: another word; with its row.
    """
    import pandas as pd

    known = {None: None, "true": True, "false": False}
    found = []
    for row, text in enumerate(as_texts(table.column(column.name))):
        word = text.lower() if text else None
        if word not in known:
            problem = f"{table.shown(column.name, row)} is neither true nor false"
            raise table.fault(column.name, row, problem)
        found.append(known[word])
    return pd.Series(found, dtype="boolean")


def times(column: Column, table: Table) -> pd.Series[Any]:
    """The cells as datetime64 without a zone, in UTC; one format for the whole column, its own
    where it has one.

    Raises:
        BadData: a cell that is not written so; with its row.
    """
    name, cells = column.name, table.column(column.name)
    styles = [column.format.replace("ISO 8601", "ISO8601"), "ISO8601"] if column.format else _STYLES
    values, style = _to_times(cells, styles)
    bad = np.flatnonzero(values.isna().to_numpy() & cells.is_valid().to_numpy(zero_copy_only=False))
    if len(bad):
        row = int(bad[0])
        form = "" if style == "ISO 8601" else f" of the form {style}"
        problem = f"{table.shown(name, row)} is not a date or time{form}"
        raise table.fault(name, row, f"{problem} between the years 1678 and 2261", _mend(name))
    if style.startswith("%m/%d/%Y"):
        swapped, _ = _to_times(cells, [style.replace("%m/%d", "%d/%m")])
        if not swapped.isna().any():
            example = cells.drop_null()[0].as_py()
            table.notes.append(
                f"{name}: dates such as {example!r} were read as month/day/year; "
                "write them as year-month-day if that is wrong"
            )
    return values


def is_numeric(cells: pa.Array) -> bool:
    """Whether a column holds numbers: mostly, so that the few other cells are errors."""
    there = cells.drop_null()
    return _numeric_share(there) >= MOSTLY and not _is_boolean(there)


def _guess(name: str, there: pa.Array, nullable: bool, settings: TabularFeatures) -> Guess:
    distinct = len(pc.unique(there))
    if distinct == 0:
        return Guess("drop", "all cells are empty")
    if distinct == 1 and not nullable:
        return Guess("drop", "constant")
    if _is_boolean(there):
        return Guess("numeric")
    if is_dates(there):
        return Guess("time")
    if _numeric_share(there) >= MOSTLY and not _is_code(there):
        reason = _row_number(name, there, distinct)
        return Guess("drop", reason) if reason else Guess("numeric")
    texts = [str(text) for text in as_texts(there)]
    if _looks_dated(texts[:50]) and _to_times(there, _STYLES)[0].notna().mean() >= MOSTLY:
        return Guess("time")
    if distinct > SOME_TEXTS and _looks_dated(texts):
        return Guess("drop", "dates in several formats: write them in one")
    return _guess_text(texts, distinct, settings, code=_is_code(there))


def _guess_text(
    texts: Sequence[str], distinct: int, settings: TabularFeatures, code: bool
) -> Guess:
    some = texts[:SAMPLE]
    words = sum(len(re.findall(r"\s+", text)) + 1 for text in some) / len(some)
    varied = distinct > max(SOME_TEXTS, 0.5 * len(texts))
    with_unit = sum(bool(_WITH_UNIT.fullmatch(text)) for text in some) >= MOSTLY * len(some)
    if varied and with_unit and not code:
        problem = "numbers with several units, or written in several ways: write plain numbers"
        return Guess("drop", problem)
    if words >= 2 and distinct > max(settings.max_categories, SOME_TEXTS):
        return Guess("text")
    if words >= 3 and varied:
        return Guess("text")
    if distinct > 0.9 * len(texts) and distinct > SOME_TEXTS:
        return Guess("drop", "nearly every value is different (id-like)")
    return Guess("category")


def _is_code(there: pa.Array) -> bool:
    """Whether whole numbers are written with leading zeros, as postcodes and article numbers
    are."""
    if not is_text(there):
        return False
    whole = pc.all(pc.match_substring_regex(there, r"^\d+$")).as_py()
    return bool(whole and pc.any(pc.match_substring_regex(there, r"^0\d+$")).as_py())


def _row_number(name: str, there: pa.Array, distinct: int) -> str:
    """Why a numeric column is no more than a row's number or key; empty when it is a quantity."""
    values = as_numbers(there)
    if distinct < len(there) or len(there) <= SOME_TEXTS or (values % 1 != 0).any():
        return ""
    if values[0] in (0, 1) and (np.diff(values) == 1).all():
        return "counts the rows (id-like)"
    if _ID_NAME.search(name):
        return "every value is different, and it is named as a key (id-like)"
    return ""


def _is_boolean(there: pa.Array) -> bool:
    if not is_text(there):
        return bool(pa.types.is_boolean(there.type))
    some = pc.unique(there)[:5].to_pylist()
    return bool(some) and {text.lower() for text in some} <= {"true", "false"}


def _numeric_share(there: pa.Array) -> float:
    """Share of numbers among the cells; placeholders for an empty cell don't count."""
    if not is_text(there):
        return 1.0 if pa.types.is_integer(there.type) or pa.types.is_floating(there.type) else 0.0
    count = int((~np.isnan(as_numbers(there))).sum())
    empty = int(are_placeholders(there).sum())
    if not count or count < empty:
        return 0.0
    return count / (len(there) - empty)


def _looks_dated(texts: Sequence[str]) -> bool:
    return sum(bool(_DATE.match(text)) for text in texts) >= MOSTLY * len(texts)


def _to_times(cells: pa.Array, styles: Sequence[str]) -> tuple[pd.Series[Any], str]:
    """Times or missing, in the format that reads the most cells; that format."""
    import pandas as pd

    if pa.types.is_timestamp(cells.type):
        # A zone of the file's own says the same moments in UTC.
        naive = cells.cast(pa.timestamp("us"), safe=False).to_pandas()
        return pd.Series(naive), "ISO 8601"
    text = pd.Series(as_texts(cells), dtype=object)
    some = text.dropna().iloc[:200]
    counts = {style: int(_parsed(some, style).notna().sum()) for style in styles}
    most = max(counts.values())
    best, values = "", pd.Series(pd.NaT, index=text.index)
    for style, count in counts.items():
        if count < most:
            continue
        parsed = _parsed(text, style)
        if not best or parsed.notna().sum() > values.notna().sum():
            best, values = style, parsed
        if not most:
            break
    return values, best.replace("ISO8601", "ISO 8601")


def _parsed(text: pd.Series[Any], style: str) -> pd.Series[Any]:
    import pandas as pd

    return pd.to_datetime(text, format=style, utc=True, errors="coerce").dt.tz_localize(None)


def _mend(name: str) -> str:
    return (
        f"Fix or empty the cell, or leave the column out (--set features.drop=[{name}]), or give it a role: "
        f'{{"columns": [{{"name": "{name}", "role": "category"}}]}} in schema.json beside the data'
    )
