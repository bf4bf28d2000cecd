"""A file of measurements as series in time, one a machine: gaps found, faults named."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from modelyard.errors import BadData, UsageError, option
from modelyard.families.anomaly.cells import kinds, labels, measurements
from modelyard.families.anomaly.config import AnomalyFeatures
from modelyard.families.anomaly.drawing import are_drawn, draw_parts
from modelyard.families.anomaly.gaps import breaks_of
from modelyard.families.anomaly.order import check_order, in_order, repeated
from modelyard.families.anomaly.parts import PARTS
from modelyard.families.anomaly.resample import Resampled, resample, round_step
from modelyard.families.anomaly.when import moments
from modelyard.kit.tables import Table, rows_of


class TooShort(BadData):
    """A series without a window for each split."""


@dataclass(frozen=True)
class Series:
    """A machine's measurements in the order of time, rows with empty cells gone."""

    file: Path
    name: str
    """What the file is called below the raw folder, and the machine where it holds several."""
    machine: str | None
    """Where a column names it."""
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
    filled: int = 0
    """Moments that resampling put on a line between others."""
    drawn: bool = False
    """Whether the splits were drawn: its rows stand in the order of the splits then."""


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
    entity = settings.entity
    machines: dict[str | None, np.ndarray] = {None: np.arange(table.rows)}
    if entity is not None and entity in table.names:
        machines = rows_of(table, entity)
    time = np.arange(table.rows, dtype=np.float64)
    if settings.time_column in table.names:
        if settings.split == "random":
            column = settings.time_column
            problem = f"setting 'features.split' = 'random': the rows have a time, {column!r}"
            raise UsageError(f"{problem}. Leave it out: {option('features.drop', [column])}")
        time = moments(table, settings.time_column, machines.values(), settings.zone)
    elif settings.step is not None:
        problem = "the column is missing, by which features.step resamples"
        hint = "Name yours: --set features.time_column=NAME"
        raise BadData(problem, file=table.file, column=settings.time_column, hint=hint)
    file = _File(
        table,
        settings,
        x,
        time,
        labels(table, settings.label_column),
        kinds(table, settings.kind_column, settings.label_column),
        full=~np.isnan(x).any(axis=1),
        numbers=table.row_numbers(),
    )
    if entity is None or entity not in table.names:
        return [_series(file, called, np.arange(table.rows), None)], {}
    found: list[Series] = []
    short: dict[str, int] = {}
    too_short: TooShort | None = None
    for machine, rows in machines.items():
        if machine is None:
            problem = "the cell is empty: which machine is the row from?"
            raise table.fault(entity, int(rows[0]), problem, "Fill it in, or remove the row")
        try:
            found.append(_series(file, f"{called}: {machine}", rows, machine))
        except TooShort as error:
            if len(rows) > max(short.values(), default=0):
                too_short = error
            short[machine] = len(rows)
    if too_short is not None and not found:
        raise too_short
    return found, short


def _series(file: _File, called: str, rows: np.ndarray, machine: str | None) -> Series:
    """One series of these rows of the file."""
    column = file.settings.time_column
    timed = column in file.table.names
    again = np.zeros(len(file.time), bool)
    rows = in_order(file.table, column, file.time, rows)
    check_order(file.table, column, file.time, rows, machine, file.settings.zone)
    again[rows] = repeated(file.table, column, file.time, file.x, rows, machine)
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
    one = Series(
        file=path,
        name=called,
        machine=machine,
        x=file.x[kept],
        time=time,
        label=file.label[kept],
        kind=[file.kind[row] for row in kept],
        rows=file.numbers[kept],
        breaks=breaks_of(time, step),
        step=step if timed else None,
        parts={},
        empty=int((~file.full[rows]).sum()),
        repeated=int((again[rows] & file.full[rows]).sum()),
    )
    # Resampling to a step that is found needs all series: there the parts come later.
    if file.settings.step is not None:
        return one
    if not timed and are_drawn(one.x, one.label, file.settings):
        return _drawn(one, file.settings, of)
    # Without a time no kind takes windows.
    least = file.settings.window if timed else 2
    return replace(one, parts=_parts(len(kept), path, file.settings, of, least))


