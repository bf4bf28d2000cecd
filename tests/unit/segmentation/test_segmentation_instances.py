"""Mask2Former: outlines become objects, the network learns them, and each is answered with its mask."""

from __future__ import annotations

import base64
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
import transformers
from PIL import Image
from pycocotools import mask as coco
from pydantic import ValidationError

from modelyard.errors import BadData, UsageError
from modelyard.families.segmentation.data import reading
from modelyard.families.segmentation.family import building
from modelyard.families.segmentation.host import SegmentationHost, answering
from modelyard.families.segmentation.instance_baseline import mean_masks, regions_by_colour
from modelyard.families.segmentation.instance_host import (
    MASK_PIXELS,
    InstanceHost,
    InstancePicture,
)
from modelyard.families.segmentation.instanced import LABELS, VIEWS, InstanceSegmentation, targets
from modelyard.families.segmentation.instances import MOST_TRAINED, InstanceData, load_truth
from modelyard.families.segmentation.spec import IGNORED, SegmentationSpec, palette
from modelyard.judging.evaluation import Part
from modelyard.kit.boxes.answering import ObjectAnswers
from modelyard.kit.boxes.precision import EVERY
from modelyard.kit.classifier import store
from modelyard.kit.pictures.pixels import Limits
from modelyard.runtimes.export import to_onnx
from modelyard.runtimes.torch import TorchRuntime
from modelyard.runtimes.types import Arrays
from modelyard.settings.continual import ContinualSettings
from tests.training.going_on import features_of, model_of
from tests.unit.segmentation.folders import HEIGHT, WIDTH, compressed, masks, outlines, truth
from tests.unit.segmentation.test_segmentation_model import family

SIDE = 64


def instanced(**changes: object) -> InstanceSegmentation:
    made = building(family(model__kind="mask2former", **changes).config)
    assert isinstance(made, InstanceSegmentation)
    return made


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("instances")
    outlines(root / "raw", 24)
    return features_of(instanced(), root / "raw", root / "features")


@pytest.fixture(scope="module")
def trained(features: Path, tmp_path_factory: pytest.TempPathFactory):
    one = instanced(training__epochs=1)
    return one, model_of(one, features, tmp_path_factory.mktemp("model") / "model")


def rewritten(folder: Path, annotations: list[dict], count: int = 20) -> Path:
    """Pictures whose first one has the annotations; the others keep theirs."""
    content = outlines(folder, count)
    kept = [one for one in content["annotations"] if one["image_id"] != 0]
    for number, one in enumerate(annotations):
        kept.append({"id": 1_000 + number, "image_id": 0, "bbox": [0, 0, 1, 1]} | one)
    (folder / "instances.json").write_text(json.dumps(content | {"annotations": kept}))
    return folder


def rectangle(left: int, top: int, right: int, bottom: int) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[top:bottom, left:right] = True
    return mask


def place_of(features: Path, name: str) -> tuple[str, int]:
    """The split and place of a picture."""
    for split in ("train", "validation", "test"):
        for place, (found, _) in enumerate(store.load_files(features, split)):
            if found.endswith(name):
                return split, place
    raise AssertionError(name)


def test_objects_over_each_other_are_judged_whole_and_learnt_as_they_are_seen(tmp_path):
    large, small, crowd = rectangle(2, 2, 30, 28), rectangle(5, 5, 15, 15), rectangle(20, 0, 40, 9)
    raw = rewritten(
        tmp_path / "raw",
        [
            {"category_id": 10, "segmentation": compressed(small)},
            {"category_id": 20, "segmentation": compressed(large)},
            {"category_id": 20, "segmentation": compressed(crowd), "iscrowd": 1},
        ],
    )
    out = features_of(instanced(), raw, tmp_path / "features")
    split, place = place_of(out, "00.png")
    truth_ = load_truth(out, split)
    rows = truth_.rows(truth_.picture == place)
    assert rows.masks is not None
    seen = {
        (int(label), bool(ignored)): coco.decode(mask).astype(bool)
        for label, ignored, mask in zip(rows.label, rows.ignored, rows.masks, strict=True)
    }
    assert np.array_equal(seen[0, False], small)
    assert np.array_equal(seen[1, False], large)
    assert np.array_equal(seen[1, True], crowd)
    numbers = store.load_arrays(out, f"{split}.masks")[place]
    labels = store.load_labels(out, split)[place]
    assert labels.shape == (MOST_TRAINED,)
    assert labels[:3].tolist() == [1, 0, -1]  # the largest first
    # 40 x 30 pixels on a square of 64: a factor of 1.6, 8 rows of padding above.
    assert numbers[8 + 32, 48 - 2] == 1
    assert numbers[8 + 16, 16] == 2
    assert numbers[8 + 2, 60] == IGNORED
    assert numbers[2, 2] == IGNORED


