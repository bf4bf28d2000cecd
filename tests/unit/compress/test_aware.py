"""Training that makes a network bear 8 bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from modelyard.compress import recipes
from modelyard.compress.aware import ENTRY, Learned, add_rounding, learned
from modelyard.compress.building import make_variants
from modelyard.compress.facts import facts_of
from modelyard.compress.recipes import Source, Task
from modelyard.errors import BrokenArtifact, UsageError
from modelyard.packages.package import read_info
from modelyard.runtimes.export import to_onnx
from modelyard.runtimes.opening import open_variant
from modelyard.runtimes.torch import TorchRuntime
from modelyard.runtimes.types import Graph
from modelyard.settings.export import ExportSettings
from tests.toy.build import build

Batch = dict[str, torch.Tensor]
OPERATORS = frozenset({"Conv", "Gemm", "MatMul"})
NAME = "onnx-int8-aware"


class Net(nn.Module):
    """Two convolutions, of which the first has channels that are `spread` times wider than others,
    and a linear layer."""

    def __init__(self, spread: float = 1.0) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 4, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.second = nn.Conv2d(4, 6, 3, padding=1)
        self.head = nn.Linear(6, 3)
        with torch.no_grad():
            self.norm.weight[0] = spread
            self.norm.running_mean.uniform_(-0.5, 0.5)
            self.norm.running_var.uniform_(0.5, 2)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        maps = self.norm(self.first(x)).relu()
        return {"logits": self.head(self.second(maps).relu().mean((2, 3)))}


def loss(model: nn.Module, batch: Batch) -> torch.Tensor:
    return model(batch["x"])["logits"].square().mean()


@pytest.fixture
def batch() -> Batch:
    torch.manual_seed(0)
    return {"x": torch.rand(8, 1, 6, 6) * 2 - 0.5}


def rounded(batch: Batch) -> tuple[nn.Module, nn.Module, Learned]:
    """A network, its copy with rounding and ranges of the batch, and what that one holds."""
    torch.manual_seed(1)
    plain = Net().eval()
    copy = Net()
    copy.load_state_dict(plain.state_dict())
    folds = add_rounding(copy, batch, loss)
    copy.train()(batch["x"])
    copy.eval()
    return plain, copy, learned(copy.state_dict(), folds)


def graph_of(plain: nn.Module, batch: Batch) -> Graph:
    return Graph("model", {"x": batch["x"].numpy()}, module=plain)


def quantized(plain: nn.Module, found: Learned, batch: Batch, folder: Path) -> Path:
    """The ONNX file that export makes."""
    graph = graph_of(plain, batch)
    precise, file = folder / "precise.onnx", folder / NAME / "model.onnx"
    to_onnx(graph, precise, 18)
    file.parent.mkdir()
    task = Task(
        ExportSettings(),
        OPERATORS,
        lambda: {"model": [{"x": batch["x"].numpy() * 3}]},
        aware={"model": lambda: found.applied(graph)},
    )
    source = Source("model", precise, facts_of(precise))
    assert not recipes.OnnxInt8Aware().refusal([source], task)
    recipes.OnnxInt8Aware().make(source, file, task)
    return file


def test_the_file_has_the_ranges_that_were_learned_not_those_of_calibration(
    batch: Batch, tmp_path: Path
) -> None:
    plain, _, found = rounded(batch)
    assert found.folds == {"norm": "first"}
    low, high = found.ranges["first"][ENTRY]
    assert (low, high) == pytest.approx((batch["x"].min().item(), batch["x"].max().item()))
    model = onnx.load(str(quantized(plain, found, batch, tmp_path)))
    scales = {
        one.name: numpy_helper.to_array(one)
        for one in model.graph.initializer
        if one.name.endswith("_scale")
    }
    assert scales["x_scale"] == pytest.approx((high - low) / 255, rel=1e-5)
    assert not [node for node in model.graph.node if node.op_type == "BatchNormalization"]


def test_the_file_answers_as_the_copy_did_in_training(batch: Batch, tmp_path: Path) -> None:
    plain, copy, found = rounded(batch)
    file = quantized(plain, found, batch, tmp_path)
    run = open_variant(tmp_path, NAME, {"model": f"{NAME}/{file.name}"})
    answered = run("model", {"x": batch["x"].numpy()})["logits"]
    with torch.no_grad():
        expected = copy(batch["x"])["logits"].numpy()
        precise = plain(batch["x"])["logits"].numpy()
    again = TorchRuntime([found.applied(graph_of(plain, batch)).rounded])
    assert again("model", {"x": batch["x"].numpy()})["logits"] == pytest.approx(expected, abs=1e-6)
    low, high = found.ranges["head"]["exit"]
    step = (high - low) / 255
    assert np.abs(answered - expected).max() < 1.5 * step
    assert np.abs(expected - precise).max() > 0.5 * step, "rounding changed nothing"


def test_gradients_pass_through_the_rounding(batch: Batch) -> None:
    _, copy, _ = rounded(batch)
    loss(copy.train(), batch).backward()
    for name, parameter in copy.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_ranges_follow_training_and_stay_in_validation(batch: Batch) -> None:
    _, copy, _ = rounded(batch)
    entry = copy.first.entry
    before = entry.high.item()
    copy.eval()(batch["x"] * 10)
    assert entry.high.item() == before
    copy.train()(batch["x"] * 10)
    assert before < entry.high.item() < 3 * before


def test_a_network_without_layers_to_round_is_refused(batch: Batch) -> None:
    class Mean(nn.Module):
        def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"logits": x.mean((2, 3))}

    with pytest.raises(UsageError, match="--set compress.aware_epochs=0"):
        add_rounding(Mean(), batch, loss)


def test_norms_that_cannot_be_folded_are_refused(batch: Batch) -> None:
    class Twice(Net):
        def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
            maps = self.first(x)
            return {"logits": (self.norm(maps) + maps).mean((2, 3))}

    with pytest.raises(UsageError, match="norms cannot be folded"):
        add_rounding(Twice(3.0), batch, loss)


def test_a_graph_that_does_not_hold_the_network_leaves_the_variant_out(batch: Batch) -> None:
    _, _, found = rounded(batch)
    other = Graph("model", {"x": batch["x"].numpy()}, module=nn.Linear(3, 3))
    with pytest.raises(BrokenArtifact, match="graph 'model' does not hold the network"):
        found.applied(other)


def config(**compress: Any) -> dict[str, Any]:
    return {
        "features": {"sample_images": 300, "size": 8},
        "model": {"width": 4},
        "training": {"epochs": 3, "batch_size": 16, "learning_rate": 5e-3},
        "compress": compress,
        "export": {"variants": NAME, "latency_repeats": 5, "max_loss": 1.0},
    }


def test_a_run_makes_the_variant_judges_it_and_packs_it(tmp_path: Path) -> None:
    package = build(tmp_path, "r", config(aware_epochs=2, recovery_rate=1.0), "image").package
    variant = next(one for one in read_info(package).variants if one.name == NAME)
    assert variant.graphs == {"model": f"{NAME}/model.onnx"}
    assert variant.change is not None
    assert variant.change > -0.1
    assert "8 bits" in (package / "training.json").read_text()


def test_without_a_copy_the_variant_is_refused_with_the_setting_to_type(
    batch: Batch, tmp_path: Path
) -> None:
    to_onnx(graph_of(Net(), batch), tmp_path / "precise.onnx", 18)
    source = Source("model", tmp_path / "precise.onnx", facts_of(tmp_path / "precise.onnx"))
    task = Task(ExportSettings(variants=(NAME,)), OPERATORS, lambda: {})
    told: list[tuple[int, int]] = []
    made, (left_out,) = make_variants([source], tmp_path, task, lambda *one: told.append(one))
    # A recipe that is refused is done with, too.
    assert told == [(1, 1)]
    assert made == {}
    assert left_out.verdict == "refused"
    assert left_out.reason.endswith("--set compress.aware_epochs=10")
