"""What executes a model: named tensors, graphs, and the one type that every runtime has."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    import torch

Arrays: TypeAlias = "dict[str, np.ndarray]"
"""Named tensors: axis 0 is the batch; float32, int64 or bool."""

Runtime: TypeAlias = "Callable[[str, Arrays], Arrays]"
"""Executes one graph by name: `run("model", {"features": x})["scores"]`. Torch, a tree library,
ONNX Runtime and TensorRT all look like this."""


class Tensor(NamedTuple):
    """An input or output of a graph, as it is declared."""

    name: str
    kind: str
    """ONNX's name of the element: `float`, `int64`, `bool`."""
    shape: tuple[int | None, ...]
    """None where an axis varies."""


def hold(run: Runtime, graph: str, arrays: Arrays, held: Collection[str]) -> Arrays:
    """Runs a graph, and leaves the outputs that are named in `held` where they were computed.

    For loops: what one call gives to the next need not travel. `np.asarray` reads such an output,
    and every call takes it as an input. A runtime of the CPU gives arrays, which are there already.
    """
    stays = getattr(run, "hold", None)
    if stays is None:
        return run(graph, arrays)
    found: Arrays = stays(graph, arrays, held)
    return found


@dataclass(frozen=True)
class Graph:
    """A piece of a model that becomes one ONNX file."""

    name: str
    example: Arrays
    """Inputs of a small batch (at least 2 examples), real ones where possible: exported and
    compared on them."""
    module: torch.nn.Module | None = None
    """Takes the example's arrays as tensors, by name, and returns a dict of tensors."""
    onnx: bytes | None = None
    """The graph as ONNX already, for models that are not torch's."""
    dynamic: Mapping[str, Sequence[int]] = field(default_factory=dict)
    """Further axes of an input that may vary, besides axis 0."""
    tolerance: float = 1e-4
    """Largest |difference| / max(1, |value - median|) allowed between the trained model and this
    graph. A graph gives figures of the order of one (logits, probabilities, a scaled target): what
    is smaller than 1 is not held against its own size."""

    def __post_init__(self) -> None:
        assert (self.module is None) != (self.onnx is None), (
            "a graph is a torch module or ONNX bytes"
        )
