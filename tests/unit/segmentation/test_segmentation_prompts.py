"""SAM: prompts mean objects, and a second prompt on the same picture needs the decoder only."""

from __future__ import annotations

import base64
import io
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image
from pydantic import ValidationError

from modelyard.errors import UsageError
from modelyard.families.segmentation.config import SegmentationModel
from modelyard.families.segmentation.family import Segmentation, building
from modelyard.families.segmentation.host import SegmentationHost, answering
from modelyard.families.segmentation.network import build, plan
from modelyard.families.segmentation.prompt_host import (
    HELD_BYTES,
    INSIDE,
    LOWER_RIGHT,
    NOTHING,
    OUTSIDE,
    UPPER_LEFT,
    Held,
    Prompt,
    PromptHost,
    filled,
)
from modelyard.families.segmentation.prompted import KINDS, POINTS, TARGETS, PromptedSegmentation
from modelyard.families.segmentation.prompts import disc, drawn, objects_in
from modelyard.families.segmentation.sam import Decoder, Encoder
from modelyard.families.segmentation.spec import IGNORED, SegmentationSpec
from modelyard.judging.evaluation import Part
from modelyard.kit.pictures.answering import DECODE_SECONDS
from modelyard.kit.pictures.pixels import Limits
from modelyard.runtimes.export import to_onnx
from modelyard.runtimes.torch import TorchRuntime
from modelyard.runtimes.types import Arrays, Graph
from tests.training.going_on import features_of, model_of
from tests.unit.segmentation.folders import HEIGHT, WIDTH, masks, truth
from tests.unit.segmentation.test_segmentation_model import family


def prompted(**changes: object) -> PromptedSegmentation:
    config = family(model__kind="sam", **changes).config
    made = building(config)
    assert isinstance(made, PromptedSegmentation)
    return made


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[PromptedSegmentation, Path, Path]:
    root, one = tmp_path_factory.mktemp("sam"), prompted(training__epochs=1)
    features = features_of(one, masks(root / "raw", 24), root / "features")
    return one, features, model_of(one, features, root / "model")


def picture(seed: int, size: tuple[int, int] = (WIDTH, HEIGHT)) -> str:
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode()


def test_objects_are_regions_of_a_class_that_touch():
    labels = np.zeros((40, 60), np.uint8)
    labels[2:20, 4:14] = 1
    labels[25:35, 30:58] = 1
    labels[25:35, 40:44] = 2
    labels[0, 50:52] = 2  # too small
    labels[5:9, 30:34] = IGNORED
    found = objects_in(labels, 0)
    assert [one.box for one in found] == [
        (4, 2, 14, 20),
        (44, 25, 58, 35),
        (30, 25, 40, 35),
        (40, 25, 44, 35),
    ]
    for one in found:
        right, down = one.point
        assert one.mask[int(down), int(right)]
    assert found[0].point == (8.5, 6.5) or abs(found[0].point[0] - 9) <= 1
    assert objects_in(labels, 1)[0].box == (0, 0, 60, 40)


def test_prompts_of_training_mean_their_object():
    (one, *_) = objects_in(truth(3), 0)
    r = np.random.default_rng(0)
    seen = set()
    for _ in range(60):
        places, kinds = drawn(one, r)
        seen.add(tuple(kinds.tolist()))
        for (x, y), kind in zip(places, kinds, strict=True):
            if kind == INSIDE:
                assert one.mask[int(y), int(x)]
        if kinds[-1] == LOWER_RIGHT:
            sides = np.array(one.box[2:]) - one.box[:2]
            off = np.abs(places[-2:].ravel() - one.box) / np.tile(sides, 2)
            assert off.max() <= 0.1 + 1e-6
    assert len(seen) == 4  # one to three points, or a box


def test_a_batch_s_targets_are_the_objects_that_its_prompts_mean(trained):
    one, features, _ = trained
    batch = one.batches(features, "train", 3).take(np.arange(5))
    plain = Segmentation.batches(one, features, "train", 3).take(np.arange(5))
    assert torch.equal(batch["pixels"], plain["pixels"])
    for labels, points, kinds, targets in zip(
        plain["masks"], batch[POINTS], batch[KINDS], batch[TARGETS], strict=True
    ):
        for number in range(len(points)):
            object_ = targets[number] == 1
            assert object_.any()
            assert len(labels[object_].unique()) == 1
            assert torch.equal(targets[number] == IGNORED, labels == IGNORED)
            for (x, y), kind in zip(points[number], kinds[number], strict=True):
                if kind == INSIDE:
                    assert object_[int(y), int(x)]
    again = one.batches(features, "train", 3).take(np.arange(4, 5))
    assert torch.equal(again[POINTS][0], batch[POINTS][4])
    other = one.batches(features, "train", 4).take(np.arange(5))
    assert not torch.equal(other[POINTS], batch[POINTS])


