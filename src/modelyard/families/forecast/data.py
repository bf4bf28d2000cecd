"""From tables of series to a panel split in time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from modelyard.errors import BadData
from modelyard.families.forecast.backtest import TRADING, market_of
from modelyard.families.forecast.bodies import body_of, cells
from modelyard.families.forecast.config import ForecastConfig, ForecastFeatures
from modelyard.families.forecast.grid import Grid
from modelyard.families.forecast.layout import by_step
from modelyard.families.forecast.lengths import (
    LONGEST,
    check_whole,
    long_enough,
    panel_of,
    strongest_lag,
)
from modelyard.families.forecast.naming import Names, find_names
from modelyard.families.forecast.panel import Panel
from modelyard.families.forecast.reading import OneSeries, grid_of, on_grid, read_rows, with_days
from modelyard.families.forecast.samples import write_sample
from modelyard.families.forecast.window import Column, Schema, usual_spread
from modelyard.family import Data, Split
from modelyard.kit.splits import evenly
from modelyard.kit.tables import (
    Table,
    check_same_columns,
    is_quickly_read,
    of_training,
    read_file,
    remarks,
    share_date_orders,
    share_decimal,
    table_files,
    with_time,
)
from modelyard.kit.warm_start import check_same
from modelyard.store.artifact import write_json
from modelyard.store.base import base_of

MOST_SEEN = 10_000
"""Training histories whose spread is looked at."""


class ForecastData(Data[ForecastConfig]):
    """From tables of people to series on a grid of time."""

    def sample(self, raw: Path) -> None:
        """Writes the simulated sales of some shops, or prices of some shares."""
        write_sample(raw, self.config.features, self.config.seed)

    def check(self, data: Path) -> None:
        """Reads the first table, and looks for its columns."""
        if is_quickly_read(data):
            tables, _, settings = _read(data, self.config.features)
            names, table = find_names(tables, settings), tables[0]
            read_rows(table, names, table.file.stem)

    def features(self, raw: Path, out: Path) -> dict[str, Any]:
        """Reads the series; writes the panel, the forecasts of simple methods and
        `assets/schema.json`.

        Raises:
            BadData: with file, row and column.
        """
        base = base_of(out)
        before: list[str] = []
        if base is not None:
            before = [column.name for column in Schema.load(base / "assets").past]
        tables, row_names, settings = _read(Path(raw), self.config.features)
        names = find_names(tables, settings, before)
        rows = []
        for table in tables:
            check_same_columns(tables[0], table, set(settings.drop))
            rows += read_rows(table, names, table.file.stem)
        # All series have the step of all rows: one network reads them.
        grid = grid_of(rows, names, tables[0].file)
        every = [on_grid(series, grid, names, settings.missing == "zero") for series in rows]
        season = settings.season or grid.season or strongest_lag(every)
        context = settings.context or min(max(2 * season, 3 * settings.horizon), LONGEST)
        kept = long_enough(every, settings, context, season, tables[0].file)
        panel = panel_of(kept, settings, names, context, season)
        dates = tables[0].orders.get(names.time or "", settings.dates)
        schema = self._schema(panel, names, grid, season, context)
        check_whole(panel, schema, tables[0].file)
        schema = schema.model_copy(
            update={"dates": dates, "usual": _usual(panel, schema), "row_names": row_names}
        )
        # Its library takes time to import, which a check of the data need not wait for.
        from modelyard.families.forecast.weights import fit_weights

        schema = schema.model_copy(update={"smoothing": fit_weights(panel, schema)})
        if base is not None:
            schema = _as_earlier(Schema.load(base / "assets"), schema)
        schema.save(Path(out) / "assets")
        panel.save(out)
        if settings.trading.backtest:
            splits: tuple[Split, ...] = ("validation", "test")
            for split in splits:
                market_of(panel, schema, split)
            write_json(Path(out) / TRADING, settings.trading)
        # Its library takes seconds to import, which a check of the data need not wait for.
        from modelyard.families.forecast import baselines

        baselines.save(panel, schema, out)
        notes: dict[str, None] = {}
        for table in tables:
            notes |= dict.fromkeys(table.notes)
        values = sum(table.rows for table in tables) * len(names.targets)
        empty = values - sum(len(series.places) for series in rows)
        return summarize(panel, schema, every, kept, names, list(notes), empty)

    def requests(
        self, features: Path, split: Split, limit: int | None = None
    ) -> list[dict[str, Any]]:
        """Windows of a split as JSON bodies, evenly spread over its series and time."""
        panel, schema = Panel.load(features), Schema.load(Path(features) / "assets")
        origins = panel.origins(schema, split, schema.horizon)
        origins = origins[evenly(len(origins), limit)]
        windows = panel.windows(schema, origins)
        # A series that began later has a shorter history.
        lengths = origins - panel.start[panel.series_of(origins)]
        lengths = np.minimum(lengths, schema.context)
        bodies = []
        for number, length in enumerate(lengths.tolist()):
            bodies.append(body_of(schema, windows, number, length))
        return bodies

    def _schema(self, panel: Panel, names: Names, grid: Grid, season: int, context: int) -> Schema:
        first, end = panel.bounds("train")
        train = np.concatenate([np.arange(low, high) for low, high in zip(first, end, strict=True)])
        y = panel.y[train]
        example = cells(y[:context])
        return Schema(
            target=names.targets[0],
            wide=names.wide,
            time_column=names.time,
            series_columns=list(names.series),
            past=_figures(names.past, panel.past[train]),
            known=_figures(names.known, panel.known[train]),
            grid=grid,
            season=season,
            missing=self.config.features.missing,
            context=context,
            horizon=self.config.features.horizon,
            quantiles=list(self.config.model.quantiles),
            minimum=float(np.nanmin(y)),
            maximum=float(np.nanmax(y)),
            example=example,
            example_time=float(panel.time[train[0]]),
        )


def _read(
    raw: Path, settings: ForecastFeatures
) -> tuple[list[Table], tuple[str, ...] | None, ForecastFeatures]:
    """The tables of a folder with a row a step, and what `by_step` says of them."""
    read = of_training({file.name: read_file(file) for file in table_files(raw)})
    share_decimal(read)
    tables, row_names, own = [], None, settings
    asked = {settings.time_column, settings.target, *settings.series, *settings.known}
    for table in read:
        stepped, row_names, own = by_step(table, settings)
        tables.append(with_time(with_days(stepped), asked, settings.time_column))
    share_date_orders(tables, settings.dates)
    return tables, row_names, own


def _usual(panel: Panel, schema: Schema) -> tuple[float, float] | None:
    """The usual spread of histories, from at most some MOST_SEEN of them; None where training has
    none."""
    origins = panel.origins(schema, "train", schema.horizon)
    origins = origins[:: max(1, len(origins) // MOST_SEEN)]
    if not len(origins):
        return None
    return usual_spread(panel.windows(schema, origins).values)


def summarize(
    panel: Panel,
    schema: Schema,
    every: list[OneSeries],
    kept: list[OneSeries],
    names: Names,
    read: list[str],
    empty: int,
) -> dict[str, Any]:
    """What the card tells about the data.

    Args:
        read: notes on how the files were read.
        empty: rows of series that have no value at all.
    """
    rows = {}
    splits: tuple[Split, ...] = ("train", "validation", "test")
    for split in splits:
        first, end = panel.bounds(split)
        rows[split] = int((end - first).sum())
    # By identity: series of several files may have one name.
    used = {id(series) for series in kept}
    short = [series for series in every if id(series) not in used]
    missing = int(np.isnan(panel.y).sum())
    steps = f"{sum(rows.values()):,} steps of {schema.grid.words}, {len(kept)} series"
    if names.time is None:
        steps += "; no column is the time: rows count as equally spaced"
    notes = [
        f"A season is {schema.season} steps, a forecast looks {schema.context} steps back and "
        f"{schema.horizon} ahead. Each series is split by time.",
        f"The model adds to {_simple(schema)}.",
    ]
    if short:
        shown = [series.name for series in short[:10]]
        if len(short) > 10:
            shown.append("…")
        notes.append(f"Series with too few steps: {', '.join(shown)}.")
    if missing:
        notes.append(
            f"{missing:,} steps have no value; a history marks them, and none is filled in."
        )
    dropped = {"of series with too few steps": sum(len(series.y) for series in short)}
    dropped["of series without a value"] = empty
    dropped["rows: ahead of the last value"] = sum(series.ahead for series in kept)
    columns = ["series", "steps", "without a value", "mean", "usual error of the seasonal naive"]
    table = []
    for number, series in enumerate(kept[:50]):
        absent = int(np.isnan(series.y).sum())
        mean, usual = f"{np.nanmean(series.y):.4g}", f"{panel.usual[number]:.4g}"
        table.append([series.name, len(series.y), absent, mean, usual])
    return {
        "rows": rows,
        "unit": "steps",
        "dropped": {reason: count for reason, count in dropped.items() if count},
        "left_out": list(names.left_out),
        "headline": steps + remarks(read),
        "tables": [{"title": "Series", "columns": columns, "rows": table}],
        "notes": [*notes, *read],
    }


def _simple(schema: Schema) -> str:
    """What the model's forecasts begin with."""
    weights = schema.smoothing
    if weights is None:
        return "the seasonal naive forecast"
    what = "of all series"
    if weights.logarithms:
        what = "of the logarithms of all series, where they are above 0"
    return (
        f"exponential smoothing {what} (level {weights.level:.2g}, trend {weights.trend:.2g}, "
        f"season {weights.season:.2g}, damping {weights.damping:.3g})"
    )


