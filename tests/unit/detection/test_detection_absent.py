"""Pictures that annotations list and the folder lacks, in every format."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from modelyard.errors import BadData
from modelyard.kit.boxes.reading import read_scenes
from modelyard.kit.boxes.scenes import Scenes
from modelyard.kit.pictures.pixels import PICTURES
from tests.unit.detection.folders import coco, picture, voc, yolo
from tests.unit.detection.test_detection_csv import HEADER, PIXELS, write
from tests.unit.detection.test_detection_formats import prepared
from tests.unit.detection.test_detection_tools import cvat, labelme


def table(raw: Path) -> None:
    """A CSV file; two of its pictures have no box, and no row."""
    write(raw, "boxes.csv", HEADER, PIXELS)


WRITERS = {
    "COCO": coco,
    "YOLO": yolo,
    "Pascal VOC": voc,
    "LabelMe": labelme,
    "CVAT": cvat,
    "CSV": table,
}
Writes = Callable[[Path], object]


def without(raw: Path, *numbers: int) -> None:
    """Removes pictures; their annotations stay."""
    for file in list(raw.rglob("*.png")):
        if int(file.stem) in numbers:
            file.unlink()


def read(raw: Path) -> Scenes:
    return read_scenes(raw, PICTURES)


@pytest.mark.parametrize("name", WRITERS)
def test_the_pictures_of_a_part_are_read_and_the_others_counted_and_named(
    name: str, tmp_path: Path
) -> None:
    WRITERS[name](tmp_path)
    whole = {scene.picture.name: scene.boxes for scene in read(tmp_path).scenes}
    gone = (0, 1, 2, 3, 4, 5, 7)
    without(tmp_path, *gone)
    listing = read(tmp_path)
    assert listing.dropped.pop("listed, and not in the folder") == 7
    assert listing.dropped == ({"in no row of the CSV": 2} if name == "CSV" else {})
    kept = {scene.picture.name: scene.boxes for scene in listing.scenes}
    assert kept.items() <= whole.items()
    assert len(kept) == len(whole) - 7
    (note,) = listing.notes
    assert note.startswith(f"7 of the {len(whole)} pictures that are listed are not in the folder")
    assert all(word in note for word in ("00", "01", "02", "…"))
    assert "03" not in note


@pytest.mark.parametrize("name", WRITERS)
def test_the_pictures_of_another_folder_are_refused(name: str, tmp_path: Path) -> None:
    WRITERS[name](tmp_path)
    without(tmp_path, *range(1, 20))
    # One name is the same by chance.
    for number in range(100, 110):
        picture(tmp_path / "images" / f"{number}.png", number)
    with pytest.raises(
        BadData, match=r"has 1 of the (20|18) pictures that are listed: no 01"
    ) as said:
        read(tmp_path)
    assert "point data.uri at a folder with both" in str(said.value)


def test_few_pictures_of_a_large_collection_are_a_part_where_the_folder_holds_little_else(
    tmp_path: Path,
) -> None:
    content = coco(tmp_path)
    more = [{"id": 1_000 + n, "file_name": f"{1_000 + n}.png"} for n in range(500)]
    file = tmp_path / "instances.json"
    file.write_text(json.dumps(content | {"images": content["images"] + more}))
    listing = read(tmp_path)
    assert len(listing.scenes) == 20
    assert listing.dropped == {"listed, and not in the folder": 500}


def test_a_label_file_and_a_picture_of_different_names_are_no_part(tmp_path: Path) -> None:
    yolo(tmp_path)
    (tmp_path / "images/03.png").rename(tmp_path / "images/3.png")
    with pytest.raises(BadData, match=r"labels/03.txt: has no picture of its name"):
        read(tmp_path)


def test_names_of_a_list_are_counted_once_with_their_label_files(tmp_path: Path) -> None:
    yolo(tmp_path)
    (tmp_path / "data.yaml").write_text("{train: train.txt, names: [square, disc]}")
    lines = [f"./images/{number:02}.png" for number in range(20)]
    (tmp_path / "train.txt").write_text("\n".join(lines))
    without(tmp_path, 1, 2)
    assert read(tmp_path).dropped == {"listed, and not in the folder": 2}


def test_a_list_of_pascal_voc_may_name_pictures_that_are_not_there(tmp_path: Path) -> None:
    voc(tmp_path)
    lists = tmp_path / "ImageSets/Main"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("\n".join(f"{number:02}" for number in range(30)))
    listing = read(tmp_path)
    assert len(listing.scenes) == 20
    assert listing.dropped == {"listed, and not in the folder": 10}


def test_pictures_of_one_split_that_is_not_training_are_divided(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    coco(raw, 40)
    (raw / "instances.json").rename(raw / "instances_val2017.json")
    summary, _ = prepared(raw)
    assert sum(summary["rows"].values()) == 40
    assert all(summary["rows"].values())
    said = "All pictures are of the split validation: new splits are drawn from them."
    assert said in summary["notes"]


def test_files_of_the_same_name_are_counted_each(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        labelme(tmp_path / folder)
        without(tmp_path / folder, 3)
    listing = read(tmp_path)
    assert listing.dropped == {"listed, and not in the folder": 2}
    (note,) = listing.notes
    assert note.startswith("2 of the 40 pictures")
    assert note.endswith("(03.png).")


def splits(raw: Path) -> None:
    """Two splits of COCO whose pictures have the same names, and few of the second one's."""
    for split in ("train", "val"):
        coco(raw / split)
        (raw / "annotations").mkdir(exist_ok=True)
        (raw / split / "instances.json").rename(raw / f"annotations/instances_{split}.json")
    without(raw / "val", *range(10))