def test_a_network_learns_which_object_a_prompt_means(trained):
    one, features, _ = trained
    torch.manual_seed(0)
    model = one.model(features / "assets").train()
    batch = one.batches(features, "train", 0).take(np.arange(4))
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    losses = []
    for _ in range(60):
        loss = one.loss(model, batch)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("with_box", [True, False])
def test_the_decoder_takes_a_prompt_as_the_library_does(with_box, trained):
    one, features, _ = trained
    model = one.model(features / "assets").eval()
    spec = SegmentationSpec.load(features / "assets")
    pixels = torch.rand(1, 3, spec.size, spec.size) * 255
    box = (10.0, 12.0, 40.0, 44.0) if with_box else None
    places, kinds = filled([(20.0, 30.0, True), (50.0, 8.0, False)], box)
    keep = kinds != NOTHING
    keep[2] = not with_box  # without a box the library adds one place that holds nothing
    with torch.inference_mode():
        ours = model(
            pixels,
            torch.from_numpy(places[keep])[None, None],
            torch.from_numpy(kinds[keep])[None, None],
        )
        # The library's points are numbers of pixels, ours are places in the picture.
        theirs = model.net(
            pixel_values=model.scaled(pixels),
            input_points=torch.from_numpy(places[:2])[None, None] - 0.5,
            input_labels=torch.tensor([[[1, 0]]]),
            input_boxes=None if box is None else torch.tensor([[box]]) - 0.5,
            multimask_output=False,
        )
    large = torch.nn.functional.interpolate(
        theirs.pred_masks[:, :, 0], size=(spec.size,) * 2, mode="bilinear", align_corners=False
    )
    assert torch.allclose(ours["logits"], large, atol=1e-4)
    assert torch.allclose(ours["score"], theirs.iou_scores[:, :, 0], atol=1e-5)


class Counting:
    """A runtime that counts the calls of each graph."""

    def __init__(self, inner: TorchRuntime) -> None:
        self.inner = inner
        self.calls: list[str] = []

    def __call__(self, graph: str, arrays: Arrays) -> Arrays:
        self.calls.append(graph)
        return self.inner(graph, arrays)


def test_the_embedding_of_a_picture_is_computed_once_for_each_runtime(trained):
    one, _, model = trained
    host = answering(model / "assets")
    assert isinstance(host, PromptHost)
    run = Counting(TorchRuntime(one.graphs(model)))
    first, second = picture(1), picture(2)
    point, box = (
        {"points": [{"x": 9, "y": 8}]},
        {"box": {"left": 2, "top": 3, "width": 9, "height": 9}},
    )
    asked = [Prompt.model_validate({"image": first} | some) for some in (point, box)]
    alone = [host.predict(run, [request])[0] for request in asked]
    assert run.calls == ["encoder", "decoder", "decoder"]
    together = host.predict(run, [*asked, Prompt.model_validate({"image": second} | point)])
    assert run.calls[3:] == ["encoder", "decoder"]
    assert [answer.mask for answer in together[:2]] == [answer.mask for answer in alone]
    assert [answer.score for answer in together[:2]] == pytest.approx([one.score for one in alone])
    other = Counting(TorchRuntime(one.graphs(model)))
    host.predict(other, asked[:1])
    assert other.calls == ["encoder", "decoder"], "another variant's embeddings are its own"


def test_serving_is_told_what_a_picture_that_is_not_held_costs(trained):
    one, _, model = trained
    host, run = answering(model / "assets"), TorchRuntime(one.graphs(model))
    request = Prompt.model_validate({"image": picture(7, (300, 200)), "points": [{"x": 9, "y": 8}]})
    before = host.cost(request)
    host.predict(run, [request])
    after = host.cost(request)
    # Three layers of 32 channels and 64 places, next to a decoder of 32.
    layer = 4 * 32**2 + 2 * 32 * 64 + 2 * 64 * 32
    assert before.units == pytest.approx(1 + 3 * layer / (6.5 * 32**2))
    assert after.units == 1
    assert before.seconds - after.seconds == pytest.approx(60_000 * DECODE_SECONDS)
    assert after.seconds > 0


