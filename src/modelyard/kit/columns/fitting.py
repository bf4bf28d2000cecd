"""Columns of training rows become assets: their schema, their encoding, their categories."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from modelyard.kit.columns.cautions import save_categories
from modelyard.kit.columns.encode import Encoder, completed
from modelyard.kit.columns.frames import to_columns
from modelyard.kit.columns.overview import with_ranges
from modelyard.kit.columns.schema import ColumnSchema, ColumnSettings

if TYPE_CHECKING:
    import pandas as pd

S = TypeVar("S", bound=ColumnSchema)


def fit_columns(schema: S, train: pd.DataFrame, settings: ColumnSettings) -> tuple[S, Encoder]:
    """The schema with ranges, categories and examples as training rows show them, and the encoder
    that is fitted on these. Texts without a word give no model input."""
    schema = schema.model_copy(update={"columns": with_ranges(schema.columns, train)})
    return schema, Encoder.fit(to_columns(train, schema), schema, settings)


def save_columns(
    assets: Path,
    schema: ColumnSchema,
    encoder: Encoder,
    train: pd.DataFrame,
    earlier: Path | None = None,
) -> None:
    """Writes what `ColumnHost` reads. `earlier` are assets of the model that the run continues."""
    schema.save(assets)
    encoder.save(assets)
    save_categories(assets, schema, to_columns(train, schema), earlier)


def encoded(frame: pd.DataFrame, schema: ColumnSchema, encoder: Encoder) -> np.ndarray:
    """Rows as model inputs, float32 (rows, inputs)."""
    return encoder.transform(completed(to_columns(frame, schema), schema))
