"""A folder a picture, with a mask an object."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from modelyard.errors import BadData
from modelyard.families.segmentation.config import SegmentationConfig
from modelyard.families.segmentation.data import reading
from modelyard.families.segmentation.instances import load_truth
from modelyard.families.segmentation.spec import IGNORED
from modelyard.kit.classifier import store
from tests.unit.detection.folders import picture
from tests.unit.segmentation.folders import HEIGHT, WIDTH
from tests.unit.segmentation.test_segmentation_formats import found, prepared

SPLITS = ("train", "validation", "test")


def boxes(number: int) -> list[tuple[int, int, int, int]]:
    """Two nuclei that touch, or one: rows and columns."""
    left = 3 + number % 5
    one = (4, 12, left, left + 9)
    return [one] if number % 4 == 3 else [one, (4, 14, left + 9, left + 20)]


def mask(file: Path, pixels: np.ndarray) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).save(file)


def nuclei(raw: Path, count: int = 20, white: int = 255) -> Path:
    """As the Data Science Bowl 2018 has them."""
    for number in range(count):
        name = f"{number:02}a7f"
        picture(raw / f"stage1_train/{name}/images/{name}.png", number, (WIDTH, HEIGHT))
        for place, (top, bottom, left, right) in enumerate(boxes(number)):
            pixels = np.zeros((HEIGHT, WIDTH))
            pixels[top:bottom, left:right] = white
            mask(raw / f"stage1_train/{name}/masks/{number}{place}c3d9.png", pixels)
    picture(raw / "stage1_test/ff0/images/ff0.png", 99, (WIDTH, HEIGHT))
    return raw


def objects(raw: Path) -> tuple[dict[str, Any], Path]:
    """What the features stage makes of it for a kind that tells objects apart."""
    values = {"model": {"kind": "mask2former"}, "features": {"size": 64}}
    out = raw.parent / "features"
    (out / "assets").mkdir(parents=True)
    return reading(SegmentationConfig.model_validate(values)).features(raw, out), out


@pytest.mark.parametrize("white", [255, 1])
def test_every_mask_is_an_object(tmp_path: Path, white: int) -> None:
    summary, out = objects(nuclei(tmp_path / "raw", white=white))
    assert summary["headline"].startswith("a mask an object: 20 pictures, 1 classes, 64 px, 35 obj")
    assert summary["dropped"] == {"without a mask": 1}
    seen = []
    for split in SPLITS:
        seen += load_truth(out, split).boxes.tolist()
    wanted = [[le, t, r, b] for n in range(20) for t, b, le, r in boxes(n)]
    assert sorted(seen) == sorted(wanted)


def test_other_kinds_see_the_objects_as_pixels_of_one_class(tmp_path: Path) -> None:
    summary, out = prepared(nuclei(tmp_path / "raw"))
    assert list(summary["classes"]) == ["background", "object"]
    labels = found(out)["05a7f"]
    wanted = np.zeros((HEIGHT, WIDTH))
    for top, bottom, left, right in boxes(5):
        wanted[top:bottom, left:right] = 1
    assert np.array_equal(labels, wanted)


def test_a_mask_of_two_numbers_is_refused_with_its_pixel(tmp_path: Path) -> None:
    raw = nuclei(tmp_path / "raw")
    pixels = np.zeros((HEIGHT, WIDTH))
    pixels[2, 3], pixels[4, 5] = 7, 9
    mask(raw / "stage1_train/01a7f/masks/10c3d9.png", pixels)
    said = r"01a7f/masks/10c3d9.png: pixel \(3, 2\) holds 7, another one 9. The mask of one object"
    with pytest.raises(BadData, match=said):
        objects(raw)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"no mask", "10c3d9.png: is not a picture"),
        (b"", "10c3d9.png: is empty"),
    ],
)
def test_a_broken_mask_is_named(tmp_path: Path, content: bytes, said: str) -> None:
    raw = nuclei(tmp_path / "raw")
    (raw / "stage1_train/01a7f/masks/10c3d9.png").write_bytes(content)
    with pytest.raises(BadData, match=said):
        objects(raw)


def test_a_mask_of_another_size_is_named(tmp_path: Path) -> None:
    raw = nuclei(tmp_path / "raw")
    mask(raw / "stage1_train/01a7f/masks/10c3d9.png", np.ones((9, 9)))
    with pytest.raises(BadData, match="10c3d9.png: has 9 x 9 pixels, and its picture 40 x 30"):
        objects(raw)


def test_masks_of_pictures_that_are_not_there_are_left_out(tmp_path: Path) -> None:
    raw = nuclei(tmp_path / "raw")
    shutil.rmtree(raw / "stage1_train/02a7f/images")
    summary, _ = objects(raw)
    assert summary["dropped"]["listed, and not in the folder"] == 1
    assert "(stage1_train/02a7f)" in summary["notes"][-1]


def test_a_mask_of_classes_in_a_folder_of_its_own_is_none_of_objects(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    for number in range(20):
        picture(raw / f"{number}/images/{number}.png", number, (WIDTH, HEIGHT))
        labels = np.zeros((HEIGHT, WIDTH))
        labels[:9], labels[9:12] = 1, 2
        mask(raw / f"{number}/masks/{number}.png", labels)
    summary, _ = prepared(raw)
    assert len(summary["classes"]) == 3


@pytest.mark.parametrize("names", [("road", "car"), ("left_lung", "right lung")])
def test_masks_that_are_called_as_classes_are_no_objects(
    tmp_path: Path, names: tuple[str, str]
) -> None:
    raw = nuclei(tmp_path / "raw")
    for folder in (raw / "stage1_train").iterdir():
        for file, name in zip(sorted((folder / "masks").iterdir()), names, strict=False):
            file.rename(file.with_name(f"{name}.png"))
    with pytest.raises(BadData, match="is the mask of no picture"):
        prepared(raw)


def test_outlines_next_to_the_masks_are_read_for_their_classes(tmp_path: Path) -> None:
    raw = nuclei(tmp_path / "raw")
    images, annotations = [], []
    for number in range(20):
        images.append({"id": number, "file_name": f"{number:02}a7f.png"})
        for top, bottom, left, right in boxes(number):
            corners = [left, top, right, top, right, bottom, left, bottom]
            one = {"id": len(annotations), "image_id": number, "bbox": [0, 0, 1, 1]}
            kind = {"category_id": len(annotations) % 2, "segmentation": [corners]}
            annotations.append(one | kind)
    categories = [{"id": 0, "name": "nucleus"}, {"id": 1, "name": "mitosis"}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (raw / "instances.json").write_text(json.dumps(content))
    assert set(objects(raw)[0]["classes"]) == {"nucleus", "mitosis"}


def test_a_small_object_that_lies_in_a_large_one_stays_visible(tmp_path: Path) -> None:
    raw = nuclei(tmp_path / "raw")
    pixels = np.zeros((HEIGHT, WIDTH))
    pixels[6:9, 6:9] = 255
    for folder in (raw / "stage1_train").iterdir():
        mask(folder / "masks/0.png", pixels)
    _, out = objects(raw)
    for numbers, labels in zip(
        store.load_arrays(out, "train.masks"), store.load_labels(out, "train"), strict=True
    ):
        count = int((labels >= 0).sum())
        assert set(np.unique(numbers)) == {0, *range(1, count + 1), IGNORED}


def test_a_single_mask_a_folder_or_two_pictures_are_no_objects(tmp_path: Path) -> None:
    one = nuclei(tmp_path / "one" / "raw")
    for folder in (one / "stage1_train").iterdir():
        for file in sorted((folder / "masks").iterdir())[1:]:
            file.unlink()
    two = nuclei(tmp_path / "two" / "raw")
    picture(two / "stage1_train/00a7f/images/other.png", 77, (WIDTH, HEIGHT))
    for raw in (one, two):
        with pytest.raises(BadData, match="is the mask of no picture"):
            prepared(raw)
