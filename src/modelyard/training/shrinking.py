"""What follows a training where `compress` wants it: channels or weights are removed and the rest
recovers, a copy learns to bear 8 bits. Each is a training of its own in the shared loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn.utils import prune

from modelyard.compress.aware import Learned, add_rounding, learned
from modelyard.compress.narrow import Shapes, narrowed, prune_channels, save_widths
from modelyard.errors import UsageError
from modelyard.family import Trainable
from modelyard.settings.compress import CompressSettings
from modelyard.settings.training import TrainingSettings
from modelyard.store.base import WEIGHTS
from modelyard.training.wrapped import Wrapped

Weights = dict[str, torch.Tensor]
Report = dict[str, Any]
Loop = Callable[[Trainable, TrainingSettings], tuple[Weights, Report]]
"""One training in the shared loop: the best epoch's weights and its report."""
EXAMPLES = 8
"""Of the training split, that a network is looked at with before it is changed."""


@dataclass
class Result:
    """A trained network."""

    weights: Weights
    report: Report
    """For the card."""
    shapes: Shapes = field(default_factory=dict)
    """Of tensors that pruning made smaller, by name."""
    aware: Learned | None = None
    """The copy that bears 8 bits."""

    def save(self, folder: Path) -> None:
        """Writes it into a model's folder."""
        save_file(self.weights, folder / WEIGHTS)
        if self.shapes:
            save_widths(self.shapes, folder)
        if self.aware is not None:
            self.aware.save(folder)


class Shrinking:
    """Applies what `compress` wants to a trained network, one step after the other."""

    def __init__(
        self, loop: Loop, training: TrainingSettings, settings: CompressSettings, features: Path
    ) -> None:
        self.loop, self.training, self.settings = loop, training, settings
        self.features = features

    def apply(self, family: Trainable, result: Result) -> None:
        """Changes `result` in place."""
        settings = self.settings
        if settings.prune:
            pruned = Pruned(family, self.features, result.weights, settings)
            before = result.report["parameters"]
            result.weights, report = self._train(pruned, settings.recovery_epochs)
            result.shapes, family = pruned.shapes, pruned
            said = f"pruned to {report['parameters']:,} of {before:,} weights"
            _join(result.report, report, said)
            result.report["parameters"] = report["parameters"]
        if settings.sparsity:
            sparse = Sparse(family, result.weights, settings)
            weights, report = self._train(sparse, settings.recovery_epochs)
            result.weights = folded(weights)
            _join(result.report, report, f"{settings.sparsity:.0%} of its weights are 0")
        if settings.aware_epochs:
            aware = Aware(family, self.features, result.weights)
            weights, report = self._train(aware, settings.aware_epochs)
            result.aware = learned(weights, aware.folds)
            curves = report["curves"]["loss"]
            result.report["curves"]["loss of the copy for 8 bits"] = curves
            result.report["headline"] += f"; a copy learnt 8 bits in {report['epochs']} epochs"

    def _train(self, family: Trainable, epochs: int) -> tuple[Weights, Report]:
        return self.loop(family, later(self.training, self.settings, epochs))


def _join(report: Report, following: Report, said: str) -> None:
    """Adds a following training to the report of the main one, in place."""
    before = report["epochs"]
    for name, parts in following["curves"].items():
        for part, values in parts.items():
            report["curves"].setdefault(name, {}).setdefault(part, []).extend(values)
    report["epochs"] = before + following["epochs"]
    report["best_epoch"] = before + following["best_epoch"]
    report["headline"] += (
        f"; {said}, then best epoch {following['best_epoch']} of {following['epochs']}"
    )


class Pruned(Wrapped):
    """Training that goes on with the network after its channels of least weight were removed."""

    def __init__(
        self, family: Trainable, features: Path, weights: Weights, settings: CompressSettings
    ) -> None:
        super().__init__(family)
        model = family.model(features / "assets")
        model.load_state_dict(weights)
        layers = family.prunable(model)
        if not layers:
            raise UsageError(
                "compress.prune: channels of this family's networks of this kind are not removed. "
                "Type: --set compress.prune=0"
            )
        batches = family.batches(features, "train", 0)
        batch = batches.take(batches.order[:EXAMPLES])
        self.shapes: Shapes = prune_channels(model, layers, settings.prune, batch, family.loss)
        self.weights = model.state_dict()

    def model(self, assets: Path) -> nn.Module:
        """The pruned network with the weights that stayed."""
        model = narrowed(self.family.model(assets), self.shapes)
        model.load_state_dict(self.weights)
        return model


class Aware(Wrapped):
    """Training of a copy whose layers compute as 8 bits would."""

    def __init__(self, family: Trainable, features: Path, weights: Weights) -> None:
        super().__init__(family)
        batches = family.batches(features, "train", 0)
        self.batch = batches.take(batches.order[:EXAMPLES])
        self.weights = weights
        self.folds = self._rounding(features / "assets")[1]

    def model(self, assets: Path) -> nn.Module:
        """The trained network, its norms folded into the layers before them, with rounding."""
        return self._rounding(assets)[0]

    def _rounding(self, assets: Path) -> tuple[nn.Module, dict[str, str]]:
        model = self.family.model(assets)
        model.load_state_dict(self.weights)
        return model, add_rounding(model, self.batch, self.family.loss)


class Sparse(Wrapped):
    """Training that goes on with the smallest weights at zero."""

    def __init__(self, family: Trainable, weights: Weights, settings: CompressSettings) -> None:
        super().__init__(family)
        self.weights, self.share = weights, settings.sparsity

    def model(self, assets: Path) -> nn.Module:
        """The network with masks over its smallest weights, of all layers together."""
        model = self.family.model(assets)
        model.load_state_dict(self.weights)
        layers = _layers(model)
        if not layers:
            raise UsageError(
                "compress.sparsity: this network has no layers whose weights can be set to zero. "
                "Type: --set compress.sparsity=0"
            )
        parameters = [(layer, "weight") for layer in layers]
        # The smallest of all layers together: a layer of small weights loses more of them.
        prune.global_unstructured(parameters, prune.L1Unstructured, amount=self.share)
        return model


def folded(weights: Weights) -> Weights:
    """Weights and their masks as plain weights, zeros in place."""
    found = {}
    for name, value in weights.items():
        if name.endswith("_orig"):
            plain = name.removesuffix("_orig")
            found[plain] = value * weights[f"{plain}_mask"]
        elif not name.endswith("_mask"):
            found[name] = value
    return found


def later(settings: TrainingSettings, compress: CompressSettings, epochs: int) -> TrainingSettings:
    """The settings of a training that follows the main one: fewer epochs with smaller steps, down
    to nearly 0."""
    update: dict[str, object] = {
        "epochs": epochs,
        "learning_rate": settings.learning_rate * compress.recovery_rate,
        "warmup": 0.0,
    }
    if settings.optimizer != "schedule_free":
        update["schedule"] = "cosine"
    return settings.model_copy(update=update)


def _layers(model: nn.Module) -> list[nn.Module]:
    """Convolutions and linear layers whose weights are nobody else's."""
    users: dict[int, int] = {}
    for module in model.modules():
        for parameter in module.parameters(recurse=False):
            users[id(parameter)] = users.get(id(parameter), 0) + 1
    found: list[nn.Module] = []
    for module in model.modules():
        has_kernel = isinstance(module, nn.Conv1d | nn.Conv2d | nn.Linear)
        # A weight that two layers share would be masked in one of them only.
        if has_kernel and users[id(module.weight)] == 1:
            found.append(module)
    return found
