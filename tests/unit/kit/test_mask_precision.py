"""Average precision of masks is that of an independent computation: crowds, ties and overlaps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco

from modelyard.kit.boxes.precision import Judged, Objects

SIDE = 24
OVERLAPS = [0.5 + 0.05 * step for step in range(10)]

Row = tuple[int, int, np.ndarray, float, bool]
"""Picture, class, mask, score and whether it is a crowd."""


def box(left: int, top: int, right: int, bottom: int) -> np.ndarray:
    mask = np.zeros((SIDE, SIDE), bool)
    mask[top:bottom, left:right] = True
    return mask


def objects(rows: Sequence[Row]) -> Objects:
    masks: list[dict[str, Any]] = [
        coco.encode(np.asfortranarray(row[2].astype(np.uint8))) for row in rows
    ]
    columns = [[row[place] for row in rows] for place in (0, 1, 3, 4)]
    picture, label, score, crowd = columns
    return Objects.masked(picture, label, masks, score, crowd)


def found_at(truth: list[Row], found: list[Row], least: float) -> list[tuple[float, bool]]:
    """Score and whether it is right of each answer that counts, in one picture and class (Lin et al.
    2014): the surest answer takes the object that it overlaps most; one within a crowd is left out."""
    free = {number: row for number, row in enumerate(truth) if not row[4]}
    crowds = [row for row in truth if row[4]]
    counted = []
    for _, _, mask, score, _ in sorted(found, key=lambda row: -row[3]):
        best, most = None, least - 1e-10
        for number, row in free.items():
            overlap = (mask & row[2]).sum() / (mask | row[2]).sum()
            # Of two that it overlaps as much the later one is taken.
            if overlap >= most:
                best, most = number, overlap
        if best is not None:
            del free[best]
            counted.append((score, True))
        elif not any((mask & row[2]).sum() / mask.sum() >= least - 1e-10 for row in crowds):
            counted.append((score, False))
    return counted


def average_precision(truth: list[Row], found: list[Row], pictures: int, least: float) -> float:
    answers = []
    for picture in range(pictures):
        own = [row for row in truth if row[0] == picture]
        answers += found_at(own, [row for row in found if row[0] == picture], least)
    answers.sort(key=lambda one: -one[0])  # stable: of equal scores that of the earlier picture
    objects_ = sum(not row[4] for row in truth)
    hits, points = 0, []
    for count, (_, right) in enumerate(answers, start=1):
        hits += right
        points.append((hits / objects_, hits / count))
    at = [max((p for r, p in points if r >= recall - 1e-12), default=0.0) for recall in RECALLS]
    return float(np.mean(at))


RECALLS = np.linspace(0, 1, 101)


def judged(truth: list[Row], found: list[Row], pictures: int, classes: int) -> Judged:
    return Judged(objects(truth), objects(found), pictures, classes)


def test_a_case_by_hand():
    # One of two objects is found; then a wrong answer, as sure as it but of a later picture.
    truth = [(0, 0, box(0, 0, 10, 10), 1.0, False), (1, 0, box(0, 0, 10, 10), 1.0, False)]
    found = [(0, 0, box(0, 0, 10, 8), 0.7, False), (1, 0, box(12, 12, 20, 20), 0.7, False)]
    figures = judged(truth, found, 2, 1).figures()
    assert figures["map_50"] == pytest.approx(51 / 101)  # recalls 0 to .5, at a precision of 1
    assert figures["map_75"] == pytest.approx(51 / 101)  # the overlap is .8
    assert figures["map"] == pytest.approx(7 / 10 * 51 / 101)


def test_masks_are_compared_and_not_the_boxes_around_them():
    lower, upper = np.tril(np.ones((12, 12), bool)), np.triu(np.ones((12, 12), bool), 1)
    masks = [np.zeros((SIDE, SIDE), bool) for _ in range(2)]
    for mask, half in zip(masks, (lower, upper), strict=True):
        mask[:12, :12] = half
    truth: list[Row] = [(0, 0, masks[0], 1.0, False)]
    assert judged(truth, [(0, 0, masks[0], 0.9, False)], 1, 1).figures()["map"] == pytest.approx(1)
    assert judged(truth, [(0, 0, masks[1], 0.9, False)], 1, 1).figures()["map"] == 0


def test_what_is_found_in_a_crowd_is_neither_right_nor_wrong():
    truth = [(0, 0, box(0, 0, 8, 8), 1.0, False), (0, 0, box(10, 0, 24, 24), 1.0, True)]
    inside = [(0, 0, box(12, 2 * row, 18, 2 * row + 2), 0.9, False) for row in range(8)]
    one = judged(truth, [*inside, (0, 0, box(0, 0, 8, 8), 0.5, False)], 1, 1)
    assert one.figures()["map"] == pytest.approx(1)
    right, wrong, there = one.counts(0.1)
    assert (right.sum(), wrong.sum(), there.sum()) == (1, 0, 1)
    without = judged(truth[:1], [*inside, (0, 0, box(0, 0, 8, 8), 0.5, False)], 1, 1)
    assert without.figures()["map"] < 0.2


@pytest.mark.parametrize("seed", range(12))
def test_it_is_an_independent_computation_s(seed):
    r = np.random.default_rng(seed)
    pictures, classes = 6, 2
    truth: list[Row] = []
    found: list[Row] = []
    for picture in range(pictures):
        for _ in range(int(r.integers(0, 5))):
            left, top = r.integers(0, 14, 2)
            wide, high = r.integers(3, 10, 2)
            label = int(r.integers(classes))
            mask = box(left, top, left + wide, top + high) & (r.random((SIDE, SIDE)) < 0.95)
            truth.append((picture, label, mask, 1.0, bool(r.random() < 0.25)))
            for _ in range(int(r.integers(0, 3))):
                moved = np.roll(mask, r.integers(-2, 3, 2), (0, 1))
                # Scores of one decimal: many are equal.
                score = float(np.round(r.random(), 1))
                found.append(
                    (picture, label if r.random() < 0.8 else 1 - label, moved, score, False)
                )
    one = judged(truth, found, pictures, classes)
    known = [
        label for label in range(classes) if any(row[1] == label and not row[4] for row in truth)
    ]
    by_class = {}
    for label in known:
        own = [[row for row in rows if row[1] == label] for rows in (truth, found)]
        by_class[label] = [average_precision(*own, pictures, least) for least in OVERLAPS]
        assert one.by_class(label)["AP"] == pytest.approx(np.mean(by_class[label]), abs=1e-9)
    figures = one.figures()
    assert figures["map"] == pytest.approx(np.mean(list(by_class.values())), abs=1e-9)
    assert figures["map_50"] == pytest.approx(np.mean([line[0] for line in by_class.values()]))


def test_every_picture_drawn_once_gives_the_whole_split_s_figure():
    truth = [(place, 0, box(0, 0, 9, 9 - place), 1.0, False) for place in range(4)]
    found = [(place, 0, box(0, 0, 9, 8), 0.9 - 0.1 * place, False) for place in range(4)]
    one = judged(truth, found, 4, 1)
    (matches,) = one.matches
    assert matches.average_precision(np.ones(4)) == pytest.approx(one.figures()["map"])
