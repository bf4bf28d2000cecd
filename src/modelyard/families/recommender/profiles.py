"""Columns about users or items as a model takes them: what a package knows, and what a request says.

Below `assets/user_columns` and `assets/item_columns`:

    schema.json encoders.json categories.json     as in kit.columns: what the columns are, and their encoding
    values.npy      float32 (users or items, outputs): what training knew of each; of an unknown one all is missing
    scale.npy       float32 (2, outputs): mean and deviation of what is no yes or no, which the graphs standardize by
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel

from modelyard.host import Caution, Cell
from modelyard.kit.columns.cautions import Cautions
from modelyard.kit.columns.encode import Encoder
from modelyard.kit.columns.host import request_model, shown
from modelyard.kit.columns.schema import FILE, ColumnSchema

USERS, ITEMS = "user_columns", "item_columns"
VALUES, SCALE = "values.npy", "scale.npy"


@dataclass(frozen=True)
class Side:
    """Columns of users or items."""

    folder: Path
    schema: ColumnSchema
    encoder: Encoder
    values: np.ndarray
    """float32 (users or items, outputs)."""
    scale: np.ndarray
    """float32 (2, outputs): mean and deviation."""

    @classmethod
    def load(cls, folder: Path) -> Side | None:
        """Reads a folder of assets; None where there is none."""
        if not (folder / FILE).is_file():
            return None
        values = np.load(folder / VALUES, allow_pickle=False)
        scale = np.load(folder / SCALE, allow_pickle=False)
        return cls(folder, ColumnSchema.load(folder), Encoder.load(folder), values, scale)

    @cached_property
    def missing(self) -> np.ndarray:
        """What stands for one of whom nothing is known, float32 (outputs,)."""
        return self.encode({})

    def encode(self, cells: Mapping[str, Any]) -> np.ndarray:
        """Cells by column of one user or item, float32 (outputs,); those left out are missing."""
        columns = {column.name: [cells.get(column.name)] for column in self.schema.inputs}
        return np.asarray(self.encoder.transform(columns)[0])


class Profiles:
    """The columns of users as a part of a request."""

    def __init__(self, side: Side) -> None:
        self.side = side
        self.names = [column.name for column in side.schema.inputs]
        self.Request: type[BaseModel] = request_model(
            side.schema, "What is known of a user; what is left out is missing."
        )
        self._cautions = Cautions(
            side.schema, {name: name for name in self.names}, side.encoder, side.folder
        )

    def cautions(self, cells: Mapping[str, Any]) -> list[Caution]:
        """What of a profile training never saw."""
        row = dict.fromkeys(self.names) | dict(cells)
        found = []
        for caution in self._cautions.of(row):
            found.append(Caution(field=f"profile.{caution.field}", message=caution.message))
        return found

    def described(self, cells: Mapping[str, Any]) -> dict[str, Cell]:
        """Drift columns: numbers, categories and flags of a profile."""
        row: dict[str, Cell] = {}
        for column in self.side.schema.inputs:
            value = cells.get(column.name)
            if column.role not in ("numeric", "category"):
                continue
            if column.role == "category" or column.boolean:
                value = shown(column, value) or None
            elif isinstance(value, str):
                # A word in place of a number is missing among the numbers.
                value = None
            row[f"user.{column.name}"] = value
        return row
