"""Outlines as LabelMe, CVAT and YOLO hold them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelyard.errors import BadData
from modelyard.families.segmentation.config import (
    SegmentationConfig,
    SegmentationFeatures,
    SegmentationModel,
)
from modelyard.families.segmentation.data import reading
from modelyard.kit.boxes.reading import read_scenes
from modelyard.kit.pictures.pixels import PICTURES
from tests.unit.detection.folders import picture
from tests.unit.detection.folders import yolo as yolo_boxes
from tests.unit.segmentation.folders import HEIGHT, NAMES, WIDTH, masks, polygon, truth
from tests.unit.segmentation.test_segmentation_formats import found, prepared

Polygon = list[float]


def objects(number: int) -> list[tuple[str, Polygon]]:
    """The class and the outline of each object of a picture."""
    labels = truth(number)
    values = sorted(set(labels.ravel().tolist()) - {0})
    return [(NAMES[value], polygon(labels, value)[0]) for value in values]


def labelme(raw: Path, count: int = 20) -> None:
    for number in range(count):
        shapes = []
        for label, flat in objects(number):
            points = [list(point) for point in zip(flat[::2], flat[1::2], strict=True)]
            shapes.append({"label": label, "points": points, "shape_type": "polygon"})
        write(raw, number, shapes)


def write(raw: Path, number: int, shapes: list[dict[str, Any]]) -> None:
    picture(raw / f"{number:02}.png", number, (WIDTH, HEIGHT))
    content = {"shapes": shapes, "imagePath": f"{number:02}.png", "imageData": None}
    sizes = {"imageHeight": HEIGHT, "imageWidth": WIDTH}
    (raw / f"{number:02}.json").write_text(json.dumps(content | sizes))


def cvat(raw: Path, count: int = 20) -> None:
    images = ""
    for number in range(count):
        picture(raw / "images" / f"{number:02}.png", number, (WIDTH, HEIGHT))
        shapes = ""
        for label, flat in objects(number):
            points = ";".join(f"{x},{y}" for x, y in zip(flat[::2], flat[1::2], strict=True))
            shapes += f'<polygon label="{label}" points="{points}"></polygon>'
        images += (
            f'<image name="{number:02}.png" width="{WIDTH}" height="{HEIGHT}">{shapes}</image>'
        )
    (raw / "annotations.xml").write_text(f"<annotations>{images}</annotations>")


def yolo(raw: Path, count: int = 20) -> None:
    for number in range(count):
        picture(raw / "images" / f"{number:02}.png", number, (WIDTH, HEIGHT))
        lines = []
        for label, flat in objects(number):
            shares = [one / (WIDTH, HEIGHT)[place % 2] for place, one in enumerate(flat)]
            lines.append(f"{NAMES.index(label) - 1} {' '.join(map(str, shares))}")
        file = raw / "labels" / f"{number:02}.txt"
        file.parent.mkdir(exist_ok=True)
        file.write_text("\n".join(lines))
    (raw / "data.yaml").write_text("names: [cat, dog]\n")


WRITERS = {"LabelMe": labelme, "CVAT": cvat, "YOLO": yolo}


@pytest.mark.parametrize("tool", WRITERS)
def test_outlines_of_each_tool_are_classes_of_pixels(tmp_path: Path, tool: str) -> None:
    WRITERS[tool](tmp_path / "raw")
    summary, out = prepared(tmp_path / "raw")
    assert summary["headline"] == f"{tool}: 20 pictures, 3 classes, 64 px"
    assert set(summary["classes"]) == set(NAMES)
    for number in (0, 3, 4):
        assert np.array_equal(found(out)[f"{number:02}"], truth(number))


@pytest.mark.parametrize("tool", WRITERS)
def test_outlines_of_each_tool_are_objects(tmp_path: Path, tool: str) -> None:
    WRITERS[tool](tmp_path / "raw")
    (tmp_path / "out" / "assets").mkdir(parents=True)
    config = SegmentationConfig(
        features=SegmentationFeatures(size=64), model=SegmentationModel(kind="mask2former")
    )
    summary = reading(config).features(tmp_path / "raw", tmp_path / "out")
    assert f"{tool}: 20 pictures, 2 classes, 64 px, 27 objects" in summary["headline"]


def test_parts_of_a_group_are_one_object_and_ignored_ones_are_none(tmp_path: Path) -> None:
    labelme(tmp_path)
    square = [[1, 1], [5, 1], [5, 5], [1, 5]]
    further = [[x + 20, y] for x, y in square]
    aside = [[x, y + 20] for x, y in square]
    shapes = [
        {"label": "cat", "points": square, "group_id": 0},
        {"label": "cat", "points": further, "group_id": 0},
        {"label": "dog", "points": square, "group_id": 0},
        {"label": "__ignore__", "points": aside, "group_id": None},
    ]
    write(tmp_path, 0, shapes)
    boxes = read_scenes(tmp_path, PICTURES).scenes[0].boxes
    assert [(box.label, box.left, box.right, box.ignored) for box in boxes] == [
        ("cat", 1, 25, False),
        ("dog", 1, 5, False),
        ("__ignore__", 1, 5, True),
    ]
    summary, _ = prepared(tmp_path)
    assert "__ignore__" not in summary["classes"]
    assert "pixels ignored" in summary["headline"]


def test_boxes_among_outlines_are_counted_and_boxes_only_are_refused(tmp_path: Path) -> None:
    yolo(tmp_path / "some")
    with (tmp_path / "some/labels/03.txt").open("a") as file:
        file.write("\n0 .5 .5 .1 .1\n")
    summary, _ = prepared(tmp_path / "some")
    assert summary["dropped"] == {"objects: without an outline": 1}
    yolo_boxes(tmp_path / "none")
    with pytest.raises(BadData, match="YOLO: no object has an outline. Boxes are detection's"):
        prepared(tmp_path / "none")


@pytest.mark.parametrize(("writes", "name"), [(labelme, "labelme"), (cvat, "cvat")])
def test_a_format_that_is_set_is_read_next_to_masks(
    tmp_path: Path, writes: Callable[[Path], None], name: str
) -> None:
    masks(tmp_path / "made")
    writes(tmp_path / "drawn")
    for file in (tmp_path / "made" / "images").iterdir():
        file.unlink()
    summary, _ = prepared(tmp_path, format=name)
    assert set(summary["classes"]) == set(NAMES)
    assert sum(summary["rows"].values()) == 20


def test_a_polygon_of_fewer_than_three_corners_has_no_outline(tmp_path: Path) -> None:
    cvat(tmp_path)
    table = tmp_path / "annotations.xml"
    lines = "".join(f'<polygon label="cat" points="{p}"/>' for p in ("1,1", "1,1;5,5"))
    table.write_text(table.read_text().replace("</image>", f"{lines}</image>", 1))
    summary, _ = prepared(tmp_path)
    assert summary["dropped"] == {"objects: without an outline": 2}
