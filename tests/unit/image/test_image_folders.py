"""Folders within folders: which of them is a picture's class, and what is left out."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from modelyard.errors import BadData, UsageError
from modelyard.families.image.config import ImageConfig
from modelyard.families.image.data import ImageData
from modelyard.families.image.spec import ImageSpec
from modelyard.kit.classifier import store
from modelyard.stages import features as features_stage
from modelyard.stages import ingest
from modelyard.stages.run import Run
from tests.unit.image.test_image_data import picture, save, table

TREE = {"animals/dogs": 9, "animals/cats": 8, "animals/other": 7, "plants/other": 8}


def tree(root: Path, counts: dict[str, int], first: int = 0) -> Path:
    number = first
    for folder, count in counts.items():
        for _ in range(count):
            save(root / folder / f"{number:03}.png", picture(number, number % 2 == 1))
            number += 1
    return root


def built(raw: Path, **settings: Any) -> tuple[dict[str, Any], Counter[str]]:
    """The summary, and how many pictures each class has."""
    out = raw.parent / "out"
    (out / "assets").mkdir(parents=True)
    summary = ImageData(ImageConfig.model_validate({"features": settings})).features(raw, out)
    classes = ImageSpec.load(out / "assets").classes
    counts: Counter[str] = Counter()
    for split in ("train", "validation", "test"):
        counts.update(classes[label] for label in store.load_labels(out, split))
    return summary, counts


def test_the_whole_path_is_the_class(tmp_path: Path) -> None:
    summary, counts = built(tree(tmp_path / "raw", TREE))
    assert counts == TREE
    assert "; classes are paths of up to 2 folders" in summary["headline"]


def test_the_innermost_folder_can_be_the_class(tmp_path: Path) -> None:
    summary, counts = built(tree(tmp_path / "raw", TREE), class_folder="last")
    assert counts == {"dogs": 9, "cats": 8, "other": 15}
    assert "; classes are the innermost folders" in summary["headline"]
    assert "The class 'other' is of the folders in animals, plants." in summary["notes"]


def test_a_level_can_be_the_class_and_what_lies_above_is_counted(tmp_path: Path) -> None:
    raw = tree(tmp_path / "raw", TREE)
    tree(raw, {"plants": 3, "plants/trees/oaks": 6}, first=500)
    summary, counts = built(raw, class_folder=2)
    assert counts == {"dogs": 9, "cats": 8, "other": 15, "trees": 6}
    assert summary["dropped"] == {"fewer than 2 folders deep": 3}
    assert "; classes are the level-2 folders" in summary["headline"]


def test_the_outermost_folder_can_be_the_class(tmp_path: Path) -> None:
    _, counts = built(tree(tmp_path / "raw", TREE), class_folder=1)
    assert counts == {"animals": 24, "plants": 8}


def test_a_folder_that_holds_all_others_is_passed_over(tmp_path: Path) -> None:
    tree(tmp_path / "raw/archive/pictures", TREE)
    summary, counts = built(tmp_path / "raw")
    assert counts == TREE
    said = "All pictures are in the folder 'archive/pictures': its folders are read."
    assert said in summary["notes"]


def test_splits_are_found_within_such_a_folder(tmp_path: Path) -> None:
    for number, split in enumerate(("train", "val", "test")):
        tree(tmp_path / "raw/archive" / split, TREE, first=100 * number)
    summary, counts = built(tmp_path / "raw")
    assert summary["rows"] == {"train": 32, "validation": 32, "test": 32}
    assert counts == {name: 3 * count for name, count in TREE.items()}


def test_flat_folders_are_as_before(tmp_path: Path) -> None:
    summary, counts = built(tree(tmp_path / "raw", {"dogs": 8, "cats": 9}))
    assert counts == {"dogs": 8, "cats": 9}
    assert "classes are" not in summary["headline"]
    assert not any("All pictures are in" in note for note in summary["notes"])


def test_a_folder_with_pictures_and_folders_is_a_class_too(tmp_path: Path) -> None:
    counts = {"dogs": 7, "dogs/small": 8}
    assert built(tree(tmp_path / "raw", counts))[1] == counts


@pytest.mark.parametrize(
    ("counts", "settings", "said"),
    [
        ({"dogs": 8, "cats/small": 4}, {}, "class 'cats/small' has 4 different pictures"),
        ({"dogs": 8, "cats/small": 4}, {}, "be the class: --set features.class_folder=1"),
        ({"dogs": 8, "cats": 8}, {"class_folder": 2}, "no picture lies 2 folders deep"),
        ({"dogs/a": 8, "dogs/b": 8}, {"class_folder": 1, "classes": ("dogs",)}, "class 'a' is"),
        ({"dogs": 8, "dogs/b": 8}, {"class_folder": 1}, "has only one class, 'dogs'"),
    ],
)
def test_folders_that_give_no_classes_are_refused(
    tmp_path: Path, counts: dict[str, int], settings: dict[str, Any], said: str
) -> None:
    with pytest.raises(BadData) as caught:
        built(tree(tmp_path / "raw", counts), **settings)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_empty_folder_is_named_and_what_is_not_read_is_counted(tmp_path: Path) -> None:
    raw = tree(tmp_path / "raw", TREE)
    (raw / "animals/dogs/notes.txt").write_text("x")
    (raw / "plants/scan.dcm").write_text("x")
    summary, _ = built(raw)
    assert summary["dropped"] == {
        "files: not a picture": 1,
        ".dcm is not read: save it as .png": 1,
    }
    (raw / "stones/grey").mkdir(parents=True)
    (raw / "stones/grey/notes.txt").write_text("x")
    with pytest.raises(BadData, match="raw/stones: an empty class: no picture in it"):
        ImageData(ImageConfig()).features(raw, tmp_path / "more")


def test_the_setting_is_refused_where_a_table_names_the_labels(tmp_path: Path) -> None:
    raw = tree(tmp_path / "raw", {"a": 8, "b": 8})
    table(raw, [f"{file.relative_to(raw)},{file.parent.name}" for file in raw.rglob("*.png")])
    with pytest.raises(UsageError, match="is for class folders; labels.csv names the labels"):
        built(raw, class_folder=1)


@pytest.mark.parametrize("wrong", [0, -1, "first", 2.5])
def test_another_value_is_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match="class_folder"):
        ImageConfig.model_validate({"features": {"class_folder": wrong}})


def test_the_line_of_the_stage_says_it(tmp_path: Path) -> None:
    raw = tree(tmp_path / "mine", TREE)
    tree(raw, {"plants": 3}, first=500)
    run = Run.of("image", {"data": {"uri": str(raw)}, "features": {"class_folder": 2}})
    ingest(run, dataset=tmp_path / "dataset")
    line = features_stage(run, dataset=tmp_path / "dataset", features=tmp_path / "features")
    assert line == (
        "32 pictures of 3 classes, 32 px gray; classes are the level-2 folders; "
        "3 of 35 pictures dropped: fewer than 2 folders deep"
    )
