"""What recipes look at in an ONNX file: where its weights go, and which axes vary."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import helper


@dataclass(frozen=True)
class Facts:
    """An ONNX file in full precision."""

    weights: Mapping[str, int]
    """Bytes of constant float32 matrices and kernels, by the operator that takes them."""
    inputs: Mapping[str, tuple[int | None, ...]]
    """Their shapes; None where an axis varies."""

    @property
    def lengths(self) -> bool:
        """An input varies along another axis than the batch: texts, series."""
        return any(None in shape[1:] for shape in self.inputs.values())

    def bytes_in(self, operators: frozenset[str]) -> int:
        """Bytes of weights that these operators take."""
        return sum(size for name, size in self.weights.items() if name in operators)


def facts_of(file: Path) -> Facts:
    """Reads an ONNX file; weights in other files are looked up by size only."""
    model = onnx.load(str(file), load_external_data=False)
    sizes = _matrices(model)
    weights: dict[str, int] = {}
    for node in model.graph.node:
        for name in node.input:
            # Shared weights count once, for the first operator that takes them.
            size = sizes.pop(name, 0)
            if size:
                weights[node.op_type] = weights.get(node.op_type, 0) + size
    return Facts(weights, {value.name: _shape(value) for value in model.graph.input})


def _matrices(model: onnx.ModelProto) -> dict[str, int]:
    """Bytes of constant float32 tensors of two axes and more, by name: initializers, and those that
    stand in the graph as nodes."""
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type != "Constant":
            continue
        for attribute in node.attribute:
            value = helper.get_attribute_value(attribute)
            if isinstance(value, onnx.TensorProto):
                tensors[node.output[0]] = value
    found = {}
    for name, tensor in tensors.items():
        if tensor.data_type == onnx.TensorProto.FLOAT and len(tensor.dims) >= 2:
            found[name] = int(np.prod(tensor.dims)) * 4
    return found


def _shape(value: onnx.ValueInfoProto) -> tuple[int | None, ...]:
    sizes: list[int | None] = []
    for axis in value.type.tensor_type.shape.dim:
        sizes.append(axis.dim_value if axis.HasField("dim_value") else None)
    return tuple(sizes)
