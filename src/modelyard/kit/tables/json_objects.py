"""A file with one JSON object a line as a table: its fields are columns, in their types."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa

from modelyard.errors import BadData
from modelyard.kit.json_lines import HALF, in_utf8, is_broken, json_rows, read_utf8
from modelyard.kit.tables.table import Table, TableFile, without_blanks
from modelyard.store.files import File

_ESCAPE = "\\ud"
"""How the escape of half a surrogate pair begins."""
_EXACT = 2**53
"""Whole numbers up to here are exact as float64."""


def read_json_file(source: File) -> Table:
    """A field that an object lacks is an empty cell; fields of objects and lists are dropped.

    Raises:
        BadData: a line that is no JSON object: its number; no field, or none with plain values.
    """
    file, text = source.path, read_utf8(source)
    # Only an escape can say half of a surrogate pair, and most files have none.
    escaped = _ESCAPE in text.lower()
    rows: list[dict[str, Any]] = []
    numbers: list[int] = []
    fields: dict[str, None] = {}
    for number, value in json_rows(text, file):
        if not isinstance(value, dict):
            problem = f"must be a JSON object, seen {json.dumps(value)[:40]}"
            raise BadData(problem, file=file, row=number)
        if escaped:
            _check_whole(value, file, number)
        rows.append(value)
        numbers.append(number)
        fields |= dict.fromkeys(value)
    if not fields:
        raise BadData("holds no object with a field", file=file)
    names, notes = without_blanks(list(fields), file)
    columns: dict[str, pa.Array] = {}
    dropped: dict[str, str] = {}
    for field, name in zip(fields, names, strict=True):
        cells = [row.get(field) for row in rows]
        if any(isinstance(cell, (dict, list)) for cell in cells):
            dropped[name] = "holds objects or lists"
        else:
            columns[name] = _column(cells)
    if not columns:
        # As pandas writes a table, unless it is told to write rows.
        hint = "Write a list of rows: [{…}, {…}], in pandas to_json(orient='records')"
        raise BadData("every field holds objects or lists", file=file, hint=hint)
    return Table(pa.table(columns), [TableFile(file, len(rows), numbers)], notes, dropped)


def _column(cells: list[Any]) -> pa.Array:
    """Cells of one type as they are. Of several types, or whole numbers that float64 would change,
    as text, as a CSV would hold them; null where one is blank or no number."""
    # NaN, which equals nothing, itself neither, is an empty cell.
    known = [cell if cell == cell else None for cell in cells]
    # By the very type: true is a number to isinstance.
    kinds = {type(cell) for cell in known} - {type(None)}
    if kinds == {bool}:
        return pa.array(known, pa.bool_())
    if kinds and kinds <= {int, float} and not _loses_digits(known):
        if kinds == {int}:
            return pa.array(known, pa.int64())
        return pa.array(known, pa.float64())
    return pa.array([_text(cell) for cell in known], pa.string())


def _loses_digits(cells: list[Any]) -> bool:
    return any(isinstance(cell, int) and abs(cell) > _EXACT for cell in cells)


def _text(cell: Any) -> str | None:
    if cell is None:
        return None
    if isinstance(cell, str):
        return cell.strip() or None
    return json.dumps(cell)


def _check_whole(row: dict[str, Any], file: Path, number: int) -> None:
    """Refuses a row whose texts hold half of a surrogate pair, which no table can hold."""
    for name, cell in row.items():
        if is_broken(_ESCAPE, name):
            raise BadData(f"the name of a field {HALF}", file=file, row=number)
        if isinstance(cell, str):
            in_utf8(cell, file, name, number)
