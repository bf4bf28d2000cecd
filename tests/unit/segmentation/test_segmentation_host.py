"""Answers: masks of the size of the picture that was sent, as PNG and as run lengths."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask
from pydantic import ValidationError

from modelyard.errors import BadData
from modelyard.families.segmentation import spec as specs
from modelyard.families.segmentation.host import (
    CLASS_SECONDS,
    PIXEL_SECONDS,
    Picture,
    SegmentationHost,
    Segmented,
)
from modelyard.families.segmentation.spec import SegmentationSpec, answered, palette
from modelyard.kit.pictures.answering import DECODE_SECONDS
from modelyard.kit.pictures.pixels import Limits, placed
from modelyard.runtimes.types import Arrays

SIDE = 64
LIMITS = Limits(bytes=30_000_000, pixels=30_000_000)
CLASSES = ["background", "cat", "dog"]


@pytest.fixture
def host(tmp_path: Path) -> SegmentationHost:
    spec = SegmentationSpec(
        size=SIDE,
        limits=LIMITS,
        classes=CLASSES,
        counts=[90, 3, 9],
        mean=[0.0] * 3,
        std=[1.0] * 3,
    )
    spec.save(tmp_path)
    return SegmentationHost(tmp_path)


class Seeing:
    """A network that finds class 2 in a part of a picture of `size`, and class 1 in the padding."""

    def __init__(self, size: tuple[int, int], box: tuple[float, float, float, float]) -> None:
        """Args: box: left, top, right, bottom as shares of the picture."""
        place = placed(size, SIDE)
        labels = np.ones((SIDE, SIDE), int)
        inside = labels[place.top : place.top + place.height, place.left : place.left + place.width]
        inside[:] = 0
        left, top, right, bottom = box
        columns = slice(round(left * place.width), round(right * place.width))
        inside[round(top * place.height) : round(bottom * place.height), columns] = 2
        self.logits = np.where(np.arange(3)[:, None, None] == labels, 4.0, 0.0).astype(np.float32)

    def __call__(self, graph: str, arrays: Arrays) -> Arrays:
        assert graph == "model"
        return {"logits": np.repeat(self.logits[None], len(arrays["pixels"]), axis=0)}


def encoded(size: tuple[int, int], orientation: int = 1, noise: bool = True) -> str:
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    stream = io.BytesIO()
    Image.fromarray(pixels if noise else pixels * 0).save(stream, "PNG", exif=exif)
    return base64.b64encode(stream.getvalue()).decode()


def mask_of(answer: Segmented) -> Image.Image:
    assert answer.mask is not None
    return Image.open(io.BytesIO(base64.b64decode(answer.mask.partition(",")[2])))


HALF = (0.25, 0.25, 0.75, 0.75)


@pytest.mark.parametrize("size", [(200, 100), (33, 180), (64, 64), (48, 64)])
def test_the_mask_lies_on_the_picture_that_was_sent(host, size):
    (answer,) = host.predict(Seeing(size, HALF), [Picture(image=encoded(size))])
    mask = np.asarray(mask_of(answer))
    assert mask.shape == (answer.height, answer.width) == (size[1], size[0])
    expected = np.zeros_like(mask)
    expected[
        round(size[1] / 4) : round(size[1] * 0.75), round(size[0] / 4) : round(size[0] * 0.75)
    ] = 2
    assert (mask == expected).mean() > 0.95
    assert set(np.unique(mask)) == {0, 2}, "the padding is no part of the picture"


def test_the_answer_says_which_classes_there_are_and_how_sure_it_is(host):
    size = (64, 64)
    (answer,) = host.predict(Seeing(size, HALF), [Picture(image=encoded(size))])
    assert [(one.label, one.value, one.share) for one in answer.classes] == [
        ("background", 0, 0.75),
        ("dog", 2, 0.25),
    ]
    sure = float(np.exp(4) / (np.exp(4) + 2))
    assert answer.confidence == pytest.approx(sure, abs=1e-5)
    assert answer.classes[1].confidence == pytest.approx(sure, abs=1e-5)
    mask = mask_of(answer)
    assert mask.mode == "P"
    for one in answer.classes:
        row, column = np.argwhere(np.asarray(mask) == one.value)[0]
        colour = mask.convert("RGB").getpixel((int(column), int(row)))
        assert "#" + bytes(colour).hex() == one.colour
    assert answer.warnings == ()


def test_run_lengths_are_what_pycocotools_decodes(host):
    image = encoded((90, 50))
    run = Seeing((90, 50), (0.1, 0.2, 0.6, 0.5))
    png, rle = host.predict(run, [Picture(image=image), Picture(image=image, format="rle")])
    mask = np.asarray(mask_of(png))
    assert rle.mask is None
    assert "mask" not in rle.model_dump()
    assert all(one.rle is None for one in png.classes)
    for one in rle.classes:
        decoded = coco_mask.decode({"size": list(one.rle.size), "counts": one.rle.counts})
        assert np.array_equal(decoded > 0, mask == one.value)
        assert decoded.mean() == pytest.approx(one.share)


def test_a_picture_that_exif_turns_is_answered_as_it_is_shown(host):
    run = Seeing((50, 120), (0.0, 0.0, 1.0, 0.5))
    (answer,) = host.predict(run, [Picture(image=encoded((120, 50), orientation=6))])
    mask = np.asarray(mask_of(answer))
    assert mask.shape == (120, 50)
    assert (mask[:55] == 2).all()
    assert (mask[65:] == 0).all()


def test_masks_and_work_are_bounded_however_large_the_picture_is(host, monkeypatch):
    monkeypatch.setattr(specs, "MOST_PIXELS", 10_000)
    assert answered((400, 100)) == (200, 50)
    (answer,) = host.predict(Seeing((400, 100), HALF), [Picture(image=encoded((400, 100)))])
    assert (answer.width, answer.height) == (200, 50)
    monkeypatch.undo()
    assert answered((6_000, 4_000)) == (2_449, 1_632)
    assert answered((30_000_000, 1))[1] == 1
    small, large = (Picture(image=encoded(size)) for size in ((100, 50), (3_000, 2_000)))
    drawing = PIXEL_SECONDS + len(CLASSES) * CLASS_SECONDS
    assert host.cost(large).seconds == pytest.approx(6e6 * DECODE_SECONDS + 4e6 * drawing)
    assert host.cost(small).seconds == pytest.approx(5e3 * (DECODE_SECONDS + drawing))
    assert host.cost(Picture(image="no picture!")).seconds == 0


def test_drift_sees_the_picture_and_the_share_of_each_class(host):
    request = Picture(image=encoded((64, 32)))
    (answer,) = host.predict(Seeing((64, 32), HALF), [request])
    row = host.describe(request, answer)
    assert (row["width"], row["height"], row["classes"]) == (64, 32, 2)
    assert 0.4 < row["brightness"] < 0.6
    assert list(row)[-3:] == ["share background", "share dog", "share cat"]
    assert (row["share background"], row["share dog"], row["share cat"]) == (0.75, 0.25, 0.0)
    assert row["mean confidence"] == answer.confidence


def test_what_is_no_picture_is_refused_by_the_field_and_a_black_one_is_answered_with_a_warning(
    host,
):
    run = Seeing((64, 64), HALF)
    for wrong in ("not base64!", base64.b64encode(b"no picture").decode()):
        with pytest.raises(BadData, match="column 'image'"):
            host.predict(run, [Picture(image=wrong)])
    with pytest.raises(ValidationError, match="format"):
        Picture(image=encoded((8, 8)), format="jpeg")
    (answer,) = host.predict(run, [Picture(image=encoded((64, 64), noise=False))])
    assert "nothing to see" in answer.warnings[0].message


def test_a_picture_file_is_a_request(host, tmp_path):
    file = tmp_path / "a.png"
    file.write_bytes(base64.b64decode(encoded((64, 64))))
    assert host.read_file(file) == [{"image": encoded((64, 64))}]
    assert host.read_file(tmp_path / "a.csv") is None


def test_colours_of_classes_differ():
    colours = palette(255).astype(int)
    assert len({tuple(colour) for colour in colours.tolist()}) == 255
    few = colours[:9]
    apart = np.abs(few[:, None] - few[None]).sum(axis=2) + 999 * np.eye(9, dtype=int)
    assert apart.min() > 60
