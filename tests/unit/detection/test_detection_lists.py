"""Boxes as KITTI and WIDER FACE write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelyard.errors import BadData
from modelyard.kit.boxes.reading import read_scenes
from modelyard.kit.boxes.scenes import Scenes
from modelyard.kit.pictures.pixels import PICTURES
from tests.unit.detection.folders import boxes_of, picture, yolo

SPACE = "1.89 0.48 1.20 1.84 1.47 8.41 0.01"
REGION = f"DontCare -1 -1 -10 1.50 2.00 30.00 9.00 {'-1 ' * 3}{'-1000 ' * 3}-10\n"


def kitti(raw: Path, labels: str = "training/label_2", count: int = 20) -> None:
    """Both cameras of KITTI, and testing pictures of the same numbers; each third has a region."""
    for number in range(count):
        for folder in ("training/image_2", "training/image_3", "testing/image_2"):
            picture(raw / folder / f"{number:06}.png", number)
        lines = ""
        for label, (left, top, width, height) in boxes_of(number):
            edges = f"{left}.00 {top}.00 {left + width}.00 {top + height}.00"
            lines += f"{label} 0.00 0 -0.20 {edges} {SPACE}\n"
        if number % 3 == 0:
            lines += REGION
        file = raw / labels / f"{number:06}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(lines)


def wider(raw: Path) -> None:
    """Two events of WIDER FACE; those of the second half are for validation."""
    for split, numbers in (("train", range(12)), ("val", range(12, 20))):
        lines = []
        for number in numbers:
            event = f"{number % 2}--Event"
            picture(raw / f"WIDER_{split}/images/{event}/{number}.jpg", number)
            boxes = boxes_of(number)
            lines += [f"{event}/{number}.jpg", str(len(boxes))]
            for label, box in boxes:
                # The last but two says whether it is invalid.
                lines.append(f"{' '.join(map(str, box))} 0 0 0 {int(label == 'dog')} 2 0 ")
            if not boxes:
                lines.append("0 0 0 0 0 0 0 0 0 0 ")
        file = raw / "wider_face_split" / f"wider_face_{split}_bbx_gt.txt"
        file.parent.mkdir(exist_ok=True)
        file.write_text("\n".join(lines) + "\n")


def read(raw: Path) -> Scenes:
    return read_scenes(raw, PICTURES)


def edges_of(number: int) -> list[tuple[float, ...]]:
    return [(x, y, x + w, y + h) for _, (x, y, w, h) in boxes_of(number)]


@pytest.mark.parametrize("labels", ["training/label_2", "training/labels"])
def test_kitti_says_where_the_objects_of_the_left_camera_are(tmp_path: Path, labels: str) -> None:
    kitti(tmp_path, labels)
    listing = read(tmp_path)
    assert (listing.format, len(listing.scenes)) == ("KITTI", 20)
    assert listing.dropped == {"without a text file": 40}
    for number, scene in enumerate(listing.scenes):
        assert scene.picture.name == f"training/image_2/{number:06}.png"
        assert scene.split == "train"
        regions = [box for box in scene.boxes if box.ignored]
        assert [box.label for box in regions] == ["DontCare"] * (number % 3 == 0)
        boxes = [box for box in scene.boxes if not box.ignored]
        assert [box.label for box in boxes] == [label for label, _ in boxes_of(number)]
        assert [(b.left, b.top, b.right, b.bottom) for b in boxes] == edges_of(number)


def test_a_file_that_names_classes_holds_no_boxes_of_kitti(tmp_path: Path) -> None:
    kitti(tmp_path, "training/labels")
    (tmp_path / "training/labels/classes.txt").write_text("cat\ndog\n")
    assert len(read(tmp_path).scenes) == 20


def test_a_test_picture_of_the_same_number_is_another_one(tmp_path: Path) -> None:
    kitti(tmp_path)
    for camera in ("image_2", "image_3"):
        (tmp_path / f"training/{camera}/000003.png").unlink()
    listing = read(tmp_path)
    assert len(listing.scenes) == 19
    assert listing.dropped["listed, and not in the folder"] == 1


def test_wider_face_says_where_the_faces_of_both_splits_are(tmp_path: Path) -> None:
    wider(tmp_path)
    listing = read(tmp_path)
    assert (listing.format, listing.dropped, listing.notes) == ("WIDER FACE", {}, [])
    assert len(listing.scenes) == 20
    for scene in listing.scenes:
        number = int(Path(scene.picture.name).stem)
        assert scene.split == ("train" if number < 12 else "validation")
        assert [(b.left, b.top, b.right, b.bottom) for b in scene.boxes] == edges_of(number)
        assert {box.label for box in scene.boxes} <= {"face"}
        assert [box.ignored for box in scene.boxes] == [n == "dog" for n, _ in boxes_of(number)]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("cat 0.00 0 -0.20 1 2 3", "000003.txt, row 4: 7 cells; allowed are 15"),
        (f"cat 0 0 0 1 2 x 4 {SPACE}", "000003.txt, row 4: 'x' is no number of pixels"),
        (f"cat 0 0 0 1 2 nan 4 {SPACE}", "row 4: 'nan' is no number of pixels"),
        ("0 0.5 0.5 0.1 0.1", "row 4: 5 cells; allowed are 15"),
    ],
)
def test_a_line_of_kitti_that_is_wrong_is_named(tmp_path: Path, line: str, said: str) -> None:
    kitti(tmp_path)
    file = tmp_path / "training/label_2/000003.txt"
    file.write_text(file.read_text() + line + "\n")
    with pytest.raises(BadData, match=said):
        read(tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("2\n", "two\n", r"row 2: 'two'; below its name stands how many faces"),
        ("2\n", "3\n", r"row 5: '1--Event/1.jpg'; allowed are left, top, width and height"),
        ("2\n", "1\n", r"row 4: '20 12 15 9 0 0 0 1 2 0' is no name of a picture"),
        ("2 3 10 8 ", "2 3 10 -8 ", r"row 3: '2 3 10 -8 0 0 0 0 2 0'; allowed are"),
        ("2 3 10 8 0 0 0 0 2 0 ", "2 3 10", r"row 3: '2 3 10'; allowed are"),
    ],
)
def test_a_line_of_wider_face_that_is_wrong_is_named(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    wider(tmp_path)
    file = tmp_path / "wider_face_split/wider_face_train_bbx_gt.txt"
    file.write_text(file.read_text().replace(old, new, 1))
    with pytest.raises(BadData, match=f"wider_face_train_bbx_gt.txt, {said}"):
        read(tmp_path)


def test_a_list_of_wider_face_that_ends_early_is_refused(tmp_path: Path) -> None:
    wider(tmp_path)
    file = tmp_path / "wider_face_split/wider_face_val_bbx_gt.txt"
    file.write_text("\n".join(file.read_text().splitlines()[:-1]))
    with pytest.raises(BadData, match="wider_face_val_bbx_gt.txt, row"):
        read(tmp_path)


def test_an_outline_of_yolo_with_as_many_numbers_is_none_of_kitti(tmp_path: Path) -> None:
    yolo(tmp_path)
    corners = ".1 .1 .3 .1 .4 .2 .4 .3 .3 .4 .1 .4 .1 .2"
    (tmp_path / "labels/00.txt").write_text(f"0 {corners}\n")
    assert read(tmp_path).format == "YOLO"
