"""Every kind of network learns a folder of two classes, and its graph answers as it does;
checkpoints are read."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from safetensors.torch import load_file

from modelyard.compress.parity import check_parity
from modelyard.errors import UsageError
from modelyard.families.image.augment import Changes
from modelyard.families.image.config import ImageConfig, ImageTraining
from modelyard.families.image.family import Image
from modelyard.families.image.host import ImageHost
from modelyard.kit.classes.answers import BinaryAnswer
from modelyard.kit.classifier.store import load_arrays, load_files, load_labels
from modelyard.runtimes.export import to_onnx
from modelyard.runtimes.onnx import OnnxRuntime
from modelyard.settings.family import resolve
from modelyard.training.loop import Trainer, load_weights
from tests.unit.image.test_image_data import build, scans

BATCH = 7


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Networks this small are trained faster by one thread than by several that wait for each
    other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scans")
    build(scans(folder / "raw", {"dark": 40, "light": 30}), folder / "out", size=16)
    return folder / "out"


def family(**settings: Any) -> Image:
    fast = {
        "training": {"epochs": 6, "batch_size": 8, "learning_rate": 3e-3},
        "model": {"width": 8, "depth": 1},
    }
    return Image(resolve(ImageConfig, ("config", fast), ("--set", settings)))


def trained(family: Image, features: Path, out: Path) -> dict[str, Any]:
    shutil.copytree(features / "assets", out / "assets")
    return family.fit(features, out, Trainer(settings=family.config.training))


@pytest.fixture(scope="module", params=["cnn", "resnet", "vit", "efficientnet"])
def made(
    request: pytest.FixtureRequest, features: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Image, Path]:
    """A trained network of each kind, and its folder."""
    one, out = (
        family(model={"kind": request.param, "least_sensitivity": 0.9}),
        tmp_path_factory.mktemp(request.param),
    )
    trained(one, features, out)
    return one, out


def compiled(one: Image, model: Path, file: Path) -> OnnxRuntime:
    (graph,) = one.graphs(model)
    to_onnx(graph, file, 18)
    return OnnxRuntime({graph.name: file}, threads=1)


def test_a_kind_learns_and_its_graph_answers_as_it_does(
    made: tuple[Image, Path], features: Path, tmp_path: Path
) -> None:
    one, model = made
    run = compiled(one, model, tmp_path / "model.onnx")
    (graph,) = one.graphs(model)
    batch = {
        name: np.resize(array, (BATCH, *array.shape[1:])) for name, array in graph.example.items()
    }
    assert (
        check_parity(dataclasses.replace(graph, example=batch), one.native(model), run)
        <= graph.tolerance
    )
    host = ImageHost(model / "assets")
    native, onnx = (one.evaluate(host, runtime, features) for runtime in (one.native(model), run))
    assert native.metrics == pytest.approx(onnx.metrics, abs=1e-4)
    assert native.metrics["roc_auc"] > 0.9
    assert native.baseline["roc_auc"] == 0.5


def test_evidence_and_base_add_up_to_the_score_s_log_odds(
    made: tuple[Image, Path], features: Path
) -> None:
    one, model = made
    host, run = ImageHost(model / "assets"), one.native(model)
    for body in one.requests(features, "test", 5):
        request = host.Request.model_validate(body)
        (answer,) = host.predict(run, [request])
        reasons = host.explain(run, request)
        assert isinstance(answer, BinaryAnswer)
        assert reasons is not None
        assert reasons.base is not None
        assert reasons.picture is not None
        total = reasons.base + sum(reasons.contributions.values())
        assert 1 / (1 + np.exp(-total)) == pytest.approx(answer.score, abs=1e-4)
        sizes = [abs(value) for value in reasons.contributions.values()]
        assert sizes == sorted(sizes, reverse=True)
        shown = Pillow.open(io.BytesIO(base64.b64decode(reasons.picture.partition(",")[2])))
        assert shown.size == (224, 224)


def test_the_map_is_what_its_method_says_grad_cam_before_its_relu(
    made: tuple[Image, Path], features: Path
) -> None:
    one, model = made
    host, run = ImageHost(model / "assets"), one.native(model)
    assert isinstance(host, ImageHost)
    net = load_weights(one.model(model / "assets"), model).eval()
    least = []
    for body in one.requests(features, "test"):
        pixels = host.decode(host.Request.model_validate(body))[None]
        outputs = net(torch.from_numpy(pixels.astype(np.float32)))
        logits = outputs["logits"][0] / float(host.decision.calibration.model_dump()["value"])
        (gradient,) = torch.autograd.grad(logits[1] - logits[0], outputs["features"])
        weights = gradient.mean(dim=(2, 3), keepdim=True)
        grad_cam = (weights * outputs["features"]).sum(dim=1)[0].detach().numpy()
        (seen,) = host.outputs(run, pixels)
        assert host.evidence(seen["features"][0], seen["logits"][0])[0] == pytest.approx(
            grad_cam, rel=1e-3, abs=1e-5
        )
        least.append(grad_cam.min())
    assert min(least) < 0, "a ReLU would show"
    reasons = host.explain(run, host.Request.model_validate(body))
    assert reasons is not None
    where = (
        " over patch tokens: Grad-CAM of the last layer"
        if one.config.model.kind == "vit"
        else (": Grad-CAM of the last convolution")
    )
    assert reasons.method == f"class activation map{where}, before its ReLU"


def test_the_chosen_threshold_is_the_answer_s(made: tuple[Image, Path], features: Path) -> None:
    one, model = made
    host, run = ImageHost(model / "assets"), one.native(model)
    requests = [host.Request.model_validate(body) for body in one.requests(features, "validation")]
    answers = [answer for answer in host.predict(run, requests) if isinstance(answer, BinaryAnswer)]
    threshold = json.loads((model / "assets/decision.json").read_text())["threshold"]
    assert {answer.threshold for answer in answers} == {threshold}
    assert all((answer.label == "light") == (answer.score >= threshold) for answer in answers)
    assert all(answer.probability == answer.probabilities[answer.label] for answer in answers)


def test_evidence_lies_where_the_spot_is(tmp_path: Path) -> None:
    """Dark noise, and in half of the pictures a bright spot in one of the four corners."""
    rng, size = np.random.default_rng(0), 32
    places = {}
    for number in range(240):
        pixels = rng.integers(20, 90, (size, size))
        label = "spot" if number % 2 else "none"
        if label == "spot":
            row, column = rng.integers(4, size - 4, 2)
            pixels[row - 3 : row + 3, column - 3 : column + 3] = 220
            places[f"spot/{number}.png"] = (int(row), int(column))
        file = tmp_path / "raw" / label / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Pillow.fromarray(pixels.astype(np.uint8)).save(file)
    build(tmp_path / "raw", tmp_path / "out", positive="spot")
    one, model = family(), tmp_path / "model"
    trained(one, tmp_path / "out", model)
    host, run = ImageHost(model / "assets"), one.native(model)
    assert isinstance(host, ImageHost)
    near = []
    for pixels, (name, _) in zip(
        load_arrays(tmp_path / "out", "test"), load_files(tmp_path / "out", "test"), strict=True
    ):
        if name not in places:
            continue
        (outputs,) = host.outputs(run, pixels[None])
        evidence, _, _ = host.evidence(outputs["features"][0], outputs["logits"][0])
        row, column = (
            (np.array(np.unravel_index(evidence.argmax(), evidence.shape)) + 0.5)
            * size
            / evidence.shape[0]
        )
        near.append(np.hypot(row - places[name][0], column - places[name][1]) < 7)
    assert len(near) > 20
    assert np.mean(near) > 0.85


def test_balanced_training_weighs_the_classes_alike_and_keeps_their_shares(
    features: Path, tmp_path: Path
) -> None:
    one = family(model={"class_weight": "balanced"})
    trained(one, features, tmp_path)
    net = one.model(tmp_path / "assets")
    dark, light = np.bincount(load_labels(features, "train")) / len(load_labels(features, "train"))
    assert net.get_buffer("class_weights").tolist() == pytest.approx([0.5 / dark, 0.5 / light])
    decision = json.loads((tmp_path / "assets/decision.json").read_text())
    assert np.exp(decision["calibration"]["offset"]) == pytest.approx([dark, light])


@pytest.mark.parametrize("kind", ["resnet", "vit", "efficientnet"])
def test_training_starts_from_a_checkpoint_and_needs_it_no_more_afterwards(
    kind: str, features: Path, tmp_path: Path
) -> None:
    checkpoint = tmp_path / "checkpoint"
    torch.manual_seed(1)
    backbone = family(model={"kind": kind, "width": 8}).model(features / "assets").backbone.backbone  # type: ignore[union-attr]
    backbone.save_pretrained(checkpoint)  # type: ignore[operator,union-attr]
    one = family(
        model={"kind": kind, "checkpoint": str(checkpoint)},
        training={"epochs": 1, "learning_rate": 1e-6},
    )
    trained(one, features, tmp_path / "model")
    weights = load_file(tmp_path / "model/model.safetensors")
    assert (checkpoint / "model.safetensors").is_file()
    for name, value in backbone.state_dict().items():  # type: ignore[operator,union-attr]
        if "running" not in name and "num_batches" not in name:
            assert torch.allclose(weights[f"backbone.backbone.{name}"], value, atol=1e-3), name
    checkpoint.rename(tmp_path / "gone")
    assert len(one.graphs(tmp_path / "model")) == 1


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"kind": "resnet", "checkpoint": "nobody/nothing"},
            "neither a folder nor in the local Hugging Face cache",
        ),
        (
            {"kind": "resnet", "checkpoint": "EMPTY"},
            "is a folder without config.json or model.safetensors",
        ),
        (
            {"kind": "vit", "patch": 5},
            "model.patch = 5 does not divide the pictures' side of 16 pixels",
        ),
    ],
)
def test_a_network_that_does_not_fit_is_refused(
    settings: dict[str, Any],
    said: str,
    features: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    if settings.get("checkpoint") == "EMPTY":
        settings = settings | {"checkpoint": str(tmp_path)}
    with pytest.raises(UsageError, match=said) as caught:
        family(model=settings).model(features / "assets")
    assert "\n" not in str(caught.value)


def test_a_checkpoint_for_other_pictures_is_refused(features: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(
        json.dumps({"model_type": "vit", "image_size": 224, "num_channels": 3})
    )
    with pytest.raises(UsageError, match="takes 3 channels: set features.channels=colour"):
        family(model={"kind": "vit", "checkpoint": str(tmp_path)}).model(features / "assets")
    with pytest.raises(UsageError, match="is a vit, model.kind is resnet"):
        family(model={"kind": "resnet", "checkpoint": str(tmp_path)}).model(features / "assets")
    with pytest.raises(UsageError, match=r"model.checkpoint needs model.kind = resnet, vit or"):
        resolve(ImageConfig, ("--set", {"model": {"checkpoint": "x"}}))


def test_training_pictures_change_and_validation_pictures_do_not(features: Path) -> None:
    one = family(training={"rotate": 20, "shift": 0.1})
    (first, *_), (second, *_) = (list(one.batches(features, "train", epoch)) for epoch in (1, 2))
    assert not torch.equal(first["pixels"], second["pixels"])
    seen = torch.cat([batch["pixels"] for batch in one.batches(features, "validation", 1)])
    assert np.array_equal(seen.numpy(), load_arrays(features, "validation").astype(np.float32))


@pytest.mark.parametrize(
    ("changes", "allowed"),
    [
        ({"flip": "none"}, [()]),
        ({"flip": "horizontal"}, [(), (3,)]),
        ({"flip": "both"}, [(), (3,), (2,), (2, 3)]),
    ],
)
@pytest.mark.parametrize("shift", [0.0, 1e-6])
def test_mirrors_are_those_asked_for(
    changes: dict[str, Any], allowed: list[tuple[int, ...]], shift: float
) -> None:
    settings = ImageTraining(**changes, rotate=0, shift=shift)
    pixels = torch.rand(64, 1, 6, 6, generator=torch.Generator().manual_seed(3)) * 255
    after = changed(pixels, settings)
    seen = [
        [
            axes
            for axes in allowed
            if torch.allclose(one, before.flip([a - 1 for a in axes]), atol=1e-2)
        ]
        for one, before in zip(after, pixels, strict=True)
    ]
    assert all(len(match) == 1 for match in seen)
    assert {match[0] for match in seen} == set(allowed)


def changed(pixels: torch.Tensor, settings: ImageTraining) -> torch.Tensor:
    changes = Changes.draw(len(pixels), settings, torch.Generator().manual_seed(0))
    return changes(pixels, np.arange(len(pixels)))


def test_a_shift_moves_by_at_most_its_share() -> None:
    pixels = torch.zeros(200, 1, 40, 40)
    pixels[:, :, 20, 20] = 1
    after = changed(pixels, ImageTraining(shift=0.1, rotate=0))
    rows = (after.sum(dim=(1, 3)) * torch.arange(40)).sum(dim=1) / after.sum(dim=(1, 2, 3))
    assert float((rows - 20).abs().max()) <= 4.01
    assert float((rows - 20).abs().max()) > 3


def test_an_efficientnet_has_b0_s_blocks_and_norms_that_remember_several_batches(
    features: Path,
) -> None:
    net = family(model={"kind": "efficientnet", "width": 32}).model(features / "assets")
    layers = list(net.modules())
    norms = [layer for layer in layers if isinstance(layer, torch.nn.BatchNorm2d)]
    assert {norm.momentum for norm in norms} == {0.1}
    convolutions = [layer for layer in layers if isinstance(layer, torch.nn.Conv2d)]
    stem, *_, last = convolutions
    assert (stem.out_channels, last.out_channels) == (32, 1280)
    depthwise = [layer for layer in convolutions if layer.groups == layer.in_channels > 1]
    assert [layer.kernel_size[0] for layer in depthwise] == [3, 3, 5]
    assert [layer.in_channels for layer in depthwise] == [32, 96, 144]
    names = [type(layer).__name__ for layer in layers]
    assert names.count("EfficientNetSqueezeExciteLayer") == 3
    maps = net(torch.zeros(2, 1, 16, 16))["features"]
    assert maps.shape == (2, 1280, 8, 8)
