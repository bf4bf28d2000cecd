"""A table, what is predicted from it, and its columns: read from the data, edited by a person,
followed by training and serving alike.

Light: the serving half reads it too.
"""

from __future__ import annotations

from typing import Literal

from modelyard.kit.columns.schema import ColumnSchema


class TableSchema(ColumnSchema):
    """A table: its target and its columns."""

    target: str
    task: Literal["classification", "regression"]
    classes: list[str] | None = None
    """Class names in index order; of two, the second is the positive one. None for a regression."""
