"""What every kind of model is fitted on, and what its folder says of it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar, Literal

import numpy as np

from modelyard.errors import BadData
from modelyard.families.tabular.config import Kind
from modelyard.families.tabular.schema import TableSchema
from modelyard.families.tabular.splits import load_split
from modelyard.kit.assets import Asset
from modelyard.store.base import base_of

FEW_CELLS = 200_000


class ModelInfo(Asset):
    """`model.json` of a model folder: all that loading needs beside the weights."""

    FILE: ClassVar[str] = "model.json"

    kind: Kind
    task: Literal["classification", "regression"]
    columns: int
    """Encoded input columns."""
    classes: list[str] | None
    """Names in index order; None for a regression."""
    trees: int | None = None
    """Trees, or boosting rounds, that are kept."""
    hidden: tuple[int, ...] = ()
    """Widths of an MLP's layers."""
    dropout: float = 0.0
    """Dropout of an MLP."""


@dataclass(frozen=True)
class Table:
    """Training and validation splits: x float32 (rows, columns), y int64 class index or float64
    value (rows,)."""

    x: np.ndarray
    y: np.ndarray
    x_validation: np.ndarray
    y_validation: np.ndarray
    classes: list[str] | None
    weights: np.ndarray | None
    """Of each class, (classes,), float64; None where all weigh the same."""

    def row_weights(self, y: np.ndarray) -> np.ndarray | None:
        """Weight of each row, (rows,), by its class."""
        return None if self.weights is None else self.weights[y]


def load_table(features: Path, balanced: bool) -> Table:
    """Reads the splits of a features folder.

    Raises:
        BadData: a class has no training rows.
    """
    classes = TableSchema.load(Path(features) / "assets").classes
    kind = np.int64 if classes else np.float64
    (x, y), (x_validation, y_validation) = (
        load_split(features, split) for split in ("train", "validation")
    )
    if classes is not None and base_of(features) is None:
        _every_class_seen(y, classes)
    weights = class_weights(y, len(classes)) if classes and balanced else None
    return Table(x, y.astype(kind), x_validation, y_validation.astype(kind), classes, weights)


def class_weights(
    y: np.ndarray, classes: int, before: Mapping[int, int] = MappingProxyType({})
) -> np.ndarray:
    """rows / (classes * rows of the class), float64 (classes,): each class then weighs the same in
    sum.

    `before` counts rows by class that an earlier model saw; they count as those of `y` do.
    """
    counts = np.bincount(y, minlength=classes) + [
        before.get(number, 0) for number in range(classes)
    ]
    return np.asarray(counts.sum() / (classes * np.maximum(counts, 1)))


def cores(cells: int | None = None) -> int:
    """CPU cores this process may use; OMP_NUM_THREADS lowers it, as in a container with a CPU
    limit.

    One for a table of few `cells`: there, threads wait for each other longer than they work, on a
    busy machine a hundred times longer.
    """
    if cells is not None and cells < FEW_CELLS:
        return 1
    limit = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    available = len(os.sched_getaffinity(0))
    return min(available, int(limit)) if limit.isdecimal() and int(limit) > 0 else available


def _every_class_seen(y: np.ndarray, classes: list[str]) -> None:
    counts = np.bincount(y, minlength=len(classes))
    if (counts == 0).any():
        name = classes[int(np.argmin(counts))]
        raise BadData(
            f"class {name!r} has no rows in the training split",
            hint="Add rows of it, or leave it out",
        )
