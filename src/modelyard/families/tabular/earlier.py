"""What a run keeps of the model it goes on from: columns, their encoders, and its classes before
new ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from modelyard.families.tabular.config import TabularConfig
from modelyard.families.tabular.schema import TableSchema
from modelyard.families.tabular.table import ModelInfo
from modelyard.kit.columns.edits import Edits
from modelyard.kit.columns.encode import Encoder
from modelyard.kit.columns.schema import FILE
from modelyard.kit.warm_start import check_same


@dataclass(frozen=True)
class Earlier:
    """The earlier model's table."""

    file: Path
    schema: TableSchema
    encoder: Encoder

    @classmethod
    def load(cls, base: Path, config: TabularConfig) -> Earlier:
        """Of a base folder.

        Raises:
            UsageError: a setting asks for something else, or that model cannot be trained on.
        """
        schema = TableSchema.load(base / "assets")
        settings, classes = config.features, schema.classes or []
        check_same("model.kind", config.model.kind, ModelInfo.load(base).kind)
        check_same("features.target", settings.target, schema.target)
        task = None if settings.task == "auto" else settings.task
        check_same("features.task", task, schema.task)
        check_same("features.positive", settings.positive, classes[1] if classes else None)
        return cls(base / "assets" / FILE, schema, Encoder.load(base / "assets"))

    def edits(self, names: list[str]) -> Edits:
        """The earlier columns as a person's schema would say them; of a table with columns
        `names`, none else."""
        columns: dict[str, Mapping[str, Any]] = {}
        for name in names:
            if name != self.schema.target:
                columns[name] = {"name": name, "role": "drop"}
        for column in self.schema.columns:
            columns[column.name] = column.model_dump()
        return Edits(self.file, self.schema.target, self.schema.task, None, columns)

    def adopt(self, found: TableSchema, y: np.ndarray) -> tuple[TableSchema, np.ndarray]:
        """The earlier columns, with the classes of the data's own schema `found` that are new
        behind the earlier ones; and `y` (rows,) as indices into them."""
        classes = self.schema.classes
        if classes is not None and found.classes is not None:
            new = [name for name in found.classes if name not in classes]
            classes = [*classes, *new]
            numbers = [classes.index(name) for name in found.classes]
            y = np.array(numbers, np.int64)[y]
        changed = {"classes": classes, "dropped": found.dropped}
        return self.schema.model_copy(update=changed), y
