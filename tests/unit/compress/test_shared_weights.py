"""Weights that several nodes read, as a detector's head does over its levels, in 8 bits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from modelyard.compress import quantize
from modelyard.runtimes.export import to_onnx
from modelyard.runtimes.onnx import OnnxRuntime
from modelyard.runtimes.types import Graph

OPERATORS = frozenset({"Conv", "MatMul"})


class Levels(torch.nn.Module):
    """One convolution and one matrix, over pictures and over their halves."""

    def __init__(self, *, shared: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.heads = torch.nn.ModuleList([torch.nn.Conv2d(3, 8, 3, padding=1) for _ in range(2)])
        self.last = torch.nn.ParameterList([torch.randn(8, 4) for _ in range(2)])
        if shared:
            self.heads[1], self.last[1] = self.heads[0], self.last[0]

    def forward(self, x):
        found = []
        for head, last, level in zip(self.heads, self.last, (x, x[..., ::2, ::2]), strict=True):
            found.append(head(level).mean((2, 3)) @ last)
        return {"y": torch.cat(found, 1)}


def made(folder: Path, *, shared: bool) -> tuple[Path, dict[str, np.ndarray]]:
    example = {"x": np.random.default_rng(0).random((6, 3, 16, 16)).astype(np.float32)}
    file = folder / "levels.onnx"
    to_onnx(Graph("levels", example, module=Levels(shared=shared)), file, 18)
    return file, example


def static(file: Path, out: Path, example: dict[str, np.ndarray]) -> None:
    quantize.to_static_int8(file, out, OPERATORS, [example], "minmax")


def dynamic(file: Path, out: Path, example: dict[str, np.ndarray]) -> None:
    quantize.to_int8(file, out, OPERATORS - {"Conv"})


def largest(file: Path) -> int:
    """The largest weight in 8 bits."""
    weights = []
    for stored in onnx.load(str(file)).graph.initializer:
        if stored.data_type == onnx.TensorProto.INT8:
            weights.append(np.abs(onnx.numpy_helper.to_array(stored).astype(int)).max())
    return int(max(weights))


@pytest.mark.parametrize("to_8_bits", [static, dynamic])
@pytest.mark.parametrize(("shared", "most"), [(True, 64), (False, 127)])
def test_shared_weights_cannot_overflow_and_open_everywhere(tmp_path, to_8_bits, shared, most):
    file, example = made(tmp_path, shared=shared)
    out = tmp_path / "int8.onnx"
    to_8_bits(file, out, example)
    assert largest(out) == most
    found = OnnxRuntime({"levels": out})("levels", example)["y"]
    right = OnnxRuntime({"levels": file})("levels", example)["y"]
    assert found == pytest.approx(right, abs=0.05)
