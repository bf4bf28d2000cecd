"""Boxes in tables with a row an object."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from modelyard.errors import BadData
from modelyard.kit.boxes.reading import read_scenes
from modelyard.kit.boxes.scenes import Scenes
from modelyard.kit.pictures.pixels import PICTURES
from tests.unit.detection.folders import HEIGHT, WIDTH, boxes_of, picture, voc
from tests.unit.detection.test_detection_formats import prepared


def read(raw: Path) -> Scenes:
    return read_scenes(raw, PICTURES)


def rows_of(numbers: Iterable[int], form: str) -> str:
    """The rows of pictures, as the columns of `form` have them; those without a box have none."""
    rows = []
    for number in numbers:
        for label, (left, top, width, height) in boxes_of(number):
            said = {
                "file": f"{number:02}",
                "label": label,
                "left": left,
                "top": top,
                "width": width,
                "height": height,
                "right": left + width,
                "bottom": top + height,
                "x1": left / WIDTH,
                "y1": top / HEIGHT,
                "x2": (left + width) / WIDTH,
                "y2": (top + height) / HEIGHT,
            }
            rows.append(form.format(**said))
    return "\n".join(rows) + "\n"


def write(raw: Path, name: str, header: str, form: str, numbers: Iterable[int] = range(20)) -> None:
    raw.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        picture(raw / "images" / f"{number:02}.png", number)
    (raw / name).write_text(f"{header}\n{rows_of(numbers, form)}")


PIXELS = "{file}.png,40,30,{label},{left},{top},{right},{bottom}"
HEADER = "filename,width,height,class,xmin,ymin,xmax,ymax"
FORMS = {
    "tensorflow": (HEADER, PIXELS),
    "vott": (
        '"image","xmin","ymin","xmax","ymax","label"',
        '"{file}.png",{left},{top},{right},{bottom},"{label}"',
    ),
    "open images": (
        "ImageID,LabelName,XMin,XMax,YMin,YMax",
        "{file},{label},{x1},{x2},{y1},{y2}",
    ),
    "competition": (
        "image_id;width;height;bbox;label",
        "{file};40;30;[{left}.0, {top}.0, {width}.0, {height}.0];{label}",
    ),
    "folders": (
        "path,x1,y1,x2,y2,class_name",
        "old/{file}.png,{left},{top},{right},{bottom},{label}",
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_row_is_an_object(tmp_path: Path, form: str) -> None:
    write(tmp_path, "boxes.csv", *FORMS[form])
    listing = read(tmp_path)
    # Each seventh picture has no box, and so no row.
    assert (listing.format, listing.dropped) == ("CSV", {"in no row of the CSV": 2})
    assert len(listing.scenes) == 18
    for scene in listing.scenes:
        across, down = (WIDTH, HEIGHT) if scene.relative else (1, 1)
        seen = [
            (box.label, box.left * across, box.top * down, box.right * across, box.bottom * down)
            for box in scene.boxes
        ]
        wanted = boxes_of(int(Path(scene.picture.name).stem))
        for one, (label, (left, top, width, height)) in zip(seen, wanted, strict=True):
            assert one[0] == label
            assert one[1:] == pytest.approx((left, top, left + width, top + height))


def test_tables_of_splits_count_and_one_of_all_rows_does_not(tmp_path: Path) -> None:
    write(tmp_path, "all_labels.csv", HEADER, PIXELS)
    write(tmp_path, "train_labels.csv", HEADER, PIXELS, range(12))
    write(tmp_path, "test_labels.csv", HEADER, PIXELS, range(12, 20))
    summary, _ = prepared(tmp_path)
    assert summary["headline"].startswith("CSV: 18 pictures")
    assert summary["rows"]["test"] == 8 - 1
    assert summary["rows"]["train"] + summary["rows"]["validation"] == 12 - 1


def test_a_table_next_to_another_format_is_read_where_it_is_set(tmp_path: Path) -> None:
    voc(tmp_path)
    (tmp_path / "labels.csv").write_text(f"{HEADER}\n{rows_of(range(20), PIXELS)}")
    assert read(tmp_path).format == "Pascal VOC"
    assert read_scenes(tmp_path, PICTURES, "csv").format == "CSV"


def test_boxes_without_a_class_are_of_one_and_a_picture_may_have_none(tmp_path: Path) -> None:
    write(
        tmp_path,
        "boxes.csv",
        "image,xmin,ymin,xmax,ymax",
        "{file}.png,{left},{top},{right},{bottom}",
    )
    with (tmp_path / "boxes.csv").open("a") as file:
        file.write("06.png,,,,\n")
    listing = read(tmp_path)
    assert {box.label for scene in listing.scenes for box in scene.boxes} == {"object"}
    assert "no column is the class by its name" in listing.notes[0]
    empty = [scene for scene in listing.scenes if not scene.boxes]
    assert [scene.picture.name for scene in empty] == ["images/06.png"]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("01.png,40,30,,1,1,5,5", r"row 25, column 'class': empty"),
        ("01.png,40,30,cat,1,x,5,5", r"row 25, column 'ymin': 'x' is no number of pixels"),
        ("01.png,40,30,cat,1,,5,5", r"row 25, column 'ymin': '' is no number of pixels"),
    ],
)
def test_a_cell_that_is_wrong_is_named(tmp_path: Path, row: str, said: str) -> None:
    write(tmp_path, "boxes.csv", HEADER, PIXELS)
    with (tmp_path / "boxes.csv").open("a") as file:
        file.write(f"{row}\n")
    with pytest.raises(BadData, match=said):
        read(tmp_path)


def test_a_group_of_open_images_is_a_crowd(tmp_path: Path) -> None:
    header, form = FORMS["open images"]
    write(tmp_path, "boxes.csv", f"{header},IsGroupOf", f"{form},0")
    file = tmp_path / "boxes.csv"
    file.write_text(file.read_text().replace(",0\n", ",1\n", 1))
    ignored = [box.ignored for scene in read(tmp_path).scenes for box in scene.boxes]
    assert ignored.count(True) == 1


def test_a_row_without_a_size_and_shares_a_little_over_the_edge_are_read(tmp_path: Path) -> None:
    write(tmp_path / "raw", "a.csv", HEADER, "{file}.png,,,{label},{x1},{y1},{x2},{y2}")
    table = tmp_path / "raw/a.csv"
    table.write_text(table.read_text() + "03.png,,,square,0,0,1.000001,1\n")
    scenes = read(tmp_path / "raw").scenes
    assert all(scene.relative and scene.size is None for scene in scenes)


def test_rows_name_the_split_of_their_picture(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    write(raw, "a.csv", "image,class,x1,y1,x2,y2,split", "{file},{label},1,1,9,9,Val", range(5))
    assert {scene.split for scene in read(raw).scenes} == {"validation"}
    (raw / "a.csv").write_text("image,class,x1,y1,x2,y2,split\n01,square,1,1,9,9,third\n")
    with pytest.raises(BadData, match="row 1, column 'split': .*third"):
        read(raw)


def test_names_of_classes_count_more_than_their_numbers(tmp_path: Path) -> None:
    write(
        tmp_path / "raw", "a.csv", "image,class,class_name,x1,y1,x2,y2", "{file},3,{label},1,1,9,9"
    )
    boxes = [box for scene in read(tmp_path / "raw").scenes for box in scene.boxes]
    assert "3" not in {box.label for box in boxes}


def test_a_picture_that_rows_call_by_two_names_is_one(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    write(raw, "a.csv", "image,class,x1,y1,x2,y2", "{file},{label},1,1,9,9")
    (raw / "a.csv").write_text(
        "image,class,x1,y1,x2,y2\n01,square,1,1,9,9\nimages/01.png,square,2,2,8,8\n"
    )
    (scene,) = read(raw).scenes
    assert len(scene.boxes) == 2
