"""Files of users as requests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from modelyard.families.recommender.naming import NAMES, Names, understood
from modelyard.kit import tables
from modelyard.kit.json_lines import ROWS
from modelyard.store.files import File


def read_bodies(file: Path, fields: set[str], own: str) -> list[dict[str, Any]] | None:
    """The rows of a table or of JSON rows whose column of users is called as in training (`own`), or
    by a known name, with their other columns. None: another kind of file, or one whose columns are
    called as the `fields` of a request.

    Raises:
        BadData: with file and row.
    """
    source = File(file.parent, file.name)
    is_typed = tables.is_parquet(file.name) or tables.is_workbook(file.name)
    if not (is_typed or tables.is_delimited(file.name) or source.suffix in ROWS):
        return None
    table = tables.read_file(source)
    names: Names = {"user": (own, *NAMES["user"])}
    column = understood(table.names, names).get("user")
    if column is None or fields & set(table.names):
        return None
    columns = {name: table.column(name).to_pylist() for name in table.names}
    columns = {"user": tables.texts(table, column), **columns}
    del columns[column]
    rows = zip(*columns.values(), strict=True)
    return [dict(zip(columns, row, strict=True)) for row in rows]
