"""From files of measurements to splits in time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from modelyard.errors import BadData, UsageError, choices
from modelyard.families.anomaly.config import WINDOWED, AnomalyConfig, AnomalyFeatures
from modelyard.families.anomaly.earlier import earlier_schema, kept_columns
from modelyard.families.anomaly.naming import check_measured, named
from modelyard.families.anomaly.overview import summarize
from modelyard.families.anomaly.parts import PARTS, Part, join
from modelyard.families.anomaly.samples import write_sample
from modelyard.families.anomaly.schema import Column, Schema
from modelyard.families.anomaly.series import Series, read_series
from modelyard.family import Data, Split
from modelyard.kit.tables import Table, check_same_columns, read_file, table_files
from modelyard.store.base import base_of

UNEQUAL = 0.05
"""Relative difference of two files' steps beyond which one detector cannot serve both."""


class AnomalyData(Data[AnomalyConfig]):
    """From files of measurements, one a series, to parts in time."""

    def sample(self, raw: Path) -> None:
        """Writes a CSV file for each simulated machine."""
        write_sample(raw, self.config.features, self.config.seed)

    def features(self, raw: Path, out: Path) -> dict[str, Any]:
        """Reads the series in `raw`; writes the parts and `assets/schema.json` to `out`. Returns
        what the card tells.

        Raises:
            BadData: with file, row and column.
            UsageError: the settings are not those of the model to go on from.
        """
        config, base = self.config, base_of(out)
        earlier = earlier_schema(base, config) if base is not None else None
        tables = [read_file(file) for file in table_files(Path(raw))]
        settings = named(tables, config.features)
        names = _columns(tables, settings)
        check_measured(tables[0], names)
        series = [
            read_series(table, _called(table.file, Path(raw)), names, settings) for table in tables
        ]
        _check_steps(series)
        cuts = [_cut(one, settings) for one in series]
        lost = _lost_windows(series, cuts, settings)
        kinds = sorted({kind for one in series for kind in one.kind if kind is not None})
        keep, constant = _varying(series, cuts, names)
        if earlier is not None:
            keep = kept_columns(earlier, names, tables[0].file)
        numbered = list(zip(series, cuts, range(len(series)), strict=True))
        parts = {
            name: join(
                [_part(one, cut[name], number, keep, kinds) for one, cut, number in numbered]
            )
            for name in PARTS
        }
        schema = _schema(series, names, keep, parts["train"], kinds, settings, tables)
        if earlier is not None:
            schema = schema.model_copy(update={"columns": earlier.columns})
        (Path(out) / "assets").mkdir(parents=True, exist_ok=True)
        schema.save(Path(out) / "assets")
        for name, part in parts.items():
            part.save(out, name)
        timed = settings.time_column if schema.step is not None else None
        return summarize(series, schema, parts, lost, constant, timed, _notes(tables))

    def requests(
        self, features: Path, split: Split, limit: int | None = None
    ) -> list[dict[str, Any]]:
        """Rows or windows of a split as JSON bodies, evenly spread over its series and time."""
        window = self.config.features.window if self.config.model.kind in WINDOWED else 1
        part, schema = Part.load(features, split), Schema.load(Path(features) / "assets")
        ends = part.ends(window)
        if limit is not None and limit < len(ends):
            ends = ends[np.linspace(0, len(ends) - 1, limit).round().astype(np.int64)]
        bodies = []
        for rows in part.windows(ends, window):
            content = [
                dict(zip(schema.names, row, strict=True))
                for row in rows.astype(np.float64).tolist()
            ]
            bodies.append({"values": content[0]} if window == 1 else {"window": content})
        return bodies


def _called(file: Path, raw: Path) -> str:
    return file.name if file == raw else file.relative_to(raw).as_posix()


def _notes(tables: list[Table]) -> list[str]:
    """What is to be known of how the files were read; what is the same of several files once."""
    notes: dict[str, None] = {}
    for table in tables:
        notes |= dict.fromkeys(table.notes)
        notes |= dict.fromkeys(f"Left out: {name}: {why}" for name, why in table.dropped.items())
    return list(notes)


def _columns(tables: list[Table], settings: AnomalyFeatures) -> list[str]:
    """Names of the measured columns: the same in every file."""
    first = tables[0]
    known = {name for table in tables for name in (*table.names, *table.dropped)}
    for name in settings.drop:
        if name not in known:
            raise UsageError(f"setting 'features.drop': {choices('column', name, known)}")
    aside = {settings.time_column, settings.label_column, settings.kind_column, *settings.drop}
    names = [name for name in first.names if name not in aside]
    for other in tables[1:]:
        check_same_columns(first, other, aside)
        if (settings.time_column in first.names) != (settings.time_column in other.names):
            raise BadData(
                f"of {first.file.name} and this file only one has it",
                file=other.file,
                column=settings.time_column,
            )
    if not names:
        raise BadData("holds no column of measurements", file=first.file)
    return names


def _check_steps(series: list[Series]) -> None:
    first = series[0].step
    for one in series[1:]:
        if first and one.step and abs(one.step / first - 1) > UNEQUAL:
            problem = f"its rows are {one.step:g} apart, those of {series[0].name} {first:g}"
            raise BadData(
                problem, file=one.file, hint="Resample them to one step, or run them apart"
            )


