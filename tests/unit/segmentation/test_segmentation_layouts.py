"""Masks in the folders, and with the names, in which people download them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from modelyard.errors import BadData
from tests.unit.detection.folders import picture
from tests.unit.segmentation.folders import HEIGHT, WIDTH, as_palette, truth
from tests.unit.segmentation.test_segmentation_formats import found, prepared


def save(mask: Image.Image, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    mask.save(file)


def cityscapes(raw: Path, kinds: tuple[str, ...]) -> None:
    """Two cities of each split; colours and objects hold other numbers than classes."""
    for number in range(24):
        split, city = ("train", "train", "val", "test")[number % 4], f"city{number % 2}"
        begin = f"{split}/{city}/{city}_{number:06}_000019"
        picture(raw / f"leftImg8bit/{begin}_leftImg8bit.png", number, (WIDTH, HEIGHT))
        colours = np.stack([truth(number), truth(number) + 5, truth(number)], axis=-1)
        files = {
            "labelIds": as_palette(truth(number)),
            "labelTrainIds": Image.fromarray(truth(number) + 3),
            "instanceIds": Image.fromarray(truth(number).astype(np.uint16) * 1000),
            "color": Image.fromarray(colours),
        }
        for kind in kinds:
            save(files[kind], raw / f"gtFine/{begin}_gtFine_{kind}.png")


@pytest.mark.parametrize(
    ("kinds", "classes"),
    [
        (("color", "instanceIds", "labelIds"), {"class 0", "class 1", "class 2"}),
        (("color", "labelIds", "labelTrainIds"), {"class 3", "class 4", "class 5"}),
    ],
)
def test_of_cityscapes_the_masks_of_classes_are_read(
    tmp_path: Path, kinds: tuple[str, ...], classes: set[str]
) -> None:
    cityscapes(tmp_path / "raw", kinds)
    summary, out = prepared(tmp_path / "raw")
    assert set(summary["classes"]) == classes
    assert summary["rows"] == {"train": 12, "validation": 6, "test": 6}
    assert summary["dropped"] == {}
    assert any("48 files of Cityscapes are no masks of classes" in one for one in summary["notes"])
    assert np.array_equal(found(out)["city1_000001_000019_leftImg8bit"], truth(1))


def test_colours_of_cityscapes_only_are_refused(tmp_path: Path) -> None:
    cityscapes(tmp_path / "raw", ("color", "instanceIds"))
    with pytest.raises(BadData, match="Add Cityscapes' files _gtFine_labelIds.png"):
        prepared(tmp_path / "raw")


@pytest.mark.parametrize(
    ("pictures", "masks"),
    [
        ("train/{}.jpg", "train_masks/{}_mask.gif"),
        ("Data/{}.png", "GroundTruth/{}_segmentation.png"),
        ("Data/{}.tif", "gt/{}.tif"),
        ("Data/{}.jpg", "masks/{}.bmp"),
    ],
)
def test_pictures_and_masks_may_lie_in_folders_of_any_name(
    tmp_path: Path, pictures: str, masks: str
) -> None:
    raw = tmp_path / "raw"
    for number in range(20):
        picture(raw / pictures.format(number), number, (WIDTH, HEIGHT))
        save(Image.fromarray(truth(number) > 0), raw / masks.format(number))
    summary, out = prepared(raw)
    assert summary["dropped"] == {}
    for number in (3, 7):
        assert np.array_equal(found(out)[str(number)] > 0, truth(number) > 0)


def test_masks_of_pictures_that_are_not_there_are_left_out(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    for number in range(30):
        picture(raw / f"images/{number}.jpg", number, (WIDTH, HEIGHT))
        save(as_palette(truth(number)), raw / f"masks/{number}.png")
    for number in (3, 7):
        (raw / f"images/{number}.jpg").unlink()
    summary, out = prepared(raw)
    assert summary["dropped"] == {"listed, and not in the folder": 2}
    assert "(masks/3.png, masks/7.png)" in summary["notes"][-1]
    assert np.array_equal(found(out)["8"], truth(8))


def test_a_name_that_two_pictures_have_is_not_guessed(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    for folder in ("a", "b"):
        picture(raw / folder / "1.png", 1, (WIDTH, HEIGHT))
    save(as_palette(truth(1)), raw / "masks/1.png")
    with pytest.raises(BadData, match="is the mask of no picture"):
        prepared(raw)


@pytest.mark.parametrize(
    ("pictures", "masks"),
    [
        ("{split}/{name}.png", "{split}annot/{name}.png"),
        ("{split}/{name}.png", "{split}_labels/{name}.png"),
        ("images_prepped_{split}/{name}.png", "annotations_prepped_{split}/{name}.png"),
        ("{split}/images/{name}.png", "{split}/v1.2/labels/{name}.png"),
        ("test/data/images_{split}/{name}.png", "test/data/masks_{split}/{name}.png"),
        ("{split}Images/image_{name}.png", "{split}Masks/mask_{name}.png"),
        ("semantic_set/{split}/{name}_sat.jpg", "semantic_set/{split}/{name}_mask.png"),
    ],
)
def test_words_of_names_say_which_are_masks_of_which_split(
    tmp_path: Path, pictures: str, masks: str
) -> None:
    raw = tmp_path / "raw"
    for number in range(24):
        split = ("train", "train", "val", "test")[number % 4]
        # The same names in each split: the split tells them apart.
        name = f"{number // 4}{number % 2}"
        said = {"split": split, "name": name}
        picture(raw / pictures.format(**said), number, (WIDTH, HEIGHT))
        save(as_palette(truth(number)), raw / masks.format(**said))
    summary, _ = prepared(raw)
    assert summary["rows"] == {"train": 12, "validation": 6, "test": 6}
    assert summary["dropped"] == {}
    assert set(summary["classes"]) == {"class 0", "class 1", "class 2"}


def test_masks_of_objects_next_to_those_of_classes_are_left_out(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    for number in range(20):
        picture(raw / f"train/images/{number}.jpg", number, (WIDTH, HEIGHT))
        save(as_palette(truth(number)), raw / f"train/v2.0/labels/{number}.png")
        save(as_palette(truth(number) + 7), raw / f"train/v2.0/instances/{number}.png")
    summary, _ = prepared(raw)
    assert set(summary["classes"]) == {"class 0", "class 1", "class 2"}
    assert summary["dropped"] == {"without a mask": 20}


@pytest.mark.parametrize(
    ("pictures", "masks"),
    [
        ("my labels/{}.jpg", "my labels/{}_mask.png"),
        ("JPEGImages/img1/{}.jpg", "Annotations/img1/{}.png"),
        ("images/instance_1/{}.jpg", "masks/instance_1/{}.png"),
        ("photos/дом{}.jpg", "masks/дом{}.png"),
        ("photos/{}森.jpg", "masks/{}森.png"),
    ],
)
def test_words_of_folders_count_only_where_they_give_more_pictures_a_mask(
    tmp_path: Path, pictures: str, masks: str
) -> None:
    raw = tmp_path / "raw"
    for number in range(20):
        picture(raw / pictures.format(number), number, (WIDTH, HEIGHT))
        save(as_palette(truth(number)), raw / masks.format(number))
    summary, _ = prepared(raw)
    assert sum(summary["rows"].values()) == 20
    assert summary["dropped"] == {}


@pytest.mark.parametrize(
    "names", [("лес", "дом", "сад"), ("a-1", "a_1", "a 1"), ("sat", "image", "label")]
)
def test_a_mask_belongs_to_the_picture_of_its_whole_name_first(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    raw = tmp_path / "raw"
    for number in range(21):
        # A folder of each number, so that only its names tell its pictures apart.
        name = names[number % 3] + "x" * (number // 3)
        picture(raw / f"photos/{name}.jpg", number, (WIDTH, HEIGHT))
        save(as_palette(truth(number)), raw / f"masks/{name}.png")
    _, out = prepared(raw)
    for number in (3, 4, 5):
        name = names[number % 3] + "x" * (number // 3)
        assert np.array_equal(found(out)[name], truth(number))


def test_a_mask_in_other_letters_is_not_that_of_any_picture(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    for number in range(20):
        picture(raw / f"photos/{number}.jpg", number, (WIDTH, HEIGHT))
        save(as_palette(truth(number)), raw / f"masks/{number}.png")
    picture(raw / "photos/дом.jpg", 30, (WIDTH, HEIGHT))
    save(as_palette(truth(30)), raw / "masks/лес.png")
    with pytest.raises(BadData, match="лес.png: is the mask of no picture"):
        prepared(raw)


@pytest.mark.parametrize("folder", ["masks_color", "coloured labels", "mask_overlays"])
def test_masks_to_look_at_are_left_out(tmp_path: Path, folder: str) -> None:
    raw = tmp_path / "raw"
    for number in range(20):
        picture(raw / f"images/{number}.jpg", number, (WIDTH, HEIGHT))
        save(as_palette(truth(number)), raw / f"masks/{number}.png")
        picture(raw / f"{folder}/{number}.png", number + 100, (WIDTH, HEIGHT))
    summary, _ = prepared(raw)
    assert sum(summary["rows"].values()) == 20
    assert summary["dropped"] == {"without a mask": 20}


def test_pictures_of_two_folders_of_like_names_are_told_apart(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    for number in range(20):
        picture(raw / f"train/images/{number}.jpg", number, (WIDTH, HEIGHT))
        save(as_palette(truth(number)), raw / f"train/masks/{number}.png")
        picture(raw / f"train_images/{number}.jpg", number + 100, (WIDTH, HEIGHT))
    summary, _ = prepared(raw)
    assert sum(summary["rows"].values()) == 20
    assert summary["dropped"] == {"without a mask": 20}
