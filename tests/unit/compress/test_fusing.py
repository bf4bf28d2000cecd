"""What int8 variants of transformers and convolutions are made of, and that they answer alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from modelyard.compress import quantize
from modelyard.compress.fusing import fused
from modelyard.runtimes.export import to_onnx
from modelyard.runtimes.onnx import OnnxRuntime
from modelyard.runtimes.types import Graph

WIDTH, HEADS, LENGTH, ROWS = 32, 4, 12, 6
OPERATORS = frozenset({"Conv", "Gemm", "MatMul"})


class Layer(torch.nn.Module):
    """One layer of a transformer encoder; `hidden` is what a mask adds where it lets nothing pass."""

    def __init__(self, hidden: float | None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.hidden = hidden
        self.parts = torch.nn.ModuleList([torch.nn.Linear(WIDTH, WIDTH) for _ in range(4)])
        self.norms = torch.nn.ModuleList([torch.nn.LayerNorm(WIDTH) for _ in range(2)])
        self.wide = torch.nn.Linear(WIDTH, 4 * WIDTH)
        self.narrow = torch.nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x, seen):
        query, key, value = (
            part(x).view(-1, LENGTH, HEADS, WIDTH // HEADS).transpose(1, 2)
            for part in self.parts[:3]
        )
        mask = None
        if self.hidden is not None:
            mask = torch.where(seen[:, None, None, :] > 0, 0.0, self.hidden)
        mixed = scaled_dot_product_attention(query, key, value, attn_mask=mask)
        mixed = mixed.transpose(1, 2).reshape(-1, LENGTH, WIDTH)
        x = self.norms[0](x + self.parts[3](mixed))
        x = x + self.narrow(torch.nn.functional.gelu(self.wide(x)))
        # `seen` stays an input of the graph without a mask too.
        return {"y": self.norms[1](x) + 0 * seen[:, :, None]}


def layer(folder: Path, hidden: float | None) -> tuple[Path, dict[str, np.ndarray]]:
    """The layer as ONNX, and inputs: texts of several lengths, an empty one among them."""
    rng = np.random.default_rng(0)
    seen = (np.arange(LENGTH) < rng.integers(1, LENGTH, (ROWS, 1))).astype(np.float32)
    seen[0] = 0
    example = {"x": rng.normal(size=(ROWS, LENGTH, WIDTH)).astype(np.float32), "seen": seen}
    file = folder / "layer.onnx"
    to_onnx(Graph("layer", example, module=Layer(hidden)), file, 18)
    return file, example


def operators(file: Path) -> list[str]:
    return [node.op_type for node in onnx.load(str(file)).graph.node]


def answer(file: Path, example) -> np.ndarray:
    return OnnxRuntime({"layer": file})("layer", example)["y"]


def test_int8_without_a_mask_has_attention_and_gelu_as_single_operators(tmp_path):
    file, example = layer(tmp_path, None)
    quantize.to_int8(file, tmp_path / "int8.onnx", OPERATORS)
    found = operators(tmp_path / "int8.onnx")
    assert (found.count("QAttention"), found.count("Gelu")) == (1, 1)
    assert "Softmax" not in found
    assert "MatMul" not in found, "every product of weights is quantized"
    assert answer(tmp_path / "int8.onnx", example) == pytest.approx(answer(file, example), abs=0.05)


def test_a_mask_keeps_its_effect_where_attention_becomes_one_operator(tmp_path):
    lowest = float(np.finfo(np.float32).min)
    file, example = layer(tmp_path, lowest)
    quantize.to_int8(file, tmp_path / "int8.onnx", OPERATORS)
    found = operators(tmp_path / "int8.onnx")
    assert "MultiHeadAttention" in found
    assert "QAttention" not in found, "ONNX Runtime's quantizer would lose the mask"
    expected = answer(file, example)
    assert answer(tmp_path / "int8.onnx", example) == pytest.approx(expected, abs=0.05)
    everything = {**example, "seen": np.ones_like(example["seen"])}
    assert not np.allclose(answer(file, everything), expected, atol=0.05), "the mask matters"


def test_a_mask_of_infinities_leaves_attention_in_parts(tmp_path, capfd):
    file, example = layer(tmp_path, -float("inf"))
    example["seen"][0, 0] = 1
    quantize.to_int8(file, tmp_path / "int8.onnx", OPERATORS)
    found = operators(tmp_path / "int8.onnx")
    assert "Softmax" in found
    assert "MultiHeadAttention" not in found
    assert "Gelu" in found
    assert capfd.readouterr().err == "", "nothing of the tools' own on the terminal"
    assert answer(tmp_path / "int8.onnx", example) == pytest.approx(answer(file, example), abs=0.05)


@pytest.mark.parametrize("products", ["inside", "outside"])
@pytest.mark.parametrize("hidden", [None, -1e9])
def test_fusing_itself_changes_no_answer(tmp_path, products, hidden):
    file, example = layer(tmp_path, hidden)
    onnx.save(fused(onnx.load(str(file)), products), str(tmp_path / "fused.onnx"))
    found = answer(tmp_path / "fused.onnx", example)
    assert found == pytest.approx(answer(file, example), abs=1e-5)


def test_static_int8_of_a_transformer_quantizes_what_its_products_take(tmp_path):
    file, example = layer(tmp_path, None)
    calls = [{name: array[row : row + 1] for name, array in example.items()} for row in range(ROWS)]
    quantize.to_static_int8(file, tmp_path / "static.onnx", OPERATORS, calls, "minmax")
    model = onnx.load(str(tmp_path / "static.onnx"))
    maker = {name: node.op_type for node in model.graph.node for name in node.output}
    products = [node for node in model.graph.node if node.op_type == "MatMul"]
    assert len(products) == 6
    for node in products:
        assert [maker[name] for name in node.input] == ["DequantizeLinear"] * 2
    assert answer(tmp_path / "static.onnx", example) == pytest.approx(
        answer(file, example), abs=0.1
    )


class Residual(torch.nn.Module):
    """A small residual network, and a sum that no convolution's maps reach."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = torch.nn.Conv2d(3, 8, 3, padding=1)
        self.inner = torch.nn.Conv2d(8, 8, 3, padding=1)
        self.head = torch.nn.Linear(8, 4)

    def forward(self, x):
        maps = torch.nn.functional.max_pool2d(self.stem(x + x.mean()).relu(), 2)
        maps = (maps + self.inner(maps)).relu()
        return {"y": self.head(maps.mean((2, 3)))}


