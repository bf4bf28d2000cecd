"""Metrics are those of an independent computation; simple answers are as simple as they say."""

from __future__ import annotations

import base64
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, jaccard_score

from modelyard.families.segmentation.baseline import COLOUR, FREQUENT, PRIOR, SIMPLE
from modelyard.families.segmentation.family import Segmentation, true_masks
from modelyard.families.segmentation.gallery import STRENGTH, row
from modelyard.families.segmentation.host import SegmentationHost
from modelyard.families.segmentation.judging import Judged, border_counts
from modelyard.families.segmentation.spec import IGNORED, SegmentationSpec
from modelyard.judging.evaluation import Evaluation, Part
from modelyard.runtimes.types import Arrays
from tests.training.going_on import features_of
from tests.unit.segmentation.folders import HEIGHT, WIDTH, masks
from tests.unit.segmentation.test_segmentation_model import family

CLASSES = 6
ABSENT, FOUND_ONLY = 4, 5
"""A class that is neither there nor found, and one that is not there but found."""


def pairs() -> list[tuple[np.ndarray, np.ndarray]]:
    r = np.random.default_rng(3)
    made = []
    for size in ((20, 30), (31, 17), (8, 8), (25, 25)):
        truth = r.integers(0, 4, size).astype(np.uint8)
        found = np.where(r.random(size) < 0.6, truth, r.integers(0, 4, size)).astype(np.uint8)
        found[0, :3] = FOUND_ONLY
        truth[r.random(size) < 0.2] = IGNORED
        truth[0, :2] = 0
        found[truth == IGNORED] = ABSENT  # what is answered there is in no count
        made.append((truth, found))
    return made


def test_figures_are_those_of_scikit_learn_without_ignored_pixels():
    made = pairs()
    judged = Judged.of(made, CLASSES)
    truth, found = (np.concatenate([pair[side].ravel() for pair in made]) for side in (0, 1))
    truth, found = truth[truth != IGNORED], found[truth != IGNORED]
    labels = [0, 1, 2, 3, FOUND_ONLY]
    figures, by_class = judged.figures(), judged.by_class()
    assert figures["pixel_accuracy"] == pytest.approx(accuracy_score(truth, found))
    known = {"labels": labels, "zero_division": 0}
    expected = jaccard_score(truth, found, average="macro", **known)
    assert figures["miou"] == pytest.approx(expected)
    assert figures["dice"] == pytest.approx(f1_score(truth, found, average="macro", **known))
    assert by_class["IoU"][labels] == pytest.approx(
        jaccard_score(truth, found, average=None, **known)
    )
    assert by_class["Dice"][labels] == pytest.approx(f1_score(truth, found, average=None, **known))
    assert np.isnan(by_class["IoU"][ABSENT])
    assert by_class["IoU"][FOUND_ONLY] == 0
    matrix = confusion_matrix(truth, found, labels=range(CLASSES))
    assert np.array_equal(judged.confusion[:, :-1], matrix)
    assert judged.confusion[:, -1].sum() == 0
    first = jaccard_score(
        *(side[made[0][0] != IGNORED] for side in made[0]), average="macro", labels=[0, 1, 2, 3]
    )
    assert judged.of_each()[0] == pytest.approx(first)


def test_a_class_that_the_data_does_not_know_is_wrong_wherever_it_is():
    truth = np.zeros((4, 4), np.uint8)
    found = np.where(np.arange(16).reshape(4, 4) < 4, 2, 0).astype(np.uint8)
    judged = Judged.of([(truth, found)], 2)
    assert judged.figures()["pixel_accuracy"] == 0.75
    assert judged.figures()["miou"] == 0.75
    assert judged.confusion.tolist() == [[12, 0, 4], [0, 0, 0]]


def edges_by_hand(labels: np.ndarray, truth: np.ndarray, label: int) -> set[tuple[int, int]]:
    found = set()
    height, width = labels.shape
    for row_, column in np.argwhere((labels == label) & (truth != IGNORED)).tolist():
        for down, right in ((0, 1), (1, 0), (0, -1), (-1, 0)):
            y, x = row_ + down, column + right
            inside = 0 <= y < height and 0 <= x < width
            if inside and truth[y, x] != IGNORED and labels[y, x] != label:
                found.add((row_, column))
    return found


