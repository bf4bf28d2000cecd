"""Rows to answer, read from a file as the rows to train on were."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from modelyard.kit.columns.cells import as_json, number_or_word
from modelyard.kit.columns.schema import Column, HasColumns
from modelyard.kit.columns.values import convert
from modelyard.kit.tables import Notation, Table, notation, read_table


def read_rows(file: Path, schema: HasColumns) -> list[dict[str, Any]]:
    """One JSON body a row of a CSV or Parquet file; columns that the model does not know stay as
    they came.

    Separator, encoding, notation of numbers, empty cells and dates are found out as in training; a
    date or number that can be read in two ways is read in the training data's.

    Raises:
        BadData: with file, row and column.
    """
    table = read_table(file)
    known = {column.name: column for column in schema.inputs}
    columns: dict[str, list[Any]] = {}
    for name in table.names:
        cells = table.column(name).to_pylist()
        if name in known:
            column = _as_written(known[name], table)
            values = convert(column, table, required=not column.nullable)
            cells = values.astype(object).where(values.notna(), None).tolist()
            if column.words:
                cells = [number_or_word(cell, column.words) for cell in cells]
        columns[name] = [as_json(cell) for cell in cells]
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _as_written(column: Column, table: Table) -> Column:
    """The column with the notation of this file's numbers."""
    if column.role != "numeric" or column.boolean:
        return column
    written = notation(table, column.name, Notation(column.format, column.unit))
    return column.model_copy(update={"format": written.format})
