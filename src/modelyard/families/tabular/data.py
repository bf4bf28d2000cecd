"""From a person's table to splits and assets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modelyard.errors import BadData
from modelyard.families.tabular import order
from modelyard.families.tabular.cautions import save_categories
from modelyard.families.tabular.cells import as_json, number_or_word
from modelyard.families.tabular.config import TabularConfig
from modelyard.families.tabular.earlier import Earlier
from modelyard.families.tabular.edits import Edits, companions, find_edits, write_back
from modelyard.families.tabular.encode import Encoder, completed
from modelyard.families.tabular.overview import summarize, with_ranges
from modelyard.families.tabular.prepare import check_columns, prepare, target_name
from modelyard.families.tabular.samples import write_sample
from modelyard.families.tabular.schema import TableSchema
from modelyard.families.tabular.table import BY_TIME, save_split
from modelyard.family import Data, Split
from modelyard.kit.tables import (
    DELIMITERS,
    Table,
    is_parquet,
    is_quickly_read,
    read_table,
    remarks,
)
from modelyard.store.base import base_of

if TYPE_CHECKING:
    import pandas as pd


class TabularData(Data[TabularConfig]):
    """From a person's table to splits and assets."""

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
        _check_width(table)
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
        earlier = Earlier.load(base, config) if base is not None else None
        table = read_table(Path(raw))
        _check_width(table)
        prepared = prepare(table, _edits(Path(raw), table, earlier, config), config)
        rows, split_by = order.divide_rows(
            prepared.clock, prepared.y, prepared.schema, table, config
        )
        train = prepared.frame.iloc[rows["train"]]
        if earlier is not None:
            schema, prepared.y = earlier.adopt(prepared.schema, prepared.y)
            encoder = earlier.encoder
        else:
            schema = with_ranges(prepared.schema, train)
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
        import pyarrow.parquet

        schema = TableSchema.load(Path(features) / "assets")
        table = pyarrow.parquet.read_table(
            Path(features) / f"{split}.parquet", columns=[column.name for column in schema.inputs]
        )
        bodies: list[dict[str, Any]] = table.slice(0, limit).to_pylist()
        for column in schema.inputs:
            if column.words:
                for body in bodies:
                    body[column.name] = number_or_word(body[column.name], column.words)
        return [{name: as_json(cell) for name, cell in body.items()} for body in bodies]


def _check_width(table: Table) -> None:
    if len(table.names) + len(table.dropped) > 1 or is_parquet(table.file.name):
        return
    separators = ", ".join(DELIMITERS.values())
    problem = f"only one column was found with any of the separators {separators}"
    raise BadData(problem, file=table.file, hint="Is it a CSV file?")


def _edits(raw: Path, table: Table, earlier: Earlier | None, config: TabularConfig) -> Edits:
    """A person's schema; where the run goes on from an earlier model, that one's."""
    if earlier is None:
        return find_edits(raw, config.features.table_schema)
    return earlier.edits(table.names)


def to_columns(frame: pd.DataFrame, schema: TableSchema) -> dict[str, np.ndarray]:
    """A split's rows as the encoder takes them; columns that the frame lacks are left out."""
    columns = {}
    for column in schema.inputs:
        if column.name not in frame.columns:
            continue
        cells = frame[column.name]
        if column.words:
            known = [None if cell is None else str(cell) for cell in cells]
            mixed = [number_or_word(cell, column.words) for cell in known]
            columns[column.name] = np.array(mixed, object)
        elif column.role == "numeric":
            columns[column.name] = cells.to_numpy(np.float64, na_value=np.nan)
        elif column.role == "time":
            columns[column.name] = cells.to_numpy("datetime64[us]")
        else:
            columns[column.name] = cells.to_numpy(object)
    return columns


def load_columns(features: Path, split: str, schema: TableSchema) -> dict[str, np.ndarray]:
    """The rows of a split as `TabularHost.scores` takes them."""
    import pandas as pd

    return to_columns(pd.read_parquet(Path(features) / f"{split}.parquet"), schema)
