"""Answers: boxes in pixels of the picture that was sent, thresholds, and what drift sees."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from modelyard.errors import BadData
from modelyard.families.detection.host import DetectionHost
from modelyard.families.detection.spec import DetectionSpec
from modelyard.kit.boxes.answering import ObjectAnswers, ObjectPicture
from modelyard.kit.boxes.geometry import grid, into_square
from modelyard.kit.pictures.pixels import Limits
from modelyard.runtimes.types import Arrays

SIDE, STRIDES = 64, [8, 16, 32]
LIMITS = Limits(bytes=1_000_000, pixels=1_000_000)


def host_in(folder: Path, **plan: object) -> DetectionHost:
    spec = DetectionSpec(
        size=SIDE,
        limits=LIMITS,
        classes=["cat", "dog"],
        counts=[3, 9],
        pictures=6,
        mean=[0.0] * 3,
        std=[1.0] * 3,
    )
    spec.save(folder)
    ObjectAnswers(threshold=0.5, most_overlap=0.6).save(folder)
    made = plan or {"kind": "cnn", "strides": STRIDES}
    (folder / "network.json").write_text(json.dumps(made))
    return DetectionHost(folder)


class Seeing:
    """A network that finds the given boxes, of a picture of `size`: label, score, box."""

    def __init__(self, size: tuple[int, int], found: list[tuple[int, float, list[float]]]) -> None:
        self.size, self.found = size, found

    def __call__(self, graph: str, arrays: Arrays) -> Arrays:
        assert graph == "model"
        count = len(arrays["pixels"])
        places = grid(SIDE, STRIDES)
        logits = np.full((count, len(places), 2), -20.0, np.float32)
        boxes = np.zeros((count, len(places), 4), np.float32)
        for place, (label, score, box) in enumerate(self.found):
            ((left, top, right, bottom),) = into_square(np.array([box]), self.size, SIDE)
            x, y, stride = places[place]
            logits[:, place, label] = np.log(score / (1 - score))
            centre = ((left + right) / 2 - x) / stride, ((top + bottom) / 2 - y) / stride
            sides = np.log((right - left) / stride), np.log((bottom - top) / stride)
            boxes[:, place] = [*centre, *sides]
        return {"logits": logits, "boxes": boxes}


def encoded(size: tuple[int, int], orientation: int = 1, noise: bool = True) -> str:
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    stream = io.BytesIO()
    Image.fromarray(pixels if noise else pixels * 0).save(stream, "PNG", exif=exif)
    return base64.b64encode(stream.getvalue()).decode()


def edges(thing) -> list[float]:
    box = thing.box
    return [box.left, box.top, box.left + box.width, box.top + box.height]


@pytest.mark.parametrize("size", [(200, 90), (33, 180), (64, 64)])
def test_a_box_is_in_pixels_of_the_picture_that_was_sent(size, tmp_path):
    host = host_in(tmp_path)
    wide, high = size
    box = [0.2 * wide, 0.3 * high, 0.6 * wide, 0.9 * high]
    run = Seeing(size, [(1, 0.9, box), (0, 0.7, [0.0, 0.0, wide * 0.3, high * 0.2])])
    (answer,) = host.predict(run, [ObjectPicture(image=encoded(size))])
    assert [thing.label for thing in answer.objects] == ["dog", "cat"]
    assert np.allclose(edges(answer.objects[0]), box, atol=1e-3)
    assert (answer.width, answer.height) == size
    assert answer.objects[0].score == pytest.approx(0.9, abs=1e-4)


def test_a_picture_that_exif_turns_is_answered_as_it_is_shown(tmp_path):
    host = host_in(tmp_path)
    run = Seeing((50, 120), [(0, 0.9, [5.0, 60, 45, 110])])
    (answer,) = host.predict(run, [ObjectPicture(image=encoded((120, 50), orientation=6))])
    assert (answer.width, answer.height) == (50, 120)
    assert np.allclose(edges(answer.objects[0]), [5, 60, 45, 110], atol=1e-3)


def test_the_threshold_and_the_number_of_objects_are_the_request_s(tmp_path):
    host = host_in(tmp_path)
    boxes = [[10.0 * place, 0, 10.0 * place + 8, 9] for place in range(4)]
    run = Seeing(
        (64, 64), [(0, score, box) for score, box in zip([0.9, 0.6, 0.4, 0.2], boxes, strict=True)]
    )
    image = encoded((64, 64))
    asked = [
        ObjectPicture(image=image),
        ObjectPicture(image=image, threshold=0.3),
        ObjectPicture(image=image, most=1),
    ]
    asked.append(ObjectPicture(image=image, threshold=0.0))
    counts = [len(answer.objects) for answer in host.predict(run, asked)]
    assert counts[:3] == [2, 3, 1]
    assert counts[3] >= 4
    assert [answer.threshold for answer in host.predict(run, asked)] == [0.5, 0.3, 0.5, 0.0]
    for wrong in ({"threshold": 1.5}, {"most": 0}, {"most": 1_000}, {"image": ""}, {"size": 3}):
        with pytest.raises(ValidationError):
            ObjectPicture.model_validate({"image": image} | wrong)


def test_one_object_is_answered_once(tmp_path):
    host = host_in(tmp_path)
    near = [[10.0, 10, 40, 40], [11.0, 10, 41, 40], [10.0, 30, 40, 60]]
    run = Seeing(
        (64, 64), [(0, 0.8, near[0]), (0, 0.9, near[1]), (0, 0.7, near[2]), (1, 0.6, near[0])]
    )
    (answer,) = host.predict(run, [ObjectPicture(image=encoded((64, 64)))])
    seen = [(thing.label, round(thing.score, 3)) for thing in answer.objects]
    assert seen == [("cat", 0.9), ("cat", 0.7), ("dog", 0.6)]


def test_a_place_answers_with_its_likeliest_class(tmp_path):
    host = host_in(tmp_path)
    logits = np.full((1, len(grid(SIDE, STRIDES)), 2), -20.0, np.float32)
    logits[0, 40] = [1.0, 2.0]

    def run(graph: str, arrays: Arrays) -> Arrays:
        return {"logits": logits, "boxes": np.zeros((1, logits.shape[1], 4), np.float32)}

    (answer,) = host.predict(run, [ObjectPicture(image=encoded((64, 64)))])
    assert [thing.label for thing in answer.objects] == ["dog"]


def test_kinds_that_answer_by_queries_have_a_class_for_nothing(tmp_path):
    host = host_in(tmp_path, kind="detr", softmax=True)

    def run(graph: str, arrays: Arrays) -> Arrays:
        logits = np.array([[[3.0, 0, 0], [0, 0, 6]]], np.float32)
        return {"logits": logits, "boxes": np.array([[[0.5, 0.5, 0.5, 0.25]] * 2], np.float32)}

    (answer,) = host.predict(run, [ObjectPicture(image=encoded((64, 64)), threshold=0.2)])
    (thing,) = answer.objects
    assert (thing.label, edges(thing)) == ("cat", [16, 24, 48, 40])
    assert thing.score == pytest.approx(np.exp(3) / (np.exp(3) + 2), abs=1e-5)


def test_drift_sees_the_picture_and_what_was_found(tmp_path):
    host = host_in(tmp_path)
    request = ObjectPicture(image=encoded((64, 32)))
    found = [(0, 0.9, [0.0, 0, 32, 16]), (1, 0.7, [32.0, 0, 64, 16]), (1, 0.8, [0.0, 16, 32, 32])]
    (answer,) = host.predict(Seeing((64, 32), found), [request])
    row = host.describe(request, answer)
    assert (row["width"], row["height"], row["objects"]) == (64, 32, 3)
    assert row["mean score"] == pytest.approx(0.8, abs=1e-4)
    assert row["mean area"] == pytest.approx(0.25, abs=1e-4)
    assert row["share dog"] == pytest.approx(2 / 3)
    assert list(row)[-2:] == ["share dog", "share cat"]  # the most frequent in training first
    (nothing,) = host.predict(Seeing((64, 32), []), [request])
    empty = host.describe(request, nothing)
    assert list(empty) == list(row)
    assert (empty["objects"], empty["mean score"], empty["share cat"]) == (0, None, None)


def test_what_is_no_picture_is_refused_by_the_field_and_a_black_one_is_answered_with_a_warning(
    tmp_path,
):
    host = host_in(tmp_path)
    for wrong in ("not base64!", base64.b64encode(b"no picture").decode()):
        with pytest.raises(BadData, match="column 'image'"):
            host.predict(Seeing((64, 64), []), [ObjectPicture(image=wrong)])
    black = ObjectPicture(image=encoded((64, 64), noise=False))
    (answer,) = host.predict(Seeing((64, 64), []), [black])
    assert "nothing to see" in answer.warnings[0].message
    (answer,) = host.predict(Seeing((64, 64), []), [ObjectPicture(image=encoded((64, 64)))])
    assert answer.warnings == ()


def test_a_picture_file_is_a_request(tmp_path):
    host = host_in(tmp_path)
    file = tmp_path / "a.png"
    file.write_bytes(base64.b64decode(encoded((64, 64))))
    assert host.read_file(file) == [{"image": encoded((64, 64))}]
    assert host.read_file(tmp_path / "a.csv") is None
