"""What every kind of model is fitted on, and what its folder says of it.

A features folder holds:

train.npz validation.npz test.npz    x: float32 (rows, columns); y: float64 (regression) or int64 class index
test.labelled.npy …                  bool (rows,): which rows are requests whose label came, where there are some
train.groups.npy …                   int64 (rows,): the group of each row, where rows were divided by groups
by_time                              (empty) where the rows were divided by time
train.parquet …                      the same rows as they came: the schema's columns and the target
assets/schema.json                   the table's columns, roles and transforms, and the target
assets/encoders.json, *.npy          what was fitted on the training split
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from modelyard.errors import BadData, UsageError, choices
from modelyard.families.tabular.config import Kind, TabularModel
from modelyard.families.tabular.loss import Chosen, choose_loss
from modelyard.families.tabular.scale import IDENTITY, TargetScale
from modelyard.families.tabular.schema import TableSchema
from modelyard.kit.arrays import load_named
from modelyard.kit.assets import Asset
from modelyard.kit.columns.encode import Encoder
from modelyard.kit.splits import load_groups
from modelyard.store.base import base_of

if TYPE_CHECKING:
    from modelyard.families.tabular.config import TabularConfig
    from modelyard.families.tabular.kinds import Fitted

BY_TIME = "by_time"
"""An empty file where the splits follow each other in time."""


class ModelInfo(Asset):
    """`model.json` of a model folder: all that loading needs besides the weights."""

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
    members: dict[Kind, float] = Field(default_factory=dict)
    """Weights of a stack's members, each in a folder of its own."""

    @classmethod
    def of(cls, config: TabularConfig, table: Table, fitted: Fitted) -> ModelInfo:
        """Of a model of the kind that is set."""
        settings = config.model
        assert settings.kind != "auto", "a kind was chosen"
        info = cls(
            kind=settings.kind,
            task="classification" if table.classes else "regression",
            columns=table.x.shape[1],
            classes=table.classes,
            trees=fitted.trees,
            members={member.kind: member.weight for member in fitted.chosen.get("members", ())},
        )
        if settings.kind != "mlp":
            return info
        return info.model_copy(update={"hidden": settings.hidden, "dropout": settings.dropout})


@dataclass(frozen=True)
class Table:
    """Training and validation splits: x float32 (rows, columns), y int64 class index or float64
    value in the loss's unit (rows,)."""

    x: np.ndarray
    y: np.ndarray
    x_validation: np.ndarray
    y_validation: np.ndarray
    classes: list[str] | None
    weight: np.ndarray | None = None
    """Of each training row by its class, (rows,), float64; None where all weigh the same."""
    weight_validation: np.ndarray | None = None
    loss: Chosen | None = None
    """Of a regression."""
    by_time: bool = False
    """The training rows are in the order of time, and later ones follow."""
    groups: np.ndarray | None = None
    """The group of each training row, int64 (rows,), where no group is in two splits."""
    groups_validation: np.ndarray | None = None
    """The same of validation rows."""
    rounds: int | None = None
    """Trees to fit, where training and validation rows were joined: nothing is left to stop by."""
    monotone: tuple[int, ...] = ()
    """Of each column 1, -1 or 0: whether answers may only rise or fall with it. Empty: all are 0."""
    chosen: Mapping[str, Any] = field(default_factory=dict)
    """What an earlier fit decided besides the number of trees."""

    def joined(self, trees: int | None, chosen: Mapping[str, Any] = MappingProxyType({})) -> Table:
        """Training and validation rows as one, with trees (or rounds) for the larger number of
        rows, and with what an earlier fit decided."""
        y = np.concatenate([self.y, self.y_validation])
        x = np.concatenate([self.x, self.x_validation])
        weight = None
        if self.weight is not None and self.classes is not None:
            weight = class_weights(y, len(self.classes))[y]
        rounds = None
        if trees is not None:
            # The best number of rounds grows with the rows.
            rounds = max(1, round(trees * len(x) / len(self.x)))
        groups = self.groups
        if groups is not None and self.groups_validation is not None:
            groups = np.concatenate([groups, self.groups_validation])
        return replace(self, x=x, y=y, weight=weight, rounds=rounds, chosen=chosen, groups=groups)


