"""Structured pruning: channels of least weight are removed, and the network is smaller afterwards."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

import torch
from torch import nn

from modelyard.errors import UsageError

WIDTHS = "widths.json"
"""In a model's folder, next to its weights: shapes of tensors that pruning changed, by name."""

BLOCK = 16
"""Channels that processors compute at once. A layer of 22 channels takes as long as one of 32, so
that wide layers keep a multiple of it."""

Shapes = Mapping[str, tuple[int, ...]]
Batch = dict[str, torch.Tensor]


def prune_channels(
    model: nn.Module,
    layers: Collection[nn.Module],
    share: float,
    batch: Batch,
    loss: Callable[[nn.Module, Batch], torch.Tensor],
) -> Shapes:
    """Removes `share` of the output channels of each of `layers`, in place, and what depends on
    them: the norms and inputs of the layers that follow, and the same channels of layers that are
    added up (Fang et al. 2023). Those of least L2 norm over all these weights go.

    Args:
        layers: convolutions and linear layers.
        loss: called once with the batch: what is computed on the way says which layers depend on
            each other.

    Returns:
        Shapes of the tensors that changed.

    Raises:
        UsageError: it is so small that all channels stay.
    """
    import torch_pruning

    before = _shapes(model)
    chosen = set(map(id, layers))
    others = []
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear) and id(layer) not in chosen:
            others.append(layer)
    with warnings.catch_warnings():
        # It advises on parameters outside of layers, such as position embeddings, which stay.
        warnings.simplefilter("ignore")
        pruner = torch_pruning.pruner.BasePruner(
            model,
            batch,
            importance=torch_pruning.importance.GroupMagnitudeImportance(p=2),
            pruning_ratio_dict={layer: _ratio(layer, share) for layer in layers},
            ignored_layers=others,
            forward_fn=loss,
        )
        pruner.step()
    model.zero_grad(set_to_none=True)
    changed = {}
    for name, shape in _shapes(model).items():
        if shape != before[name]:
            changed[name] = shape
    if not changed:
        raise UsageError(
            f"compress.prune = {share:g} removes no channel of any layer. Raise it, or type: --set compress.prune=0"
        )
    return changed


def _ratio(layer: nn.Module, share: float) -> float:
    """The share of a layer's channels to remove, so that a whole number of blocks stays."""
    width = int(layer.weight.shape[0])  # type: ignore[index]
    block = BLOCK if width >= 2 * BLOCK else 1
    blocks = round(width * (1 - share) / block)
    stay = max(1, blocks) * block
    # Half a channel more: what is computed from the ratio is rounded down to a whole one.
    return 1 - (stay + 0.5) / width


def narrowed(model: nn.Module, shapes: Shapes) -> nn.Module:
    """The model, in place, with tensors of these shapes; their values mean nothing until weights
    are loaded."""
    with torch.no_grad():
        for name, shape in shapes.items():
            owner, _, attribute = name.rpartition(".")
            layer = model.get_submodule(owner)
            old = getattr(layer, attribute)
            new = old.new_zeros(shape)
            if isinstance(old, nn.Parameter):
                new = nn.Parameter(new)
            setattr(layer, attribute, new)
    for owner in {name.rpartition(".")[0] for name in shapes}:
        _describe(model.get_submodule(owner))
    return model


def save_widths(shapes: Shapes, folder: Path) -> None:
    """Writes the shapes next to the weights."""
    (Path(folder) / WIDTHS).write_text(json.dumps(shapes, indent=1) + "\n")


def load_widths(folder: Path) -> Shapes:
    """The shapes of a model's folder; {} where nothing was pruned."""
    file = Path(folder) / WIDTHS
    if not file.is_file():
        return {}
    values = json.loads(file.read_text())
    return {name: tuple(shape) for name, shape in values.items()}


def _describe(layer: nn.Module) -> None:
    """Makes a layer's own sizes those of its tensors."""
    if isinstance(layer, nn.Conv2d):
        # A group a channel: as many groups go as channels.
        depthwise = layer.groups == layer.in_channels > 1
        layer.out_channels = layer.weight.shape[0]
        if depthwise:
            layer.groups = layer.out_channels
        layer.in_channels = layer.weight.shape[1] * layer.groups
    elif isinstance(layer, nn.Linear):
        layer.out_features, layer.in_features = layer.weight.shape
    elif isinstance(layer, nn.modules.batchnorm._NormBase):
        layer.num_features = len(layer.weight)
    elif isinstance(layer, nn.LayerNorm):
        layer.normalized_shape = tuple(layer.weight.shape)


def _shapes(model: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in model.state_dict().items()}
