"""Columns of a table as numpy arrays: numbers, times, flags and text.

A cell that is none of them is named with its place.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from modelyard.kit.tables.table import Table

PLACEHOLDERS = frozenset(
    {"?", "-", "--", ".", "none", "unknown", "missing", "na", "n.a.", "nan", "nil", "#n/a"},
)
"""Words for an empty cell, in any case, taken as such in a column that otherwise holds numbers."""

_FLAGS = {"0": 0.0, "0.0": 0.0, "false": 0.0, "1": 1.0, "1.0": 1.0, "true": 1.0}
_NUMBER = r"^[-+]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|(?i:inf(?:inity)?))$"
_POINTED = r"^[-+]?\d*\.\d+(?:[eE][-+]?\d+)?$"
_NO_THOUSANDS = r"^[-+]?(?:0,\d+|\d*,(?:\d{1,2}|\d{4,}))(?:[eE][-+]?\d+)?$"
_DECIMAL_COMMA = r"^([-+]?\d*),(\d+(?:[eE][-+]?\d+)?)$"
_DATED = re.compile(r"\d{4}-\d\d-\d\d|\d{1,2}[./]\d{1,2}[./]\d{4}")
_DOTTED = re.compile(r"^(\d\d)\.(\d\d)\.(\d{4})")
_EXAMPLES = "2026-03-31T08:00:00 or 31.03.2026 08:00"


def numbers(table: Table, name: str, hint: str = "Fix the cell, or empty it") -> np.ndarray:
    """Finite float64 (rows,), NaN where a cell is empty.

    A comma is the decimal point where no number of the column has a point. In a file separated by
    commas some number must also show that it is no separator of thousands, as `1,234` does not.

    Raises:
        BadData: a cell that is no number, or infinite; with file, row and column.
    """
    cells = with_points(table.column(name), table.delimiter)
    return checked_numbers(table, name, cells, hint)


def checked_numbers(table: Table, name: str, cells: pa.Array, hint: str) -> np.ndarray:
    """A column whose cells were rewritten plainly as finite float64 (rows,), NaN where one is
    empty.

    Words for an empty cell count as empty, with a note of how many there are.

    Raises:
        BadData: a cell that is no number, or infinite; with file, row and column.
    """
    values = as_numbers(cells)
    strange = np.isnan(values) & cells.is_valid().to_numpy(zero_copy_only=False)
    empty = strange & are_placeholders(cells)
    if empty.any():
        note = f"{name}: {empty.sum()} cells such as '?' or 'unknown' were read as empty"
        if note not in table.notes:
            table.notes.append(note)
    wrong = np.flatnonzero(strange & ~empty)
    if len(wrong):
        row = int(wrong[0])
        raise table.fault(name, row, f"{table.shown(name, row)} is not a number", hint)
    infinite = np.flatnonzero(np.isinf(values))
    if len(infinite):
        hint = "Leave it empty or write a number"
        raise table.fault(name, int(infinite[0]), "the cell is infinite", hint)
    return values


def as_numbers(cells: pa.Array) -> np.ndarray:
    """Float64 (rows,), NaN where a cell is empty or no number."""
    if pa.types.is_temporal(cells.type):
        return np.full(len(cells), np.nan)
    if is_text(cells):
        unsigned = pc.replace_substring_regex(cells, r"^\+", "")
        numeric = pc.match_substring_regex(cells, _NUMBER)
        cells = pc.if_else(numeric, unsigned, pa.scalar(None, cells.type))
    return np.asarray(cells.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False))


def with_points(cells: pa.Array, delimiter: str) -> pa.Array:
    """Decimal commas as points where it is plain that they are; other cells as they are."""
    if not is_text(cells) or _any_matches(cells, _POINTED):
        return cells
    if delimiter == "," and not _any_matches(cells, _NO_THOUSANDS):
        return cells
    return pc.replace_substring_regex(cells, _DECIMAL_COMMA, r"\1.\2")


def are_placeholders(cells: pa.Array) -> np.ndarray:
    """Bool (rows,): which cells are words for an empty one."""
    if not is_text(cells):
        return np.zeros(len(cells), bool)
    words = pa.array(sorted(PLACEHOLDERS), cells.type)
    return np.asarray(pc.is_in(pc.utf8_lower(cells), words).to_numpy(zero_copy_only=False))


def times(table: Table, name: str) -> np.ndarray:
    """Float64 (rows,): seconds since 1970 for dates and times, numbers as they are.

    Times without an offset are taken for UTC.

    Raises:
        BadData: an empty cell, or one that is neither; with file, row and column.
    """
    cells = table.column(name)
    if cells.null_count:
        row = int(np.flatnonzero(cells.is_null().to_numpy(zero_copy_only=False))[0])
        raise table.fault(name, row, "the time is missing", "Fill it in, or remove the row")
    if is_dates(cells):
        micro: np.ndarray = cells.cast(pa.timestamp("us"), safe=False).cast(pa.int64()).to_numpy()
        return micro / 1e6
    values = as_numbers(with_points(cells, table.delimiter))
    numeric = np.isfinite(values)
    if numeric.all():
        return values
    # Numbers may be in any unit, so a column holds one or the other: as its first cell does.
    found = np.full(table.rows, np.nan)
    for row, text in enumerate(texts(table, name)):
        found[row] = values[row] if numeric[0] else _seconds(str(text))
        if np.isfinite(found[row]):
            continue
        seen = table.shown(name, row)
        problem = f"{seen} is neither a number nor a time such as {_EXAMPLES}"
        if numeric[row]:
            problem = f"{seen} is a number, and the cells above are dates"
        raise table.fault(name, row, problem)
    return found


def flags(table: Table, name: str, hint: str = "") -> np.ndarray:
    """Float64 (rows,): 0 or 1 for 0, 1, false and true in any case; NaN where a cell is empty.

    Raises:
        BadData: a cell that is none of them; with file, row and column.
    """
    found = np.full(table.rows, np.nan)
    for row, text in enumerate(texts(table, name)):
        if text is None or text.lower() in PLACEHOLDERS:
            continue
        if text.lower() not in _FLAGS:
            raise table.fault(name, row, f"{table.shown(name, row)} is neither 0 nor 1", hint)
        found[row] = _FLAGS[text.lower()]
    return found


def texts(table: Table, name: str) -> list[str | None]:
    """The cells of a column as `as_texts` gives them."""
    return as_texts(table.column(name))


def as_texts(cells: pa.Array) -> list[str | None]:
    """Cells without surrounding blanks, None where empty; whole numbers without a point, booleans
    in lower case, times in ISO 8601."""
    listed: list[str | None] = cells.to_pylist()
    return listed if is_text(cells) else [_text(cell) for cell in listed]


def is_text(cells: pa.Array) -> bool:
    """Whether a column holds text, as every column of a CSV does."""
    return bool(pa.types.is_string(cells.type) or pa.types.is_large_string(cells.type))


def is_dates(cells: pa.Array) -> bool:
    """Whether a Parquet column holds dates or times of a calendar."""
    return bool(pa.types.is_timestamp(cells.type) or pa.types.is_date(cells.type))


def is_dated(table: Table, name: str) -> bool:
    """Whether the column's first cell is a date or time, as a file or as ISO 8601 holds it."""
    cells = table.column(name)
    if pa.types.is_temporal(cells.type):
        return True
    first = next((cell for cell in cells.to_pylist() if cell is not None), None)
    return isinstance(first, str) and bool(_DATED.match(first))


def _any_matches(cells: pa.Array, pattern: str) -> bool:
    return bool(pc.any(pc.match_substring_regex(cells, pattern)).as_py())


def _seconds(text: str) -> float:
    """Since 1970, of an ISO 8601 date or time or one such as 31.03.2026 08:00; NaN of another
    text."""
    try:
        time = datetime.fromisoformat(_DOTTED.sub(r"\3-\2-\1", text))
    except ValueError:
        return np.nan
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()


def _text(cell: Any) -> str | None:
    if cell is None:
        return None
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell.isoformat() if hasattr(cell, "isoformat") else cell).strip()