def test_static_int8_stays_in_8_bits_between_convolutions(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    example = {"x": rng.random((ROWS, 3, 16, 16)).astype(np.float32)}
    file = tmp_path / "maps.onnx"
    to_onnx(Graph("layer", example, module=Residual()), file, 18)
    calls = [{"x": example["x"][row : row + 1]} for row in range(ROWS)]
    quantize.to_static_int8(file, tmp_path / "static.onnx", OPERATORS, calls, "minmax")
    found = run_as(tmp_path / "static.onnx", example, tmp_path, monkeypatch)
    assert found.count("QLinearConv") == 2
    assert "QLinearAdd" in found
    assert "Relu" not in found
    assert "Add" in found, "what comes before the first convolution stays as it is"
    assert answer(tmp_path / "static.onnx", example) == pytest.approx(
        answer(file, example), abs=0.05
    )


def run_as(file: Path, example, folder: Path, monkeypatch) -> list[str]:
    """The operators that ONNX Runtime makes of a graph as the service opens it."""
    seen = folder / "seen.onnx"
    opens = onnxruntime.InferenceSession

    def watched(source, options, **others):
        options.optimized_model_filepath = str(seen)
        return opens(source, options, **others)

    monkeypatch.setattr(onnxruntime, "InferenceSession", watched)
    answer(file, example)
    monkeypatch.undo()
    return operators(seen)


def test_full_precision_on_a_cpu_adds_and_normalizes_in_two_operators(tmp_path, monkeypatch):
    file, example = layer(tmp_path, None)
    found = run_as(file, example, tmp_path, monkeypatch)
    assert found.count("LayerNormalization") == 2
    assert "SkipLayerNormalization" not in found