def test_a_second_prompt_costs_at_most_a_fifth_of_the_first(tmp_path):
    """With a picture and an encoder as large as they are in use; an encoder of a checkpoint is
    larger still."""
    spec = SegmentationSpec(
        size=256,
        limits=Limits(bytes=10**7, pixels=10**7),
        classes=["rest", "thing"],
        counts=[1, 1],
    )
    spec.save(tmp_path)
    made = plan(SegmentationModel(kind="sam", width=32, depth=5), spec)
    made["config"]["mask_decoder_config"]["mlp_dim"] = 64
    torch.manual_seed(0)
    net = build(made, spec).eval()
    (tmp_path / "network.json").write_text(json.dumps(made))
    host = PromptHost(tmp_path)
    pixels = np.zeros((2, 3, 256, 256), np.float32)
    with torch.inference_mode():
        embedding = net.encode(torch.from_numpy(pixels)).numpy()
    places, kinds = filled([(9.0, 9.0, True)], None)
    prompts = {"points": np.stack([places] * 2), "kinds": np.stack([kinds] * 2)}
    run = TorchRuntime(
        [
            Graph("encoder", {"pixels": pixels}, module=Encoder(net)),
            Graph("decoder", {"embedding": embedding, **prompts}, module=Decoder(net)),
        ]
    )

    def seconds(request: Prompt) -> float:
        begins = time.process_time()
        host.predict(run, [request])
        return time.process_time() - begins

    def prompt(image: str, x: float) -> Prompt:
        return Prompt.model_validate({"image": image, "points": [{"x": x, "y": 50}]})

    seconds(prompt(picture(0, (256, 256)), 1))  # warm
    pictures = [picture(number, (256, 256)) for number in range(1, 4)]
    first = min(seconds(prompt(image, 10)) for image in pictures)
    second = min(seconds(prompt(image, 90)) for image in pictures)
    assert second <= first / 5, (first, second)


