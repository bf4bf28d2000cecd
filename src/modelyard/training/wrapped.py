"""A family's training with something changed: all else is the family's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from modelyard.compress.teaching import PREFIX, Teacher
from modelyard.family import Split, Trainable
from modelyard.settings.compress import CompressSettings
from modelyard.training.batches import Batches

Batch = dict[str, torch.Tensor]


class Wrapped(Trainable):
    """Does what the family does."""

    def __init__(self, family: Trainable) -> None:
        self.family = family

    def model(self, assets: Path) -> nn.Module:
        """The family's."""
        return self.family.model(assets)

    def batches(self, features: Path, split: Split, epoch: int) -> Batches:
        """The family's."""
        return self.family.batches(features, split, epoch)

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """The family's."""
        return self.family.loss(model, batch)

    def weight(self, model: nn.Module, batch: Batch) -> float | torch.Tensor:
        """The family's."""
        return self.family.weight(model, batch)

    def scores(self, model: nn.Module, batch: Batch) -> Batch:
        """The family's."""
        return self.family.scores(model, batch)

    def teacher(self, folder: Path, features: Path, settings: CompressSettings) -> Teacher:
        """The family's."""
        return self.family.teacher(folder, features, settings)

    def taught_loss(
        self, model: nn.Module, batch: Batch, settings: CompressSettings
    ) -> torch.Tensor:
        """The family's."""
        return self.family.taught_loss(model, batch, settings)

    def prunable(self, model: nn.Module) -> list[nn.Module]:
        """The family's."""
        return self.family.prunable(model)


class Taught(Wrapped):
    """A family's training in which a teacher's answers count besides the labels."""

    def __init__(self, family: Trainable, teacher: Teacher, settings: CompressSettings) -> None:
        super().__init__(family)
        self.answers, self.settings = teacher, settings

    def batches(self, features: Path, split: Split, epoch: int) -> Batches:
        """The family's batches; those of training with the teacher's answers to their examples."""
        found = self.family.batches(features, split, epoch)
        if split != "train":
            return found

        def take(rows: np.ndarray) -> Batch:
            batch = found.take(rows)
            answers = self.answers(batch)
            return batch | {f"{PREFIX}{name}": value for name, value in answers.items()}

        return Batches(found.order, found.size, take, found.least)

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """With the teacher's share in training; validation follows the labels only."""
        if any(name.startswith(PREFIX) for name in batch):
            return self.family.taught_loss(model, batch, self.settings)
        return self.family.loss(model, batch)
