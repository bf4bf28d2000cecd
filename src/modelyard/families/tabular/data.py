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
from modelyard.kit.columns.cautions import save_categories
from modelyard.kit.columns.edits import Edits, companions, find_edits, write_back
from modelyard.kit.columns.encode import Encoder, completed
from modelyard.kit.columns.frames import bodies, check_width, to_columns
from modelyard.kit.columns.overview import with_ranges
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
        config, base = self.config, base_of(out)
        if base is not None:
            earlier = Earlier.load(base, config)
        else:
            earlier = None
        table = read_table(Path(raw))
        check_width(table)
        prepared = prepare(table, _edits(Path(raw), table, earlier, config), config)
        keys = keys_of_rows(prepared.frame, config.data.split_seed)
        rows, split_by = order.divide_rows(prepared, table, config, keys)
        if earlier is not None:
            schema, prepared.y = earlier.adopt(prepared.schema, prepared.y)
            prepared.schema = schema
        if prepared.groups is None and len(np.unique(keys)) <= (1 - MANY_COPIES) * len(keys):
            # Copies stay together in folds too, and count once where intervals are drawn.
            prepared.groups = keys
        own = len(prepared.y)
        rows = _with_labelled(Path(raw), prepared, rows, config)
        train = prepared.frame.iloc[rows["train"]]
        if earlier is not None:
            encoder = earlier.encoder
        else:
            ranged = with_ranges(prepared.schema.columns, train)
            schema = prepared.schema.model_copy(update={"columns": ranged})
            encoder = Encoder.fit(to_columns(train, schema), schema, config.features)
        if not encoder.names:
            raise BadData("the columns hold no words or numbers to predict from", file=table.file)
        assets = Path(out) / "assets"
        assets.mkdir(parents=True, exist_ok=True)
        schema.save(assets)
        encoder.save(assets)
        before = base / "assets" if base is not None else None
        save_categories(assets, schema, to_columns(train, schema), before)
        for split, part in rows.items():
            frame = prepared.frame.iloc[part]
            x = encoder.transform(completed(to_columns(frame, schema), schema))
            save_split(out, split, x, prepared.y[part])
            if prepared.groups is not None:
                save_groups(out, split, prepared.groups[part])
            if len(prepared.y) > own:
                save_mask(out, split, part >= own)
            frame.to_parquet(Path(out) / f"{split}.parquet", index=False)
        if prepared.clock.times is not None:
            (Path(out) / BY_TIME).touch()
        prepared.schema = schema
        notes = [*table.notes, *prepared.notes, *split_by.notes]
        outputs = len(encoder.names)
        summary = summarize(
            prepared.frame, schema, prepared.y, rows, outputs, prepared.dropped, notes
        )
        if earlier is not None and schema.classes is not None and len(schema.classes) == 2:
            reason = "as in the model that it starts from"
            prepared.headline = f"; positive class: {schema.classes[1]} ({reason})"
        summary["headline"] += prepared.headline + split_by.headline + remarks(table.notes)
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
        y = load_split(features, split)[1][:limit].tolist()
        return y if classes is None else [classes[int(index)] for index in y]

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


def _with_labelled(
    raw: Path, prepared: Prepared, rows: divide.Rows, config: TabularConfig
) -> divide.Rows:
    """Adds the labelled requests to the table's rows, and to each split its share of them."""
    requests = labelled_of(raw)
    if not requests:
        return rows
    import pandas as pd

    found = labelled_rows(requests, prepared.schema, prepared.frame)
    for reason, count in found.dropped.items():
        prepared.dropped[reason] = count
    by_time = prepared.clock.times is not None
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
    return {split: np.concatenate([part, parts[split] + own]) for split, part in rows.items()}


def _edits(raw: Path, table: Table, earlier: Earlier | None, config: TabularConfig) -> Edits:
    """A person's schema; where the run goes on from an earlier model, that one's."""
    if earlier is None:
        return find_edits(raw, config.features.table_schema)
    return earlier.edits(table.names)
