"""The multi-layer perceptron, as the shared torch loop wants it: a model, its batches and its
loss."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from modelyard.errors import BrokenArtifact
from modelyard.families.tabular.config import TabularConfig
from modelyard.families.tabular.loss import HUBER, Chosen
from modelyard.families.tabular.schema import TableSchema
from modelyard.families.tabular.table import ModelInfo, class_weights, load_split
from modelyard.family import Trainable
from modelyard.store.base import base_of
from modelyard.training.batches import Batches
from modelyard.training.continual import load_memory

Batch = dict[str, torch.Tensor]

FARTHEST = 10.0
"""Scaled inputs are kept within this distance of 0."""


class Perceptron(nn.Module):
    """Standardizes its inputs, then rectified linear layers with dropout.

    `forward(features)` takes float32 (rows, columns) and returns {"probabilities": (rows,
    classes)}, or {"value": (rows,)} for a regression, in spreads of the target from its centre.
    """

    def __init__(
        self, columns: int, classes: int | None, hidden: tuple[int, ...], dropout: float
    ) -> None:
        super().__init__()
        self.classes = classes
        self.mean, self.scale = nn.Buffer(torch.zeros(columns)), nn.Buffer(torch.ones(columns))
        self.class_weights = nn.Buffer(torch.ones(classes or 1), persistent=False)
        layers: list[nn.Module] = []
        width = columns
        for size in hidden:
            layers += [nn.Linear(width, size), nn.ReLU(), nn.Dropout(dropout)]
            width = size
        self.layers = nn.Sequential(*layers, nn.Linear(width, classes or 1))

    def standardize(self, x: np.ndarray, weights: np.ndarray | None) -> None:
        """Takes means and scales from the training split: `x` (rows, columns).

        A column that is mostly zero (an indicator, a word's weight) is scaled by its largest
        magnitude: by its standard deviation a rare category would tower over everything else.
        """
        scale = np.where(
            (x == 0).mean(axis=0) > 0.5, np.abs(x).max(axis=0), x.std(axis=0, dtype=np.float64)
        )
        # In float64: a sum of many float32 values loses the last digits of the mean.
        self.mean.copy_(torch.from_numpy(x.mean(axis=0, dtype=np.float64)))
        # A constant column has no spread, and stays 0 for whatever it is divided by.
        self.scale.copy_(torch.from_numpy(np.where(scale > 0, scale, 1.0)))
        if weights is not None:
            self.class_weights.copy_(torch.from_numpy(weights))

    def scores(self, features: torch.Tensor) -> torch.Tensor:
        """Logits (rows, classes), or the scaled target (rows,)."""
        # A request far outside the training data must not drown the other columns.
        standardized = ((features - self.mean) / self.scale).clamp(-FARTHEST, FARTHEST)
        scores: torch.Tensor = self.layers(standardized)
        if self.classes is not None:
            return scores
        return scores[:, 0]

    def forward(self, features: torch.Tensor) -> dict[str, torch.Tensor]:
        scores = self.scores(features)
        if self.classes is not None:
            return {"probabilities": torch.softmax(scores, dim=1)}
        return {"value": scores}


def from_info(info: ModelInfo) -> Perceptron:
    """The network of a trained model, without its weights."""
    classes = len(info.classes) if info.classes else None
    return Perceptron(info.columns, classes, info.hidden, info.dropout)


@dataclass(frozen=True)
class MlpFamily(Trainable):
    """The perceptron of a config, for `Trainer.fit`."""

    config: TabularConfig
    loss_of: Chosen | None = None
    """Of a regression."""

    def model(self, assets: Path) -> Perceptron:
        """The network for the folder around `assets`.

        A features folder gives its sizes and the statistics of the training split; a model folder
        gives the sizes of the model that was trained, whose weights hold the statistics.

        Raises:
            BrokenArtifact: the folder is neither.
        """
        folder = Path(assets).parent
        if (folder / ModelInfo.FILE).is_file():
            return from_info(ModelInfo.load(folder))
        if not (folder / "train.npz").is_file():
            problem = "is neither a features nor a model folder: no train.npz"
            raise BrokenArtifact(f"{folder} {problem}, no {ModelInfo.FILE}")
        x, y = load_split(folder, "train")
        names = TableSchema.load(assets).classes
        classes = len(names) if names else None
        settings = self.config.model
        model = Perceptron(x.shape[1], classes, settings.hidden, settings.dropout)
        weights = None
        if classes and settings.class_weight == "balanced":
            memory = load_memory(base_of(folder))
            weights = class_weights(y, classes, memory.seen if memory else {})
        model.standardize(x, weights)
        return model

    def batches(self, features: Path, split: str, epoch: int) -> Batches:
        """`features` (rows, columns) and `target` (rows,); the training split is shuffled by seed
        and epoch."""
        x, y = load_split(features, split)
        if self.loss_of is not None:
            y = self.loss_of.scale.scaled(y).astype(np.float32)
        order = np.arange(len(x))
        if split == "train":
            # By seed and epoch, so that a training that is continued sees the same order.
            np.random.default_rng([self.config.seed, epoch]).shuffle(order)
        return Batches.of({"features": x, "target": y}, self.config.training.batch_size, order)

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Mean cross-entropy (nats, weighed by class), or the loss of a regression on the scaled
        target."""
        assert isinstance(model, Perceptron)
        scores, target = model.scores(batch["features"]), batch["target"]
        if model.classes is not None:
            return functional.cross_entropy(scores, target, weight=model.class_weights)
        assert self.loss_of is not None
        if self.loss_of.fit == "absolute":
            return functional.l1_loss(scores, target)
        if self.loss_of.fit == "huber":
            return functional.huber_loss(scores, target, delta=HUBER)
        if self.loss_of.fit == "quantile":
            return pinball(scores, target, self.loss_of.quantile)
        return functional.mse_loss(scores, target)

    def weight(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """The sum of class weights over which the cross-entropy is a mean; the rows of a
        regression."""
        assert isinstance(model, Perceptron)
        if model.classes is None:
            return torch.tensor(len(batch["target"]))
        return model.class_weights[batch["target"]].sum()

    def scores(self, model: nn.Module, batch: Batch) -> Batch:
        """`accuracy`, weighed by class as the loss is; nothing for a regression."""
        assert isinstance(model, Perceptron)
        if model.classes is None:
            return {}
        right = (model.scores(batch["features"]).argmax(1) == batch["target"]).float()
        weights = model.class_weights[batch["target"]]
        return {"accuracy": (right * weights).sum() / weights.sum()}

    def groups(self, batch: Batch) -> torch.Tensor | None:
        """Classes; a regression has none."""
        target = batch["target"]
        if target.is_floating_point():
            return None
        return target


def pinball(scores: torch.Tensor, target: torch.Tensor, quantile: float) -> torch.Tensor:
    """Mean over rows of `quantile` times what a target lies above its score, and of the rest times
    what it lies below (Koenker and Bassett 1978)."""
    # The larger of the two lines is the loss on the side where the score is wrong.
    above = target - scores
    return torch.maximum(quantile * above, (quantile - 1) * above).mean()
