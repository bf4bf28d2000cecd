"""Masks whose colours are the classes, and masks in JPEG files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from modelyard.errors import BadData
from tests.unit.detection.folders import picture
from tests.unit.segmentation.folders import HEIGHT, NAMES, WIDTH, outlines, truth
from tests.unit.segmentation.test_segmentation_formats import found, prepared

COLOURS = np.array([(0, 0, 0), (128, 0, 0), (0, 64, 128)], np.uint8)
LABELMAP = "# label:color_rgb:parts:actions\nbackground:0,0,0::\ncat:128,0,0::\ndog:0,64,128::\n"


def coloured(raw: Path, transparent: bool = False, count: int = 20) -> None:
    for number in range(count):
        picture(raw / "images" / f"{number:02}.jpg", number, (WIDTH, HEIGHT))
        save(raw, number, COLOURS[truth(number)], transparent)


def save(raw: Path, number: int, pixels: np.ndarray, transparent: bool = False) -> None:
    file = raw / "masks" / f"{number:02}.png"
    file.parent.mkdir(parents=True, exist_ok=True)
    mask = Image.fromarray(pixels)
    if transparent:
        mask.putalpha(255)
    mask.save(file)


@pytest.mark.parametrize("transparent", [False, True])
def test_each_colour_is_a_class(tmp_path: Path, transparent: bool) -> None:
    coloured(tmp_path / "raw", transparent)
    summary, out = prepared(tmp_path / "raw")
    assert list(summary["classes"]) == ["#000000", "#004080", "#800000"]
    assert "each is a class: called as they are" in summary["notes"][0]
    for number in (0, 3, 4):
        # Their numbers rise with the colours.
        assert np.array_equal(found(out)[f"{number:02}"], np.array([0, 2, 1])[truth(number)])


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("labelmap.txt", LABELMAP),
        ("label_colors.txt", "0 0 0\tbackground\n128 0 0\tcat\n0 64 128\tdog\n"),
        ("class_dict.csv", "name,r,g,b\nbackground,0,0,0\ncat,128,0,0\ndog,0,64,128\nsky,9,9,9\n"),
    ],
)
def test_a_file_names_the_classes_by_their_colours(tmp_path: Path, name: str, content: str) -> None:
    coloured(tmp_path / "raw")
    (tmp_path / "raw" / name).write_text(content)
    summary, _ = prepared(tmp_path / "raw")
    assert set(summary["classes"]) == set(NAMES)
    assert name in summary["notes"][0]


def test_a_colour_that_has_no_name_is_refused_with_its_pixel(tmp_path: Path) -> None:
    coloured(tmp_path)
    (tmp_path / "labelmap.txt").write_text(LABELMAP)
    pixels = COLOURS[truth(3)]
    pixels[5, 9] = (1, 2, 3)
    save(tmp_path, 3, pixels)
    said = r"masks/03.png: pixel \(9, 5\) has the colour \(1, 2, 3\), which labelmap.txt does not"
    with pytest.raises(BadData, match=said):
        prepared(tmp_path)


def test_colours_that_blend_are_refused(tmp_path: Path) -> None:
    coloured(tmp_path)
    noise = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    save(tmp_path, 5, noise)
    with pytest.raises(BadData, match=r"masks/05.png: has 1,200 colours, .*; allowed are 255"):
        prepared(tmp_path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("cat:128,0\n", r"labelmap.txt, row 1: 'cat:128,0'; allowed are name:r,g,b"),
        ("cat:300,0,0::\n", r"row 1: colour 300 0 0: each number must be 0 to 255"),
        ("cat:1,0,0::\ncat:2,0,0::\n", r"row 2: 'cat' or its colour stands twice"),
    ],
)
def test_a_label_map_that_is_wrong_is_named(tmp_path: Path, content: str, said: str) -> None:
    coloured(tmp_path)
    (tmp_path / "labelmap.txt").write_text(content)
    with pytest.raises(BadData, match=said):
        prepared(tmp_path)


def test_gray_masks_of_three_channels_hold_numbers(tmp_path: Path) -> None:
    coloured(tmp_path)
    for number in range(20):
        save(tmp_path, number, np.repeat(truth(number)[..., None], 3, axis=2))
    summary, _ = prepared(tmp_path)
    assert set(summary["classes"]) == {"class 0", "class 1", "class 2"}


def test_panoptic_masks_next_to_coco_are_no_classes(tmp_path: Path) -> None:
    outlines(tmp_path)
    for number in range(20):
        file = tmp_path / "annotations" / "panoptic_train2017" / f"{number:02}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(COLOURS[truth(number)]).save(file)
    summary, _ = prepared(tmp_path)
    assert set(summary["classes"]) == set(NAMES)


def jpegs(raw: Path, numbers: int = 20, light: int = 255) -> None:
    for number in range(numbers):
        picture(raw / "images" / f"{number:02}.png", number, (WIDTH, HEIGHT))
        file = raw / "masks" / f"{number:02}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        # One of them is black as a whole.
        seen = (truth(number) > 0) & (number != 6)
        Image.fromarray((seen * light).astype(np.uint8)).save(file, quality=75)


def test_black_and_white_in_jpeg_files_are_two_classes(tmp_path: Path) -> None:
    jpegs(tmp_path / "raw")
    summary, out = prepared(tmp_path / "raw")
    assert set(summary["classes"]) == {"class 0", "class 255"}
    assert any("JPEG files of black and white" in note for note in summary["notes"])
    for number in (0, 3):
        # Compression blurs edges by less than a pixel.
        apart = (found(out)[f"{number:02}"] > 0) != (truth(number) > 0)
        assert apart.mean() < 0.02


@pytest.mark.parametrize(
    ("light", "said"),
    [
        (1, "masks/00.jpg: is a .jpg file: .* and no mask has a white pixel. Save masks as PNG"),
        (128, "masks/00.jpg: is a .jpg file: .*% of its pixels are neither black nor white"),
    ],
)
def test_other_numbers_in_jpeg_files_are_refused(tmp_path: Path, light: int, said: str) -> None:
    jpegs(tmp_path, light=light)
    with pytest.raises(BadData, match=said):
        prepared(tmp_path)
