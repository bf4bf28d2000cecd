"""A file with one JSON object a line as a table: its fields are columns, in their types, and so are
those of objects in it (`user.age`)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa

from modelyard.errors import BadData
from modelyard.kit.json_lines import (
    HALF,
    flattened,
    in_utf8,
    is_broken,
    json_rows,
    read_utf8,
)
from modelyard.kit.tables.table import Table, TableFile, without_blanks
from modelyard.store.files import File

_ESCAPE = "\\ud"
"""How the escape of half a surrogate pair begins."""
_EXACT = 2**53
"""Whole numbers up to here are exact as float64."""
_MOST_INNER = 100
"""Fields of an object; one with more has keys, such as ids or dates, in their place."""


def read_json_file(source: File) -> Table:
    """A field that an object lacks is an empty cell. Lists are dropped, and objects whose fields differ
    from row to row.

    Raises:
        BadData: a line that is no JSON object: its number; no field, or none with plain values; one
            that stands in a row by itself and in an object.
    """
    file, text = source.path, read_utf8(source)
    # Only an escape can say half of a surrogate pair, and most files have none.
    escaped = _ESCAPE in text.lower()
    rows: list[dict[str, Any]] = []
    numbers: list[int] = []
    fields: dict[str, None] = {}
    outer: dict[str, None] = {}
    for number, value in json_rows(text, file):
        if not isinstance(value, dict):
            problem = f"must be a JSON object, seen {json.dumps(value)[:40]}"
            raise BadData(problem, file=file, row=number)
        row = _by_both_names(value, file, number)
        if escaped:
            _check_whole(row, file, number)
        rows.append(row)
        numbers.append(number)
        fields |= dict.fromkeys(row)
        outer |= dict.fromkeys(name for name, cell in value.items() if isinstance(cell, dict))
    if not fields:
        raise BadData("holds no object with a field", file=file)
    inside = {name: {field for field in fields if field.startswith(f"{name}.")} for name in outer}
    if len(rows) == 1 and len(fields) == sum(map(len, inside.values())):
        raise _turned(file)
    dropped: dict[str, str] = {}
    for name, inner in inside.items():
        # Null in place of an object.
        if all(row.get(name) is None for row in rows):
            fields.pop(name, None)
        if len(inner) > _MOST_INNER:
            dropped[name] = f"holds objects with {len(inner):,} different fields"
            fields = {field: None for field in fields if field not in inner}
    names, notes = without_blanks(list(fields), file)
    columns: dict[str, pa.Array] = {}
    for field, name in zip(fields, names, strict=True):
        cells = [row.get(field) for row in rows]
        if any(isinstance(cell, list) for cell in cells):
            dropped[name] = "holds lists"
        else:
            columns[name] = _column(cells)
    if not columns:
        raise _turned(file)
    return Table(pa.table(columns), [TableFile(file, len(rows), numbers)], notes, dropped)


def _by_both_names(value: dict[str, Any], file: Path, number: int) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for name, cell in flattened(value):
        if name in row:
            problem = "stands twice in the row, by itself and in an object"
            raise BadData(problem, file=file, row=number, column=name, hint="Rename one")
        row[name] = cell
    return row


def _turned(file: Path) -> BadData:
    """What is wrong with a file of columns in place of rows, as pandas writes one unless it is told to
    write rows; to be raised."""
    hint = "Write a list of rows: [{…}, {…}], in pandas to_json(orient='records')"
    return BadData("every field holds objects or lists", file=file, hint=hint)


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
