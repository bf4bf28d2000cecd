"""The shared training loop of every torch family: one process, one device, best weights kept.

Importing it imports no torch: families that train without torch are handed a `Trainer` too.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from modelyard.config import TrainingSettings
from modelyard.errors import BadData, BrokenArtifact, ModelyardError
from modelyard.family import Progress, Split

if TYPE_CHECKING:
    import torch

    Batch = dict[str, torch.Tensor]

WEIGHTS = "model.safetensors"


class Trainable(Protocol):
    """What the loop needs of a family."""

    def model(self, assets: Path) -> torch.nn.Module: ...

    def batches(self, features: Path, split: Split, epoch: int) -> Iterator[Batch]: ...

    def loss(self, model: torch.nn.Module, batch: Batch) -> torch.Tensor: ...


def _silent(done: int, total: int, **figures: float) -> None:
    """Shows nothing."""


@dataclass(frozen=True)
class Trainer:
    """Trains a torch family with AdamW (Loshchilov & Hutter 2019) and early stopping on the validation loss."""

    seed: int = 0
    settings: TrainingSettings = field(default_factory=TrainingSettings)
    progress: Progress = _silent

    def fit(self, family: Trainable, features: Path, out: Path) -> dict[str, Any]:
        """Trains `family` and writes the best epoch's weights to `out/model.safetensors`.

        Returns JSON for the card: `headline`, `curves` {"loss": {"train", "validation"}} with one mean loss an
        epoch, `epochs` run, `best_epoch` (from 1) and `parameters` (trained numbers).

        Raises:
            ModelyardError: the loss is not finite; it says the epoch and what to lower.
            BadData: a split has no batches.
        """
        import torch
        from safetensors.torch import save_file

        self._set_seeds()
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        model = family.model(Path(features) / "assets").to(device)
        settings = self.settings
        optimizer = torch.optim.AdamW(model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
        curves: dict[str, list[float]] = {"train": [], "validation": []}
        best, best_epoch, best_loss = _weights(model), 0, float("inf")
        for epoch in range(1, settings.epochs + 1):
            for split, losses in curves.items():
                batches = _to(device, family.batches(features, "train" if split == "train" else "validation", epoch))
                step = optimizer if split == "train" else None
                losses.append(_checked(_epoch(family, model, batches, step), split, epoch, settings))
            if curves["validation"][-1] < best_loss:
                best, best_epoch, best_loss = _weights(model), epoch, curves["validation"][-1]
            self.progress(epoch, settings.epochs, loss=curves["train"][-1], validation_loss=curves["validation"][-1])
            if epoch - best_epoch >= settings.patience:
                break
        save_file(best, Path(out) / WEIGHTS)
        parameters = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
        return {
            "headline": f"{parameters:,} weights, best epoch {best_epoch} of {epoch}",
            "curves": {"loss": curves},
            "epochs": epoch,
            "best_epoch": best_epoch,
            "parameters": parameters,
        }

    def _set_seeds(self) -> None:
        import torch

        random.seed(self.seed)
        np.random.seed(self.seed)
        torch.manual_seed(self.seed)


def load_weights(model: torch.nn.Module, folder: Path) -> torch.nn.Module:
    """Loads `folder/model.safetensors` into `model` and puts it into evaluation mode.

    Raises:
        BrokenArtifact: no weights there, or they belong to another network.
    """
    from safetensors.torch import load_file

    path = Path(folder) / WEIGHTS
    if not path.is_file():
        raise BrokenArtifact(f"{folder} holds no {WEIGHTS}. Train it again: modelyard train")
    try:
        model.load_state_dict(load_file(path))
    except RuntimeError as error:
        raise BrokenArtifact(f"{path} holds the weights of another network: {error}") from None
    return model.eval()


def _epoch(
    family: Trainable, model: torch.nn.Module, batches: Iterable[Batch], optimizer: torch.optim.Optimizer | None
) -> float:
    """Mean loss over the examples of one pass; with an optimizer it learns on the way."""
    import torch

    model.train(optimizer is not None)
    total, count = 0.0, 0
    with torch.set_grad_enabled(optimizer is not None):
        for batch in batches:
            loss = family.loss(model, batch)
            if optimizer is not None:
                optimizer.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
            size = len(next(iter(batch.values())))
            total, count = total + loss.item() * size, count + size
    if not count:
        raise BadData("a split has no batches: both train and validation need examples")
    return total / count


def _checked(loss: float, split: str, epoch: int, settings: TrainingSettings) -> float:
    if np.isfinite(loss):
        return loss
    raise ModelyardError(
        f"the {split} loss is not finite in epoch {epoch}. Lower training.learning_rate "
        f"(now {settings.learning_rate:g}): --set training.learning_rate={settings.learning_rate / 10:g}"
    )


def _to(device: torch.device, batches: Iterable[Batch]) -> Iterator[Batch]:
    return ({name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()} for batch in batches)


def _weights(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().cpu().clone().contiguous() for name, value in model.state_dict().items()}
