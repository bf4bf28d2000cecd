"""Training: changed pictures keep their boxes, kinds and checkpoints are built, classes grow."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from modelyard.errors import UsageError
from modelyard.families.detection.augment import changed
from modelyard.families.detection.baseline import load_objects, nearest_boxes, prior_boxes
from modelyard.families.detection.config import DetectionConfig
from modelyard.families.detection.family import Detection, found_in
from modelyard.families.detection.host import DetectionHost
from modelyard.families.detection.network import build, plan
from modelyard.families.detection.spec import DetectionSpec
from modelyard.kit.boxes.precision import Judged
from modelyard.kit.pictures.changes import Changes
from modelyard.kit.pictures.settings import ChangesTraining
from modelyard.runtimes.torch import TorchRuntime
from modelyard.settings.continual import ContinualSettings
from modelyard.training.continual import grow
from tests.training.going_on import features_of, model_of
from tests.unit.detection.folders import coco


def family(**changes: object) -> Detection:
    """A narrow network on pictures of 64 pixels, with changed settings: model__kind=…"""
    values = DetectionConfig.debug().model_dump()
    values["features"]["size"] = 64
    values["model"]["width"] = 8
    values["training"] |= {"epochs": 2}
    for name, value in changes.items():
        section, _, field = name.partition("__")
        values[section] = value if not field else values[section] | {field: value}
    return Detection(DetectionConfig.model_validate(values))


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("animals")
    coco(root / "raw", 24)
    return features_of(family(), root / "raw", root / "features")


@pytest.mark.parametrize("flip", ["none", "horizontal", "both"])
def test_a_changed_object_is_where_its_changed_box_says(flip):
    settings = ChangesTraining(flip=flip, zoom=0.4, shift=0.1, light=0.0)
    changes = Changes.draw(40, settings, torch.Generator().manual_seed(1))
    pixels = torch.zeros(40, 3, 96, 96)
    pixels[:, :, 40:58, 30:62] = 255
    objects = torch.full((40, 2, 6), -1.0)
    objects[:, 0] = torch.tensor([0, 30, 40, 62, 58, 0])
    moved, boxes = changed(changes, pixels, objects, np.arange(40))
    for picture, box in zip(moved, boxes[:, 0], strict=True):
        bright = torch.nonzero(picture[0] > 127)
        top, left = bright.min(0).values.tolist()
        bottom, right = (bright.max(0).values + 1).tolist()
        assert np.allclose(box[1:5].tolist(), [left, top, right, bottom], atol=1.01)
    assert (boxes[:, 1, 0] == -1).all()
    places = {tuple(box[1:5].round().tolist()) for box in boxes[:, 0]}
    assert len(places) > 30


def test_an_object_of_which_little_is_left_teaches_nothing():
    settings = ChangesTraining(flip="none", zoom=0.0, shift=0.5, light=0.0)
    changes = Changes.draw(60, settings, torch.Generator().manual_seed(1))
    objects = torch.tensor([[0.0, 0, 0, 20, 20, 0]]).expand(60, 1, 6)
    _, boxes = changed(changes, torch.zeros(60, 3, 96, 96), objects, np.arange(60))
    shares = (boxes[:, 0, 3:5] - boxes[:, 0, 1:3]).prod(1) / 400
    assert torch.equal(boxes[:, 0, 5] > 0, shares < 0.3)
    assert 0 < (boxes[:, 0, 5] > 0).sum() < 60


@pytest.mark.parametrize("kind", ["yolos", "detr"])
def test_kinds_of_transformers_learn_a_batch_and_answer_by_queries(kind, features, tmp_path):
    one = family(model__kind=kind, model__queries=12)
    torch.manual_seed(0)
    model = one.model(features / "assets").train()
    batch = one.batches(features, "train", 0).take(np.arange(4))
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    losses = []
    for _ in range(40):
        loss = one.loss(model, batch)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]
    with torch.inference_mode():
        outputs = model.eval()(batch["pixels"])
    assert outputs["logits"].shape == (4, 12, 3)
    assert outputs["boxes"].shape == (4, 12, 4)
    assert ((outputs["boxes"] >= 0) & (outputs["boxes"] <= 1)).all()


def test_ignored_objects_are_no_targets_of_queries(features):
    model = family(model__kind="yolos").model(features / "assets")
    objects = torch.tensor(
        [[[1.0, 0, 0, 32, 64, 0], [0, 8, 8, 16, 16, 1], [-1, -1, -1, -1, -1, -1]]]
    )
    (found,) = model.targets(objects)
    assert found["class_labels"].tolist() == [1]
    assert found["boxes"].tolist() == [[0.25, 0.5, 0.5, 1.0]]


def test_a_checkpoint_gives_all_weights_but_those_of_its_classes(features, tmp_path):
    first = family(model__kind="yolos")
    spec = DetectionSpec.load(features / "assets")
    other = spec.model_copy(update={"classes": ["a", "b", "c", "d", "e"]})
    (tmp_path / "assets").mkdir()
    other.save(tmp_path / "assets")
    torch.manual_seed(5)
    earlier = first.model(tmp_path / "assets")
    earlier.net.save_pretrained(tmp_path / "yolos")
    started = family(model__kind="yolos", model__checkpoint=str(tmp_path / "yolos"))
    model = started.model(features / "assets")
    old, new = earlier.state_dict(), model.state_dict()
    changed = [name for name in new if old[name].shape != new[name].shape]
    assert changed == [
        "net.class_labels_classifier.layers.2.weight",
        "net.class_labels_classifier.layers.2.bias",
    ]
    kept = [name for name in new if name.startswith("net.") and name not in changed]
    assert all(torch.equal(old[name], new[name]) for name in kept)
    wrong = family(model__kind="detr", model__checkpoint=str(tmp_path / "yolos"))
    with pytest.raises(UsageError, match="model_type 'yolos' is unknown.*detr"):
        wrong.model(features / "assets")
    with pytest.raises(ValueError, match="needs model.kind = yolos or detr"):
        family(model__checkpoint="somewhere")


def test_a_new_class_comes_after_the_old_ones_and_the_network_grows(tmp_path):
    one = family(continual=ContinualSettings(memory=8))
    content = coco(tmp_path / "first", 24)
    features = features_of(one, tmp_path / "first", tmp_path / "features")
    model = model_of(one, features, tmp_path / "model")
    content["categories"][0]["name"] = "aardvark"
    coco(tmp_path / "second", 24, categories=content["categories"])
    later = features_of(one, tmp_path / "second", tmp_path / "later", model)
    before, after = (DetectionSpec.load(folder / "assets") for folder in (features, later))
    assert before.classes == ["cat", "dog"]
    assert after.classes == ["cat", "dog", "aardvark"]
    assert (after.mean, after.size) == (before.mean, before.size)
    second = family(continual=ContinualSettings(replay=0.5))
    trained = model_of(second, later, tmp_path / "grown")
    answers = TorchRuntime(second.graphs(trained))(
        "model", {"pixels": np.zeros((1, 3, 64, 64), np.float32)}
    )
    assert answers["logits"].shape[2] == 3
    with pytest.raises(UsageError, match="model.kind"):
        features_of(family(model__kind="yolos"), tmp_path / "second", tmp_path / "no", model)


@pytest.mark.parametrize("kind", ["cnn", "yolos", "detr"])
def test_a_grown_network_keeps_what_it_knew(features, tmp_path, kind):
    one = family(model__kind=kind)
    spec = DetectionSpec.load(features / "assets")
    more = spec.model_copy(update={"classes": [*spec.classes, "eel"], "counts": [*spec.counts, 3]})
    more.save(tmp_path)
    old, new = one.model(features / "assets").eval(), one.model(tmp_path).eval()
    grow(old.state_dict(), new)
    pixels = torch.rand(2, 3, 64, 64) * 255
    with torch.inference_mode():
        before, after = old(pixels), new(pixels)
    assert torch.allclose(before["logits"][..., :2], after["logits"][..., :2], atol=1e-5)
    if kind != "cnn":  # nothing, the last output, stays the last
        assert torch.allclose(before["logits"][..., -1], after["logits"][..., -1], atol=1e-5)
    assert torch.allclose(before["boxes"], after["boxes"], atol=1e-5)


def test_another_package_is_judged_by_the_names_of_its_classes(features, tmp_path):
    one = family()
    made = plan(one.config.model, DetectionSpec.load(features / "assets"))
    net = one.model(features / "assets").eval()
    for name, turned in (("same", False), ("turned", True)):
        shutil.copytree(features / "assets", tmp_path / name)
        (tmp_path / name / "network.json").write_text(json.dumps(made))
        if turned:
            spec = DetectionSpec.load(tmp_path / name)
            spec.model_copy(update={"classes": spec.classes[::-1]}).save(tmp_path / name)

    def run(graph, arrays, flip=False):
        with torch.inference_mode():
            found = net(torch.from_numpy(arrays["pixels"]))
        logits = found["logits"].numpy()
        return {"logits": logits[..., ::-1] if flip else logits, "boxes": found["boxes"].numpy()}

    def turned_run(graph, arrays):
        return run(graph, arrays, flip=True)

    same = found_in(DetectionHost(tmp_path / "same"), run, features, "test")
    other = found_in(DetectionHost(tmp_path / "turned"), turned_run, features, "test")
    assert len(same) > 0
    assert sorted(zip(same.label, same.score, strict=True)) == sorted(
        zip(other.label, other.score, strict=True)
    )


def test_simple_answers_know_the_training_split_alone(features):
    truth = load_objects(features, "train")
    prior, nearest = prior_boxes(features, "train"), nearest_boxes(features, "train")
    pictures = len(np.load(features / "train.sizes.npy"))
    # On its own pictures, the most similar one is itself.
    assert Judged(truth, nearest, pictures, 2).figures()["map"] == pytest.approx(1.0)
    assert 0 < Judged(truth, prior, pictures, 2).figures()["map"] < 1
    first = prior.rows(prior.picture == 0)
    assert np.array_equal(first.boxes, prior.rows(prior.picture == 1).boxes)
    assert (np.diff(first.score) <= 0).all()


def answers(net: torch.nn.Module, pixels: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return net(pixels)["logits"]


@pytest.mark.parametrize("norm", ["group", "batch"])
def test_a_network_answers_as_it_was_trained_to(norm, features, tmp_path):
    spec = DetectionSpec.load(features / "assets")
    made = plan(family().config.model, spec) | {"norm": norm}
    torch.manual_seed(0)
    net = build(made, spec).train()
    # The score's weights are near 0 at first: nothing would be seen of what differs.
    torch.nn.init.normal_(net.score.weight)
    pixels = next(iter(family().batches(features, "train", 0)))["pixels"]
    for _ in range(60):
        trained = answers(net, pixels)
    apart = (answers(net.eval(), pixels) - trained).abs().mean() / trained.std()
    # Statistics of a batch in layers that read the maps of all strides are those of none: the
    # packages of before have them.
    assert (apart < 0.15) == (norm == "group"), apart.item()
