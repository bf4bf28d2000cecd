"""Channels and weights that are removed after training."""

from __future__ import annotations

import json
import shutil
import zlib
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from modelyard.compress.facts import facts_of
from modelyard.compress.narrow import narrowed, prune_channels
from modelyard.errors import Interrupted, UsageError
from modelyard.families.image.config import ImageConfig
from modelyard.families.image.family import Image
from modelyard.runtimes.export import to_onnx
from modelyard.settings.family import resolve
from modelyard.store.base import FOLDER, carry
from modelyard.training.loop import load_weights
from modelyard.training.session import Session
from tests.training.going_on import features_of, model_of


def family(kind: str = "cnn", **compress: Any) -> Image:
    values = ImageConfig.debug().model_dump()
    values["features"] |= {"sample_images": 300, "size": 16}
    values["model"] |= {"kind": kind, "width": 8}
    values["training"] |= {"epochs": 3, "learning_rate": 5e-3}
    if kind == "efficientnet":
        # Its stages are narrower than the width, and learn later.
        values["model"]["width"], values["training"]["epochs"] = 32, 6
    values["compress"] = {"recovery_epochs": 2, "recovery_rate": 1.0, **compress}
    return Image(ImageConfig.model_validate(values))


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root, one = tmp_path_factory.mktemp("digits"), family()
    (root / "raw").mkdir()
    one.sample(root / "raw")
    return features_of(one, root / "raw", root / "features")


def numbers(folder: Path) -> int:
    return sum(value.numel() for value in load_file(folder / "model.safetensors").values())


@pytest.mark.parametrize("kind", ["cnn", "resnet", "vit", "efficientnet"])
def test_a_pruned_network_is_really_smaller_and_answers_from_its_files(
    kind: str, features: Path, tmp_path: Path
) -> None:
    one = family(kind, prune=0.5)
    plain = model_of(family(kind), features, tmp_path / "plain")
    pruned = model_of(one, features, tmp_path / "pruned")
    # Of a ViT only the MLPs get narrower; an EfficientNet's channels are multiples of each other.
    most = {"vit": 0.87, "efficientnet": 0.45}.get(kind, 0.35)
    assert numbers(pruned) < most * numbers(plain)
    (graph,) = one.graphs(pruned)
    logits = one.native(pruned)("model", graph.example)["logits"]
    assert logits.shape == (8, 10)
    report = json.loads((pruned / "report.json").read_text())
    assert f"pruned to {report['parameters']:,} of " in report["headline"]
    losses = report["curves"]["loss"]["validation"]
    epochs = one.config.training.epochs
    assert len(losses) == report["epochs"] == epochs + 2
    assert losses[epochs] < losses[0], "the recovery begins with what was learned"
    if kind == "cnn":
        to_onnx(graph, tmp_path / "model.onnx", 18)
        weights = sum(facts_of(tmp_path / "model.onnx").weights.values())
        assert weights == pytest.approx(4 * numbers(pruned), rel=0.1)


def test_what_is_left_computes_what_it_did_where_the_removed_channels_are_zero() -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.ReLU(), torch.nn.Linear(6, 3))
    with torch.no_grad():
        model[0].weight[[1, 4]] = 0
        model[0].bias[[1, 4]] = 0
        model[2].weight[:, [1, 4]] = 0
    rows = {"x": torch.rand(5, 4)}
    before = model(rows["x"])
    shapes = prune_channels(
        model, [model[0]], 0.3, rows, lambda network, batch: network(batch["x"]).sum()
    )
    assert shapes == {"0.weight": (4, 4), "0.bias": (4,), "2.weight": (3, 4)}
    assert torch.allclose(model(rows["x"]), before, atol=1e-6)
    again = torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.ReLU(), torch.nn.Linear(6, 3))
    narrowed(again, shapes).load_state_dict(model.state_dict())
    assert torch.equal(again(rows["x"]), model(rows["x"]))
    assert (again[0].out_features, again[2].in_features) == (4, 4)


def test_wide_layers_keep_whole_blocks_of_channels_and_narrow_ones_the_share() -> None:
    for width, stay in ((64, 48), (40, 32), (24, 17), (2, 1)):
        layers = [torch.nn.Linear(4, width), torch.nn.ReLU(), torch.nn.Linear(width, 3)]
        model = torch.nn.Sequential(*layers)
        prune_channels(
            model,
            [layers[0]],
            0.3,
            {"x": torch.rand(5, 4)},
            lambda network, batch: network(batch["x"]).sum(),
        )
        assert model[0].weight.shape == (stay, 4)


def test_training_that_is_stopped_in_its_recovery_resumes_to_the_same_weights(
    features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = family(prune=0.5, sparsity=0.3)
    whole = model_of(one, features, tmp_path / "whole")
    steps = Session._beat
    lives = iter([20, 45])  # steps of a life: within the main training, then within the recovery

    def interrupted(self: Session) -> None:
        self.preemption.requested = lives_left[0] == 0
        lives_left[0] -= 1
        steps(self)

    monkeypatch.setattr(Session, "_beat", interrupted)
    for life in lives:
        lives_left = [life]
        with pytest.raises(Interrupted):
            model_of(one, features, tmp_path / f"life-{life}", tmp_path / "checkpoints")
    lives_left = [10**6]
    resumed = model_of(one, features, tmp_path / "resumed", tmp_path / "checkpoints")
    expected = load_file(whole / "model.safetensors")
    for name, value in load_file(resumed / "model.safetensors").items():
        assert torch.equal(value, expected[name]), name


def test_zeros_stay_zeros_in_the_recovery_and_make_only_a_compressed_file_smaller(
    features: Path, tmp_path: Path
) -> None:
    dense = model_of(family(), features, tmp_path / "dense")
    sparse = model_of(family(sparsity=0.8), features, tmp_path / "sparse")
    matrices = [
        value
        for name, value in load_file(sparse / "model.safetensors").items()
        if value.ndim > 1 and name.endswith("weight")
    ]
    zeros = sum(int((value == 0).sum()) for value in matrices)
    assert zeros / sum(value.numel() for value in matrices) == pytest.approx(0.8, abs=0.01)
    files = [(folder / "model.safetensors").read_bytes() for folder in (dense, sparse)]
    assert len(files[1]) == pytest.approx(len(files[0]), rel=0.01)
    assert len(zlib.compress(files[1])) < 0.5 * len(zlib.compress(files[0]))
    load_weights(family().model(sparse / "assets"), sparse)


def test_a_share_that_removes_nothing_and_a_family_without_such_layers_are_refused(
    features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match=r"compress.prune = 0.01 removes no channel"):
        model_of(family(prune=0.01), features, tmp_path / "one")
    monkeypatch.setattr(Image, "prunable", lambda self, model: [])
    with pytest.raises(UsageError, match="--set compress.prune=0"):
        model_of(family(prune=0.5), features, tmp_path / "two")


def test_a_run_does_not_start_from_a_pruned_model(features: Path, tmp_path: Path) -> None:
    pruned = model_of(family(prune=0.5), features, tmp_path / "pruned")
    later = tmp_path / "features"
    shutil.copytree(features, later)
    carry(pruned, later / FOLDER)
    with pytest.raises(UsageError, match="a pruned network is not trained on"):
        model_of(family(), later, tmp_path / "second")


@pytest.mark.parametrize(
    "bad", [{"prune": 1.0}, {"temperature": 0.5}, {"teacher_share": 1.5}, {"prunes": 0.1}]
)
def test_a_setting_out_of_its_range_is_refused(bad: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=f"compress.{next(iter(bad))}"):
        resolve(ImageConfig, ("--set", {"compress": bad}))
