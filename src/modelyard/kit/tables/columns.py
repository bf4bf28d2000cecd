"""Columns of a table as numpy arrays: numbers, flags and text.

A cell that is none of them is named with its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from modelyard.kit.tables.notation import (
    PLACEHOLDERS,
    Notation,
    doubt,
    is_text,
    notation,
    plainly,
    say,
)
from modelyard.kit.tables.table import Table, cells_of

LARGEST_EXACT = 2**53
"""Beyond it float64 skips whole numbers."""

_FLAGS = {"0": 0.0, "0.0": 0.0, "false": 0.0, "1": 1.0, "1.0": 1.0, "true": 1.0}
_NUMBER = r"^[-+]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|(?i:inf(?:inity)?))$"
_LONG_WHOLE = r"^[-+]?\d{16,}$"


def numbers(
    table: Table,
    name: str,
    hint: str = "Fix the cell, or empty it",
    written: Notation | None = None,
    words: Sequence[str] = (),
) -> np.ndarray:
    """Finite float64 (rows,), NaN where a cell is empty or one of `words`.

    They are read as `written` says, else as the column and its file prove. What was taken for
    granted is noted: words for an empty cell, bounds, brackets, what could be read in two ways.

    Raises:
        BadData: a cell that is no number, infinite, or a whole number that float64 does not hold;
            with file, row and column.
    """
    if written is None:
        written = notation(table, name)
        if question := doubt(table, name):
            table.note(question)
    cells = table.column(name)
    if words:
        known = pc.is_in(cells, pa.array(words, cells.type))
        cells = pc.if_else(known, pa.scalar(None, cells.type), cells)
    plain = plainly(cells, written)
    values = _checked(table, name, plain.cells, hint, words)
    say(table, name, written, plain)
    return values


def _checked(
    table: Table, name: str, cells: pa.Array, hint: str, words: Sequence[str]
) -> np.ndarray:
    values = as_numbers(cells)
    # False for NaN too. Nearly every column ends here: nothing below has to be looked for.
    if (np.abs(values) < LARGEST_EXACT).all():
        return values
    strange = np.isnan(values) & cells.is_valid().to_numpy(zero_copy_only=False)
    empty = strange & are_placeholders(cells)
    _note_empty(table, name, int(empty.sum()))
    wrong = np.flatnonzero(strange & ~empty)
    if len(wrong):
        row = int(wrong[0])
        problem = f"{table.shown(name, row)} is not a number"
        if words:
            problem += f" and none of the words {', '.join(map(repr, words))}"
        raise table.fault(name, row, problem, hint)
    infinite = np.flatnonzero(np.isinf(values))
    if len(infinite):
        hint = "Leave it empty or write a number"
        raise table.fault(name, int(infinite[0]), "the cell is infinite", hint)
    code = inexact(cells)
    if code is not None:
        problem = f"{table.shown(name, code)} is a code: numbers beyond 2^53 lose their last digits"
        raise table.fault(name, code, problem, hint)
    return values


def _note_empty(table: Table, name: str, count: int) -> None:
    if count:
        table.note(f"{name}: {cells_of(count)} such as '?' or 'unknown' read as empty")


def inexact(cells: pa.Array) -> int | None:
    """The row of the first whole number, written plainly, that float64 does not hold; None where
    there is none."""
    if is_text(cells):
        long = pc.match_substring_regex(cells, _LONG_WHOLE).fill_null(False)
        for row in np.flatnonzero(long.to_numpy(zero_copy_only=False)).tolist():
            if abs(int(cells[row].as_py())) > LARGEST_EXACT:
                return row
        return None
    if not pa.types.is_integer(cells.type) or cells.type.bit_width < 64:
        return None
    # Not by pc.abs, which overflows at the smallest int64.
    beyond = pc.greater(cells, pa.scalar(LARGEST_EXACT, cells.type))
    if pa.types.is_signed_integer(cells.type):
        beyond = pc.or_(beyond, pc.less(cells, -LARGEST_EXACT))
    found = np.flatnonzero(beyond.fill_null(False).to_numpy(zero_copy_only=False))
    if len(found):
        return int(found[0])
    return None


def as_numbers(cells: pa.Array) -> np.ndarray:
    """Float64 (rows,), NaN where a cell is empty or no plainly written number."""
    if pa.types.is_temporal(cells.type):
        return np.full(len(cells), np.nan)
    if is_text(cells):
        try:
            return np.asarray(cells.cast(pa.float64()).to_numpy(zero_copy_only=False))
        except pa.ArrowInvalid:
            # Some cell is no number, or has a plus: each is looked at.
            pass
        unsigned = pc.replace_substring_regex(cells, r"^\+", "")
        numeric = pc.match_substring_regex(cells, _NUMBER)
        cells = pc.if_else(numeric, unsigned, pa.scalar(None, cells.type))
    # A safe cast raises at whole numbers beyond 2^53, of which `inexact` names the row.
    return np.asarray(cells.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False))


def are_placeholders(cells: pa.Array) -> np.ndarray:
    """Bool (rows,): which cells are words for an empty one."""
    if not is_text(cells):
        return np.zeros(len(cells), bool)
    words = pa.array(sorted(PLACEHOLDERS), cells.type)
    return np.asarray(pc.is_in(pc.utf8_lower(cells), words).to_numpy(zero_copy_only=False))


def flags(table: Table, name: str, hint: str = "") -> np.ndarray:
    """Float64 (rows,): 0 or 1 for 0, 1, false and true in any case; NaN where a cell is empty.

    Raises:
        BadData: a cell that is none of them; with file, row and column.
    """
    found, empty = np.full(table.rows, np.nan), 0
    for row, text in enumerate(texts(table, name)):
        if text is None:
            continue
        word = text.lower()
        if word in PLACEHOLDERS:
            empty += 1
        elif word in _FLAGS:
            found[row] = _FLAGS[word]
        else:
            raise table.fault(name, row, f"{table.shown(name, row)} is neither 0 nor 1", hint)
    _note_empty(table, name, empty)
    return found


def texts(table: Table, name: str) -> list[str | None]:
    """The cells of a column as `as_texts` gives them."""
    return as_texts(table.column(name))


def as_texts(cells: pa.Array) -> list[str | None]:
    """Cells without surrounding blanks, None where empty; whole numbers without a point, booleans
    in lower case, times in ISO 8601."""
    listed: list[str | None] = cells.to_pylist()
    if is_text(cells):
        return listed
    return [_text(cell) for cell in listed]


def _text(cell: Any) -> str | None:
    if cell is None:
        return None
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, float) and cell.is_integer():
        # Numbers with an empty cell among them become floats on the way: 7.0 is 7.
        return str(int(cell))
    if hasattr(cell, "isoformat"):
        return str(cell.isoformat())
    return str(cell).strip()
