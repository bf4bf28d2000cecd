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
    sizes = {
        tensor.name: int(np.prod(tensor.dims)) * 4
        for tensor in model.graph.initializer
        if tensor.data_type == onnx.TensorProto.FLOAT and len(tensor.dims) >= 2
    }
    sizes |= _constants(model)
    weights: dict[str, int] = {}
    counted: set[str] = set()
    for node in model.graph.node:
        for name in node.input:
            if name in sizes and name not in counted:
                counted.add(name)
                weights[node.op_type] = weights.get(node.op_type, 0) + sizes[name]
    return Facts(weights, {value.name: _shape(value) for value in model.graph.input})


def _constants(model: onnx.ModelProto) -> dict[str, int]:
    """Bytes of matrices that stand in the graph as nodes."""
    found = {}
    for node in model.graph.node:
        if node.op_type != "Constant":
            continue
        for attribute in node.attribute:
            value = helper.get_attribute_value(attribute)
            if isinstance(value, onnx.TensorProto) and len(value.dims) >= 2:
                found[node.output[0]] = int(np.prod(value.dims)) * 4
    return found


def _shape(value: onnx.ValueInfoProto) -> tuple[int | None, ...]:
    axes = value.type.tensor_type.shape.dim
    return tuple(axis.dim_value if axis.HasField("dim_value") else None for axis in axes)
