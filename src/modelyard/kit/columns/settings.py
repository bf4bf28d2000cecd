"""Settings of families that read the columns of a table."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from modelyard.settings.family import Settings


class ColumnFeatures(Settings):
    """From the columns of a table to model inputs."""

    table_schema: str | None = None
    """Path of an edited schema.json, whole or with some columns only. None: `<data
    file>.schema.json` or `schema.json` in the data's folder if there is one, else inferred."""
    drop: tuple[str, ...] = ()
    """Columns to leave out."""
    max_categories: int = Field(default=50, ge=2)
    """Categories a column keeps; rarer and unseen ones share a bucket."""
    max_words: int = Field(default=300, ge=10)
    """Words of a text column that become TF-IDF inputs, the most frequent first."""
    numeric: Literal["standardize", "log", "identity"] = "standardize"
    """Default transform of numeric columns: deviations from the mean, the same of the logarithm, or
    the column's own unit; the schema can say otherwise for a column."""
