"""Graphs as the torch modules they were trained as."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from modelyard.errors import UsageError
from modelyard.runtimes.torch import TorchRuntime
from modelyard.runtimes.types import Graph


class Scale(torch.nn.Module):
    """y = dropout(factor x); also says whether gradients are recorded."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = torch.nn.Parameter(torch.tensor(factor))
        self.dropout = torch.nn.Dropout(0.5)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        y = self.dropout(self.factor * x)
        return {"y": y, "recorded": torch.full((len(x),), y.requires_grad)}


@pytest.fixture
def run() -> TorchRuntime:
    example = {"x": np.ones((2, 3), dtype=np.float32)}
    return TorchRuntime(
        [Graph("double", example, module=Scale(2.0)), Graph("triple", example, module=Scale(3.0))]
    )


def test_each_graph_answers_under_its_name(run: TorchRuntime) -> None:
    x = np.arange(12, dtype=np.float32).reshape(4, 3)
    assert np.array_equal(run("double", {"x": x})["y"], 2 * x)
    assert np.array_equal(run("triple", {"x": x[:, ::-1]})["y"], 3 * x[:, ::-1])


def test_nothing_is_dropped_or_recorded(run: TorchRuntime) -> None:
    answer = run("double", {"x": np.ones((500, 3), dtype=np.float32)})
    assert (answer["y"] == 2).all()
    assert not answer["recorded"].any()


def test_an_unknown_graph_is_named_with_the_known_ones(run: TorchRuntime) -> None:
    with pytest.raises(
        UsageError,
        match=r"graph 'doubel' is unknown\. Did you mean 'double'\? Allowed: double, triple",
    ):
        run("doubel", {"x": np.ones((2, 3), dtype=np.float32)})


def test_a_missing_or_unknown_input_is_named(run: TorchRuntime) -> None:
    with pytest.raises(UsageError, match="graph 'double' needs input 'x'; seen: z"):
        run("double", {"z": np.ones((2, 3), dtype=np.float32)})
    with pytest.raises(UsageError, match="'z' is unknown"):
        run("double", {"x": np.ones((2, 3), dtype=np.float32), "z": np.ones(2)})
