"""Pictures as competitions and archives bring them: a table of any name, or the class in the name."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from modelyard.errors import BadData, UsageError
from modelyard.families.image.config import ImageConfig
from modelyard.families.image.data import ImageData
from modelyard.families.image.spec import ImageSpec
from modelyard.kit.classifier.examples import Listing
from modelyard.kit.classifier.folders import read_folder
from modelyard.kit.pictures.pixels import PICTURES
from tests.unit.image.test_image_data import picture, save


def read(raw: Path, **settings: object) -> Listing:
    config = ImageConfig.model_validate({"features": settings})
    return read_folder(raw, PICTURES, config.features)


def pictures(folder: Path, first: int, count: int, ending: str = "png") -> None:
    for number in range(first, first + count):
        save(folder / f"{number}.{ending}", picture(number, number % 2 == 1))


def rows(first: int, count: int, form: str = "{}") -> str:
    cells = [f"{form.format(n)},{('cat', 'dog')[n % 2]}\n" for n in range(first, first + count)]
    return "".join(cells)


def labels(listing: Listing) -> dict[str, str]:
    return {example.name: example.label for example in listing.examples}


@pytest.mark.parametrize("form", ["{}", "{}.png", "train_images/{}.png", "./train_images/{}.png"])
def test_a_table_of_another_name_lists_pictures_by_path_name_or_stem(
    tmp_path: Path, form: str
) -> None:
    pictures(tmp_path / "train_images", 0, 12)
    pictures(tmp_path / "test_images", 100, 5)
    (tmp_path / "train.csv").write_text("image_id,label\n" + rows(0, 12, form))
    (tmp_path / "sample_submission.csv").write_text("image_id,label\n" + rows(100, 5))
    listing = read(tmp_path)
    wanted = {f"train_images/{n}.png": ("cat", "dog")[n % 2] for n in range(12)}
    assert labels(listing) == wanted
    assert listing.dropped == {"not in train.csv": 5}
    said = "train.csv lists the pictures: image_id is the picture, label the label."
    assert said in listing.notes


def test_pictures_in_parts_are_labelled_and_grouped_by_their_metadata(tmp_path: Path) -> None:
    pictures(tmp_path / "images_part_1", 0, 6)
    pictures(tmp_path / "images_part_2", 6, 6)
    lines = [f"L{n // 2},{n},{('nv', 'mel')[n // 2 % 2]},histo,50\n" for n in range(12)]
    (tmp_path / "HAM_metadata.csv").write_text(
        "lesion_id,image_id,dx,dx_type,age\n" + "".join(lines)
    )
    listing = read(tmp_path)
    assert Counter(labels(listing).values()) == {"nv": 6, "mel": 6}
    assert len({example.group for example in listing.examples}) == 6


def test_a_table_for_each_split_names_the_splits(tmp_path: Path) -> None:
    pictures(tmp_path / "images", 0, 18)
    for split, first in (("train", 0), ("val", 6), ("test", 12)):
        (tmp_path / f"{split}.csv").write_text("Id,Breed\n" + rows(first, 6))
    splits = Counter(example.split for example in read(tmp_path).examples)
    assert splits == {"train": 6, "validation": 6, "test": 6}


def test_folders_that_are_splits_stay_so_where_a_table_lists_all(tmp_path: Path) -> None:
    pictures(tmp_path / "train", 0, 12)
    pictures(tmp_path / "test", 12, 6)
    (tmp_path / "all.csv").write_text("filename,label\n" + rows(0, 18))
    splits = Counter(example.split for example in read(tmp_path).examples)
    assert splits == {"train": 12, "test": 6}


def test_pictures_that_a_table_lists_and_the_folder_lacks_are_left_out(tmp_path: Path) -> None:
    pictures(tmp_path / "images", 0, 12)
    # More rows than files: of most rows there is no picture, and every picture has a row.
    (tmp_path / "train.csv").write_text("id,label\n" + rows(100, 60) + rows(0, 12))
    listing = read(tmp_path)
    assert len(listing.examples) == 12
    assert listing.dropped == {"listed, and not in the folder": 60}
    assert listing.notes[-1] == (
        "60 of the 72 pictures that are listed are not in the folder, and left out (100, 101, 102, …)."
    )


def test_numbers_of_something_else_are_no_names_of_pictures_in_class_folders(
    tmp_path: Path,
) -> None:
    pictures(tmp_path / "cats", 0, 6)
    pictures(tmp_path / "dogs", 6, 6)
    (tmp_path / "prices.csv").write_text("price,label\n" + rows(500, 60) + rows(0, 12))
    found = labels(read(tmp_path))
    assert found["cats/1.png"] == "cats"
    assert len(found) == 12


def test_a_table_of_another_folders_pictures_is_refused(tmp_path: Path) -> None:
    pictures(tmp_path / "images", 0, 12)
    (tmp_path / "labels.csv").write_text("file,label\n" + rows(100, 60, "images/{}.png"))
    with pytest.raises(BadData, match="none of the 60 pictures that are listed: no images/100.png"):
        read(tmp_path)


def test_a_table_of_sizes_next_to_class_folders_changes_nothing(tmp_path: Path) -> None:
    pictures(tmp_path / "cats", 0, 3)
    pictures(tmp_path / "dogs", 3, 3)
    (tmp_path / "metadata.csv").write_text(
        "file,width,height\n" + "".join(f"{number},8,9\n" for number in range(6))
    )
    labels = Counter(example.label for example in read(tmp_path).examples)
    assert labels == {"cats": 3, "dogs": 3}


@pytest.mark.parametrize(
    ("header", "content", "said"),
    [
        ("id,x,y", "0,a,b\n1,a,c\n2,d,e\n", "no column is the label by its name; seen: id, x, y"),
        ("id,label", "0,a\n1,b\n0,b\n", "is in row 1 already"),
        ("id,label", "0,a\n1,b\n2,a\n", "row 3, column 'id': '2' may be "),
    ],
)
def test_a_table_that_cannot_be_used_is_refused_with_its_row(
    tmp_path: Path, header: str, content: str, said: str
) -> None:
    pictures(tmp_path / "images", 0, 3)
    pictures(tmp_path / "others", 2, 1)
    (tmp_path / "train.csv").write_text(f"{header}\n{content}")
    with pytest.raises(BadData) as caught:
        read(tmp_path)
    assert said in str(caught.value)


def named(folder: Path) -> None:
    for number in range(8):
        save(folder / f"cat.{number}.png", picture(number, False))
        save(folder / f"dog.{number}.png", picture(100 + number, True))


@pytest.mark.parametrize("folders", [("train", "test1"), ("train_images", "test_images")])
def test_folders_of_a_collection_are_not_taken_for_classes(
    tmp_path: Path, folders: tuple[str, str]
) -> None:
    named(tmp_path / folders[0])
    pictures(tmp_path / folders[1], 200, 8)
    with pytest.raises(BadData) as caught:
        read(tmp_path)
    assert "which are no classes. Where names begin with the class (cat, dog), type: --set" in str(
        caught.value
    )
    # What the message says to type works.
    pattern = str(caught.value).partition("class_pattern='")[2].rstrip("'")
    listing = read(tmp_path, class_pattern=pattern)
    assert Counter(labels(listing).values()) == {"cat": 8, "dog": 8}
    assert listing.dropped == {"features.class_pattern is not in the name": 8}


def test_parts_of_a_collection_are_not_taken_for_classes(tmp_path: Path) -> None:
    for part in (1, 2):
        pictures(tmp_path / f"images_part_{part}", 100 * part, 8)
    with pytest.raises(BadData, match="which are no classes. Lay pictures out as <class>/<file>"):
        read(tmp_path)


def test_a_class_pattern_keeps_the_splits_of_folders(tmp_path: Path) -> None:
    named(tmp_path / "train")
    named(tmp_path / "test")
    splits = Counter(one.split for one in read(tmp_path, class_pattern="([a-z]+)").examples)
    assert splits == {"train": 16, "test": 16}


@pytest.mark.parametrize("pattern", ["cat", "(", "(zebra)"])
def test_a_class_pattern_that_finds_nothing_is_refused(tmp_path: Path, pattern: str) -> None:
    named(tmp_path / "train")
    with pytest.raises(UsageError, match=r"features\.class_pattern"):
        read(tmp_path, class_pattern=pattern)


def test_a_table_of_pixels_is_sent_to_the_family_of_tables(tmp_path: Path) -> None:
    (tmp_path / "mnist.csv").write_text("label,pixel0,pixel1\n5,0,255\n")
    with pytest.raises(BadData, match=r"no pictures\. .*modelyard run tabular --data mnist.csv"):
        read(tmp_path)


def test_a_column_of_0_and_1_for_each_class_names_the_class_where_one_holds_1(
    tmp_path: Path,
) -> None:
    raw = tmp_path / "raw"
    pictures(raw / "images", 0, 40)
    lines = [f"{n},{float(n % 2 == 0)},{float(n % 2 == 1)}\n" for n in range(40)]
    (raw / "GroundTruth.csv").write_text("image,MEL,NV\n" + "".join(lines))
    (tmp_path / "out" / "assets").mkdir(parents=True)
    data = ImageData(ImageConfig())
    summary = data.features(raw, tmp_path / "out")
    assert ImageSpec.load(tmp_path / "out" / "assets").classes == ["MEL", "NV"]
    assert "The one column with a 1 is the class of a picture." in summary["notes"]
    # A picture of two is one of many labels.
    (raw / "GroundTruth.csv").write_text("image,MEL,NV\n" + "".join(lines[:-1]) + "39,1,1\n")
    with pytest.raises(BadData, match=r"--set features\.labels=many"):
        data.features(raw, tmp_path / "again")


def test_splits_whose_tables_name_labels_in_two_ways_have_many_labels(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    for number, split in enumerate(("train", "val", "test")):
        pictures(raw / split, 100 * number, 8)
        names = [f"{split}/{file.name}" for file in sorted((raw / split).iterdir())]
        lines = [f"{name},{'cat' if n % 2 else 'dog'}\n" for n, name in enumerate(names)]
        header = "image,label\n"
        if split == "val":
            header = "image,cat,dog\n"
            lines = [f"{name},{n % 2},{1 - n % 2}\n" for n, name in enumerate(names)]
        (raw / f"{split}.csv").write_text(header + "".join(lines))
    (tmp_path / "out" / "assets").mkdir(parents=True)
    with pytest.raises(BadData, match=r"--set features\.labels=many"):
        ImageData(ImageConfig()).features(raw, tmp_path / "out")


def test_unlabelled_pictures_next_to_the_splits_are_no_class_but_where_a_setting_names_one(
    tmp_path: Path,
) -> None:
    for place, folder in enumerate(("train/cat", "train/dog", "test/cat", "test/dog")):
        pictures(tmp_path / folder, 100 * place, 3)
    pictures(tmp_path / "unlabeled", 500, 4)
    listing = read(tmp_path)
    assert Counter(labels(listing).values()) == {"cat": 6, "dog": 6}
    assert {one.split for one in listing.examples} == {"train", "test"}
    assert listing.dropped == {"without a label, in unlabeled": 4}
    (tmp_path / "unlabeled").rename(tmp_path / "train" / "unlabeled")
    assert read(tmp_path).dropped == {"without a label, in train/unlabeled": 4}
    found = labels(read(tmp_path, classes=["cat", "dog", "unlabeled"]))
    assert Counter(found.values()) == {"cat": 6, "dog": 6, "unlabeled": 4}