def test_a_picture_of_the_same_name_in_another_split_is_another_one(tmp_path: Path) -> None:
    splits(tmp_path)
    listing = read(tmp_path)
    assert listing.dropped == {"listed, and not in the folder": 10}
    for scene in listing.scenes:
        assert scene.picture.name.startswith("train/" if scene.split == "train" else "val/")
    assert len(listing.scenes) == 30


def test_a_table_means_pictures_of_its_split_by_names_without_endings(tmp_path: Path) -> None:
    for split in ("train", "val"):
        for number in range(20):
            picture(tmp_path / split / f"{number:02}.png", number)
        lines = [f"{number:02},cat,1,2,9,9" for number in range(20)]
        header = "image_id,class,xmin,ymin,xmax,ymax"
        (tmp_path / f"{split}.csv").write_text("\n".join([header, *lines]))
    without(tmp_path / "val", *range(10))
    listing = read(tmp_path)
    assert listing.dropped == {"listed, and not in the folder": 10}
    assert len(listing.scenes) == 30


def test_a_list_for_validation_may_name_pictures_in_the_folder_of_training(tmp_path: Path) -> None:
    splits(tmp_path)
    for file in (
        "annotations/instances_train.json",
        *(f"val/images/{n}.png" for n in range(10, 20)),
    ):
        (tmp_path / file).unlink()
    listing = read(tmp_path)
    assert (len(listing.scenes), listing.dropped) == (20, {})
    assert {scene.split for scene in listing.scenes} == {"validation"}


def test_a_path_of_another_machine_says_its_split_itself(tmp_path: Path) -> None:
    splits(tmp_path)
    (tmp_path / "annotations/instances_train.json").unlink()
    file = tmp_path / "annotations/instances_val.json"
    content = json.loads(file.read_text())
    content["images"] = [
        image | {"file_name": f"/home/me/train/{image['file_name']}"}
        for image in content["images"][:10]
    ]
    content["annotations"] = [one for one in content["annotations"] if one["image_id"] < 10]
    file.write_text(json.dumps(content))
    names = [scene.picture.name for scene in read(tmp_path).scenes]
    assert names == [f"train/images/{number:02}.png" for number in range(10)]


def test_a_good_share_of_what_is_listed_is_a_part_among_any_other_pictures(tmp_path: Path) -> None:
    coco(tmp_path)
    without(tmp_path, *range(3, 20))
    for number in range(100, 150):
        picture(tmp_path / "images" / f"{number}.png", number)
    listing = read(tmp_path)
    assert listing.dropped == {"not in the JSON": 50, "listed, and not in the folder": 17}


def test_a_comment_in_a_list_of_pascal_voc_names_no_picture(tmp_path: Path) -> None:
    voc(tmp_path)
    lists = tmp_path / "ImageSets/Main"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("# by hand\n" + "\n".join(f"{n:02}" for n in range(20)))
    assert read(tmp_path).dropped == {}


def test_pictures_of_training_only_are_divided_without_a_word(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    coco(raw)
    (raw / "instances.json").rename(raw / "instances_train2017.json")
    assert prepared(raw)[0]["notes"] == []