def test_a_crowd_of_a_class_that_training_lacks_is_ignored_for_every_class(tmp_path):
    crowd = rectangle(20, 0, 40, 9)
    raw = rewritten(
        tmp_path / "raw",
        [{"category_id": 30, "segmentation": compressed(crowd), "iscrowd": 1}],
    )
    content = json.loads((raw / "instances.json").read_text())
    content["categories"].append({"id": 30, "name": "herd"})
    (raw / "instances.json").write_text(json.dumps(content))
    out = features_of(instanced(), raw, tmp_path / "features")
    split, place = place_of(out, "00.png")
    truth_ = load_truth(out, split)
    rows = truth_.rows(truth_.picture == place)
    assert rows.masks is not None
    assert (rows.label.tolist(), rows.ignored.tolist()) == ([EVERY], [True])
    assert np.array_equal(coco.decode(rows.masks[0]).astype(bool), crowd)
    assert store.load_arrays(out, f"{split}.masks")[place][8 + 2, 60] == IGNORED


def test_masks_and_outlines_of_a_folder_are_read_by_the_kind_that_needs_them(tmp_path):
    masks(tmp_path)
    outlines(tmp_path)
    found = {}
    for kind in ("unet", "mask2former"):
        data = reading(family(model__kind=kind).config)
        out = tmp_path / kind
        out.mkdir()
        found[kind] = data.features(tmp_path, out)
        assert not found[kind]["dropped"]
    assert isinstance(reading(instanced().config), InstanceData)
    assert found["unet"]["headline"].startswith("masks: 20 pictures")
    assert found["mask2former"]["headline"].startswith(
        "COCO: 20 pictures, 2 classes, 64 px, 27 obj"
    )
    for one, read in (("unet", "masks"), ("mask2former", "coco")):
        assert f"read with features.format={read}" in found[one]["notes"][0]


def test_the_built_in_land_has_outlines_next_to_its_masks(tmp_path):
    one = instanced(features__sample_pictures=20)
    # The stage that reads is handed the kind: its result follows from it.
    assert one.config.for_features() == {"model": {"kind": "mask2former"}}
    assert family().config.for_features() == {}
    raw = tmp_path / "raw"
    one.sample(raw)
    classes = {name: value for value, name in enumerate((raw / "classes.txt").read_text().split())}
    content = json.loads((raw / "instances.json").read_text())
    names = {category["id"]: category["name"] for category in content["categories"]}
    assert sorted(names.values()) == ["building", "water"]
    for image in content["images"]:
        labels = np.asarray(Image.open(raw / "masks" / Path(image["file_name"]).name))
        for name in ("building", "water"):
            found = np.zeros(labels.shape, int)
            for entry in content["annotations"]:
                if entry["image_id"] == image["id"] and names[entry["category_id"]] == name:
                    mask = coco.decode(entry["segmentation"]) > 0
                    allowed = {classes[name]} | ({IGNORED} if entry["iscrowd"] else set())
                    assert set(np.unique(labels[mask])) <= allowed
                    found += mask
            assert found.max() <= 1  # no pixel is of two objects of a class
            assert found[labels == classes[name]].all()


def test_masks_that_tell_no_objects_apart_are_refused(tmp_path):
    with pytest.raises(BadData, match="model.kind=mask2former needs outlines") as seen:
        features_of(instanced(), masks(tmp_path / "raw"), tmp_path / "features")
    assert "\n" not in str(seen.value)


