"""From a person's table to splits and assets."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modelyard.errors import BadData
from modelyard.families.clustering.assets import SCALE
from modelyard.families.clustering.config import ClusteringConfig
from modelyard.families.clustering.scale import fit_scale
from modelyard.family import Data, Split
from modelyard.kit.arrays import save_named
from modelyard.kit.columns.edits import companions, find_edits, write_back
from modelyard.kit.columns.fitting import encoded, fit_columns, save_columns
from modelyard.kit.columns.frames import (
    bodies,
    check_named,
    check_width,
    dropped_columns,
    judged,
    unlisted,
)
from modelyard.kit.columns.overview import overview_of
from modelyard.kit.columns.schema import ColumnSchema, near
from modelyard.kit.splits import draw, keys_of_rows
from modelyard.kit.tables import Table, is_quickly_read, read_table, remarks, texts

if TYPE_CHECKING:
    import pandas as pd

LABEL, SAMPLE_LABEL = "label", "cultivar"
LEAST_ROWS = 20


class ClusteringData(Data[ClusteringConfig]):
    """From a person's table to splits and assets."""

    most_reference = 20_000

    def sample(self, raw: Path) -> None:
        """178 wines: 13 measures, and the cultivar of the grapes (Forina et al. 1988)."""
        from sklearn.datasets import load_wine

        data = load_wine()
        names = [name.replace("/", "_") for name in data.feature_names]
        raw.mkdir(parents=True, exist_ok=True)
        with (raw / "data.csv").open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow([*names, SAMPLE_LABEL])
            for cells, code in zip(data.data.tolist(), data.target, strict=True):
                writer.writerow([*cells, f"cultivar {code}"])

    def companions(self) -> dict[str, Path]:
        """The edited schema: `features.table_schema`, or the one next to a data file."""
        return companions(self.config.data.uri, self.config.features.table_schema)

    def check(self, data: Path) -> None:
        """Reads the table, and looks for the columns that the settings name."""
        if is_quickly_read(data):
            self._label(read_table(data))

    def write_back(self, features: Path, data: Path) -> list[Path]:
        """The inferred schema, as `<data>.schema.json`."""
        return write_back(features, data)

    def features(self, raw: Path, out: Path) -> dict[str, Any]:
        """Reads the table in `raw`; writes splits, their rows as they came, and the assets to
        `out`.

        `train.npz` and its like hold `x`, float32 (rows, inputs), and `label`, indices of the names
        in `labels` or -1, which nothing is fitted on.

        Raises:
            BadData: with file, row and column.
        """
        table = read_table(Path(raw))
        label = self._label(table)
        frame, schema, notes = self._columns(table, Path(raw), label)
        codes, labels, note = _labels(table, label)
        rows = self._divide(table, frame)
        train = frame.iloc[rows["train"]]
        schema, encoder = fit_columns(schema, train, self.config.features)
        if not encoder.names:
            raise BadData(
                "the columns hold no words or numbers to compare rows by", file=table.file
            )
        assets = Path(out) / "assets"
        save_columns(assets, schema, encoder, train)
        for split, part in rows.items():
            some = frame.iloc[part]
            x = encoded(some, schema, encoder)
            if split == "train":
                _check_varied(x, table)
                mean, weight = fit_scale(encoder, schema, x)
                save_named(assets / SCALE, {"mean": mean, "weight": weight})
            file = Path(out) / f"{split}.npz"
            np.savez(file, x=x, label=codes[part], labels=np.array(labels, str))
            some.to_parquet(Path(out) / f"{split}.parquet", index=False)
        summary = overview_of(frame, schema, rows)
        summary["headline"] += note + remarks(table.notes)
        return summary | {
            "outputs": len(encoder.names),
            "label": label or "",
            "notes": [*table.notes, *notes],
        }

    def requests(
        self, features: Path, split: Split, limit: int | None = None
    ) -> list[dict[str, Any]]:
        """Rows of a split as JSON bodies: None for an empty cell, times in ISO 8601."""
        schema = ColumnSchema.load(Path(features) / "assets")
        return bodies(Path(features) / f"{split}.parquet", schema, limit)

    def _label(self, table: Table) -> str | None:
        """The column of labels, if there is one, once the settings are known to fit the table.

        Raises:
            BadData: no separator was found, or no such column.
            UsageError: a setting names a column that is not there.
        """
        check_width(table)
        settings = self.config.features
        for name in settings.drop:
            check_named("drop", name, table.names)
        if settings.label is not None:
            check_named("label", settings.label, table.names)
            return settings.label
        if self.config.data.uri is None and SAMPLE_LABEL in table.names:
            return SAMPLE_LABEL
        found = [name for name in table.names if name.casefold() == LABEL]
        if found and found[0] not in settings.drop:
            return found[0]
        return None

    def _columns(
        self, table: Table, raw: Path, label: str | None
    ) -> tuple[pd.DataFrame, ColumnSchema, list[str]]:
        """The values of the columns that are used, what all columns are, and notes."""
        import pandas as pd

        edits = find_edits(raw, self.config.features.table_schema)
        for setting in ("target", "task", "classes"):
            if getattr(edits, setting) is not None:
                problem = f"field {setting!r}: clusters predict nothing"
                hint = "Leave it out; a column of labels is named by features.label"
                raise BadData(problem, file=edits.file, hint=hint)
        others = []
        if label is not None:
            others.append(label)
        names = [name for name in table.names if name != label]
        columns, values = judged(table, names, edits, self.config.features)
        columns, left_out = dropped_columns(columns)
        schema = ColumnSchema(columns=columns, dropped={**table.dropped, **left_out})
        if not schema.inputs:
            why = "; ".join(f"{name}: {reason}" for name, reason in schema.dropped.items())
            problem = f"no column is left to compare rows by ({why or 'only labels'})"
            raise BadData(problem, file=table.file, hint=near("", table.names))
        return pd.DataFrame(values), schema, unlisted(table.names, edits, others)

    def _divide(self, table: Table, frame: pd.DataFrame) -> dict[str, np.ndarray]:
        """As if drawn, by what the rows hold: labels take no part in it."""
        if table.rows < LEAST_ROWS:
            problem = f"{table.rows} rows can be used; at least {LEAST_ROWS} are needed"
            raise BadData(problem, file=table.file)
        settings = self.config.features
        shares = {"test": settings.test_share, "validation": settings.validation_share}
        return draw(keys_of_rows(frame, self.config.data.split_seed), shares, least=2)


def _labels(table: Table, label: str | None) -> tuple[np.ndarray, list[str], str]:
    """Codes int64 (rows,), -1 where there is no label; the names; a clause for the stage's line."""
    none = np.full(table.rows, -1)
    if label is None:
        return none, [], "; no column of labels"
    cells = texts(table, label)
    names = sorted({cell for cell in cells if cell is not None})
    # A label for every second row or so would tell rows apart, not kinds of rows.
    if not 2 <= len(names) <= table.rows / 2:
        return none, [], f"; {label} is no label: {len(names):,} different values"
    places: dict[str | None, int] = {name: place for place, name in enumerate(names)}
    places[None] = -1
    codes = np.array([places[cell] for cell in cells])
    said = f"{len(names)} labels"
    missing = int((codes < 0).sum())
    if missing:
        said += f", {missing:,} rows without"
    return codes, names, f"; {label} ({said}) only judges"


def _check_varied(x: np.ndarray, table: Table) -> None:
    if (x == x[0]).all():
        problem = f"all {len(x):,} training rows are the same"
        raise BadData(problem, file=table.file)
