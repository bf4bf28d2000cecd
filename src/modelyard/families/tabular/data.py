"""From a person's table to splits and assets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from modelyard.errors import BadData
from modelyard.families.tabular import divide, order
from modelyard.families.tabular.config import TabularConfig
from modelyard.families.tabular.earlier import Earlier
from modelyard.families.tabular.labelled import divided, labelled_rows, load_mask, save_mask
from modelyard.families.tabular.overview import summarize
from modelyard.families.tabular.prepare import Prepared, check_columns, prepare, target_name
from modelyard.families.tabular.samples import write_sample
from modelyard.families.tabular.schema import TableSchema
from modelyard.families.tabular.table import BY_TIME, load_split, save_split
from modelyard.family import Data, Split
from modelyard.kit.columns.edits import Edits, companions, find_edits, write_back
from modelyard.kit.columns.encode import Encoder
from modelyard.kit.columns.fitting import encoded, fit_columns, save_columns
from modelyard.kit.columns.frames import bodies, check_width
from modelyard.kit.splits import evenly, keys_of_rows, save_groups
from modelyard.kit.tables import (
    Table,
    is_quickly_read,
    read_table,
    remarks,
)
from modelyard.store.base import base_of
from modelyard.store.labelled import labelled_of

MANY_COPIES = 0.01
"""From this share of rows on that are copies of others, folds and intervals care about it."""
LEAST_REFERENCE = 50
"""With so many labelled requests in the test split, only these are the reference."""
RECENT = 200
"""So many of them are it at most: those that were answered last."""


class TabularData(Data[TabularConfig]):
    """From a person's table to splits and assets."""

    most_reference = 20_000
    learns_from_labels = True

    def sample(self, raw: Path) -> None:
        """Writes `data.csv` of `features.sample`."""
        write_sample(raw, self.config.features, self.config.seed)

    def companions(self) -> dict[str, Path]:
        """The edited schema: `features.table_schema`, or the one next to a data file."""
        return companions(self.config.data.uri, self.config.features.table_schema)

    def check(self, data: Path) -> None:
        """Reads the table, and looks for the columns that the settings name."""
        if not is_quickly_read(data):
            return
        table = read_table(data)
        check_width(table)
        config = self.config
        edits = find_edits(data, config.features.table_schema)
        target = target_name(table, edits, config)
        check_columns(table, target, config)

    def write_back(self, features: Path, data: Path) -> list[Path]:
        """The inferred schema, as `<data>.schema.json`."""
        return write_back(features, data)

    def features(self, raw: Path, out: Path) -> dict[str, Any]:
        """Reads the table in `raw`; writes splits, their rows as they came, and the assets to
        `out`.

        Returns the summary for the card.

        Raises:
            BadData: with file, row and column.
            UsageError: the settings are not those of the earlier model.
        """
        config = self.config
        raw, out = Path(raw), Path(out)
        base = base_of(out)
        if base is None:
            earlier = None
        else:
            earlier = Earlier.load(base, config)
        table = read_table(raw)
        check_width(table)
        prepared = prepare(table, _edits(raw, table, earlier, config), config)
        keys = keys_of_rows(prepared.frame, config.data.split_seed)
        rows, split_by = order.divide_rows(prepared, table, config, keys)
        if earlier is not None:
            prepared.schema, prepared.y = earlier.adopt(prepared.schema, prepared.y)
        if prepared.groups is None and len(np.unique(keys)) <= (1 - MANY_COPIES) * len(keys):
            # Copies stay together in folds too, and count once where intervals are drawn.
            prepared.groups = keys
        own = len(prepared.y)
        rows = _with_labelled(raw, prepared, rows, config, split_by.by_time)
        # Ranges, categories and words are learnt from training rows only, labelled ones among them.
        train = prepared.frame.iloc[rows["train"]]
        if earlier is None:
            prepared.schema, encoder = fit_columns(prepared.schema, train, config.features)
        else:
            encoder = earlier.encoder
        if not encoder.names:
            raise BadData("the columns hold no words or numbers to predict from", file=table.file)
        schema = prepared.schema
        if base is None:
            before = None
        else:
            before = base / "assets"
        save_columns(out / "assets", schema, encoder, train, before)
        _write_splits(out, prepared, rows, encoder, own)
        if split_by.by_time:
            (out / BY_TIME).touch()
        positive = ""
        if earlier is None and prepared.positive is not None:
            positive = prepared.positive.headline
            prepared.notes.append(prepared.positive.note)
        elif earlier is not None and schema.classes is not None and len(schema.classes) == 2:
            # The data may hold other classes than the model that knows them all.
            positive = (
                f"; positive class: {schema.classes[1]} (as in the model that it starts from)"
            )
        notes = [*table.notes, *prepared.notes, *split_by.notes]
        outputs = len(encoder.names)
        summary = summarize(
            prepared.frame, schema, prepared.y, rows, outputs, prepared.dropped, notes
        )
        said = prepared.headline + positive + split_by.headline
        summary["headline"] += said + remarks(table.notes)
        return summary

    def requests(
        self, features: Path, split: Split, limit: int | None = None
    ) -> list[dict[str, Any]]:
        """Rows of a split as JSON bodies: None for an empty cell, times in ISO 8601."""
        schema = TableSchema.load(Path(features) / "assets")
        return bodies(Path(features) / f"{split}.parquet", schema, limit)

    def truths(
        self, features: Path, split: Split, limit: int | None = None
    ) -> list[float | str] | None:
        """The target of a split's rows: a class, or a value."""
        classes = TableSchema.load(Path(features) / "assets").classes
        _, y = load_split(features, split)
        found: list[float | str] = y[:limit].tolist()
        if classes is None:
            return found
        return [classes[int(index)] for index in found]

    def reference(
        self, features: Path, limit: int
    ) -> tuple[list[dict[str, Any]], list[float | str] | None]:
        """Rows from all over the test split, which may be in the order of time. Where it holds enough
        requests whose label came, only the newest of these: they are what callers send now, and
        a drift that was trained on is over."""
        found, truths = self.requests(features, "test"), self.truths(features, "test")
        assert truths is not None
        labelled = load_mask(features, "test")
        if labelled is None or labelled.sum() < LEAST_REFERENCE:
            rows = evenly(len(found), limit)
        else:
            rows = np.flatnonzero(labelled)[-min(limit, RECENT) :]
        return [found[row] for row in rows], [truths[row] for row in rows]