def _drawn(one: Series, settings: AnomalyFeatures, of: str) -> Series:
    """The series with its rows drawn for the splits.

    Raises:
        TooShort: a split would have fewer than two rows.
    """
    needed = math.ceil(2 / min(settings.shares))
    if len(one.x) < needed:
        problem = f"{len(one.x)} complete rows{of}; {needed} are needed for two in each part"
        raise TooShort(problem, file=one.file, hint="Give more rows")
    drawn = draw_parts(one.x, one.label, settings)
    parts, start = {}, 0
    for name in PARTS:
        parts[name] = slice(start, start + len(drawn[name]))
        start += len(drawn[name])
    order = np.concatenate([drawn[name] for name in PARTS])
    return replace(
        one,
        x=one.x[order],
        time=one.time[order],
        label=one.label[order],
        kind=[one.kind[row] for row in order],
        rows=one.rows[order],
        parts=parts,
        drawn=True,
    )


def resampled(
    series: list[Series], settings: AnomalyFeatures
) -> tuple[list[Series], dict[str, int]]:
    """The series on the grid that `features.step` asks for, those that are long enough, and how many
    rows the others have, by name.

    A moment is an anomaly where one of its rows is; on a line its label is that of both ends.

    Raises:
        TooShort: no series is long enough.
    """
    step = settings.step
    if not isinstance(step, float):
        apart = np.concatenate([np.diff(one.time) for one in series])
        step = round_step(float(np.median(apart)))
    found, short = [], {}
    too_short: TooShort | None = None
    for one in series:
        new = resample(one.time, one.x, step, settings.most_fill)
        try:
            of = f" of {one.name!r}, resampled"
            parts = _parts(len(new.time), one.file, settings, of, settings.window)
        except TooShort as error:
            short[one.name], too_short = len(one.x), error
            continue
        label, kind = _labels(one, new)
        found.append(
            replace(
                one,
                x=new.x,
                time=new.time,
                label=label,
                kind=kind,
                rows=one.rows[new.first],
                breaks=new.breaks,
                step=step,
                parts=parts,
                filled=int(new.filled.sum()),
            )
        )
    if not found:
        assert too_short is not None
        raise too_short
    return found, short


def _labels(one: Series, new: Resampled) -> tuple[np.ndarray, list[str | None]]:
    """Label and kind of each moment."""
    label = np.full(len(new.time), -1, np.int8)
    kind: list[str | None] = []
    for place, (first, last) in enumerate(zip(new.first.tolist(), new.last.tolist(), strict=True)):
        seen = one.label[first : last + 1]
        names = {name for name in one.kind[first : last + 1] if name is not None}
        if new.filled[place]:
            label[place] = seen[0] if (seen == seen[0]).all() else -1
        else:
            label[place] = seen.max()
        kind.append(min(names) if names and label[place] != 0 else None)
    return label, kind


def _parts(
    rows: int, file: Path, settings: AnomalyFeatures, of: str, least: int
) -> dict[str, slice]:
    """Rows of each split, in the order of time, a window unused between them; `least` in each, and two.

    Raises:
        TooShort: the series has fewer.
    """
    gap, shares = settings.window, settings.shares
    # Four parts have three gaps between them.
    lengths = [int((rows - 3 * gap) * share) for share in shares]
    least = max(least, 2)
    if min(lengths) < least:
        needed = int(least / min(shares)) + 3 * gap + 8
        problem = (
            f"{rows} complete rows{of}; {needed} are needed for a window of {gap} in each part"
        )
        fits = int((rows - 8) / (3 + 1 / min(shares)))
        hint = "Give a longer series"
        if fits >= 2:
            hint += f", or a shorter window: --set features.window={fits}"
        raise TooShort(problem, file=file, hint=hint)
    parts, start = {}, 0
    for name, length in zip(PARTS, lengths, strict=True):
        parts[name] = slice(start, start + length)
        start += length + gap
    return parts
