"""Boxes as LabelMe and CVAT write them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from modelyard.errors import BadData
from modelyard.kit.boxes.reading import read_scenes
from modelyard.kit.boxes.scenes import Scenes
from modelyard.kit.pictures.pixels import PICTURES
from tests.unit.detection.folders import HEIGHT, WIDTH, boxes_of, picture, voc


def labelme(raw: Path, kind: str = "rectangle", count: int = 20) -> None:
    for number in range(count):
        picture(raw / f"{number:02}.png", number)
        shapes = []
        for label, (left, top, width, height) in boxes_of(number):
            right, bottom = left + width, top + height
            points = {
                # A rectangle is drawn from any corner.
                "rectangle": [[right, bottom], [left, top]],
                "polygon": [[left, top], [right, top], [right, bottom], [left, bottom]],
            }[kind]
            shapes.append({"label": label, "points": points, "shape_type": kind, "flags": {}})
        write(raw, number, shapes)


def write(raw: Path, number: int, shapes: Any) -> None:
    content = {"version": "5.2.1", "shapes": shapes, "imagePath": f"{number:02}.png"}
    sizes = {"imageData": None, "imageHeight": HEIGHT, "imageWidth": WIDTH}
    (raw / f"{number:02}.json").write_text(json.dumps(content | sizes))


def cvat(raw: Path, kind: str = "box", count: int = 20) -> None:
    images = []
    for number in range(count):
        picture(raw / "images" / f"{number:02}.png", number)
        shapes = ""
        for label, (left, top, width, height) in boxes_of(number):
            right, bottom = left + width, top + height
            edges = {
                "box": f'xtl="{left}" ytl="{top}" xbr="{right}" ybr="{bottom}"',
                "polygon": f'points="{left},{top};{right},{top};{right},{bottom};{left},{bottom}"',
            }[kind]
            shapes += f'<{kind} label="{label}" occluded="0" {edges} z_order="0"></{kind}>'
        size = f'width="{WIDTH}" height="{HEIGHT}"'
        images.append(f'<image id="{number}" name="{number:02}.png" {size}>{shapes}</image>')
    save(raw, "".join(images))


def save(raw: Path, images: str) -> None:
    head = '<?xml version="1.0" encoding="utf-8"?><annotations><version>1.1</version><meta/>'
    (raw / "annotations.xml").write_text(f"{head}{images}</annotations>")


def read(raw: Path) -> Scenes:
    return read_scenes(raw, PICTURES)


@pytest.mark.parametrize(
    ("writes", "kind", "called"),
    [
        (labelme, "rectangle", "LabelMe"),
        (labelme, "polygon", "LabelMe"),
        (cvat, "box", "CVAT"),
        (cvat, "polygon", "CVAT"),
    ],
)
def test_each_tool_says_where_the_objects_are(
    tmp_path: Path, writes: Any, kind: str, called: str
) -> None:
    writes(tmp_path, kind)
    listing = read(tmp_path)
    assert (listing.format, listing.dropped, listing.notes) == (called, {}, [])
    assert len(listing.scenes) == 20
    for number, scene in enumerate(listing.scenes):
        assert scene.size == (WIDTH, HEIGHT)
        seen = [(b.label, (b.left, b.top, b.right, b.bottom)) for b in scene.boxes]
        wanted = [(label, (x, y, x + w, y + h)) for label, (x, y, w, h) in boxes_of(number)]
        assert seen == wanted


def test_a_mask_is_the_box_around_it(tmp_path: Path) -> None:
    labelme(tmp_path)
    write(tmp_path, 0, [{"label": "cat", "points": [[3, 4], [9, 7]], "shape_type": "mask"}])
    (box,) = read(tmp_path).scenes[0].boxes
    assert (box.left, box.top, box.right, box.bottom, box.outline) == (3, 4, 10, 8, ())


def test_a_circle_is_the_box_around_it_and_a_point_is_named(tmp_path: Path) -> None:
    labelme(tmp_path)
    circle = {"label": "cat", "points": [[10, 10], [13, 14]], "shape_type": "circle"}
    point = {"label": "cat", "points": [[1, 1]], "shape_type": "point"}
    write(tmp_path, 0, [circle, point])
    listing = read(tmp_path)
    (box,) = listing.scenes[0].boxes
    assert (box.left, box.top, box.right, box.bottom) == (5, 5, 15, 15)
    assert listing.notes == ["1 shapes of the type 'point' are not read: left out."]


@pytest.mark.parametrize(
    ("shapes", "said"),
    [
        ({}, "shapes: must be a list of objects"),
        ([{"label": "", "points": [[1, 1], [2, 2]], "shape_type": "rectangle"}], "shapes[0].label"),
        ([{"label": "a", "points": [[1, 1]], "shape_type": "rectangle"}], "a rectangle has 2 or"),
        ([{"label": "a", "points": [[1, 1], 2, 3]}], "shapes[0].points: 2 is not [x, y]"),
    ],
)
def test_a_shape_that_is_none_is_named(tmp_path: Path, shapes: Any, said: str) -> None:
    labelme(tmp_path)
    write(tmp_path, 3, shapes)
    with pytest.raises(BadData) as caught:
        read(tmp_path)
    assert "03.json" in str(caught.value)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("images", "said"),
    [
        ('<image name="99.png"/>', "99.png"),
        ('<image name="01.png"/><image name="01.png"/>', "is already in annotations.xml"),
        ('<image name="01.png"><box label="a" xtl="x"/></image>', "<image[0]/box/xtl>: must be a"),
        ('<image name="01.png"><box xtl="1"/></image>', "<image[0]/box/label>: is missing"),
        (
            '<image name="01.png"><box label="a" xtl="1" ytl="1" xbr="2" ybr="2" rotation="30"/></image>',
            "rotation>: a box that is turned is not read",
        ),
        ('<track id="0" label="a"/>', "Export it as 'CVAT for images 1.1'"),
    ],
)
def test_an_element_that_cannot_be_read_is_named(tmp_path: Path, images: str, said: str) -> None:
    cvat(tmp_path)
    save(tmp_path, images)
    with pytest.raises(BadData) as caught:
        read(tmp_path)
    assert said in str(caught.value)


def test_pictures_with_drawn_boxes_are_not_taken_for_those_of_the_annotations(
    tmp_path: Path,
) -> None:
    voc(tmp_path)
    for number in range(20):
        picture(tmp_path / "AnnotationsVisualization" / f"{number:02}.png", 100 + number)
        picture(tmp_path / "SegmentationClass" / f"{number:02}.png", 200 + number)
    listing = read(tmp_path)
    assert {Path(scene.picture.name).parent.name for scene in listing.scenes} == {"JPEGImages"}
    assert listing.dropped == {"without an XML file": 40}


def test_annotations_without_any_picture_are_told_where_to_point(tmp_path: Path) -> None:
    voc(tmp_path)
    with pytest.raises(
        BadData, match="none of the 20 pictures that are listed: .* point data.uri at a folder with"
    ):
        read(tmp_path / "Annotations")


def test_shapes_without_a_group_stay_apart_and_parts_of_one_are_counted(tmp_path: Path) -> None:
    labelme(tmp_path)
    shape = {"label": "cat", "shape_type": "rectangle", "points": [[1, 1], [5, 5]]}
    write(tmp_path, 0, [shape | {"group_id": ""}, shape | {"group_id": ""}])
    write(tmp_path, 1, [shape | {"group_id": 0}, shape | {"group_id": 0}])
    listing = read(tmp_path)
    assert [len(scene.boxes) for scene in listing.scenes[:2]] == [2, 1]
    assert "2 shapes are parts of 1 objects: they share label and group_id." in listing.notes