def test_an_object_that_is_not_in_the_picture_is_counted(tmp_path):
    away = [[50.0, 5, 60, 5, 60, 9, 50, 9]]
    raw = rewritten(tmp_path / "raw", [{"category_id": 10, "segmentation": away}])
    out = tmp_path / "features"
    out.mkdir()
    summary = reading(instanced().config).features(raw, out)
    assert summary["dropped"] == {"objects: without a pixel in the picture": 1}


def test_objects_with_a_box_only_are_counted(tmp_path):
    raw = rewritten(tmp_path / "raw", [{"category_id": 10, "segmentation": []}])
    out = tmp_path / "features"
    out.mkdir()
    summary = reading(instanced().config).features(raw, out)
    assert summary["dropped"] == {"objects: without an outline": 1}


def test_a_picture_s_masks_turn_with_it(tmp_path):
    raw = tmp_path / "raw"
    outlines(raw)
    exif = Image.Exif()
    exif[0x0112] = 6
    file = raw / "images" / "03.png"
    Image.open(file).save(file, exif=exif)
    out = features_of(instanced(), raw, tmp_path / "features")
    split, place = place_of(out, "03.png")
    found = load_truth(out, split)
    assert found.masks is not None
    shown = sum(coco.decode(mask) for mask in found.masks[found.picture == place])
    assert np.array_equal(shown, np.rot90(truth(3) > 0, -1))


def test_changed_masks_are_those_of_their_objects(features):
    one = instanced()
    batch = one.batches(features, "train", 3).take(np.arange(6))
    plain, labels = targets(batch)
    assert batch[LABELS].dtype == torch.int64
    for numbers, own, found, known in zip(
        batch["masks"], batch[LABELS], plain, labels, strict=True
    ):
        there = [number for number in range(1, 255) if (numbers == number).any()]
        assert len(found) == len(there) == len(known)
        for number, mask, label in zip(there, found, known, strict=True):
            assert torch.equal(mask.bool(), numbers == number)
            assert label == own[number - 1]


def test_an_epoch_shows_each_picture_several_times_and_changed_differently(features):
    one = instanced()
    count = len(store.load_arrays(features, "train"))
    batches = one.batches(features, "train", 3)
    assert sorted(batches.order.tolist()) == list(range(VIEWS * count))
    both = batches.take(np.array([5, 1 + count, 5 + count]))
    assert torch.equal(both[LABELS][0], both[LABELS][2])
    assert not torch.equal(both["pixels"][0], both["pixels"][2])
    (alone,) = batches.take(np.array([5 + count]))["masks"]
    assert torch.equal(alone, both["masks"][2])  # whichever batch it is in
    assert sorted(one.batches(features, "train", 0).order.tolist()) == list(range(count))
    assert sorted(one.batches(features, "validation", 3).order.tolist()) == [0, 1, 2, 3]


def test_a_batch_s_loss_is_the_mean_of_its_pictures_and_falls(features):
    one = instanced()
    torch.manual_seed(0)
    model = one.model(features / "assets").train()
    batch = one.batches(features, "train", 0).take(np.arange(4))
    empty = {name: values[:1].clone() for name, values in batch.items()}
    empty[LABELS][:] = -1
    assert torch.isfinite(one.loss(model, empty))
    with torch.no_grad():
        whole = one.loss(model, batch)
        parts = [
            one.loss(model, {name: values[part] for name, values in batch.items()})
            for part in (slice(0, 1), slice(1, 4))
        ]
    # Points are random: equal up to the error of a thousand of them.
    assert float(whole) == pytest.approx(float(parts[0] + 3 * parts[1]) / 4, rel=0.02)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    losses = []
    for _ in range(15):
        loss = one.loss(model, batch)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.75 * losses[0]
    model.eval()
    with torch.no_grad():
        assert one.loss(model, batch) == one.loss(model, batch)  # epochs are compared by it


