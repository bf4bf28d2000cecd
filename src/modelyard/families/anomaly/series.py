"""A file of measurements as one series in time: gaps found, faults named."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from modelyard.errors import BadData
from modelyard.families.anomaly.cells import kinds, labels, measurements
from modelyard.families.anomaly.config import AnomalyFeatures
from modelyard.families.anomaly.parts import PARTS
from modelyard.kit.tables import Table, times

GAP = 1.5
"""A longer time than this many steps is a gap; a shorter one than 1 / 2 of a step is irregular,
and a gap too."""


@dataclass(frozen=True)
class Series:
    """One file: a machine's measurements in the order of time, rows with empty cells gone."""

    file: Path
    name: str
    """What the file is called below the raw folder."""
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


def read_series(table: Table, called: str, names: list[str], settings: AnomalyFeatures) -> Series:
    x = np.stack([measurements(table, name) for name in names], axis=1)
    timed = settings.time_column in table.names
    time = times(table, settings.time_column) if timed else np.arange(table.rows, dtype=np.float64)
    label, kind = labels(table, settings.label_column), kinds(table, settings.kind_column)
    full = ~np.isnan(x).any(axis=1)
    again = _repeated(table, x, time, settings.time_column)
    kept = np.flatnonzero(full & ~again)
    if len(kept) < 2:
        raise BadData(f"{len(kept)} complete rows; a series needs more", file=table.file)
    step = float(np.median(np.diff(time[kept])))
    apart = np.diff(time[kept], prepend=time[kept[0]] - step)
    breaks = (apart > GAP * step) | (apart < step / 2)
    (source,) = table.files
    return Series(
        file=source.path,
        name=called,
        x=x[kept],
        time=time[kept],
        label=label[kept],
        kind=[kind[row] for row in kept],
        rows=source.row_numbers()[kept],
        breaks=breaks,
        step=step if timed else None,
        parts=_parts(len(kept), table.file, settings),
        empty=int((~full).sum()),
        repeated=int((again & full).sum()),
    )


def _parts(rows: int, file: Path, settings: AnomalyFeatures) -> dict[str, slice]:
    """Rows of each split, in the order of time, a window unused between them.

    Raises:
        BadData: the series is too short for a window in each split.
    """
    gap, shares = settings.window, settings.shares
    lengths = [int((rows - 3 * gap) * share) for share in shares]
    least = max(gap, 2)
    if min(lengths) < least:
        needed = int(least / min(shares)) + 3 * gap + 8
        problem = f"{rows} complete rows; {needed} are needed for a window of {gap} in each part"
        raise BadData(problem, file=file, hint="Give a longer series, or lower features.window")
    parts, start = {}, 0
    for name, length in zip(PARTS, lengths, strict=True):
        parts[name] = slice(start, start + length)
        start += length + gap
    return parts


def _repeated(table: Table, x: np.ndarray, time: np.ndarray, column: str) -> np.ndarray:
    """Rows that say what the row before says, time included; bool (rows,).

    Raises:
        BadData: a time that goes back, or stands twice with different measurements.
    """
    apart = np.diff(time)
    back = np.flatnonzero(apart < 0)
    if len(back):
        row = int(back[0]) + 1
        seen, before = table.shown(column, row), table.shown(column, row - 1)
        hint = "Sort the file by time; several machines belong into several files"
        raise table.fault(column, row, f"the time goes back: {seen} after {before}", hint)
    empty = np.isnan(x)
    alike = (x[1:] == x[:-1]) | (empty[1:] & empty[:-1])
    same = apart == 0
    twice = np.flatnonzero(same & ~alike.all(axis=1))
    if len(twice):
        row = int(twice[0])
        problem = f"the time {table.shown(column, row)} stands twice, with different measurements"
        hint = "Keep one of the rows; several machines belong into several files"
        raise table.fault(column, row + 1, problem, hint)
    return np.asarray(np.r_[False, same])
