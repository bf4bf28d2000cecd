"""Training: changed pictures keep their masks, kinds and checkpoints are built, classes grow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from modelyard.errors import UsageError
from modelyard.families.segmentation.config import SegmentationConfig, SegmentationTraining
from modelyard.families.segmentation.family import Segmentation
from modelyard.families.segmentation.losses import pixel_loss
from modelyard.families.segmentation.spec import IGNORED, SegmentationSpec
from modelyard.kit.pictures.changes import Changes
from modelyard.runtimes.export import to_onnx
from modelyard.runtimes.torch import TorchRuntime
from modelyard.settings.continual import ContinualSettings
from modelyard.training.continual import grow
from tests.training.going_on import features_of, model_of
from tests.unit.segmentation.folders import NAMES, masks


def family(**changes: object) -> Segmentation:
    """A narrow network on pictures of 64 pixels, with changed settings: model__kind=…"""
    values = SegmentationConfig.debug().model_dump()
    values["features"]["size"] = 64
    values["training"] |= {"epochs": 2}
    for name, value in changes.items():
        section, _, field = name.partition("__")
        values[section] = value if not field else values[section] | {field: value}
    return Segmentation(SegmentationConfig.model_validate(values))


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("animals")
    masks(root / "raw", 24)
    return features_of(family(), root / "raw", root / "features")


@pytest.mark.parametrize("flip", ["none", "horizontal", "both"])
def test_a_changed_mask_lies_on_its_changed_picture(flip):
    settings = SegmentationTraining(flip=flip, zoom=0.4, shift=0.2, light=0.0)
    changes = Changes.draw(40, settings, torch.Generator().manual_seed(1))
    labels = torch.zeros(40, 96, 96, dtype=torch.int64)
    labels[:, 40:58, 30:62] = 3
    pixels = torch.where(labels == 3, 255.0, 60.0)[:, None].expand(40, 3, 96, 96)
    moved = family().changed({"pixels": pixels, "masks": labels}, changes, np.arange(40))
    bright, object_ = moved["pixels"][:, 0] > 157, moved["masks"] == 3
    assert (bright != object_).float().mean() < 0.004  # a pixel along its sides
    outside = moved["masks"] == IGNORED
    assert outside.any()
    assert (moved["pixels"][:, 0][outside] < 40).all()
    assert set(moved["masks"].unique().tolist()) == {0, 3, IGNORED}
    assert moved["masks"].dtype == torch.int64


def test_the_loss_is_that_of_the_pixels_that_count():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 4, 6, 5, generator=generator, requires_grad=True)
    labels = torch.randint(0, 3, (3, 6, 5), generator=generator)
    labels[0, :2] = IGNORED
    labels[2] = IGNORED
    found = pixel_loss(logits, labels, 0.7)
    for picture in range(2):
        counted = labels[picture] != IGNORED
        shares = logits[picture].softmax(0)[:, counted].T
        true = labels[picture][counted]
        entropy = -shares[torch.arange(len(true)), true].log().mean()
        lacking = []
        for label in true.unique():
            both = shares[true == label, label].sum()
            whole = shares[:, label].sum() + (true == label).sum()
            lacking.append(1 - (2 * both + 1) / (whole + 1))
        expected = entropy + 0.7 * torch.stack(lacking).mean()
        assert found[picture].item() == pytest.approx(expected.item(), rel=1e-5)
    assert found[2] == 0
    found.sum().backward()
    assert (logits.grad[0, :, :2] == 0).all()
    assert (logits.grad[0, :, 2:] != 0).all()
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("kind", ["segformer", "deeplabv3"])
def test_kinds_of_transformers_learn_a_batch_and_answer_every_pixel(kind, features):
    one = family(model__kind=kind, model__depth=1)
    torch.manual_seed(0)
    model = one.model(features / "assets").train()
    batch = one.batches(features, "train", 0).take(np.arange(4))
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(25):
        loss = one.loss(model, batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]
    with torch.inference_mode():
        outputs = model.eval()(batch["pixels"])
    assert outputs["logits"].shape == (4, 3, 64, 64)


@pytest.mark.parametrize("kind", ["segformer", "deeplabv3"])
def test_a_checkpoint_gives_all_weights_but_those_of_its_classes(kind, features, tmp_path):
    spec = SegmentationSpec.load(features / "assets")
    other = spec.model_copy(update={"classes": ["a", "b", "c", "d", "e"], "counts": [1] * 5})
    other.save(tmp_path / "assets")
    torch.manual_seed(5)
    earlier = family(model__kind=kind, model__depth=1).model(tmp_path / "assets")
    earlier.net.save_pretrained(tmp_path / kind)
    started = family(model__kind=kind, model__checkpoint=str(tmp_path / kind))
    model = started.model(features / "assets")
    old, new = earlier.state_dict(), model.state_dict()
    changed = [name for name in new if old[name].shape != new[name].shape]
    assert {name.rpartition(".")[2] for name in changed} == {"weight", "bias"}
    assert len(changed) == 2
    kept = [name for name in new if name.startswith("net.") and name not in changed]
    assert kept
    assert all(torch.equal(old[name], new[name]) for name in kept)
    assert model.get_buffer("mean").flatten()[0].item() > 100  # of its own training, not the data's
    wrong = {"segformer": "deeplabv3", "deeplabv3": "segformer"}[kind]
    refused = family(model__kind=wrong, model__checkpoint=str(tmp_path / kind))
    with pytest.raises(UsageError, match="model_type .* is unknown"):
        refused.model(features / "assets")


def test_a_checkpoint_needs_a_kind_that_has_some():
    with pytest.raises(
        ValueError, match="needs model.kind = segformer, deeplabv3, mask2former or sam"
    ):
        family(model__checkpoint="somewhere")


@pytest.mark.parametrize("kind", ["segformer", "deeplabv3"])
def test_kinds_of_transformers_go_through_training_and_export(kind, features, tmp_path):
    one = family(model__kind=kind, model__depth=1, training__epochs=1)
    trained = model_of(one, features, tmp_path / "model")
    (graph,) = one.graphs(trained)
    to_onnx(graph, tmp_path / "model.onnx", one.config.export.opset)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    pixels = np.load(features / "test.npy")[:3].astype(np.float32)
    (exported,) = session.run(["logits"], {"pixels": pixels})
    expected = TorchRuntime([graph])("model", {"pixels": pixels})["logits"]
    assert np.allclose(exported, expected, atol=1e-3)


def test_a_new_class_comes_after_the_old_ones_and_the_network_grows(tmp_path):
    one = family(continual=ContinualSettings(memory=8))
    features = features_of(one, masks(tmp_path / "first", 24), tmp_path / "features")
    model = model_of(one, features, tmp_path / "model")
    second = masks(tmp_path / "second", 24)
    (second / "classes.txt").write_text("background\naardvark\ndog")
    later = features_of(one, second, tmp_path / "later", model)
    before, after = (SegmentationSpec.load(folder / "assets") for folder in (features, later))
    assert before.classes == list(NAMES)
    assert after.classes == [*NAMES, "aardvark"]
    assert (after.mean, after.size) == (before.mean, before.size)
    labels = np.load(later / "train.masks.npy")
    assert set(np.unique(labels)) == {0, 2, 3, IGNORED}
    again = family(continual=ContinualSettings(replay=0.5))
    trained = model_of(again, later, tmp_path / "grown")
    answers = TorchRuntime(again.graphs(trained))(
        "model", {"pixels": np.zeros((1, 3, 64, 64), np.float32)}
    )
    assert answers["logits"].shape == (1, 4, 64, 64)
    with pytest.raises(UsageError, match="model.kind"):
        features_of(family(model__kind="segformer"), second, tmp_path / "no", model)


def test_a_grown_network_keeps_what_it_knew(features, tmp_path):
    one = family()
    spec = SegmentationSpec.load(features / "assets")
    more = spec.model_copy(update={"classes": [*spec.classes, "eel"], "counts": [*spec.counts, 3]})
    more.save(tmp_path)
    old, new = one.model(features / "assets").eval(), one.model(tmp_path).eval()
    grow(old.state_dict(), new)
    pixels = torch.rand(2, 3, 64, 64) * 255
    with torch.inference_mode():
        before, after = old(pixels)["logits"], new(pixels)["logits"]
    assert torch.allclose(before, after[:, :3], atol=1e-5)
