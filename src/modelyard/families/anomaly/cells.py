"""Columns of a table as numbers, times and labels; a cell that is none is named with file, row and column."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import numpy as np

from modelyard.errors import BadData
from modelyard.families.anomaly.read import Table

LARGEST = 1e30
_DATED = re.compile(r"\d{4}-\d\d-\d\d|\d{1,2}[./]\d{1,2}[./]\d{4}")
_DOTTED = re.compile(r"^(\d\d)\.(\d\d)\.(\d{4})")
LABELS = {"0": 0, "0.0": 0, "false": 0, "1": 1, "1.0": 1, "true": 1}


def numbers(table: Table, column: str) -> np.ndarray:
    """Float64 (rows,), NaN where a cell is empty.

    Raises:
        BadData: a cell that is no number, or not a finite one that 32 bits hold.
    """
    values = _cast(table, column)
    if values is None:
        values = np.array([_number(table, column, row, cell) for row, cell in enumerate(_texts(table, column))])
    wrong = np.flatnonzero(~np.isnan(values) & ~(np.abs(values) <= LARGEST))
    if len(wrong):
        problem = f"{values[wrong[0]]:g} is too large for a measurement"
        raise _at(table, column, int(wrong[0]), problem, "Scale the column, or empty the cell")
    return values


def times(table: Table, column: str) -> np.ndarray:
    """Float64 (rows,): seconds since 1970 for ISO 8601 times, numbers as they are.

    Raises:
        BadData: an empty cell, or one that is neither.
    """
    import pyarrow as pa

    cells = table.columns[column]
    if cells.null_count:
        row = int(np.flatnonzero(cells.is_null().to_numpy(zero_copy_only=False))[0])
        raise _at(table, column, row, "the time is missing", "Fill it in, or remove the row")
    if pa.types.is_timestamp(cells.type) or pa.types.is_date(cells.type):
        micro: np.ndarray = cells.cast(pa.timestamp("us")).cast(pa.int64()).to_numpy()
        return micro / 1e6
    found = _cast(table, column)
    if found is not None:
        return found
    return np.array([_seconds(table, column, row, cell) for row, cell in enumerate(_texts(table, column))])


def labels(table: Table, column: str) -> np.ndarray:
    """Int8 (rows,): 0, 1, or -1 where nobody said; all -1 where the table has no such column."""
    if column not in table.columns:
        return np.full(table.rows, -1, np.int8)
    found = np.full(table.rows, -1, np.int8)
    for row, cell in enumerate(_texts(table, column)):
        if cell is None:
            continue
        if cell.lower() not in LABELS:
            raise _at(table, column, row, f"{cell[:40]!r} is no label", "Allowed: 0 (normal), 1 (anomaly), empty")
        found[row] = LABELS[cell.lower()]
    return found


def words(table: Table, column: str) -> list[str | None]:
    """Cells as text, None where empty; all None where the table has no such column."""
    return _texts(table, column) if column in table.columns else [None] * table.rows


def is_dated(table: Table, column: str) -> bool:
    """Whether the column's first cell is a date or time, as a file or as ISO 8601 holds it."""
    import pyarrow as pa

    cells = table.columns[column]
    if pa.types.is_temporal(cells.type):
        return True
    first = next((cell for cell in cells.to_pylist() if cell is not None), None)
    return isinstance(first, str) and bool(_DATED.match(first))


def _cast(table: Table, column: str) -> np.ndarray | None:
    """The column as float64 at once, or None when some cell is no number."""
    import pyarrow as pa

    cells = table.columns[column]
    if pa.types.is_temporal(cells.type):
        return None
    try:
        numbers: np.ndarray = cells.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None
    return numbers.astype(np.float64)


def _texts(table: Table, column: str) -> list[str | None]:
    return [None if cell is None else str(cell).strip() for cell in table.columns[column].to_pylist()]


def _number(table: Table, column: str, row: int, cell: str | None) -> float:
    if cell is None:
        return float("nan")
    text = cell.replace(",", ".") if table.decimal_comma and "." not in cell else cell
    try:
        return float(text)
    except ValueError:
        hint = f"Mend the cell, empty it, or leave the column out: --set features.drop=[{column}]"
        raise _at(table, column, row, f"{cell[:40]!r} is not a number", hint) from None


def _seconds(table: Table, column: str, row: int, cell: str | None) -> float:
    try:
        time = datetime.fromisoformat(_DOTTED.sub(r"\3-\2-\1", str(cell)))
    except ValueError:
        problem = f"{str(cell)[:40]!r} is neither a number nor a time such as 2026-03-31T08:00:00 or 31.03.2026 08:00"
        raise _at(table, column, row, problem, "") from None
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()


def _at(table: Table, column: str, row: int, problem: str, hint: str) -> BadData:
    return BadData(problem, file=table.file, row=row + 1, column=column, hint=hint)
