"""What recipes are told about a graph."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from modelyard.compress.facts import facts_of


def test_weights_are_the_matrices_of_floats_each_counted_once(tmp_path: Path) -> None:
    """Tables of whole numbers, such as places to gather from, are none."""
    matrix = np.ones((4, 4), np.float32)
    places = numpy_helper.from_array(np.zeros((64, 64), np.int64), "table")
    nodes = [
        helper.make_node("Constant", [], ["inner"], value=numpy_helper.from_array(matrix, "m")),
        helper.make_node("Constant", [], ["places"], value=places),
        helper.make_node("MatMul", ["x", "outer"], ["one"]),
        helper.make_node("MatMul", ["one", "outer"], ["two"]),
        helper.make_node("Add", ["two", "inner"], ["three"]),
        helper.make_node("Gather", ["three", "places"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "model",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(matrix, "outer")],
    )
    onnx.save(helper.make_model(graph), str(tmp_path / "model.onnx"))
    facts = facts_of(tmp_path / "model.onnx")
    assert facts.weights == {"MatMul": 64, "Add": 64}
    assert facts.inputs == {"x": (None, 4)}
