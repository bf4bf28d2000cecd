"""Quantization-aware training (Jacob et al. 2018): a copy of a trained network computes as ONNX
Runtime's static int8 would, and learns to.

Norms are folded into the layers before them first. Then each layer's weights are rounded to int8 per
output channel, what goes in and what comes out to uint8 with one range for all channels; gradients
pass through the rounding. Export writes the ranges that were learned with into the ONNX file.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import onnx
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.utils import parametrize
from torch.nn.utils.fusion import fuse_conv_bn_weights

from modelyard.errors import BrokenArtifact, UsageError
from modelyard.runtimes.types import Graph
from modelyard.store.base import AWARE, WEIGHTS

RECORD = "ranges.json"

LAYERS = (nn.Conv2d, nn.Linear)
ENTRY, EXIT = "entry", "exit"
"""Names of the ranges of what goes into a layer and of what comes out."""
SLOWNESS = 0.95
"""Of the moving average that ranges are."""
_ROUNDED = "parametrizations.weight.original"

Batch = dict[str, torch.Tensor]
Loss = Callable[[nn.Module, Batch], torch.Tensor]
Folds = dict[str, str]
"""Convolution by the norm that was folded into it: their names in the network."""
Ranges = Mapping[str, Mapping[str, tuple[float, float]]]
"""Least and largest value by layer, at its entry and its exit."""


class RoundedWeight(nn.Module):
    """Weights as int8 holds them: one scale for each output channel, around zero."""

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        largest = weight.detach().abs().flatten(1).amax(dim=1)
        # A channel of zeros has no scale of its own, and nothing may be divided by 0.
        scale = (largest / 127).clamp(min=1e-12)
        zero = torch.zeros_like(scale, dtype=torch.int32)
        return torch.fake_quantize_per_channel_affine(weight, scale, zero, 0, -127, 127)


class Range(nn.Module):
    """Values as uint8 holds them, within a range that follows those of training."""

    def __init__(self, low: float = 0.0, high: float = 0.0) -> None:
        super().__init__()
        self.register_buffer("low", torch.tensor(low))
        self.register_buffer("high", torch.tensor(high))

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        low, high = self.get_buffer("low"), self.get_buffer("high")
        if self.training:
            self._follow(values.detach(), low, high)
        scale = ((high - low) / 255).clamp(min=1e-12)
        zero = (-low / scale).round().clamp(0, 255).int()
        return torch.fake_quantize_per_tensor_affine(values, scale, zero, 0, 255)

    @torch.no_grad()
    def _follow(self, values: torch.Tensor, low: torch.Tensor, high: torch.Tensor) -> None:
        # With 0 in it: padding and ReLU give many zeros, which must be exact.
        least, most = values.min().clamp(max=0), values.max().clamp(min=0)
        if bool(low == high):  # nothing was seen yet
            low.copy_(least)
            high.copy_(most)
            return
        low.lerp_(least, 1 - SLOWNESS)
        high.lerp_(most, 1 - SLOWNESS)


def add_rounding(model: nn.Module, batch: Batch, loss: Loss) -> Folds:
    """Folds norms, in place, and makes convolutions and linear layers round.

    Raises:
        UsageError: the network has no such layers, or folding changes what it computes.
    """
    # Before the norms are folded: what is put in their places is no layer.
    layers = [layer for layer in model.modules() if isinstance(layer, LAYERS)]
    if not layers:
        raise UsageError(
            "compress.aware_epochs: this network has no convolutions and linear layers to round. "
            "Type: --set compress.aware_epochs=0"
        )
    model.eval()
    with torch.no_grad():
        before = loss(model, batch)
        folds = _folds(model, batch, loss)
        fold(model, folds)
        after = loss(model, batch)
    if not torch.allclose(before, after, rtol=1e-3, atol=1e-3):
        raise UsageError(
            "compress.aware_epochs: this network's norms cannot be folded into its convolutions "
            f"(loss {before:.4g} before, {after:.4g} after). Type: --set compress.aware_epochs=0"
        )
    for layer in layers:
        _round(layer, Range(), Range())
    return folds


def fold(model: nn.Module, folds: Folds) -> None:
    """Puts norms into the convolutions before them, in place; nothing takes their places."""
    for norm_name, layer_name in folds.items():
        layer, norm = model.get_submodule(layer_name), model.get_submodule(norm_name)
        assert isinstance(layer, nn.Conv2d)
        assert isinstance(norm, nn.BatchNorm2d)
        assert norm.running_mean is not None
        assert norm.running_var is not None
        weight, bias = fuse_conv_bn_weights(
            layer.weight,
            layer.bias,
            norm.running_mean,
            norm.running_var,
            norm.eps,
            norm.weight,
            norm.bias,
        )
        # A layer without a bias gets one here, which would not be trained otherwise.
        layer.weight, layer.bias = nn.Parameter(weight.detach()), nn.Parameter(bias.detach())
        owner, _, attribute = norm_name.rpartition(".")
        setattr(model.get_submodule(owner), attribute, nn.Identity())


@dataclass(frozen=True)
class AwareGraph:
    """A graph of the copy that learned 8 bits."""

    graph: Graph
    """Without rounding: what is quantized."""
    rounded: Graph
    """As it computed in training: what the quantized graph is compared with."""
    ranges: Ranges
    """By the layers' names in the graph's module."""

    def tensors(self, model: onnx.ModelProto) -> dict[str, tuple[float, float]]:
        """Ranges of an ONNX graph's activations, by tensor: what nodes with these layers' weights
        take and give."""
        by_weight = {f"{layer}.weight": places for layer, places in self.ranges.items()}
        found: dict[str, tuple[float, float]] = {}
        for node in model.graph.node:
            # The second input of convolutions and products holds their weights.
            if len(node.input) > 1 and node.input[1] in by_weight:
                places = by_weight[node.input[1]]
                # A tensor between two layers is one's exit and the next one's entry: the exit,
                # which comes first, counts.
                found.setdefault(node.input[0], places[ENTRY])
                found.setdefault(node.output[0], places[EXIT])
        return found


@dataclass(frozen=True)
class Learned:
    """What the copy learned: its weights, norms folded, and the ranges of its layers."""

    weights: Batch
    ranges: Ranges
    folds: Folds

    def save(self, folder: Path) -> None:
        """Writes it into a model's folder."""
        place = Path(folder) / AWARE
        place.mkdir()
        save_file(self.weights, place / WEIGHTS)
        record = {"ranges": self.ranges, "folds": self.folds}
        (place / RECORD).write_text(json.dumps(record, indent=1) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Learned:
        """Of a model's folder."""
        place = Path(folder) / AWARE
        record = json.loads((place / RECORD).read_text())
        return cls(load_file(place / WEIGHTS), record["ranges"], record["folds"])

    def applied(self, graph: Graph) -> AwareGraph:
        """A graph of the trained network with the copy in its place.

        Raises:
            BrokenArtifact: the graph does not hold the network.
        """
        assert graph.module is not None
        module, rounded = copy.deepcopy(graph.module), copy.deepcopy(graph.module)
        name = self._place_in(module, graph.name)
        for whole in (module, rounded):
            network = whole.get_submodule(name)
            fold(network, self.folds)
            network.load_state_dict(self.weights)
        for layer, places in self.ranges.items():
            found = rounded.get_submodule(name).get_submodule(layer)
            _round(found, Range(*places[ENTRY]), Range(*places[EXIT]))
        prefix = f"{name}." if name else ""
        ranges = {f"{prefix}{layer}": places for layer, places in self.ranges.items()}
        return AwareGraph(replace(graph, module=module), replace(graph, module=rounded), ranges)

    def _place_in(self, module: nn.Module, graph: str) -> str:
        """The name of the network within a graph's module: `""` where it is the module itself."""
        for name, part in module.named_modules():
            layers = {inner for inner, layer in part.named_modules() if isinstance(layer, LAYERS)}
            if layers == self.ranges.keys():
                return str(name)
        raise BrokenArtifact(f"graph {graph!r} does not hold the network that learned 8 bits")


def learned(weights: Batch, folds: Folds) -> Learned:
    """What a trained network with rounding holds, sorted."""
    plain: Batch = {}
    ranges: dict[str, dict[str, tuple[float, float]]] = {}
    for name, value in weights.items():
        # `layer.entry.low` and `layer.entry.high`, and the same of the exit, are no weights.
        owner, _, bound = name.rpartition(".")
        layer, _, place = owner.rpartition(".")
        if bound not in ("low", "high") or place not in (ENTRY, EXIT):
            plain[name.replace(_ROUNDED, "weight")] = value
        elif bound == "low":
            high = weights[f"{owner}.high"]
            ranges.setdefault(layer, {})[place] = (value.item(), high.item())
    return Learned(plain, ranges, folds)


def _folds(model: nn.Module, batch: Batch, loss: Loss) -> Folds:
    """Which norms stand right after which convolutions, by the tensors that go between them."""
    made: dict[int, tuple[str, torch.Tensor]] = {}
    found: Folds = {}
    calls: dict[str, int] = {}

    def layer_hook(name: str) -> Callable[..., None]:
        def hear(layer: nn.Module, given: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
            # The tensor is held: another one must not get its id.
            made[id(output)] = (name, output)
            calls[name] = calls.get(name, 0) + 1

        return hear

    def norm_hook(name: str) -> Callable[..., None]:
        def hear(norm: nn.Module, given: tuple[torch.Tensor, ...]) -> None:
            if id(given[0]) in made:
                found[name] = made[id(given[0])][0]

        return hear

    hooks = []
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d):
            hooks.append(module.register_forward_hook(layer_hook(name)))
        elif isinstance(module, nn.BatchNorm2d):
            hooks.append(module.register_forward_pre_hook(norm_hook(name)))
    try:
        loss(model, batch)
    finally:
        for hook in hooks:
            hook.remove()
    # A layer that is called twice would need both norms.
    return {norm: layer for norm, layer in found.items() if calls[layer] == 1}


def _round(layer: nn.Module, going_in: Range, coming_out: Range) -> None:
    """Makes a layer round its weights, what goes in and what comes out, in place."""
    parametrize.register_parametrization(layer, "weight", RoundedWeight())
    layer.add_module(ENTRY, going_in)
    layer.add_module(EXIT, coming_out)
    layer.register_forward_pre_hook(_round_entry)
    layer.register_forward_hook(_round_exit)


def _round_entry(layer: nn.Module, given: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    rounded: torch.Tensor = layer.get_submodule(ENTRY)(given[0])
    return rounded, *given[1:]


def _round_exit(
    layer: nn.Module, given: tuple[torch.Tensor, ...], output: torch.Tensor
) -> torch.Tensor:
    rounded: torch.Tensor = layer.get_submodule(EXIT)(output)
    return rounded
