"""A table, what is predicted from it, and its columns: read from the data, edited by a person,
followed by training and serving alike.

Light: the serving half reads it too.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import ConfigDict, Field

from modelyard.kit.assets import Asset
from modelyard.kit.columns.schema import FILE, Column


class TableSchema(Asset):
    """A table: its target and its columns."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    FILE: ClassVar[str] = FILE

    target: str
    task: Literal["classification", "regression"]
    classes: list[str] | None = None
    """Class names in index order; of two, the second is the positive one. None for a regression."""
    columns: list[Column]
    """All columns but the target, those with role `drop` included."""
    dropped: dict[str, str] = Field(default_factory=dict)
    """Columns left out, and why."""

    @property
    def inputs(self) -> list[Column]:
        """The columns a request holds: all that are not dropped."""
        return [column for column in self.columns if column.role != "drop"]
