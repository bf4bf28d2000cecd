"""What is said where torch cannot export a module."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from modelyard.compress.building import LONGEST, one_line
from modelyard.errors import BrokenArtifact
from modelyard.runtimes.export import to_onnx
from modelyard.runtimes.types import Graph


class Eigenvalues(torch.nn.Module):
    """ONNX has no such operator."""

    def forward(self, x):
        return {"y": torch.linalg.eigvals(x).real}


class Branching(torch.nn.Module):
    """A branch that depends on values."""

    def forward(self, x):
        if x.sum() > 0:
            return {"y": x}
        return {"y": -x}


def failure(module, tmp_path) -> str:
    graph = Graph("model", {"x": np.ones((2, 3, 3), np.float32)}, module=module)
    with pytest.raises(BrokenArtifact) as caught:
        to_onnx(graph, tmp_path / "model.onnx", 18)
    return str(caught.value)


def test_an_operator_that_onnx_lacks_is_named_in_one_line(tmp_path):
    said = failure(Eigenvalues(), tmp_path)
    assert said.startswith("graph 'model' cannot be exported to ONNX: No ONNX function found for")
    assert "aten.linalg_eig" in said
    assert "\n" not in said


def test_code_that_cannot_be_exported_is_named_by_its_line(tmp_path):
    said = failure(Branching(), tmp_path)
    assert "data-dependent" in said
    line = Branching.forward.__code__.co_firstlineno + 1
    assert said.endswith(f"test_failing_export.py:{line}")


def test_a_long_reason_keeps_the_name_of_the_node():
    said = one_line(RuntimeError("no\n kernel " + "x" * 400 + " for Node (Conv_7) Op (Conv)"))
    assert said.startswith("no kernel xxx")
    assert said.endswith("… node Conv_7")
    assert len(said) < LONGEST + 30
    assert one_line(KeyError()) == "KeyError"
