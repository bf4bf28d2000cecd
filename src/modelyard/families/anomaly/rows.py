"""Rows to answer, read from a file as the rows to train on were."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from modelyard.errors import BadData
from modelyard.families.anomaly.cells import measurements
from modelyard.kit.tables import read_table


def read_rows(file: Path, names: list[str]) -> list[dict[str, float]]:
    """The columns `names` of a CSV or Parquet file, row by row; other columns are passed over.

    Raises:
        BadData: with file, row and column: a column that is absent, a cell that is empty or no
        number.
    """
    table = read_table(Path(file))
    columns = []
    for name in names:
        if name not in table.names:
            raise BadData(
                f"the column is missing; seen: {', '.join(table.names)}", file=file, column=name
            )
        values = measurements(table, name)
        if len(empty := np.flatnonzero(np.isnan(values))):
            raise BadData(
                "the cell is empty", **table.place(int(empty[0])), column=name, hint="Fill the gap"
            )
        columns.append(values.tolist())
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