def _write_splits(
    out: Path, prepared: Prepared, rows: divide.Rows, encoder: Encoder, own: int
) -> None:
    """Writes each split's inputs and targets and its rows as they came; the rows from `own` on are
    labelled requests."""
    schema = prepared.schema
    for split, part in rows.items():
        frame = prepared.frame.iloc[part]
        x = encoded(frame, schema, encoder)
        save_split(out, split, x, prepared.y[part])
        if prepared.groups is not None:
            save_groups(out, split, prepared.groups[part])
        if len(prepared.y) > own:
            save_mask(out, split, part >= own)
        frame.to_parquet(out / f"{split}.parquet", index=False)


def _with_labelled(
    raw: Path, prepared: Prepared, rows: divide.Rows, config: TabularConfig, by_time: bool
) -> divide.Rows:
    """Adds the labelled requests to the table's rows, and to each split its share of them."""
    requests = labelled_of(raw)
    if not requests:
        return rows
    import pandas as pd

    found = labelled_rows(requests, prepared.schema, prepared.frame)
    prepared.dropped.update(found.dropped)
    keys = keys_of_rows(found.frame, config.data.split_seed)
    parts = divided(keys, config.features, by_time=by_time)
    own = len(prepared.y)
    prepared.frame = pd.concat([prepared.frame, found.frame], ignore_index=True)
    prepared.y = np.concatenate([prepared.y, found.y])
    if prepared.groups is not None:
        # A request does not say which group it is of.
        prepared.groups = np.concatenate([prepared.groups, keys])
    prepared.headline += f"; {len(found.y):,} labelled requests among the rows"
    prepared.notes.append(
        f"{len(found.y):,} rows are requests whose label came: {len(parts['train']):,} train, "
        f"{len(parts['validation']):,} validate, {len(parts['test']):,} test. The table's own rows are divided as "
        "without them."
    )
    joined = {}
    for split, part in rows.items():
        joined[split] = np.concatenate([part, parts[split] + own])
    return joined


def _edits(raw: Path, table: Table, earlier: Earlier | None, config: TabularConfig) -> Edits:
    """A person's schema; where the run goes on from an earlier model, that one's."""
    if earlier is None:
        return find_edits(raw, config.features.table_schema)
    return earlier.edits(table.names)
