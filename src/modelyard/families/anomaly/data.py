"""From files of measurements to splits in time."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from modelyard.errors import BadData, UsageError, choices, option
from modelyard.families.anomaly.config import (
    TORCH,
    WINDOWED,
    AnomalyConfig,
    AnomalyFeatures,
    Kind,
)
from modelyard.families.anomaly.naming import check_measured, named
from modelyard.families.anomaly.order import timed
from modelyard.families.anomaly.overview import summarize
from modelyard.families.anomaly.parts import PARTS, Part, join
from modelyard.families.anomaly.regular import check_steps, lost_windows
from modelyard.families.anomaly.samples import write_sample
from modelyard.families.anomaly.schema import Column, Detector, Schema, kind_of
from modelyard.families.anomaly.series import Series, read_series, resampled
from modelyard.families.anomaly.words import meaning, perhaps_labels, unmeasured
from modelyard.family import Data, Split
from modelyard.kit.precision import tells_apart
from modelyard.kit.splits import evenly
from modelyard.kit.tables import (
    Notation,
    Table,
    check_same_columns,
    is_quickly_read,
    notation,
    read_file,
    share_date_orders,
    share_decimal,
    table_files,
)
from modelyard.kit.warm_start import check_same
from modelyard.store.base import base_of


class AnomalyData(Data[AnomalyConfig]):
    """From files of measurements, one a series, to parts in time."""

    def sample(self, raw: Path) -> None:
        """Writes a CSV file for each simulated machine."""
        write_sample(raw, self.config.features, self.config.seed)

    def check(self, data: Path) -> None:
        """Reads the tables, and looks for the columns that the settings name."""
        if is_quickly_read(data):
            tables = _read_tables(data, self.config.features)
            settings = named(tables, self.config.features)
            check_measured(tables[0], _columns(tables, settings).measured)

    def features(self, raw: Path, out: Path) -> dict[str, Any]:
        """Reads the series in `raw`; writes the parts and `assets/schema.json` to `out`. Returns
        what the card tells.

        Raises:
            BadData: with file, row and column.
            UsageError: the settings are not those of the earlier model.
        """
        config, base = self.config, base_of(out)
        earlier = None
        if base is not None:
            earlier = _earlier(base, config)
        tables = _read_tables(Path(raw), config.features)
        share_decimal(tables)
        settings = named(tables, config.features)
        columns = _columns(tables, settings)
        names = columns.measured
        check_measured(tables[0], names)
        series, short = _read_all(tables, Path(raw), names, settings)
        if settings.step is not None:
            series, shorter = resampled(series, settings)
            short |= shorter
        check_steps(series)
        lost = lost_windows(series, settings)
        kinds = _kinds(series)
        offsets = _offsets(series)
        notes = _notes(tables)
        if settings.label_column != config.features.label_column:
            notes.append(meaning(tables, settings.label_column))
        notes += [f"Left out: {name}: {why}" for name, why in columns.others.items()]
        unread = dict.fromkeys(columns.others)
        if earlier is None:
            varying = _varying(series, offsets)
            keep = np.flatnonzero(varying)
            constant = [names[place] for place in np.flatnonzero(~varying)]
        else:
            # The earlier network has its columns, whether they vary in these rows or not.
            keep, constant = earlier.places(names, tables[0].file), []
            offsets[keep] = earlier.offsets
            new = [name for name in names if name not in earlier.names]
            notes += [f"Left out: {name}: the earlier model lacks it" for name in new]
            unread |= dict.fromkeys(new)
        parts = _parts(series, keep, offsets, kinds)
        schema = _schema(series, names, keep, offsets, parts["train"], kinds, settings, tables)
        if earlier is not None and base is not None:
            kind = Detector.load(base / "assets").kind
            schema = _continued(schema, earlier, kind)
            check_same("model.kind", kind_of(config, schema), kind)
        (Path(out) / "assets").mkdir(parents=True, exist_ok=True)
        schema.save(Path(out) / "assets")
        for name, part in parts.items():
            part.save(out, name)
        for table in tables:
            unread |= dict.fromkeys(table.dropped)
        found = summarize(series, schema, parts, lost, constant, notes, short, list(unread))
        if settings.label_column != config.features.label_column:
            found["headline"] += f"; labels: {settings.label_column}"
        elif not schema.labelled:
            for name in perhaps_labels(tables, columns.others):
                setting = option("features.label_column", name)
                found["headline"] += f"; no labels: if {name} holds them, type {setting}"
        return found

    def requests(
        self, features: Path, split: Split, limit: int | None = None
    ) -> list[dict[str, Any]]:
        """Rows or windows of a split as JSON bodies, evenly spread over its series and time."""
        part, schema = Part.load(features, split), Schema.load(Path(features) / "assets")
        window = 1
        if kind_of(self.config, schema) in WINDOWED:
            window = schema.window
        ends = part.ends(window)
        ends = ends[evenly(len(ends), limit)]
        bodies: list[dict[str, Any]] = []
        for end, rows in zip(ends.tolist(), part.windows(ends, window), strict=True):
            body: dict[str, Any] = {}
            if len(schema.machines) == len(schema.series):
                body["machine"] = schema.machines[part.series[end]]
            # As a person measures: the offset is the graph's affair.
            measured = rows.astype(np.float64) + schema.offsets
            content = [dict(zip(schema.names, row, strict=True)) for row in measured.tolist()]
            if window == 1:
                body["values"] = content[0]
            else:
                body["window"] = content
            bodies.append(body)
        return bodies


def _earlier(base: Path, config: AnomalyConfig) -> Schema:
    """The columns of the earlier model.

    Raises:
        UsageError: a setting asks for something else.
    """
    schema = Schema.load(base / "assets")
    check_same("features.window", config.features.window, schema.window)
    if config.features.step != "found":
        check_same("features.step", config.features.step, schema.step)
    return schema


def _read_tables(raw: Path, settings: AnomalyFeatures) -> list[Table]:
    """The tables of a folder, each with one column of times, whose dates are read alike."""
    time_column = None
    # `time` is only what is usual: next to a date it may hold the clock.
    if settings.time_column != AnomalyFeatures().time_column:
        time_column = settings.time_column
    asked = {time_column, settings.label_column, settings.kind_column, settings.entity}
    tables = []
    for file in table_files(raw):
        tables.append(timed(read_file(file), asked, time_column))
    share_date_orders(tables, settings.dates)
    return tables


def _called(file: Path, raw: Path) -> str:
    # A file by itself, or a sheet of one.
    if raw.is_file():
        return file.name
    return file.relative_to(raw).as_posix()


def _read_all(
    tables: list[Table], raw: Path, names: list[str], settings: AnomalyFeatures
) -> tuple[list[Series], dict[str, int]]:
    """The series of all files, and how many rows belong to machines that have too few."""
    series: list[Series] = []
    short: dict[str, int] = {}
    for table in tables:
        found, too_few = read_series(table, _called(table.file, raw), names, settings)
        series += found
        short |= too_few
    return series, short


def _notes(tables: list[Table]) -> list[str]:
    """What is to be known of how the files were read; what is the same of several files once."""
    notes: dict[str, None] = {}
    for table in tables:
        notes |= dict.fromkeys(table.notes)
        notes |= dict.fromkeys(f"Left out: {name}: {why}" for name, why in table.dropped.items())
    return list(notes)


class _Columns(NamedTuple):
    measured: list[str]
    """The same in every file."""
    others: dict[str, str]
    """Those that hold no measurements, and why they are left out."""


def _columns(tables: list[Table], settings: AnomalyFeatures) -> _Columns:
    """What the columns are that are neither the time nor labels."""
    first = tables[0]
    known: set[str] = set()
    for table in tables:
        known.update(table.names, table.dropped)
    for name in settings.drop:
        if name not in known:
            raise UsageError(f"setting 'features.drop': {choices('column', name, known)}")
    aside = {settings.time_column, settings.label_column, settings.kind_column, *settings.drop}
    if settings.entity is not None:
        aside.add(settings.entity)
    names = [name for name in first.names if name not in aside]
    for other in tables[1:]:
        check_same_columns(first, other, aside)
        if (settings.time_column in first.names) != (settings.time_column in other.names):
            problem = f"of {first.file.name} and this file only one has it"
            raise BadData(problem, file=other.file, column=settings.time_column)
    others = unmeasured(tables, names)
    measured = [name for name in names if name not in others]
    if not measured:
        why = "; ".join(f"{name}: {reason}" for name, reason in others.items())
        problem = "holds no column of measurements"
        raise BadData(f"{problem} ({why})" if why else problem, file=first.file)
    return _Columns(measured, others)


def _written(tables: list[Table], name: str) -> Notation:
    """How the files write the numbers of a column: of several formats the first that separates.

    Raises:
        BadData: two files have two units.
    """
    found = [notation(table, name) for table in tables]
    for table, written in zip(tables, found, strict=True):
        if written.unit != found[0].unit:
            problem = f"its numbers are in {written.unit or 'no unit'!r}, those of "
            problem += f"{tables[0].file.name} in {found[0].unit or 'no unit'!r}"
            hint = "Write all in one unit"
            raise BadData(problem, file=table.file, column=name, hint=hint)
    for written in found:
        if written.format:
            return written
    return found[0]


def _kinds(series: list[Series]) -> list[str]:
    """The kinds of anomaly that the data names, sorted."""
    found: set[str | None] = set()
    for one in series:
        found.update(one.kind)
    found.discard(None)
    return sorted(name for name in found if name is not None)


def _offsets(series: list[Series]) -> np.ndarray:
    """The median of a column whose training values 32 bits would not tell apart, else 0; float64
    (columns,)."""
    train = np.concatenate([one.x[one.parts["train"]] for one in series])
    offsets = np.zeros(train.shape[1])
    for place, x in enumerate(train.T):
        if not tells_apart(x, x):
            offsets[place] = np.median(x)
    return offsets


def _varying(series: list[Series], offsets: np.ndarray) -> np.ndarray:
    """Which columns vary over the training rows, bool (columns,)."""
    train = np.concatenate([one.x[one.parts["train"]] for one in series])
    train = (train - offsets).astype(np.float32)
    varying = train.max(axis=0) > train.min(axis=0)
    if not varying.any():
        raise BadData("every column is constant over the training rows", file=series[0].file)
    return np.asarray(varying)


def _continued(schema: Schema, earlier: Schema, kind: Kind) -> Schema:
    """The schema of a model that starts from an earlier one of a kind."""
    changes: dict[str, Any] = {"columns": earlier.columns}
    if kind in TORCH:
        changes["continues"] = kind
    return schema.model_copy(update=changes)


def _parts(
    series: list[Series], keep: np.ndarray, offsets: np.ndarray, kinds: list[str]
) -> dict[str, Part]:
    """The rows of all series in each part."""
    parts = {}
    for name in PARTS:
        stretches = []
        for number, one in enumerate(series):
            stretches.append(_part(one, one.parts[name], number, keep, offsets, kinds))
        parts[name] = join(stretches)
    return parts


def _part(
    one: Series, rows: slice, number: int, keep: np.ndarray, offsets: np.ndarray, kinds: list[str]
) -> Part:
    count = rows.stop - rows.start
    # Segments of different series have different numbers, which ascend from series to series.
    segment = np.cumsum(one.breaks)[rows] + (number << 32)
    index: dict[str | None, int] = {kind: place for place, kind in enumerate(kinds)}
    index[None] = -1
    kind = np.array([index[name] for name in one.kind[rows]], np.int64)
    return Part(
        x=(one.x[rows] - offsets)[:, keep].astype(np.float32),
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
    offsets: np.ndarray,
    train: Part,
    kinds: list[str],
    settings: AnomalyFeatures,
    tables: list[Table],
) -> Schema:
    x = train.x.astype(np.float64) + offsets[keep]
    kept = [names[place] for place in keep.tolist()]
    figures = {
        "mean": x.mean(axis=0),
        "spread": x.std(axis=0),
        "median": np.median(x, axis=0),
        "minimum": x.min(axis=0),
        "maximum": x.max(axis=0),
    }
    columns = []
    for place, name in enumerate(kept):
        own = {figure: float(values[place]) for figure, values in figures.items()}
        written = _written(tables, name)
        columns.append(
            Column(
                name=name,
                offset=float(offsets[keep[place]]),
                format=written.format,
                unit=written.unit,
                **own,
            )
        )
    steps = [one.step for one in series if one.step is not None]
    step = time_column = most_fill = None
    if steps:
        # The median: a mean would grow with every gap.
        step, time_column = float(np.median(steps)), settings.time_column
    if settings.step is not None:
        most_fill = settings.most_fill
    return Schema(
        columns=columns,
        window=settings.window,
        step=step,
        entity=settings.entity,
        machines=tuple(one.machine for one in series if one.machine is not None),
        time_column=time_column,
        zone=settings.zone,
        most_fill=most_fill,
        labelled=any(settings.label_column in table.names for table in tables),
        series=[one.name for one in series],
        kinds=kinds,
    )