def test_borders_are_counted_as_by_hand():
    r = np.random.default_rng(5)
    smooth = np.kron(r.integers(0, 3, (6, 8)), np.ones((12, 10))).astype(np.uint8)
    truth, found = smooth.copy(), np.roll(smooth, 2, 1)
    found[30:40, 50:55] = 1
    truth[10:20, 10:25] = IGNORED
    counts = border_counts(truth, found, 3)
    reach = max(1, round(0.0075 * np.hypot(*truth.shape)))
    for label in range(3):
        true, seen = edges_by_hand(truth, truth, label), edges_by_hand(found, truth, label)

        def near(one: tuple[int, int], others: set[tuple[int, int]]) -> bool:
            return any(abs(one[0] - y) + abs(one[1] - x) <= reach for y, x in others)

        right = sum(near(one, true) for one in seen)
        met = sum(near(one, seen) for one in true)
        assert counts[:, label].tolist() == [len(seen), right, len(true), met]
        assert 0 < right < len(seen)


def test_borders_of_equal_masks_are_all_met_and_a_lone_class_has_none():
    labels = np.kron(np.array([[0, 1], [2, 0]]), np.ones((9, 9))).astype(np.uint8)
    judged = Judged.of([(labels, labels)], 4)
    assert judged.figures()["boundary_f1"] == 1.0
    assert np.isnan(judged.by_class()["boundary F1"][3])
    missed = Judged.of([(labels, labels * 0)], 3).by_class()["boundary F1"]
    assert missed.tolist() == [0.0, 0.0, 0.0]


@pytest.fixture(scope="module")
def judging(tmp_path_factory: pytest.TempPathFactory) -> tuple[Segmentation, Path, Path]:
    """A family, features, and the assets of a trained model."""
    root, one = tmp_path_factory.mktemp("judged"), family(features__test_share=0.4)
    masks(root / "raw", 30)
    features = features_of(one, root / "raw", root / "features")
    shutil.copytree(features / "assets", root / "assets")
    return one, features, root / "assets"


class Knowing:
    """Answers with the true masks of the test split, whose pictures have WIDTH x HEIGHT pixels: its
    square has the size of the mask. But for the picture `blind`, all of which is class 0."""

    def __init__(self, features: Path, blind: int | None = None, shift: int = 0) -> None:
        self.masks, self.pixels = (
            np.load(features / "test.masks.npy"),
            np.load(features / "test.npy"),
        )
        self.blind, self.shift = blind, shift

    def __call__(self, graph: str, arrays: Arrays) -> Arrays:
        logits = np.full((len(arrays["pixels"]), 3, *self.masks.shape[1:]), -30.0, np.float32)
        for row_, pixels in enumerate(arrays["pixels"]):
            (place,) = np.flatnonzero((self.pixels == pixels).all(axis=(1, 2, 3)))
            labels = np.where(self.masks[place] == IGNORED, 0, self.masks[place])
            labels = labels * (place != self.blind)
            np.put_along_axis(logits[row_], ((labels + self.shift) % 3)[None], 0.0, 0)
        return {"logits": logits}


def evaluated(judging: tuple[Segmentation, Path, Path], run: Knowing) -> Evaluation:
    one, features, assets = judging
    return one.evaluate(SegmentationHost(assets), run, features, "test")


def test_a_model_that_knows_all_has_nearly_all_right(judging):
    """Nearly: its square is a little coarser than the masks."""
    seen = evaluated(judging, Knowing(judging[1]))
    assert seen.metrics["pixel_accuracy"] > 0.97
    assert seen.metrics["miou"] > 0.9
    assert seen.metrics["boundary_f1"] > 0.97
    assert seen.baseline["miou"] < 0.8
    assert set(seen.rivals) == {FREQUENT, COLOUR}
    assert {gain.over for gain in seen.gains} == {PRIOR, FREQUENT, COLOUR}
    assert all(gain.low > 0 for gain in seen.gains)
    assert seen.intervals["miou"][0] <= seen.metrics["miou"] <= seen.intervals["miou"][1]
    (table,) = seen.tables
    assert [line[0] for line in table.rows] == ["background", "cat", "dog"]
    assert sum(float(str(line[1]).rstrip("%")) for line in table.rows) == pytest.approx(
        100, abs=0.2
    )
    assert np.trace(seen.confusion.matrix) / np.sum(seen.confusion.matrix) == pytest.approx(
        seen.metrics["pixel_accuracy"]
    )


def test_the_picture_that_is_all_wrong_comes_first(judging):
    seen = evaluated(judging, Knowing(judging[1], blind=4))
    names = json.loads((judging[1] / "test.files.json").read_text())["names"]
    pictures = seen.plots[-1].pictures
    assert pictures[0].caption.startswith(f"{Path(names[4]).name}: IoU 0.")
    shown = [float(picture.caption.split()[-1]) for picture in pictures]
    assert shown == sorted(shown)
    assert shown[1] > shown[0] + 0.2
    tile = Image.open(io.BytesIO(base64.b64decode(pictures[0].url.partition(",")[2])))
    assert tile.size == (3 * 180 + 8, 135)


