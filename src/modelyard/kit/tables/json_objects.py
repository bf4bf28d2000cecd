"""A file with one JSON object a line as a table: its fields are columns, in their types."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

from modelyard.errors import BadData
from modelyard.kit.json_lines import json_rows, read_utf8
from modelyard.kit.tables.table import Table, TableFile, without_blanks
from modelyard.store.files import File

_EXACT = 2**53
"""Whole numbers up to here are exact as float64."""


def read_json_file(source: File) -> Table:
    """A field that an object lacks is an empty cell; fields of objects and lists are dropped.

    Raises:
        BadData: a line that is no JSON object: its number.
    """
    file = source.path
    rows: list[dict[str, Any]] = []
    numbers: list[int] = []
    for number, value in json_rows(read_utf8(source), file):
        if not isinstance(value, dict):
            problem = f"must be a JSON object, seen {json.dumps(value)[:40]}"
            raise BadData(problem, file=file, row=number)
        rows.append(value)
        numbers.append(number)
    fields = list(dict.fromkeys(name for row in rows for name in row))
    names, notes = without_blanks(fields, file)
    columns: dict[str, pa.Array] = {}
    dropped: dict[str, str] = {}
    for field, name in zip(fields, names, strict=True):
        cells = [row.get(field) for row in rows]
        if any(isinstance(cell, (dict, list)) for cell in cells):
            dropped[name] = "holds objects or lists"
        else:
            columns[name] = _column(cells)
    return Table(pa.table(columns), [TableFile(file, len(rows), numbers)], notes, dropped)


def _column(cells: list[Any]) -> pa.Array:
    """Cells of one type as they are. Of several types, or whole numbers that float64 would change,
    as text, as a CSV would hold them; null where one is blank or no number."""
    known = [None if cell is None or cell != cell else cell for cell in cells]
    kinds = {type(cell) for cell in known if cell is not None}
    if kinds == {int} and all(cell is None or abs(cell) <= _EXACT for cell in known):
        return pa.array(known, pa.int64())
    if kinds and kinds <= {int, float} and not _loses_digits(known):
        return pa.array([None if cell is None else float(cell) for cell in known], pa.float64())
    if kinds == {bool}:
        return pa.array(known, pa.bool_())
    return pa.array([_text(cell) for cell in known], pa.string())


def _loses_digits(cells: list[Any]) -> bool:
    return any(isinstance(cell, int) and abs(cell) > _EXACT for cell in cells)


def _text(cell: Any) -> str | None:
    if cell is None or isinstance(cell, str):
        return (cell or "").strip() or None
    return json.dumps(cell)
