"""Rows or windows to answer, read from a file as the measurements to train on were."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from modelyard.errors import BadData
from modelyard.families.anomaly.cells import measurements
from modelyard.families.anomaly.schema import Column, Schema
from modelyard.kit.tables import Notation, Table, read_table, rows_of, texts


def read_bodies(file: Path, schema: Schema, window: int) -> list[dict[str, Any]]:
    """A body a row of a CSV or Parquet file, in its order: the columns that are no measurements,
    and `values`, or the `window` that ends at the row. Windows hold rows of one machine.

    The first rows of a machine have no whole window and so no `window`.

    Raises:
        BadData: a column that is absent, or a cell that is empty or no number.
    """
    table = read_table(Path(file))
    rows = read_rows(table, schema.columns)
    bodies = _others(table, schema.names)
    if window == 1:
        return [{**body, "values": row} for body, row in zip(bodies, rows, strict=True)]
    machines: dict[str | None, np.ndarray] = {None: np.arange(table.rows)}
    if schema.entity is not None and schema.entity in table.names:
        machines = rows_of(table, schema.entity)
    for places in machines.values():
        for end in range(window, len(places) + 1):
            content = [rows[place] for place in places[end - window : end]]
            bodies[places[end - 1]]["window"] = content
    return bodies


def read_rows(table: Table, known: list[Column]) -> list[dict[str, float]]:
    """The columns of a schema in a table, row by row.

    Raises:
        BadData: a column that is absent, or a cell that is empty or no number.
    """
    columns = []
    names = [column.name for column in known]
    for name, column in zip(names, known, strict=True):
        if name not in table.names:
            problem = f"the column is missing; seen: {', '.join(table.names)}"
            raise BadData(problem, file=table.file, column=name)
        values = measurements(table, name, Notation(column.format, column.unit))
        if np.isnan(values).any():
            row = int(np.isnan(values).argmax())
            raise table.fault(name, row, "the cell is empty", "Fill the gap")
        columns.append(values.tolist())
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def _others(table: Table, names: list[str]) -> list[dict[str, Any]]:
    """The other columns as text, row by row; one that is named as a field of a request gets a
    prefix."""
    cells: dict[str, list[str | None]] = {}
    for name in table.names:
        if name not in names:
            taken = name in ("values", "window")
            cells[f"input.{name}" if taken else name] = texts(table, name)
    return [{name: cells[name][row] for name in cells} for row in range(table.rows)]
