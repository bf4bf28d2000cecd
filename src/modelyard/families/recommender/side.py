"""Columns about users and items become assets: judged, encoded and scaled as tables are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from modelyard.families.recommender.config import RecommenderFeatures
from modelyard.families.recommender.lists import Listing
from modelyard.families.recommender.naming import ITEM_NAMES
from modelyard.families.recommender.profiles import SCALE, VALUES, Side
from modelyard.kit.columns.edits import Edits
from modelyard.kit.columns.fitting import encoded, fit_columns, save_columns
from modelyard.kit.columns.frames import dropped_columns, judged
from modelyard.kit.columns.overview import columns_table
from modelyard.kit.columns.schema import Column, ColumnSchema
from modelyard.kit.columns.values import convert
from modelyard.kit.tables import Table, texts
from modelyard.kit.wording import count_of

SEPARATOR = "|"
"""Between the values of a cell that holds several, as in MovieLens' genres."""


@dataclass
class SideReport:
    """What became of the columns."""

    columns: dict[str, int] = field(default_factory=dict)
    """How many are used, of users and items."""
    notes: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    tables: list[dict[str, Any]] = field(default_factory=list)

    @property
    def headline(self) -> str:
        """A clause for the stage's line."""
        said = ""
        for what, count in self.columns.items():
            said += f"; {count_of(count, 'column')} of {what}"
        return said

    def unused(self, what: str, listings: Sequence[Listing], continued: bool) -> None:
        """Notes columns of `what` that the model does not take."""
        # The category is shown in answers.
        shown = ITEM_NAMES["category"]
        names = []
        for listing in listings:
            names += [name for name in listing.names if name.lower() not in shown]
        if not names:
            return
        self.left_out += names
        if continued:
            why = "the earlier model has none"
        else:
            why = "features.columns=false"
        self.notes.append(f"Columns of {what} are not used ({', '.join(names[:10])}): {why}.")


def write_side(
    folder: Path,
    listings: Sequence[Listing],
    ids: Sequence[str],
    settings: RecommenderFeatures,
    earlier: Side | None,
    report: SideReport,
) -> pd.DataFrame | None:
    """Writes the assets of the columns of `ids`, users or items in the order of the catalogue, and
    adds to `report`. Returns the values as they came; None, where no column can be used.

    Args:
        earlier: the columns of the model that the run continues: it keeps their encoding.

    Raises:
        BadData: a cell that its column's role does not allow.
    """
    what = folder.name.replace("_columns", "s")
    columns, frames = [], []
    for listing in listings:
        found, frame = _read(listing, settings, what, earlier, report)
        columns += found
        frames.append(frame)
    if earlier is not None:
        columns = earlier.schema.columns
    if not columns:
        return None
    frame = _aligned(frames, columns, ids, what, report)
    folder.mkdir(parents=True)
    if earlier is None:
        schema, encoder = fit_columns(ColumnSchema(columns=columns), frame, settings)
        values = encoded(frame, schema, encoder)
        scale = _scale(values)
        save_columns(folder, schema, encoder, frame)
    else:
        schema, encoder, scale = earlier.schema, earlier.encoder, earlier.scale
        values = encoded(frame, schema, encoder)
        save_columns(folder, schema, encoder, frame, earlier.folder)
    np.save(folder / VALUES, values)
    np.save(folder / SCALE, scale)
    table = columns_table(frame, schema)
    report.columns[what] = len(columns)
    report.tables.append(table | {"title": f"Columns of {what}"})
    return frame


def _read(
    listing: Listing,
    settings: RecommenderFeatures,
    what: str,
    earlier: Side | None,
    report: SideReport,
) -> tuple[list[Column], pd.DataFrame]:
    """The columns of a listing, and their values by id: of several rows of one id the first."""
    table = listing.table
    if earlier is None:
        # The values of a list are its words.
        roles = {name: {"role": "text"} for name in listing.names if _is_list(table, name)}
        roles |= {name: {"role": "category"} for name in listing.categories}
        found, values = judged(table, listing.names, Edits(columns=roles), settings)
        found, dropped = dropped_columns(found)
        report.left_out += [f"{name} ({why})" for name, why in dropped.items()]
        columns = []
        for column in found:
            if column.role != "drop":
                # Of a user or an item that the list lacks, every cell is empty.
                columns.append(column.model_copy(update={"nullable": True}))
    else:
        columns = [column for column in earlier.schema.columns if column.name in listing.names]
        values = {column.name: convert(column, table, False) for column in columns}
        for name in listing.names:
            if name not in values:
                report.left_out.append(f"{name} (the earlier model lacks it)")
    frame = pd.DataFrame(values)
    frame.index = pd.Index(listing.ids)
    again = frame.index.duplicated()
    if again.any() and columns:
        rows = frame.assign(**{"": frame.index}).drop_duplicates()
        other = int(rows.index.duplicated().sum())
        if other:
            report.notes.append(
                f"{other:,} rows say something else of one of the {what} than an earlier row of "
                f"{table.file.name}: the first counts."
            )
    return columns, frame[~again]


def _is_list(table: Table, name: str) -> bool:
    return any(SEPARATOR in (cell or "") for cell in texts(table, name))


def _aligned(
    frames: Sequence[pd.DataFrame],
    columns: Sequence[Column],
    ids: Sequence[str],
    what: str,
    report: SideReport,
) -> pd.DataFrame:
    """A row for each id, with a column for each of `columns`; what is missing is counted."""
    aligned = [frame.reindex(list(ids)) for frame in frames]
    joined = pd.concat([pd.DataFrame(index=list(ids)), *aligned], axis=1)
    joined = joined.loc[:, ~joined.columns.duplicated()].reset_index(drop=True)
    for column in columns:
        if column.name in joined:
            continue
        if column.role == "time":
            joined[column.name] = pd.NaT
        else:
            joined[column.name] = None
    joined = joined[[column.name for column in columns]]
    counts = joined.isna().sum()
    shown = [f"{name} of {count:,}" for name, count in counts[counts > 0].items()]
    if shown:
        report.notes.append(f"Missing among {len(ids):,} {what}: {', '.join(shown)}.")
    return joined


def _scale(values: np.ndarray) -> np.ndarray:
    """Mean and deviation of each output, 0 and 1 of those that are yes or no."""
    numbers = ~np.isin(values, (0, 1)).all(axis=0)
    # In float32 the sum of many large numbers loses its last digits.
    exact = values.astype(np.float64)
    mean, spread = exact.mean(0), exact.std(0)
    spread[spread == 0] = 1.0
    scale = np.stack([np.where(numbers, mean, 0), np.where(numbers, spread, 1)])
    return scale.astype(np.float32)
