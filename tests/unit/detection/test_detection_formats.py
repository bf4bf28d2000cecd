"""COCO, YOLO and Pascal VOC say the same, and what is wrong in a file is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from modelyard.errors import BadData
from modelyard.families.detection.config import DetectionConfig, DetectionFeatures
from modelyard.families.detection.data import DetectionData
from modelyard.families.detection.spec import DetectionSpec
from modelyard.kit.boxes.reading import read_scenes
from modelyard.kit.pictures.pixels import PICTURES
from modelyard.kit.splits import load_groups
from tests.unit.detection.folders import (
    HEIGHT,
    WIDTH,
    annotation,
    boxes_of,
    coco,
    picture,
    thing,
    voc,
    yolo,
)

WRITERS = {"COCO": coco, "YOLO": yolo, "Pascal VOC": voc}


def prepared(raw: Path, **features: Any) -> tuple[dict[str, Any], Path]:
    """The summary of a folder, and what the features stage wrote."""
    out = raw.parent / f"{raw.name}-features"
    (out / "assets").mkdir(parents=True)
    config = DetectionConfig(features=DetectionFeatures(size=64, **features))
    return DetectionData(config).features(raw, out), out


def objects(out: Path, split: str = "train") -> dict[str, list[tuple[str, list[float]]]]:
    """Class and left, top, right, bottom by picture."""
    classes = DetectionSpec.load(out / "assets").classes
    names = json.loads((out / f"{split}.files.json").read_text())["names"]
    found: dict[str, list[tuple[str, list[float]]]] = {Path(name).stem: [] for name in names}
    for row in np.load(out / f"{split}.objects.npy"):
        box = row[2:6].round(3).tolist()
        found[Path(names[int(row[0])]).stem].append((classes[int(row[1])], box))
    return found


@pytest.mark.parametrize("name", WRITERS)
def test_each_format_is_found_and_says_where_the_objects_are(name, tmp_path):
    raw = tmp_path / "raw"
    WRITERS[name](raw)
    summary, out = prepared(raw)
    assert summary["headline"].startswith(f"{name}: 20 pictures, 24 boxes of 2 classes")
    assert "2 pictures without boxes" in summary["headline"]
    assert summary["dropped"] == {}
    seen = objects(out) | objects(out, "validation") | objects(out, "test")
    for number in range(20):
        expected = [
            (label, [left, top, left + width, top + height])
            for label, (left, top, width, height) in boxes_of(number)
        ]
        got = seen[f"{number:02}"]
        assert [label for label, _ in got] == [label for label, _ in expected]
        edges = [box for _, box in got]
        assert np.allclose(edges, [box for _, box in expected], atol=0.01), number


def test_crowds_and_difficult_objects_are_neither_found_nor_missed(tmp_path):
    content = coco(tmp_path / "coco")
    content["annotations"][0]["iscrowd"] = 1
    (tmp_path / "coco" / "instances.json").write_text(json.dumps(content))
    voc(tmp_path / "voc")
    difficult = thing("cat", (3, 4, 12, 11), "<difficult>1</difficult>")
    annotation(tmp_path / "voc" / "Annotations" / "00.xml", difficult)
    for name in ("coco", "voc"):
        scenes = read_scenes(tmp_path / name, PICTURES).scenes
        assert [box.ignored for scene in scenes for box in scene.boxes].count(True) == 1
        summary, _ = prepared(tmp_path / name)
        assert "1 crowds, regions or difficult objects" in summary["headline"]


def test_boxes_over_the_edge_are_cut_and_those_without_area_left_out(tmp_path):
    content = coco(tmp_path / "raw")
    content["annotations"][0]["bbox"] = [30, 20, 25, 40]
    content["annotations"][1]["bbox"] = [5, 5, 0, 9]
    content["annotations"][2]["bbox"] = [WIDTH + 3, 2, 9, 9]
    (tmp_path / "raw" / "instances.json").write_text(json.dumps(content))
    summary, out = prepared(tmp_path / "raw")
    assert summary["dropped"] == {"boxes: without area in the picture": 2}
    assert "1 of the boxes cut at the picture's edge" in summary["headline"]
    seen = objects(out) | objects(out, "validation") | objects(out, "test")
    assert [30.0, 20.0, float(WIDTH), float(HEIGHT)] in [box for _, box in seen["00"]]


def test_splits_come_from_names_of_files_and_folders(tmp_path):
    raw = tmp_path / "raw"
    for split, first in (("train", 0), ("valid", 20), ("test", 30)):
        content = coco(raw / split, count=first + 8)
        content["images"] = content["images"][first:]
        known = {image["id"] for image in content["images"]}
        kept = [one for one in content["annotations"] if one["image_id"] in known]
        content["annotations"] = kept
        (raw / split / "instances.json").unlink()
        (raw / split / "_annotations.coco.json").write_text(json.dumps(content))
        for number in range(first):
            (raw / split / "images" / f"{number:02}.png").unlink()
    assert prepared(raw)[0]["rows"] == {"train": 8, "validation": 8, "test": 8}


def test_the_folder_of_coco_itself_is_read(tmp_path):
    """Splits in the files' names, pictures in folders of their own, other tasks next to them."""
    notes = tmp_path / "raw" / "annotations"
    notes.mkdir(parents=True)
    for split, first, last in (("train2017", 0, 10), ("val2017", 10, 16), ("test2017", 16, 22)):
        folder = tmp_path / "raw" / split
        content = coco(folder, last)
        for image in content["images"]:
            image["file_name"] = image["file_name"].removeprefix("images/")
            name = image["file_name"]
            (folder / "images" / name).rename(folder / name)
            if image["id"] < first:
                (folder / name).unlink()
        content["images"] = content["images"][first:]
        kept = [one for one in content["annotations"] if one["image_id"] >= first]
        content["annotations"] = kept
        (folder / "instances.json").unlink()
        (notes / f"instances_{split}.json").write_text(json.dumps(content))
        captions = [{"id": 1, "image_id": first, "caption": "a cat"}]
        (notes / f"captions_{split}.json").write_text(
            json.dumps(content | {"annotations": captions})
        )
    summary, _ = prepared(tmp_path / "raw")
    assert summary["rows"] == {"train": 10, "validation": 6, "test": 6}


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252"])
def test_names_of_classes_are_read_in_any_usual_encoding(tmp_path, encoding):
    for place, name in enumerate(("classes.txt", "data.yaml")):
        raw = tmp_path / str(place)
        yolo(raw)
        (raw / "data.yaml").unlink()
        text = "Äpfel\r\nBirnen\r\n" if name == "classes.txt" else "names: [Äpfel, Birnen]\n"
        (raw / name).write_bytes(text.encode(encoding))
        _, out = prepared(raw)
        assert DetectionSpec.load(out / "assets").classes == ["Birnen", "Äpfel"]


