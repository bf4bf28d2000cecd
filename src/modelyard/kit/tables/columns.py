"""Columns of a table as numpy arrays: numbers, times, flags and text.

A cell that is none of them is named with its place.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from modelyard.errors import BadData
from modelyard.kit.tables.table import Table

PLACEHOLDERS = frozenset(
    {"?", "-", "--", ".", "none", "unknown", "missing", "na", "n.a.", "nil", "#n/a"},
)
"""Words for an empty cell, in any case, taken as such in a column that otherwise holds numbers."""

_FLAGS = {"0": 0.0, "0.0": 0.0, "false": 0.0, "1": 1.0, "1.0": 1.0, "true": 1.0}
_POINTED = r"^[-+]?\d*\.\d+(?:[eE][-+]?\d+)?$"
_NO_THOUSANDS = r"^[-+]?\d*,(?:\d{1,2}|\d{4,})(?:[eE][-+]?\d+)?$"
_DECIMAL_COMMA = r"^([-+]?\d*),(\d+(?:[eE][-+]?\d+)?)$"
_DATED = re.compile(r"\d{4}-\d\d-\d\d|\d{1,2}[./]\d{1,2}[./]\d{4}")
_DOTTED = re.compile(r"^(\d\d)\.(\d\d)\.(\d{4})")
_EXAMPLES = "2026-03-31T08:00:00 or 31.03.2026 08:00"
_SHOWN = 40


def numbers(table: Table, name: str, hint: str = "Fix the cell, or empty it") -> np.ndarray:
    """Float64 (rows,), NaN where a cell is empty; infinite where the file says so.

    A comma is the decimal point where no number of the column has a point. In a file separated by
    commas some number must also have other than three digits behind it, as `1,234` has not.

    Raises:
        BadData: a cell that is no number; with file, row and column.
    """
    cells = table.column(name)
    values = _cast(cells)
    if values is not None:
        return values
    cells = _without_placeholders(table, name, _with_points(cells, table.delimiter))
    values = _cast(cells)
    if values is not None:
        return values
    found = np.full(table.rows, np.nan)
    for row, text in enumerate(_texts(cells)):
        if text is None:
            continue
        try:
            found[row] = _float(text)
        except ValueError:
            problem = f"{_shown(table, name, row)} is not a number"
            raise _refusal(table, name, row, problem, hint) from None
    return found


def times(table: Table, name: str) -> np.ndarray:
    """Float64 (rows,): seconds since 1970 for dates and times, numbers as they are.

    Times without an offset are taken for UTC.

    Raises:
        BadData: an empty cell, or one that is neither; with file, row and column.
    """
    cells = table.column(name)
    if cells.null_count:
        row = int(np.flatnonzero(cells.is_null().to_numpy(zero_copy_only=False))[0])
        raise _refusal(table, name, row, "the time is missing", "Fill it in, or remove the row")
    if pa.types.is_timestamp(cells.type) or pa.types.is_date(cells.type):
        micro: np.ndarray = cells.cast(pa.timestamp("us")).cast(pa.int64()).to_numpy()
        return micro / 1e6
    cells = _with_points(cells, table.delimiter)
    values = _cast(cells)
    if values is not None:
        return values
    listed = [str(text) for text in _texts(cells)]
    # Numbers may be in any unit, so a column holds one or the other: as its first cell does.
    read = _float if listed and _is_float(listed[0]) else _seconds
    found = np.empty(table.rows)
    for row, text in enumerate(listed):
        try:
            found[row] = read(text)
        except ValueError:
            seen = _shown(table, name, row)
            problem = f"{seen} is neither a number nor a time such as {_EXAMPLES}"
            if _is_float(text):
                problem = f"{seen} is a number, and the cells above are dates"
            raise _refusal(table, name, row, problem, "") from None
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
            raise _refusal(table, name, row, f"{_shown(table, name, row)} is neither 0 nor 1", hint)
        found[row] = _FLAGS[text.lower()]
    return found


def texts(table: Table, name: str) -> list[str | None]:
    """The cells without surrounding blanks, None where empty; whole numbers without a point."""
    return _texts(table.column(name))


def is_dated(table: Table, name: str) -> bool:
    """Whether the column's first cell is a date or time, as a file or as ISO 8601 holds it."""
    cells = table.column(name)
    if pa.types.is_temporal(cells.type):
        return True
    first = next((cell for cell in cells.to_pylist() if cell is not None), None)
    return isinstance(first, str) and bool(_DATED.match(first))


def _cast(cells: pa.Array) -> np.ndarray | None:
    """The column as float64 at once, or None where some cell is no number."""
    if pa.types.is_temporal(cells.type):
        return None
    try:
        found: np.ndarray = cells.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None
    return found.astype(np.float64)


def _is_text(cells: pa.Array) -> bool:
    return bool(pa.types.is_string(cells.type) or pa.types.is_large_string(cells.type))


def _with_points(cells: pa.Array, delimiter: str) -> pa.Array:
    """Decimal commas as points where it is plain that they are; other cells will be refused."""
    if not _is_text(cells) or _any_matches(cells, _POINTED):
        return cells
    if delimiter == "," and not _any_matches(cells, _NO_THOUSANDS):
        return cells
    return pc.replace_substring_regex(cells, _DECIMAL_COMMA, r"\1.\2")


def _any_matches(cells: pa.Array, pattern: str) -> bool:
    return bool(pc.any(pc.match_substring_regex(cells, pattern)).as_py())


def _without_placeholders(table: Table, name: str, cells: pa.Array) -> pa.Array:
    """Words for an empty cell as empty, with a note of how many there were."""
    if not _is_text(cells):
        return cells
    empty = pc.is_in(pc.utf8_lower(cells), value_set=pa.array(sorted(PLACEHOLDERS), cells.type))
    count = int(pc.sum(empty).as_py() or 0)
    if not count:
        return cells
    note = f"{name}: {count} cells such as '?' or 'unknown' were read as empty"
    if note not in table.notes:
        table.notes.append(note)
    return pc.if_else(empty, pa.scalar(None, cells.type), cells)


def _float(text: str) -> float:
    """Python's reading of a number, which also knows `+1.5`, but for `1_000`."""
    if "_" in text:
        raise ValueError
    return float(text)


def _is_float(text: str) -> bool:
    try:
        _float(text)
    except ValueError:
        return False
    return True


def _seconds(text: str) -> float:
    """Since 1970, of an ISO 8601 date or time or one such as 31.03.2026 08:00."""
    time = datetime.fromisoformat(_DOTTED.sub(r"\3-\2-\1", text))
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()


def _texts(cells: pa.Array) -> list[str | None]:
    found: list[str | None] = []
    for cell in cells.to_pylist():
        if cell is None or cell != cell:
            found.append(None)
        elif isinstance(cell, float) and cell.is_integer():
            found.append(str(int(cell)))
        else:
            found.append(str(cell).strip())
    return found


def _shown(table: Table, name: str, row: int) -> str:
    """A cell as the file has it, quoted and shortened."""
    return repr(str(table.arrow[name][row].as_py())[:_SHOWN])


def _refusal(table: Table, name: str, row: int, problem: str, hint: str) -> BadData:
    return BadData(problem, **table.place(row), column=name, hint=hint)