def test_it_is_judged_next_to_simple_answers_and_as_far_as_time_allows(trained, features):
    one, model = trained
    host, run = answering(model / "assets"), TorchRuntime(one.graphs(model))
    assert isinstance(host, InstanceHost)
    whole = one.evaluate(host, run, features)
    assert whole.baseline_name == "regions of a colour"
    assert set(whole.rivals) == {"mean masks"}
    assert {"map", "map_50", "map_75"} <= set(whole.metrics)
    assert [plot.title for plot in whole.plots][-1] == "Worst pictures first"
    assert [row[0] for row in whole.tables[0].rows] == ["cat", "dog"]
    part = one.evaluate_part(host, run, features, "test", Part(rows=2))
    assert (part.rows, part.part) == (2, 2)
    with pytest.raises(UsageError, match="does not tell objects apart"):
        one.evaluate(SegmentationHost(model / "assets"), run, features)


def test_a_warm_start_needs_the_classes_that_are_known(trained, tmp_path):
    one, model = trained
    content = outlines(tmp_path / "raw")
    content["categories"][0]["name"] = "ant"
    (tmp_path / "raw" / "instances.json").write_text(json.dumps(content))
    with pytest.raises(UsageError, match="lacks the class ant, and mask2former cannot"):
        features_of(one, tmp_path / "raw", tmp_path / "features", base=model)


def test_a_warm_start_goes_on_with_exemplars(features, tmp_path):
    one = instanced(training__epochs=1, continual=ContinualSettings(memory=6))
    model = model_of(one, features, tmp_path / "model")
    outlines(tmp_path / "raw")
    later = features_of(one, tmp_path / "raw", tmp_path / "features", base=model)
    trained = model_of(one, later, tmp_path / "later")
    report = json.loads((trained / "report.json").read_text())
    # It begins where the first one ended, not at a fresh network's loss.
    first = json.loads((model / "report.json").read_text())["curves"]["loss"]["train"][0]
    assert report["curves"]["loss"]["train"][0] < 0.95 * first


def test_simple_answers_are_regions_of_a_colour_and_mean_masks(tmp_path):
    raw = tmp_path / "raw"
    outlines(raw)
    for number in range(20):
        pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        pixels[...] = np.array([[20, 20, 20], [200, 30, 30], [30, 30, 200]])[truth(number)]
        Image.fromarray(pixels).save(raw / "images" / f"{number:02}.png")
    # The smallest objects train: regions that are smaller than theirs are no answers.
    out = features_of(instanced(data__split_seed=2), raw, tmp_path / "features")
    found = load_truth(out, "test")
    assert found.masks is not None
    for place, answer in enumerate(regions_by_colour(out, "test")):
        there = [coco.decode(mask) for mask in found.masks[found.picture == place]]
        assert len(answer) == len(there)
        for one in answer:
            overlaps = [
                (one.mask & (mask > 0)).sum() / (one.mask | (mask > 0)).sum() for mask in there
            ]
            assert max(overlaps) > 0.75  # pixels of the square along its sides
            assert one.score > 0.9
    for answer in mean_masks(out, "test"):
        assert [one.label for one in answer] == [0, 1]
        assert answer[0].mask[5:12, 8:13].all()
        assert not answer[0].mask[:, 36:].any()


Query = tuple[int, float, tuple[int, int, int, int]]
"""Class, logit of it, and left, top, right and bottom in pixels of the square."""


