"""YOLO's folders as people have them: keypoints, lists of pictures, other YAML files."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelyard.errors import BadData
from modelyard.kit.boxes.reading import read_scenes
from modelyard.kit.boxes.scenes import Scenes
from modelyard.kit.pictures.pixels import PICTURES
from tests.unit.detection.folders import boxes_of, voc, yolo


def read(raw: Path) -> Scenes:
    return read_scenes(raw, PICTURES)


def test_a_yaml_file_without_names_of_classes_is_not_yolos(tmp_path: Path) -> None:
    voc(tmp_path)
    (tmp_path / "environment.yml").write_text("name: raccoon\nchannels:\n  - defaults\n")
    (tmp_path / "chart.yaml").write_text("{{ .Values.names }}: {{\n")
    assert read(tmp_path).format == "Pascal VOC"


@pytest.mark.parametrize("name", ["coco128.yaml", "data.yml"])
def test_names_may_stand_in_a_yaml_file_of_any_name(tmp_path: Path, name: str) -> None:
    yolo(tmp_path)
    (tmp_path / "data.yaml").rename(tmp_path / name)
    (tmp_path / "a.yaml").write_text("train: 3\n")
    labels = {box.label for scene in read(tmp_path).scenes for box in scene.boxes}
    assert labels == {"cat", "dog"}


@pytest.mark.parametrize(
    ("shape", "points"), [("[3, 2]", ".9 .9 .8 .8 .7 .7"), ("[2, 3]", ".9 .9 2 .8 .8 2")]
)
def test_keypoints_are_not_taken_for_an_outline(tmp_path: Path, shape: str, points: str) -> None:
    yolo(tmp_path)
    before = [scene.boxes for scene in read(tmp_path).scenes]
    with (tmp_path / "data.yaml").open("a") as file:
        file.write(f"kpt_shape: {shape}\n")
    for labels in (tmp_path / "labels").glob("*.txt"):
        lines = [f"{line} {points}" for line in labels.read_text().splitlines() if line]
        labels.write_text("\n".join(lines))
    listing = read(tmp_path)
    assert [scene.boxes for scene in listing.scenes] == before
    assert listing.notes == ["Keypoints are not read: only the boxes are."]
    (tmp_path / "labels" / "03.txt").write_text("0 .5 .5 .1 .1 .2 .2 .3 .3 .4 .4 .5 .5\n")
    with pytest.raises(BadData, match=r"03.txt, row 1: 13 cells; .* and 6 numbers of keypoints"):
        read(tmp_path)


def test_an_outline_may_lean_over_the_edge_by_a_hundredth(tmp_path: Path) -> None:
    yolo(tmp_path)
    file = tmp_path / "labels" / "00.txt"
    file.write_text("1 0.25 -0.009 0.5 0.1 1.008 0.5 0.5 0.9\n")
    (box,) = read(tmp_path).scenes[0].boxes
    assert (box.top, box.right) == (-0.009, 1.008)
    file.write_text("1 0.25 -0.02 0.5 0.1 1.008 0.5 0.5 0.9\n")
    with pytest.raises(BadData, match=r"row 1: '-0.02'"):
        read(tmp_path)


@pytest.mark.parametrize("tool", ["darknet", "ultralytics"])
def test_lists_of_pictures_are_splits(tmp_path: Path, tool: str) -> None:
    yolo(tmp_path)
    parts = {"train": range(9), "valid": range(9, 13), "test": range(13, 18)}
    if tool == "darknet":
        (tmp_path / "data.yaml").unlink()
        (tmp_path / "obj.names").write_text("cat\ndog\n")
    else:
        lines = [f"{'val' if name == 'valid' else name}: {name}.txt" for name in parts]
        (tmp_path / "data.yaml").write_text("\n".join(["names: [cat, dog]", *lines]))
    for name, numbers in parts.items():
        # Paths as they were on the machine of who wrote them.
        lines = [f"/home/someone/data/images/{number:02}.png" for number in numbers]
        (tmp_path / f"{name}.txt").write_text("\n".join(lines) + "\n")
    listing = read(tmp_path)
    assert [scene.split for scene in listing.scenes] == (
        ["train"] * 9 + ["validation"] * 4 + ["test"] * 5
    )
    assert listing.dropped == {"in no list of pictures": 2}
    assert len(listing.scenes[3].boxes) == len(boxes_of(3))


def test_what_a_list_names_and_the_folder_lacks_is_counted(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    yolo(raw)
    (raw / "data.yaml").write_text("{train: train.txt, names: [square, disc]}")
    names = [f"./images/{number:02}.png" for number in range(20)]
    (raw / "train.txt").write_text("\n".join([*names, "./images/99.png"]))
    listing = read(raw)
    assert len(listing.scenes) == 20
    assert listing.dropped == {"listed, and not in the folder": 1}


def test_boxes_of_a_picture_called_as_a_list_are_no_list(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    yolo(raw)
    (raw / "data.yaml").unlink()
    (raw / "obj.names").write_text("square\ndisc\n")
    (raw / "images/03.png").rename(raw / "images/train.png")
    (raw / "labels/03.txt").rename(raw / "labels/train.txt")
    assert len(read(raw).scenes) == 20
