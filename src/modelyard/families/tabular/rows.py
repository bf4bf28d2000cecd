"""Rows to answer, read from a file as the rows to train on were."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from modelyard.families.tabular.cells import as_json
from modelyard.families.tabular.infer import convert
from modelyard.families.tabular.schema import TableSchema
from modelyard.kit.tables import read_table


def read_rows(file: Path, schema: TableSchema) -> list[dict[str, Any]]:
    """One JSON body a row of a CSV or Parquet file; columns that the model does not know stay as
    they came.

    Separator, encoding, decimal commas, empty cells and dates are read as in training; a date or
    number that can be read in two ways is read in the training data's.

    Raises:
        BadData: with file, row and column.
    """
    table = read_table(file)
    known = {column.name: column for column in schema.inputs}
    columns: dict[str, list[Any]] = {}
    for name in table.names:
        cells = table.column(name).to_pylist()
        if name in known:
            values = convert(known[name], table, required=not known[name].nullable)
            cells = values.astype(object).where(values.notna(), None).tolist()
        columns[name] = [as_json(cell) for cell in cells]
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