def test_pictures_of_lists_may_have_blanks_in_their_names(tmp_path):
    voc(tmp_path / "voc")
    for number in range(20):
        for folder, ending in (("JPEGImages", "png"), ("Annotations", "xml")):
            old = tmp_path / "voc" / folder / f"{number:02}.{ending}"
            old.rename(old.with_name(f"Foto {number} ü.{ending}"))
        file = tmp_path / "voc" / "Annotations" / f"Foto {number} ü.xml"
        file.write_text(file.read_text().replace(f"{number:02}.png", f"Foto {number} ü.png"))
    lists = tmp_path / "voc" / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    parts = {"train": range(8), "val": range(8, 12), "test": range(12, 20)}
    for name, numbers in parts.items():
        lines = "\r\n".join(f"Foto {number} ü  1" for number in numbers)
        (lists / f"{name}.txt").write_bytes(lines.encode("cp1252"))
    summary, _ = prepared(tmp_path / "voc")
    assert summary["rows"] == {"train": 8, "validation": 4, "test": 8}


def test_lists_of_pascal_voc_and_folders_of_data_yaml_are_splits(tmp_path):
    voc(tmp_path / "voc")
    lists = tmp_path / "voc" / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("\n".join(f"{number:02}" for number in range(8)))
    (lists / "val.txt").write_text("\n".join(f"{number:02}" for number in range(8, 12)))
    (lists / "test.txt").write_text("\n".join(f"{number:02}" for number in range(12, 18)))
    summary, _ = prepared(tmp_path / "voc")
    assert summary["rows"] == {"train": 8, "validation": 4, "test": 6}
    assert summary["dropped"] == {"in no list of ImageSets/Main": 2}

    yolo(tmp_path / "yolo")
    for folder in ("images", "labels"):
        (tmp_path / "yolo" / "second" / folder).mkdir(parents=True)
        for number in range(14, 20):
            for file in (tmp_path / "yolo" / folder).glob(f"{number}.*"):
                file.rename(tmp_path / "yolo" / "second" / folder / file.name)
    yaml = "names: {0: cat, 1: dog}\ntrain: ../images\nval: second/images\n"
    (tmp_path / "yolo" / "data.yaml").write_text(yaml)
    rows = prepared(tmp_path / "yolo")[0]["rows"]
    assert rows["validation"] == 6
    assert rows["train"] + rows["test"] == 14