def _cut(one: Series, settings: AnomalyFeatures) -> dict[str, slice]:
    """Rows of each part, in the order of time, a window unused between them.

    Raises:
        BadData: the series is too short for a window in each part.
    """
    shares = (settings.calibration_share, settings.validation_share, settings.test_share)
    rows, gap = len(one.x), settings.window
    if sum(shares) >= 0.95:
        raise UsageError(
            f"features.calibration_share, validation_share and test_share leave {1 - sum(shares):.0%} to train on; "
            "at least 5% are needed"
        )
    lengths = [int((rows - 3 * gap) * share) for share in (1 - sum(shares), *shares)]
    if min(lengths) < max(gap, 2):
        needed = (
            int(max(gap, 2) / min(shares[0], shares[1], shares[2], 1 - sum(shares))) + 3 * gap + 8
        )
        problem = f"{rows} complete rows; {needed} are needed for a window of {gap} in each part"
        raise BadData(problem, file=one.file, hint="Give a longer series, or lower features.window")
    starts = np.cumsum([0, *(length + gap for length in lengths)])
    return {
        part: slice(int(a), int(a) + n) for part, a, n in zip(PARTS, starts, lengths, strict=False)
    }


def _lost_windows(
    series: list[Series], cuts: list[dict[str, slice]], settings: AnomalyFeatures
) -> int:
    """Windows that gaps cost, against series without a gap.

    Raises:
        BadData: they are more than `features.most_lost`, with the first gap of the worst file; or a
        part of a
            file keeps none.
    """
    window, possible, lost = settings.window, [], []
    for one, cut in zip(series, cuts, strict=True):
        left, full = 0, 0
        for rows in cut.values():
            full += rows.stop - rows.start - window + 1
            left += _whole_windows(one.breaks[rows], window)
        possible.append(full)
        lost.append(full - left)
    if sum(lost) > settings.most_lost * sum(possible):
        worst = int(np.argmax(np.array(lost) / np.array(possible)))
        first = int(np.flatnonzero(series[worst].breaks)[0])
        problem = (
            f"gaps, irregular steps and empty cells cost {sum(lost)} of {sum(possible)} windows of {window} rows, "
            f"more than {settings.most_lost:.0%} (features.most_lost); the first of {int(series[worst].breaks.sum())} "
            "is here"
        )
        hint = "Fill or resample the series, or lower features.window (1: rows alone)"
        raise BadData(
            problem, file=series[worst].file, row=int(series[worst].rows[first]), hint=hint
        )
    return sum(lost)


def _whole_windows(breaks: np.ndarray, window: int) -> int:
    starts = np.flatnonzero(np.concatenate([[True], breaks[1:], [True]]))
    return int(np.maximum(np.diff(starts) - window + 1, 0).sum())


def _varying(
    series: list[Series], cuts: list[dict[str, slice]], names: list[str]
) -> tuple[np.ndarray, list[str]]:
    """Places of the columns that vary over the training rows, int64, and the names of those that
    don't."""
    train = np.concatenate(
        [one.x[cut["train"]] for one, cut in zip(series, cuts, strict=True)]
    ).astype(np.float32)
    keep: np.ndarray = train.max(axis=0) > train.min(axis=0)
    if not keep.any():
        raise BadData("every column is constant over the training rows", file=series[0].file)
    return np.flatnonzero(keep), [name for name, kept in zip(names, keep, strict=True) if not kept]


def _part(one: Series, rows: slice, number: int, keep: np.ndarray, kinds: list[str]) -> Part:
    count = rows.stop - rows.start
    segment = np.cumsum(one.breaks)[rows] + (number << 32)
    index = {kind: place for place, kind in enumerate(kinds)}
    kind = np.array([-1 if name is None else index[name] for name in one.kind[rows]], np.int64)
    return Part(
        x=one.x[rows][:, keep].astype(np.float32),
        segment=segment.astype(np.int64),
        series=np.full(count, number, np.int64),
        time=one.time[rows],
        label=one.label[rows],
        kind=kind,
    )


def _schema(
    series: list[Series],
    names: list[str],
    keep: np.ndarray,
    train: Part,
    kinds: list[str],
    settings: AnomalyFeatures,
    tables: list[Table],
) -> Schema:
    x = train.x.astype(np.float64)
    kept = [names[place] for place in keep.tolist()]
    figures = (x.mean(axis=0), x.std(axis=0), np.median(x, axis=0), x.min(axis=0), x.max(axis=0))
    columns = [
        Column(name=name, mean=mean, spread=spread, median=median, minimum=low, maximum=high)
        for name, mean, spread, median, low, high in zip(
            kept, *(one.tolist() for one in figures), strict=True
        )
    ]
    steps = [one.step for one in series if one.step is not None]
    return Schema(
        columns=columns,
        window=settings.window,
        step=float(np.median(steps)) if steps else None,
        labelled=any(settings.label_column in table.names for table in tables),
        series=[one.name for one in series],
        kinds=kinds,
    )
