"""The one place that opens runtimes."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from modelyard.errors import UsageError
from modelyard.family import load
from modelyard.runtimes import opening
from modelyard.runtimes.opening import open_variant


@pytest.fixture
def graphs(tmp_path: Path) -> Path:
    """The toy family's one graph, y = 2 x + 1, as a file."""
    (tmp_path / "line.json").write_text("[2.0, 1.0]")
    (graph,) = load("tests.toy.family:Line").make().graphs(tmp_path)
    (tmp_path / "line.onnx").write_bytes(graph.onnx or b"")
    return tmp_path


def test_a_variant_runs_its_graphs_by_name(graphs):
    run = open_variant(graphs, "onnx-fp32", {"line": "line.onnx"}, threads=1)
    assert run("line", {"x": np.array([[3.0]], np.float32)})["y"].tolist() == [[7.0]]


def test_an_unknown_runtime_and_an_unknown_device_are_named(graphs):
    with pytest.raises(UsageError, match="runtime 'tensor' is unknown"):
        open_variant(graphs, "tensor-fp16", {"line": "line.onnx"})
    for device in ("gpu", "cuda:first", "cpu:1"):
        with pytest.raises(UsageError, match="Allowed: auto, cpu, cuda, cuda:N"):
            open_variant(graphs, "onnx-fp32", {"line": "line.onnx"}, device=device)


def test_nothing_else_opens_a_runtime_of_compiled_graphs():
    package = Path(opening.__file__).parents[1]
    opened = [
        file for file in package.rglob("*.py") if re.search(r"\bOnnxRuntime\(", file.read_text())
    ]
    assert [file.relative_to(package).as_posix() for file in opened] == ["runtimes/opening.py"]