def load_split(features: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Model inputs `x`, float32 (rows, columns), and targets `y` of a split."""
    arrays = load_named(Path(features) / f"{split}.npz")
    return arrays["x"], arrays["y"]


def save_split(features: Path, split: str, x: np.ndarray, y: np.ndarray) -> None:
    """Writes model inputs and targets of a split."""
    np.savez(Path(features) / f"{split}.npz", x=x.astype(np.float32), y=y)


def load_table(features: Path, settings: TabularModel) -> Table:
    """Reads the splits of a features folder.

    Raises:
        BadData: a class has no training rows.
        UsageError: the loss does not suit the kind or the target, or a direction a column.
    """
    schema = TableSchema.load(Path(features) / "assets")
    classes = schema.classes
    directions = directions_of(settings.monotone, schema, Path(features) / "assets")
    x, y = load_split(features, "train")
    x_validation, y_validation = load_split(features, "validation")
    loss: Chosen | None = None
    if classes is None:
        base = base_of(features)
        if base is None:
            earlier = None
        else:
            earlier = TargetScale.load_or(base / "assets", IDENTITY)
        loss = choose_loss(settings, y, float(min(y.min(), y_validation.min())), earlier)
        y, y_validation = loss.scale.scaled(y), loss.scale.scaled(y_validation)
    else:
        y, y_validation = y.astype(np.int64), y_validation.astype(np.int64)
    table = Table(
        x,
        y,
        x_validation,
        y_validation,
        classes,
        loss=loss,
        by_time=(Path(features) / BY_TIME).is_file(),
        groups=load_groups(features, "train"),
        groups_validation=load_groups(features, "validation"),
        monotone=directions,
    )
    if classes is None:
        return table
    if base_of(features) is None:
        _every_class_seen(y, classes)
    if settings.class_weight != "balanced":
        return table
    weights = class_weights(table.y, len(classes))
    return replace(table, weight=weights[table.y], weight_validation=weights[table.y_validation])


def directions_of(
    monotone: Mapping[str, int], schema: TableSchema, assets: Path
) -> tuple[int, ...]:
    """The settings' directions by model input; empty where there are none.

    Raises:
        UsageError: a column is not among the inputs or holds no numbers, or there are several classes.
    """
    if not monotone:
        return ()
    if schema.classes is not None and len(schema.classes) > 2:
        raise UsageError(
            f"setting 'model.monotone': {len(schema.classes)} classes have no order to rise or fall in; it takes a "
            "regression or two classes. Type: --set model.monotone={}"
        )
    encoder = Encoder.load(assets)
    found = [0] * len(encoder.names)
    numeric = [column.name for column in schema.inputs if column.role == "numeric"]
    for name, direction in monotone.items():
        if name not in numeric:
            raise UsageError(
                f"setting 'model.monotone': {choices('column of numbers', name, numeric)}"
            )
        # The others of a column say that its number is missing or a word.
        found[encoder.groups[name][0]] = direction
    return tuple(found)


def class_weights(
    y: np.ndarray, classes: int, before: Mapping[int, int] = MappingProxyType({})
) -> np.ndarray:
    """rows / (classes * rows of the class), float64 (classes,): each class then weighs the same in
    sum.

    `before` counts rows by class that an earlier model saw; they count as those of `y` do.
    """
    earlier = [before.get(number, 0) for number in range(classes)]
    counts = np.bincount(y, minlength=classes) + earlier
    return np.asarray(counts.sum() / (classes * np.maximum(counts, 1)))


def _every_class_seen(y: np.ndarray, classes: list[str]) -> None:
    counts = np.bincount(y, minlength=len(classes))
    if (counts == 0).any():
        name = classes[int(np.argmin(counts))]
        problem = f"class {name!r} has no rows in the training split"
        raise BadData(problem, hint="Add rows of it, or leave it out")