@pytest.mark.parametrize("names", ["[no, 1.50]", "{0: no, 1: 1.50}"])
def test_names_of_classes_are_words_whatever_yaml_takes_them_for(names, tmp_path):
    raw = tmp_path / "raw"
    yolo(raw)
    (raw / "data.yaml").write_text(f"names: {names}\n")
    summary, _ = prepared(raw)
    assert set(summary["classes"]) == {"no", "1.50"}


def test_outlines_of_yolo_become_the_boxes_around_them(tmp_path):
    yolo(tmp_path)
    (tmp_path / "labels" / "00.txt").write_text("1 0.25 0.5 0.5 0.1 0.75 0.5 0.5 0.9\n")
    listing = read_scenes(tmp_path, PICTURES)
    (box,) = listing.scenes[0].boxes
    assert (box.label, box.left, box.top, box.right, box.bottom) == ("dog", 0.25, 0.1, 0.75, 0.9)
    assert listing.notes == ["1 objects are outlines: their boxes are those around them."]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_of_a_stored_picture_are_turned_with_it(orientation, tmp_path):
    """A bright object is where its box says, however the camera was held."""
    raw = tmp_path / "raw"
    content = coco(raw)
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    pixels[5:11, 8:20] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    shown = Image.fromarray(pixels)
    file = raw / "images" / "00.png"
    shown.save(file, exif=exif)
    content["annotations"] = [one for one in content["annotations"] if one["image_id"]]
    # By a tool that reads pixels as they are stored: told from the size only where the sides swap.
    box = [8, 5, 12, 6]
    if orientation in (2, 3, 4):
        bright = np.argwhere(np.asarray(_shown(file)) > 128)
        (top, left), (down, right) = bright.min(0)[:2], bright.max(0)[:2]
        box = [int(left), int(top), int(right - left + 1), int(down - top + 1)]
    content["annotations"].append({"id": 99, "image_id": 0, "category_id": 10, "bbox": box})
    (raw / "instances.json").write_text(json.dumps(content))
    summary, out = prepared(raw)
    seen = objects(out) | objects(out, "validation") | objects(out, "test")
    ((_, (left, top, right, bottom)),) = seen["00"]
    inside = np.asarray(_shown(file))[int(top) : int(bottom), int(left) : int(right)]
    assert inside.min() == 255
    assert inside.shape[0] * inside.shape[1] == 12 * 6
    said = [note for note in summary["notes"] if "turned by EXIF" in note]
    assert bool(said) == (orientation >= 5)


def _shown(file: Path) -> Image.Image:
    from PIL import ImageOps

    return ImageOps.exif_transpose(Image.open(file))


def _set(key: str, place: int, name: str, value: Any) -> Any:
    def change(folder: Path) -> None:
        content = json.loads((folder / "instances.json").read_text())
        content[key][place][name] = value
        (folder / "instances.json").write_text(json.dumps(content))

    return change


def _line(text: str) -> Any:
    return lambda folder: (folder / "labels" / "03.txt").write_text("0 .5 .5 .1 .1\n" + text)


def _xml(text: str) -> Any:
    return lambda folder: annotation(folder / "Annotations" / "03.xml", text)


def _write(name: str, text: str) -> Any:
    return lambda folder: (folder / name).write_text(text)