class Seeing:
    """A network whose queries see rectangles."""

    def __init__(self, queries: list[Query]) -> None:
        self.logits = np.full((len(queries), 3), -4.0, np.float32)
        self.masks = np.full((len(queries), SIDE // 2, SIDE // 2), -9.0, np.float32)
        for row, (label, logit, (left, top, right, bottom)) in enumerate(queries):
            self.logits[row, label] = logit
            self.masks[row, top // 2 : bottom // 2, left // 2 : right // 2] = 9.0

    def __call__(self, graph: str, arrays: Arrays) -> Arrays:
        count = len(arrays["pixels"])
        return {
            "logits": np.repeat(self.logits[None], count, axis=0),
            "masks": np.repeat(self.masks[None], count, axis=0),
        }


def host_in(folder: Path) -> InstanceHost:
    limits = Limits(bytes=10_000_000, pixels=25_000_000)
    SegmentationSpec(size=SIDE, classes=["cat", "dog"], counts=[3, 2], limits=limits).save(folder)
    ObjectAnswers(threshold=0.5).save(folder)
    plan = {"kind": "mask2former", "config": {"num_queries": 80}}
    (folder / "network.json").write_text(json.dumps(plan))
    return InstanceHost(folder)


def picture(size: tuple[int, int], noise: bool = True) -> str:
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels if noise else pixels * 0).save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode()


def png(answer) -> np.ndarray:
    data = base64.b64decode(answer.mask.removeprefix("data:image/png;base64,"))
    return np.asarray(Image.open(io.BytesIO(data)))


def test_an_answer_s_masks_boxes_and_shares_agree(tmp_path):
    host = host_in(tmp_path)
    # A picture of 128 x 64 takes rows 16 to 48 of the square, at half its size.
    run = Seeing([(1, 3.0, (8, 20, 24, 40)), (0, 5.0, (16, 24, 56, 36)), (0, -3.9, (0, 16, 8, 20))])
    asked = [InstancePicture(image=picture((128, 64)), format=form) for form in ("png", "rle")]
    drawn, listed = host.predict(run, asked)
    assert [one.label for one in drawn.objects] == ["cat", "dog"]  # the surest first
    assert drawn.objects[0].score > drawn.objects[1].score > 0.5
    numbers = png(drawn)
    assert numbers.shape == (64, 128) == (drawn.mask_height, drawn.mask_width)
    assert set(np.unique(numbers)) == {0, 1, 2}
    runs = [coco.decode(dict(one.rle)).astype(bool) for one in listed.objects]
    assert listed.mask is None
    assert np.array_equal(numbers == 1, runs[0])
    assert np.array_equal(numbers == 2, runs[1] & ~runs[0])  # of two, a pixel is the surer one's
    assert abs(runs[0].mean() - 40 * 12 * 4 / (128 * 64)) < 0.02
    for one, mask in zip(listed.objects, runs, strict=True):
        rows, columns = np.nonzero(mask)
        box = one.box
        assert (box.left, box.top) == (columns.min(), rows.min())
        assert (box.left + box.width, box.top + box.height) == (columns.max() + 1, rows.max() + 1)
        assert one.share == pytest.approx(mask.mean())
        assert one.colour == "#" + palette(9)[one.value].tobytes().hex()
    described = host.describe(asked[0], drawn)
    assert (described["objects"], described["share cat"]) == (2.0, 0.5)


def test_the_threshold_and_the_number_of_objects_are_the_request_s(tmp_path):
    host = host_in(tmp_path)
    boxes = [(4, 4, 20, 40), (24, 4, 40, 40), (44, 4, 60, 40)]
    run = Seeing([(0, logit, box) for logit, box in zip((5.0, -3.8, -3.9), boxes, strict=True)])
    image = picture((SIDE, SIDE))
    bodies: list[dict] = [{}, {"threshold": 0.2}, {"threshold": 0.0, "most": 2}, {"threshold": 0.0}]
    answers = host.predict(run, [InstancePicture(image=image, **body) for body in bodies])
    assert [len(answer.objects) for answer in answers] == [1, 3, 2, 3]
    assert [answer.threshold for answer in answers] == [0.5, 0.2, 0.0, 0.0]
    for wrong in ({"threshold": 2}, {"most": 255}, {"most": 0}, {"format": "gif"}, {"points": []}):
        with pytest.raises(ValidationError):
            InstancePicture.model_validate({"image": image} | wrong)
    (flat,) = host.predict(run, [InstancePicture(image=picture((SIDE, SIDE), noise=False))])
    assert "the same everywhere" in flat.warnings[0].message


def test_one_object_is_answered_once(tmp_path):
    host = host_in(tmp_path)
    near = [(8, 8, 40, 40), (8, 8, 40, 32), (8, 8, 24, 40), (8, 8, 40, 40)]
    queries = [(0, 3.0, near[0]), (0, 2.0, near[1]), (0, 1.0, near[2]), (1, 0.0, near[3])]
    (answer,) = host.predict(Seeing(queries), [InstancePicture(image=picture((SIDE, SIDE)))])
    # An overlap of .75 is the same object, one of .5 another one, and one of another class too.
    assert [(one.label, one.box.width) for one in answer.objects] == [
        ("cat", 32),
        ("cat", 16),
        ("dog", 32),
    ]
    ObjectAnswers(threshold=0.5, most_overlap=0.8).save(tmp_path)
    again = InstanceHost(tmp_path)
    (answer,) = again.predict(Seeing(queries), [InstancePicture(image=picture((SIDE, SIDE)))])
    assert len(answer.objects) == 4


def test_masks_of_large_pictures_are_smaller_and_cost_what_is_asked_for(tmp_path):
    host = host_in(tmp_path)
    run = Seeing([(0, 5.0, (0, 16, 32, 48))])
    large = InstancePicture(image=picture((2_400, 1_200)), most=3)
    (answer,) = host.predict(run, [large])
    assert (answer.width, answer.height) == (2_400, 1_200)
    assert png(answer).size <= MASK_PIXELS
    box = answer.objects[0].box
    assert (box.left, box.top) == (0, 0)
    assert box.width == pytest.approx(1_200, abs=4)
    assert box.height == pytest.approx(1_200, abs=4)
    more, all_ = (InstancePicture(image=large.image, most=most) for most in (80, 200))
    small = InstancePicture(image=picture((SIDE, SIDE)), most=3)
    costs = [host.cost(one).seconds for one in (small, large, more, all_)]
    assert costs[0] < costs[1] < costs[2] == costs[3]  # a query finds one object
    assert costs[2] < 2


def test_a_checkpoint_brings_its_own_backbone(features, tmp_path):
    backbone = {
        "model_type": "swin",
        "embed_dim": 8,
        "depths": [1, 1, 1, 1],
        "num_heads": [1, 2, 4, 8],
        "window_size": 4,
        "out_features": ["stage1", "stage2", "stage3", "stage4"],
    }
    config = transformers.Mask2FormerConfig(
        backbone_config=backbone,
        feature_size=32,
        mask_feature_size=32,
        hidden_dim=32,
        encoder_layers=1,
        decoder_layers=2,
        encoder_feedforward_dim=32,
        dim_feedforward=32,
        num_queries=7,
        num_labels=80,
    )
    torch.manual_seed(5)
    earlier = transformers.Mask2FormerForUniversalSegmentation(config)
    earlier.save_pretrained(tmp_path / "swin")
    one = instanced(model__checkpoint=str(tmp_path / "swin"), training__epochs=1)
    new = one.model(features / "assets").net.state_dict()
    old = earlier.state_dict()
    changed = {name for name in new if old[name].shape != new[name].shape}
    assert changed == {"class_predictor.weight", "class_predictor.bias", "criterion.empty_weight"}
    assert new["criterion.empty_weight"].tolist() == pytest.approx([1, 1, 0.1])
    assert all(torch.equal(old[name], new[name]) for name in new if name not in changed)
    trained = model_of(one, features, tmp_path / "model")
    run = TorchRuntime(one.graphs(trained))
    assert run("model", {"pixels": np.zeros((1, 3, 64, 64), np.float32)})["logits"].shape == (
        1,
        7,
        3,
    )


@pytest.mark.slow
def test_its_graph_gives_what_the_library_gives(trained, features, tmp_path):
    one, model = trained
    (graph,) = one.graphs(model)
    to_onnx(graph, tmp_path / "model.onnx", 18)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    pixels = store.load_arrays(features, "test")[:3].astype(np.float32)
    logits, drawn = session.run(["logits", "masks"], {"pixels": pixels})
    with torch.inference_mode():
        found = graph.module.net(pixel_values=graph.module.scaled(torch.from_numpy(pixels)))
    assert np.allclose(logits, found.class_queries_logits, atol=1e-3)
    assert np.allclose(drawn, found.masks_queries_logits, atol=1e-3)


def test_it_answers_without_torch(tmp_path):
    host_in(tmp_path)
    code = f"""
import sys
for name in ("torch", "transformers", "scipy", "pycocotools"):
    sys.modules[name] = None
import numpy as np
from pathlib import Path
from modelyard.families.segmentation.host import answering
host = answering(Path({str(tmp_path)!r}))
run = lambda graph, arrays: {{"logits": np.ones((1, 2, 3)), "masks": np.ones((1, 2, 8, 8), np.float32)}}
request = host.Request(image={picture((20, 30))!r}, threshold=0.0)
(answer,) = host.predict(run, [request])
print(len(answer.objects))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "1", done.stderr
