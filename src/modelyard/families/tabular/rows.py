"""Rows to answer, read from a file as the rows to train on were."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from modelyard.families.tabular.infer import convert
from modelyard.families.tabular.schema import Column, Edits, TableSchema
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
    for name in (str(name) for name in table.frame.columns):
        cells = table.frame[name]
        if name in known:
            cells = convert(known[name], cells, table, Edits(file, columns=_required(known[name])))
        columns[name] = [_json(cell) for cell in cells.tolist()]
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _required(column: Column) -> dict[str, dict[str, Any]]:
    return {} if column.nullable else {column.name: {"nullable": False}}


def _json(cell: Any) -> Any:
    """A cell of a data frame as JSON: None for all that is missing."""
    import pandas as pd

    if (
        cell is None
        or cell is pd.NA
        or cell is pd.NaT
        or (isinstance(cell, float) and np.isnan(cell))
    ):
        return None
    return cell.isoformat() if hasattr(cell, "isoformat") else cell
