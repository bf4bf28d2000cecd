"""Pixels whose class is called as what nobody labelled."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from modelyard.families.segmentation.spec import IGNORED
from modelyard.families.segmentation.voids import is_void, voids
from tests.unit.detection.folders import picture
from tests.unit.segmentation.folders import HEIGHT, WIDTH, as_palette, outlines, truth
from tests.unit.segmentation.test_segmentation_formats import found, prepared

CAMVID = np.array([(64, 128, 64), (192, 0, 128), (128, 64, 128), (0, 0, 0)], np.uint8)


def labels_of(number: int, rows: int) -> np.ndarray:
    """Three classes, and the fourth in the first rows."""
    labels = truth(number)
    labels[:rows] = 3
    return labels


def street(raw: Path, rows: int = 2, last: str = "Void") -> Path:
    """CamVid's colours and the names of them."""
    for number in range(20):
        picture(raw / "images" / f"{number:02}.png", number, (WIDTH, HEIGHT))
        file = raw / "masks" / f"{number:02}.png"
        file.parent.mkdir(exist_ok=True)
        Image.fromarray(CAMVID[labels_of(number, rows)]).save(file)
    named = ["64 128 64\tAnimal", "192 0 128\tArchway", "128 64 128\tRoad", f"0 0 0\t\t{last}"]
    (raw / "label_colors.txt").write_text("\n".join(named) + "\n")
    return raw


def test_what_is_called_void_is_neither_learnt_nor_judged_and_the_card_says_so(
    tmp_path: Path,
) -> None:
    summary, out = prepared(street(tmp_path / "raw"))
    assert set(summary["classes"]) == {"Animal", "Archway", "Road"}
    assert "6.7% of the pixels ignored" in summary["headline"]
    assert summary["dropped"] == {}
    assert summary["notes"][-1] == (
        "Called Void, and so neither learnt nor judged: 6.7% of the pixels. To learn them, give them another name."
    )
    assert (found(out)["03"][:2] == IGNORED).all()
    assert (found(out)["03"][2:] != IGNORED).all()


def test_another_name_is_a_class(tmp_path: Path) -> None:
    summary, _ = prepared(street(tmp_path / "raw", last="Voided"))
    assert len(summary["classes"]) == 4
    assert len(summary["notes"]) == 1


def test_where_most_is_called_so_it_is_what_lies_around_the_things(tmp_path: Path) -> None:
    summary, _ = prepared(street(tmp_path / "raw", rows=17))
    assert "Void" in summary["classes"]
    said = "57% of the pixels are called Void: learnt as a class like any other."
    assert summary["notes"][-1] == said


def test_of_two_classes_one_is_not_left_out(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    for number in range(20):
        picture(raw / "images" / f"{number:02}.png", number, (WIDTH, HEIGHT))
        (raw / "masks").mkdir(exist_ok=True)
        as_palette(np.uint8(labels_of(number, 14) == 3)).save(raw / f"masks/{number:02}.png")
    (raw / "classes.txt").write_text("crack\nunlabelled\n")
    summary, _ = prepared(raw)
    assert set(summary["classes"]) == {"crack", "unlabelled"}


def test_outlines_follow_the_same_rule_and_their_background_stays(tmp_path: Path) -> None:
    content = outlines(tmp_path / "seen")
    # Of three classes, background is one.
    content["categories"][-1]["name"] = "ignore"
    file = tmp_path / "seen" / "instances.json"
    file.write_text(json.dumps(content))
    summary, _ = prepared(tmp_path / "seen", background="unlabelled")
    assert "ignore" not in summary["classes"]
    assert "unlabelled" in summary["classes"]


@pytest.mark.parametrize(
    "name", ["Void", "unlabeled", "Not labelled", "__ignore__", "Don't care", "UNKNOWN", "no label"]
)
def test_names_of_nothing(name: str) -> None:
    assert is_void(name)


@pytest.mark.parametrize(
    "name", ["background", "other", "avoid", "Voidaceae", "clutter", "", "none", "class 0", "255"]
)
def test_names_of_something(name: str) -> None:
    assert not is_void(name)


def test_a_name_without_a_pixel_and_a_class_of_the_earlier_model_are_left_as_they_are() -> None:
    names = {0: "road", 1: "car", 2: "void"}
    assert voids(names, Counter({0: 9, 1: 9}), []) == (frozenset(), [])
    assert voids(names, Counter({0: 9, 1: 9, 2: 1}), ["void"]) == (frozenset(), [])
    assert voids(names, Counter({0: 9, 1: 9, 2: 1}), [])[0] == {2}
