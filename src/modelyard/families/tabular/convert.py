"""Trees and linear models as ONNX: one float32 input `features`, one float32 output."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelyard.families.tabular.native import INPUT, output_name

if TYPE_CHECKING:
    from modelyard.families.tabular.table import ModelInfo


CONVERTERS_OPSET = 15
"""Operator set that every converter knows; onnx's own version converter goes on from there."""


def to_onnx(trained: Any, info: ModelInfo, opset: int) -> bytes:
    """A fitted estimator or booster as ONNX bytes, in the operator set `opset`.

    The output is `probabilities` float32 (rows, classes) or `value` float32 (rows,).
    """
    import onnx
    from onnx import version_converter

    converted = _CONVERTERS.get(info.kind, _from_sklearn)(trained, info)
    _one_output(converted.graph, info)
    if not any(used.domain == "" for used in converted.opset_import):
        converted.opset_import.append(onnx.helper.make_opsetid("", CONVERTERS_OPSET))
    converted = version_converter.convert_version(converted, opset)
    onnx.checker.check_model(converted, full_check=True)
    serialized: bytes = converted.SerializeToString()
    return serialized


def _from_sklearn(trained: Any, info: ModelInfo) -> Any:
    from skl2onnx import to_onnx as convert
    from skl2onnx.common.data_types import FloatTensorType

    options = {"zipmap": False} if info.classes else None
    return convert(
        trained,
        initial_types=[(INPUT, FloatTensorType([None, info.columns]))],
        options=options,
        target_opset={"": CONVERTERS_OPSET, "ai.onnx.ml": 3},
    )


def _from_lightgbm(trained: Any, info: ModelInfo) -> Any:
    from onnxmltools import convert_lightgbm
    from onnxmltools.convert.common.data_types import FloatTensorType

    inputs = [(INPUT, FloatTensorType([None, info.columns]))]
    return convert_lightgbm(
        trained, initial_types=inputs, target_opset=CONVERTERS_OPSET, zipmap=False
    )


def _from_xgboost(trained: Any, info: ModelInfo) -> Any:
    from onnxmltools import convert_xgboost
    from onnxmltools.convert.common.data_types import FloatTensorType

    inputs = [(INPUT, FloatTensorType([None, info.columns]))]
    return convert_xgboost(trained, initial_types=inputs, target_opset=CONVERTERS_OPSET)


_CONVERTERS = {"lightgbm": _from_lightgbm, "xgboost": _from_xgboost}


def _one_output(graph: Any, info: ModelInfo) -> None:
    """Drops the label and what leads only to it, names the output, and flattens a regression's
    column."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    wanted, name = graph.output[-1].name, output_name(info)
    if info.classes:
        _rename(graph, wanted, name)
        shape: list[Any] = ["rows", len(info.classes)]
    else:
        graph.initializer.append(numpy_helper.from_array(np.array([-1], dtype=np.int64), "flat"))
        graph.node.append(helper.make_node("Reshape", [wanted, "flat"], [name]))
        shape = ["rows"]
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
    graph.input[0].type.tensor_type.shape.dim[0].dim_param = "rows"
    _prune(graph)


def _rename(graph: Any, old: str, new: str) -> None:
    for node in graph.node:
        node.input[:] = [new if name == old else name for name in node.input]
        node.output[:] = [new if name == old else name for name in node.output]


def _prune(graph: Any) -> None:
    """Removes nodes and constants that no output needs."""
    needed = {output.name for output in graph.output}
    kept = []
    for node in reversed(graph.node):
        if needed & set(node.output):
            needed |= set(node.input)
            kept.append(node)
    constants = [constant for constant in graph.initializer if constant.name in needed]
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend(reversed(kept))
    graph.initializer.extend(constants)
