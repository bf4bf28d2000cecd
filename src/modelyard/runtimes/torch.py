"""Runs graphs as the torch modules they were trained as: what exported graphs are compared with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from modelyard.errors import UsageError, choices

if TYPE_CHECKING:
    from modelyard.runtimes.types import Arrays, Graph


class TorchRuntime:
    """`TorchRuntime(graphs)("model", {"features": x})`, without gradients and in evaluation mode.

    Raises:
        UsageError: when called with a graph it does not hold, or without one of its inputs.
    """

    def __init__(self, graphs: Sequence[Graph]) -> None:
        for graph in graphs:
            said = f"graph {graph.name!r} is ONNX: run it with ONNX Runtime"
            assert graph.module is not None, said
            graph.module.eval()
        self._graphs = {graph.name: graph for graph in graphs}

    def __call__(self, graph: str, arrays: Arrays) -> Arrays:
        import torch

        if graph not in self._graphs:
            raise UsageError(choices("graph", graph, self._graphs))
        module, inputs = self._graphs[graph].module, self._graphs[graph].example
        assert module is not None
        if missing := sorted(set(inputs) - set(arrays)):
            raise UsageError(
                f"graph {graph!r} needs input {missing[0]!r}; seen: {', '.join(arrays) or 'none'}"
            )
        if unknown := sorted(set(arrays) - set(inputs)):
            raise UsageError(choices(f"graph {graph!r}: input", unknown[0], inputs))
        # Where its weights are; a module without any computes on the CPU.
        device = torch.device("cpu")
        for tensor in module.state_dict().values():
            device = tensor.device
            break
        with torch.inference_mode():
            tensors = {}
            for name, array in arrays.items():
                tensors[name] = torch.from_numpy(np.ascontiguousarray(array)).to(device)
            outputs = module(**tensors)
        return {name: tensor.cpu().numpy() for name, tensor in outputs.items()}