BROKEN = {
    "coco bbox": (
        coco,
        _set("annotations", 4, "bbox", [1, 2, 3]),
        r"instances.json: annotations\[4\].bbox: \[1, 2, 3\]; allowed are \[left, top, width, h",
    ),
    "coco NaN": (
        coco,
        _set("annotations", 4, "bbox", [1, 2, 3, float("nan")]),
        r"annotations\[4\].bbox: nan is no finite number",
    ),
    "coco class": (
        coco,
        _set("annotations", 2, "category_id", 77),
        r"annotations\[2\].category_id: 77 is no id of categories",
    ),
    "coco id": (
        coco,
        _set("annotations", 2, "image_id", "x"),
        r"annotations\[2\].image_id: 'x' is no id of images",
    ),
    "coco twice": (coco, _set("images", 3, "id", 2), r"images\[3\].id: 2 is that of '02.png'"),
    "coco size": (
        coco,
        _set("images", 3, "width", 400),
        r"instances.json: says that images/03.png has 400 x 30 pixels, and it has 40 x 30",
    ),
    "coco size in quotes": (
        coco,
        _set("images", 3, "width", "40"),
        r"images\[3\].width: must be a number of pixels, seen '40'",
    ),
    "coco too deep": (coco, _write("instances.json", "[" * 100_000), "json: is not JSON: too deep"),
    "coco crowd": (
        coco,
        _set("annotations", 1, "iscrowd", "yes"),
        r"annotations\[1\].iscrowd: must be 0 or 1, seen 'yes'",
    ),
    "coco digits": (
        coco,
        _write("instances.json", '{"images": ' + "1" * 5_000 + "}"),
        "json: is not JSON: a number has too many digits",
    ),
    "coco json": (coco, _write("instances.json", '{"images": [\n1,'), "json, row 2: is not JSON"),
    "yolo class": (yolo, _line("7 .5 .5 .1 .1"), "03.txt, row 2: class '7'; allowed are .* 0 to 1"),
    "yolo cells": (yolo, _line("1 .5 .5 .1"), "03.txt, row 2: 4 cells; allowed are a class numb"),
    "yolo pixels": (yolo, _line("1 12 9 5 5"), "03.txt, row 2: '12'; allowed are .* from 0 to 1"),
    "yolo word": (yolo, _line("1 x .5 .1 .1"), "03.txt, row 2: 'x'; allowed are"),
    "yolo names": (
        yolo,
        _write("data.yaml", "names: [cat, cat]"),
        "data.yaml, row 2: names: 'cat'",
    ),
    "voc number": (
        voc,
        _xml(thing("cat", (1, 2, 9, 9)).replace("<xmax>9", "<xmax>9px")),
        r"03.xml: <object\[0\]/bndbox/xmax>: must be a number of pixels, seen '9px'",
    ),
    "voc name": (voc, _xml(thing("", (1, 2, 9, 9))), r"03.xml: <object\[0\]/name>: is missing"),
    "voc box": (
        voc,
        _xml("<object><name>cat</name></object>"),
        r"03.xml: <object\[0\]/bndbox>: is missing",
    ),
    "voc xml": (voc, _write("Annotations/03.xml", "<annotation>\n<a>"), "03.xml, row 2: is not X"),
    "voc entities": (
        voc,
        _write(
            "Annotations/03.xml",
            '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><annotation>&x;</annotation>',
        ),
        "03.xml: defines entities, which are not read",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_wrong_in_a_file_is_one_line_with_its_place(case, tmp_path):
    write, spoil, says = BROKEN[case]
    raw = tmp_path / "raw"
    write(raw)
    spoil(raw)
    with pytest.raises(BadData, match=says) as seen:
        prepared(raw)
    assert "\n" not in str(seen.value)


def test_a_folder_of_two_formats_or_of_none_is_refused_with_what_to_type(tmp_path):
    yolo(tmp_path / "two")
    coco(tmp_path / "two")
    hint = r"annotations of coco and yolo. Type: --set features.format=coco"
    with pytest.raises(BadData, match=hint):
        prepared(tmp_path / "two")
    assert read_scenes(tmp_path / "two", PICTURES, "yolo").format == "YOLO"
    picture(tmp_path / "none" / "a.png", 1)
    with pytest.raises(BadData, match="holds no annotations of a known format. Read are COCO"):
        prepared(tmp_path / "none")


def test_copies_stay_out_and_a_class_that_training_lacks_is_counted(tmp_path):
    raw = tmp_path / "raw"
    content = coco(raw)
    (raw / "images" / "19.png").write_bytes((raw / "images" / "05.png").read_bytes())
    same = [{**one, "image_id": 19} for one in content["annotations"] if one["image_id"] == 5]
    kept = [one for one in content["annotations"] if one["image_id"] != 19]
    content["annotations"] = [*kept, *same]
    (raw / "instances.json").write_text(json.dumps(content))
    assert prepared(raw)[0]["dropped"] == {"same picture as another": 1}

    content = coco(tmp_path / "rare")
    content["categories"].append({"id": 30, "name": "heron"})
    test = prepared(tmp_path / "rare")[1]
    name = json.loads((test / "test.files.json").read_text())["names"][0]
    number = int(Path(name).stem)
    heron = {"id": 99, "image_id": number, "category_id": 30, "bbox": [1, 1, 5, 5]}
    content["annotations"].append(heron)
    (tmp_path / "rare" / "instances.json").write_text(json.dumps(content))
    (tmp_path / "rare").rename(tmp_path / "again")
    summary, _ = prepared(tmp_path / "again")
    assert summary["dropped"] == {"boxes: of a class that training lacks (heron)": 1}


def test_groups_stay_in_one_split(tmp_path):
    coco(tmp_path / "raw")
    _, out = prepared(tmp_path / "raw", group_pattern=r"\d(\d)\.png", test_share=0.4)
    last = {
        split: {Path(name).stem[1] for name in names}
        for split in ("train", "validation", "test")
        for names in [json.loads((out / f"{split}.files.json").read_text())["names"]]
    }
    assert not last["train"] & last["test"]
    assert sum(map(len, last.values())) == 10
    groups = load_groups(out, "test")
    assert groups is not None
    assert len(np.unique(groups)) == len(last["test"])