def test_what_is_held_is_bounded_and_the_oldest_goes():
    def run(graph: str, arrays: Arrays) -> Arrays:
        return arrays

    held = Held()
    large = np.zeros(HELD_BYTES // 4 // 4, np.float32)
    for number in range(4):
        held.put(run, bytes([number]), (large, (1, 1)))
    assert held.get(run, b"\0") is not None
    held.put(run, b"\4", (large, (1, 1)))
    assert held.get(run, b"\1") is None
    assert held.get(run, b"\0") is not None
    assert held.get(lambda graph, arrays: arrays, b"\0") is None


def test_answers_to_prompts_need_no_training_library(trained):
    code = f"""
import sys
from modelyard.families.segmentation import FAMILY
import dataclasses
entry = dataclasses.replace(FAMILY, module="modelyard.families.segmentation")
host = entry.open({str(trained[2] / "assets")!r})
assert type(host).__name__ == "PromptHost"
print(*sorted({{"torch", "transformers", "scipy", "pycocotools"}} & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_both_graphs_give_the_same_as_onnx_for_one_request_and_for_many(trained, tmp_path):
    one, features, model = trained
    graphs = one.graphs(model)
    for graph in graphs:
        to_onnx(graph, tmp_path / f"{graph.name}.onnx", one.config.export.opset)
    sessions = {
        graph.name: onnxruntime.InferenceSession(tmp_path / f"{graph.name}.onnx")
        for graph in graphs
    }

    def run(graph: str, arrays: Arrays) -> Arrays:
        names = [output.name for output in sessions[graph].get_outputs()]
        return dict(zip(names, sessions[graph].run(names, arrays), strict=True))

    host, native = answering(model / "assets"), TorchRuntime(graphs)
    bodies = one.requests(features, "test", 5)
    assert all(len(body["points"]) == 1 for body in bodies)
    requests = [Prompt.model_validate(body) for body in bodies]
    for some in (requests[:1], requests):
        theirs, ours = host.predict(native, some), host.predict(run, some)
        assert [one.mask for one in theirs] == [one.mask for one in ours]
        assert [one.score for one in theirs] == pytest.approx([one.score for one in ours], abs=1e-4)


def test_prompts_are_in_pixels_of_the_picture_that_was_sent(trained):
    _, _, model = trained
    host = answering(model / "assets")
    request = Prompt.model_validate(
        {
            "image": "-",
            "points": [{"x": 100, "y": 40}, {"x": 0, "y": 0, "inside": False}],
            "box": {"left": 20, "top": 10, "width": 160, "height": 80},
        }
    )
    # 200 x 100 pixels in a square of 64: 64 x 32, from row 16 on.
    places, kinds = host.slots(request.points, request.box, (200, 100))
    assert np.allclose(places[:2], [[32, 28.8], [0, 16]], atol=1e-4)
    assert np.allclose(places[-2:], [[6.4, 19.2], [57.6, 44.8]], atol=1e-4)
    assert kinds.tolist() == [INSIDE, OUTSIDE, *[NOTHING] * 4, UPPER_LEFT, LOWER_RIGHT]
    for wrong in (
        {},
        {"points": [{"x": 1, "y": 1, "inside": False}]},
        {"points": [{"x": -1, "y": 1}]},
    ):
        with pytest.raises(ValidationError, match="points"):
            Prompt.model_validate({"image": "-"} | wrong)


class Drawing:
    """Answers each point with the true object there, and each box with all of its picture."""

    def __init__(self, features: Path) -> None:
        self.pixels = np.load(features / "test.npy")
        self.masks = np.load(features / "test.masks.npy")

    def __call__(self, graph: str, arrays: Arrays) -> Arrays:
        if graph == "encoder":
            places = [
                np.flatnonzero((self.pixels == one).all(axis=(1, 2, 3)))[0]
                for one in arrays["pixels"]
            ]
            return {"embedding": np.array(places, np.float32).reshape(-1, 1, 1, 1)}
        logits = np.full((len(arrays["kinds"]), *self.masks.shape[1:]), 9.0, np.float32)
        for row, kinds in enumerate(arrays["kinds"]):
            if kinds[0] == INSIDE:
                labels = self.masks[int(arrays["embedding"][row, 0, 0, 0])]
                x, y = arrays["points"][row, 0].astype(int)
                found = [one.mask for one in objects_in(labels, 0) if one.mask[y, x]]
                logits[row] = np.where(found[0], 9.0, -9.0)
        return {"logits": logits, "score": np.full(len(logits), 0.5, np.float32)}


def test_objects_are_judged_by_point_and_by_box_next_to_a_disc(trained):
    one, features, model = trained
    host = answering(model / "assets")
    seen = one.evaluate(host, Drawing(features), features, "test")
    assert seen.metrics["iou"] > 0.85
    assert seen.metrics["found"] == 1.0
    assert seen.metrics["iou_box"] < 0.3
    assert seen.baseline["iou_box"] == 1.0  # all objects here are rectangles
    assert seen.notes[-1].startswith("Prompted by a box, the box itself overlaps more: 1.000 to 0.")
    assert 0.3 < seen.baseline["iou"] < 0.85
    assert seen.gains[0].low > 0
    part = one.evaluate_part(host, Drawing(features), features, "test", Part(rows=2))
    assert (part.rows, part.part) == (2, 2)
    assert "2 objects" in part.notes[1] or int(part.notes[1].split()[0]) <= 4
    with pytest.raises(UsageError, match="gives classes, not objects"):
        one.evaluate(SegmentationHost(model / "assets"), Drawing(features), features, "test")
    with pytest.raises(UsageError, match="answers to prompts"):
        family().evaluate(host, Drawing(features), features, "test")


def test_a_disc_has_the_area_that_it_should():
    found = disc((20.0, 15.0), 200, (40, 50))
    assert abs(found.sum() - 200) < 12
    assert found[15, 20]
    assert not found[:5].any()


def test_a_checkpoint_of_another_size_is_refused_with_what_to_type(trained, tmp_path):
    one, features, _ = trained
    torch.manual_seed(3)
    earlier = one.model(features / "assets")
    earlier.net.save_pretrained(tmp_path / "sam")
    started = prompted(model__checkpoint=str(tmp_path / "sam"))
    model = started.model(features / "assets")
    new = dict(model.net.named_parameters())
    assert all(torch.equal(value, new[name]) for name, value in earlier.net.named_parameters())
    spec = SegmentationSpec.load(features / "assets")
    # What a trained package holds of it builds the same network, without the checkpoint.
    made = plan(started.config.model, spec, tmp_path / "sam")
    build(json.loads(json.dumps(made)), spec).load_state_dict(model.state_dict())
    spec.model_copy(update={"size": 96}).save(tmp_path)
    with pytest.raises(
        UsageError, match="sees 64 pixels, and the data has 96. Type: --set features"
    ):
        started.model(tmp_path)
