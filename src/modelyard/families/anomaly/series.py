"""A file of measurements as series in time, one a machine: gaps found, faults named."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from modelyard.errors import BadData
from modelyard.families.anomaly.cells import kinds, labels, measurements
from modelyard.families.anomaly.config import AnomalyFeatures
from modelyard.families.anomaly.parts import PARTS
from modelyard.kit.clock import through_autumn
from modelyard.kit.tables import Table, is_local, rows_of, times

GAP = 1.5
"""A longer time than this many steps is a gap; a shorter one than 1 / 2 of a step is irregular,
and a gap too."""


class TooShort(BadData):
    """A series without a window for each split."""


@dataclass(frozen=True)
class Series:
    """A machine's measurements in the order of time, rows with empty cells gone."""

    file: Path
    name: str
    """What the file is called below the raw folder, and the machine where it holds several."""
    x: np.ndarray
    """Float64 (rows, columns)."""
    time: np.ndarray
    label: np.ndarray
    kind: list[str | None]
    rows: np.ndarray
    """Row of the file, from 1."""
    breaks: np.ndarray
    """Bool (rows,): no unbroken step leads to this row from the one before; False for the first."""
    step: float | None
    parts: dict[str, slice]
    """Rows of each split."""
    empty: int
    repeated: int


@dataclass(frozen=True)
class _File:
    """The cells of one file, and the columns that they stand in."""

    table: Table
    settings: AnomalyFeatures
    x: np.ndarray
    time: np.ndarray
    label: np.ndarray
    kind: list[str | None]
    full: np.ndarray
    """Bool (rows,): no cell is empty."""
    numbers: np.ndarray
    """Row of the file, from 1."""


def read_series(
    table: Table, called: str, names: list[str], settings: AnomalyFeatures
) -> tuple[list[Series], dict[str, int]]:
    """The series of a file: one, or one a machine where a column names machines.

    Returns them, and how many rows belong to machines that have too few, by machine.

    Raises:
        BadData: cells that cannot be used, a time that goes back, no series that is long enough.
    """
    x = np.stack([measurements(table, name) for name in names], axis=1)
    timed = settings.time_column in table.names
    time = times(table, settings.time_column) if timed else np.arange(table.rows, dtype=np.float64)
    (source,) = table.files
    file = _File(
        table,
        settings,
        x,
        time,
        labels(table, settings.label_column),
        kinds(table, settings.kind_column),
        full=~np.isnan(x).any(axis=1),
        numbers=source.row_numbers(),
    )
    entity = settings.entity
    if timed and is_local(table, settings.time_column):
        machines = [np.arange(table.rows)]
        if entity is not None and entity in table.names:
            machines = list(rows_of(table, entity).values())
        for rows in machines:
            _through_autumn(file, rows)
    if entity is None or entity not in table.names:
        return [_series(file, called, np.arange(table.rows), None)], {}
    found, short = [], {}
    too_short: BadData | None = None
    for machine, rows in rows_of(table, entity).items():
        if machine is None:
            problem = "the cell is empty: which machine is the row from?"
            raise table.fault(entity, int(rows[0]), problem, "Fill it in, or remove the row")
        try:
            found.append(_series(file, f"{called}: {machine}", rows, machine))
        except TooShort as error:
            short[machine], too_short = len(rows), error
    if too_short is not None and not found:
        raise too_short
    return found, short


def _through_autumn(file: _File, rows: np.ndarray) -> None:
    """Lets the time of a machine's rows go on where the clock goes back, with a note."""
    column = file.settings.time_column
    file.time[rows], again = through_autumn(file.time[rows])
    for place in again:
        file.table.note(
            f"{column}: the hour before {file.table.shown(column, int(rows[place - 1]))} stands twice, "
            "as when summer time ends: rows from its second pass on were taken for an hour later. "
            "Times in UTC or with their offset leave no doubt"
        )


def _series(file: _File, called: str, rows: np.ndarray, machine: str | None) -> Series:
    """One series of these rows of the file."""
    timed = file.settings.time_column in file.table.names
    again = np.zeros(len(file.time), bool)
    again[rows] = _repeated(file, rows, machine)
    kept = rows[file.full[rows] & ~again[rows]]
    path = file.table.file
    of = "" if machine is None else f" of {machine!r}"
    if len(kept) < 2:
        problem = f"{len(kept)} complete rows{of}; a series needs more"
        raise TooShort(problem, file=path)
    time = file.time[kept]
    # Without a time column the rows of a machine stand where the file has them, among others'.
    if not timed:
        time = np.arange(len(kept), dtype=np.float64)
    step = float(np.median(np.diff(time)))
    apart = np.diff(time, prepend=time[0] - step)
    breaks = (apart > GAP * step) | (apart < step / 2)
    return Series(
        file=path,
        name=called,
        x=file.x[kept],
        time=time,
        label=file.label[kept],
        kind=[file.kind[row] for row in kept],
        rows=file.numbers[kept],
        breaks=breaks,
        step=step if timed else None,
        parts=_parts(len(kept), path, file.settings, of),
        empty=int((~file.full[rows]).sum()),
        repeated=int((again[rows] & file.full[rows]).sum()),
    )


def _parts(rows: int, file: Path, settings: AnomalyFeatures, of: str) -> dict[str, slice]:
    """Rows of each split, in the order of time, a window unused between them.

    Raises:
        TooShort: the series has no window in each split.
    """
    gap, shares = settings.window, settings.shares
    lengths = [int((rows - 3 * gap) * share) for share in shares]
    least = max(gap, 2)
    if min(lengths) < least:
        needed = int(least / min(shares)) + 3 * gap + 8
        problem = (
            f"{rows} complete rows{of}; {needed} are needed for a window of {gap} in each part"
        )
        raise TooShort(problem, file=file, hint="Give a longer series, or lower features.window")
    parts, start = {}, 0
    for name, length in zip(PARTS, lengths, strict=True):
        parts[name] = slice(start, start + length)
        start += length + gap
    return parts


def _repeated(file: _File, rows: np.ndarray, machine: str | None) -> np.ndarray:
    """Which of these rows say what the row before says, time included; bool (rows,).

    Raises:
        BadData: a time that goes back, or stands twice with different measurements.
    """
    table, column = file.table, file.settings.time_column
    of = "" if machine is None else f" of {machine!r}"
    machines = "name the column of several machines: --set features.entity=NAME"
    apart = np.diff(file.time[rows])
    back = np.flatnonzero(apart < 0)
    if len(back):
        before, row = rows[back[0] : back[0] + 2].tolist()
        seen = f"{table.shown(column, row)} after {table.shown(column, before)}"
        hint = "Sort the file by time" + ("" if machine else f", or {machines}")
        raise table.fault(column, row, f"the time{of} goes back: {seen}", hint)
    x = file.x[rows]
    empty = np.isnan(x)
    alike = (x[1:] == x[:-1]) | (empty[1:] & empty[:-1])
    same = apart == 0
    twice = np.flatnonzero(same & ~alike.all(axis=1))
    if len(twice):
        row = int(rows[twice[0] + 1])
        seen = table.shown(column, row)
        problem = f"the time {seen}{of} stands twice, with different measurements"
        hint = "Keep one of the rows" + ("" if machine else f", or {machines}")
        raise table.fault(column, row, problem, hint)
    return np.asarray(np.r_[False, same])