def test_a_part_of_the_split_is_judged_with_its_simple_answers(judging):
    one, features, assets = judging
    host, run = SegmentationHost(assets), Knowing(features, blind=4)
    part = one.evaluate_part(host, run, features, "test", Part(rows=3))
    whole = one.evaluate(host, run, features, "test")
    assert (part.rows, part.part) == (3, 3)
    assert (whole.rows, whole.part) == (len(run.pixels), None)
    assert part.metrics["miou"] > whole.metrics["miou"]
    assert part.rivals[COLOUR] != whole.rivals[COLOUR]
    assert len(part.plots[-1].pictures) == 3
    for name, simple in SIMPLE.items():
        pairs_ = zip(true_masks(features, "test"), list(simple(features, "test"))[:3], strict=False)
        expected = Judged.of(pairs_, 3).figures()["miou"]
        assert {PRIOR: part.baseline["miou"], **part.rivals}[name] == expected


def test_another_package_is_judged_by_the_names_of_its_classes(judging, tmp_path):
    one, features, assets = judging
    spec = SegmentationSpec.load(assets)
    turned = [spec.classes[(place + 2) % 3] for place in range(3)]
    for name, classes in (("turned", turned), ("other", ["background", "cat", "heron"])):
        spec.model_copy(update={"classes": classes}).save(tmp_path / name)
    plain = evaluated(judging, Knowing(features)).metrics
    host = SegmentationHost(tmp_path / "turned")
    assert one.evaluate(host, Knowing(features, shift=1), features, "test").metrics == plain
    other = one.evaluate(SegmentationHost(tmp_path / "other"), Knowing(features), features, "test")
    assert other.tables[0].rows[2][2] == 0.0
    assert any("class that this data does not know" in note for note in other.notes)
    assert other.metrics["miou"] < plain["miou"] - 0.25


def test_simple_answers_know_the_training_split_alone(judging):
    _, features, _ = judging
    masks_ = np.load(features / "train.masks.npy")
    labels = masks_[masks_ != IGNORED]
    frequent = np.bincount(labels).argmax()
    answers = {name: list(simple(features, "test")) for name, simple in SIMPLE.items()}
    assert all(one.shape == (HEIGHT, WIDTH) for found in answers.values() for one in found)
    assert all((one == frequent).all() for one in answers[FREQUENT])
    first, *others = answers[PRIOR]
    assert all(np.array_equal(first, one) for one in others)
    assert len(np.unique(first)) > 1
    # In the middle of the rectangles that every training picture has, its most frequent class.
    square = [
        np.bincount(masks_[:, y, x], minlength=256)[:3].argmax() for y, x in ((20, 16), (40, 5))
    ]
    assert [first[7, 10], first[20, 3]] == square
    # Noise has every colour everywhere: colours say next to nothing here.
    assert {one.shape for one in answers[COLOUR]} == {(HEIGHT, WIDTH)}


def test_colours_tell_classes_where_they_do(tmp_path):
    one = family()
    raw = masks(tmp_path / "raw", 20)
    for number in range(20):
        labels = np.asarray(Image.open(raw / "masks" / f"{number:02}.png"))
        pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        pixels[labels == 1], pixels[labels == 2], pixels[0, 0] = (200, 0, 0), (0, 200, 0), number
        Image.fromarray(pixels).save(raw / "images" / f"{number:02}.png")
    features = features_of(one, raw, tmp_path / "features")
    found = Judged.of(
        zip(true_masks(features, "test"), SIMPLE[COLOUR](features, "test"), strict=True), 3
    )
    assert found.figures()["miou"] > 0.85


def test_masks_lie_over_their_picture_in_the_colours_of_their_classes():
    picture = Image.new("RGB", (60, 30), (100, 100, 100))
    truth, found = np.zeros((30, 60), np.uint8), np.ones((30, 60), np.uint8)
    truth[:, 30:] = IGNORED
    colours = np.full((256, 3), 255, np.uint8)
    colours[:2] = [[0, 0, 200], [200, 0, 0]]
    tile = np.asarray(row(picture, truth, found, colours)).astype(int)
    assert tile.shape == (90, 3 * 180 + 8, 3)

    def mixed(colour: tuple[int, int, int]) -> list[float]:
        return [100 * (1 - STRENGTH) + STRENGTH * channel for channel in colour]

    places = {20: (100, 100, 100), 204: mixed((0, 0, 200)), 350: mixed((255, 255, 255))}
    places[450] = mixed((200, 0, 0))
    for column, colour in places.items():
        assert np.allclose(tile[45, column], colour, atol=1), column
