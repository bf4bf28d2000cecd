"""Rows or windows to answer, read from a file as the measurements to train on were."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from modelyard.errors import BadData
from modelyard.families.anomaly.cells import measurements
from modelyard.families.anomaly.gaps import breaks_of
from modelyard.families.anomaly.order import in_order
from modelyard.families.anomaly.resample import resample
from modelyard.families.anomaly.schema import Column, Schema
from modelyard.families.anomaly.when import moments
from modelyard.kit.tables import Notation, Table, is_dated, read_table, rows_of, texts, with_time

Bodies = list[dict[str, Any]]
Machines = dict[str | None, np.ndarray]
"""Rows of the file by machine."""


def read_bodies(file: Path, schema: Schema, window: int) -> Bodies:
    """A body a row of a CSV or Parquet file, in its order: the columns that are no measurements, and
    `values`, or the `window` that ends at the row, with `machine` where a column names it. Windows
    hold rows of one machine without a gap in time.

    Where training resampled, there is a body for each moment of the grid instead, machine by
    machine. The first rows of a machine, and those after a gap, have no whole window and so no
    `window`.

    Raises:
        BadData: a column that is absent, or a cell that is empty or no number.
    """
    asked = {schema.time_column, schema.entity, *schema.names}
    table = with_time(read_table(Path(file)), asked, schema.time_column)
    rows = read_rows(table, schema.columns)
    machines: Machines = {None: np.arange(table.rows)}
    if schema.entity is not None and schema.entity in table.names:
        machines = rows_of(table, schema.entity)
    if schema.most_fill is not None:
        return _resampled(table, schema, machines, rows, window)
    bodies = _others(table, schema)
    if window == 1:
        for machine, places in machines.items():
            for place in places:
                bodies[place] |= {"values": rows[place], **_named(machine)}
        return bodies
    time = None
    if schema.time_column in table.names:
        assert schema.time_column is not None
        time = moments(table, schema.time_column, machines.values(), schema.zone)
    for machine, placed in machines.items():
        places = placed
        if time is not None and schema.time_column is not None:
            places = in_order(table, schema.time_column, time, placed)
        breaks = np.zeros(len(places), bool)
        if time is not None and schema.step is not None:
            breaks = breaks_of(time[places], schema.step)
        # A row answers for the window that ends at it: what came before it is known then.
        for end in _whole(breaks, window):
            content = [rows[place] for place in places[end - window : end]]
            bodies[places[end - 1]] |= {"window": content, **_named(machine)}
    return bodies


def read_rows(table: Table, known: list[Column]) -> list[dict[str, float]]:
    """The columns of a schema in a table, row by row.

    Raises:
        BadData: a column that is absent, or a cell that is empty or no number.
    """
    columns = []
    # In the order of the network's inputs, whatever the file's.
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


def _whole(breaks: np.ndarray, window: int) -> list[int]:
    """Ends (one behind the last row) of windows that no gap lies in."""
    segment = np.cumsum(breaks)
    ends = np.arange(window, len(breaks) + 1)
    whole: list[int] = ends[segment[ends - 1] == segment[ends - window]].tolist()
    return whole


def _resampled(
    table: Table,
    schema: Schema,
    machines: Machines,
    rows: list[dict[str, float]],
    window: int,
) -> Bodies:
    """A body for each moment of the grid that training used."""
    column, step, most = schema.time_column, schema.step, schema.most_fill
    assert column is not None
    assert step is not None
    assert most is not None
    if column not in table.names:
        problem = (
            f"the column is missing, by which rows are resampled; seen: {', '.join(table.names)}"
        )
        raise BadData(problem, file=table.file, column=column)
    time = moments(table, column, machines.values(), schema.zone)
    dated = is_dated(table, column)
    bodies: Bodies = []
    for machine, placed in machines.items():
        places = in_order(table, column, time, placed)
        back = np.flatnonzero(np.diff(time[places]) < 0)
        if len(back):
            row = int(places[back[0] + 1])
            raise table.fault(column, row, "the time goes back", "Sort the file by time")
        x = np.array([list(rows[place].values()) for place in places], np.float64)
        found = resample(time[places], x, step, most)
        contents = [dict(zip(schema.names, values, strict=True)) for values in found.x.tolist()]
        whole = set(_whole(found.breaks, window))
        for place, moment in enumerate(found.time.tolist()):
            if dated:
                when = datetime.fromtimestamp(moment, UTC).isoformat()
            else:
                when = moment
            body: dict[str, Any] = {column: when}
            if machine is not None:
                assert schema.entity is not None
                body[_aside(schema.entity, schema)] = machine
            if window == 1:
                body |= {"values": contents[place], **_named(machine)}
            elif place + 1 in whole:
                content = contents[place + 1 - window : place + 1]
                body |= {"window": content, **_named(machine)}
            bodies.append(body)
    return bodies


def _named(machine: str | None) -> dict[str, Any]:
    """The request's field of the machine. A body without a window has none: it is no request."""
    if machine is None:
        return {}
    return {"machine": machine}


def _aside(name: str, schema: Schema) -> str:
    """What another column is called next to the answers: not as a field of the request."""
    taken = ["values", "window"]
    if schema.entity is not None:
        taken.append("machine")
    if name in taken:
        return f"input.{name}"
    return name


def _others(table: Table, schema: Schema) -> Bodies:
    """The other columns as text, row by row; one that is named as a field of a request gets a
    prefix."""
    cells: dict[str, list[str | None]] = {}
    for name in table.names:
        if name not in schema.names:
            cells[_aside(name, schema)] = texts(table, name)
    others = []
    for row in range(table.rows):
        others.append({name: column[row] for name, column in cells.items()})
    return others