def _figures(names: tuple[str, ...], cells: np.ndarray) -> list[Column]:
    found = []
    for name, values in zip(names, cells.T, strict=True):
        seen = values[np.isfinite(values)]
        if not len(seen):
            seen = np.zeros(1)
        spread = float(seen.std()) or 1.0
        low, high = float(seen.min()), float(seen.max())
        found.append(
            Column(name=name, mean=float(seen.mean()), spread=spread, minimum=low, maximum=high)
        )
    return found


def _as_earlier(earlier: Schema, now: Schema) -> Schema:
    """The schema of a run that trains an earlier model on.

    Raises:
        UsageError: the settings are not those of the earlier model.
    """
    check_same("features.horizon", now.horizon, earlier.horizon)
    check_same("features.context", now.context, earlier.context)
    check_same("features.season", now.season, earlier.season)
    known = [column.name for column in now.known]
    check_same("features.known", known, [column.name for column in earlier.known])
    check_same("model.quantiles", now.quantiles, earlier.quantiles)
    kept: dict[str, object] = {"past": earlier.past, "known": earlier.known}
    # The network has learned to add to them.
    kept |= {"usual": earlier.usual, "smoothing": earlier.smoothing}
    names = [column.name for column in earlier.past]
    if [column.name for column in now.past] != names:
        needed = ", ".join(names) or "of the target only"
        raise BadData(f"the earlier model needs the columns {needed}")
    return now.model_copy(update=kept)
