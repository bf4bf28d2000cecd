"""Average precision is what a plain computation of its definition gives."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from modelyard.kit.boxes.geometry import overlaps
from modelyard.kit.boxes.precision import EVERY, Judged, Objects
from modelyard.kit.intervals import Draws

OVERLAPS = np.linspace(0.5, 0.95, 10)


def plain_average_precision(
    truth: Objects, found: Objects, label: int, least_overlap: float
) -> float:
    """By the definition: the surest answer first, each to the object that it overlaps most of those
    that are left; an ignored one takes any number, and counts neither way."""
    true, answers = truth.rows(truth.label == label), found.rows(found.label == label)
    wanted = int((~true.ignored).sum())
    if wanted == 0:
        return float("nan")
    order = sorted(
        range(len(answers)), key=lambda row: (-answers.score[row], answers.picture[row], row)
    )
    taken: set[int] = set()
    verdicts = []
    for row in order:
        same = np.flatnonzero(true.picture == answers.picture[row])
        best, best_overlap = None, min(least_overlap, 1 - 1e-10)
        for other in same:
            if other in taken or true.ignored[other]:
                continue
            overlap = overlaps(answers.boxes[row : row + 1], true.boxes[other : other + 1])[0, 0]
            if overlap >= best_overlap:
                best, best_overlap = other, overlap
        if best is not None:
            taken.add(best)
            verdicts.append(1)
            continue
        inside = False
        for other in same:
            if true.ignored[other]:
                low = np.maximum(answers.boxes[row, :2], true.boxes[other, :2])
                high = np.minimum(answers.boxes[row, 2:], true.boxes[other, 2:])
                shared = np.prod(np.maximum(high - low, 0))
                own = np.prod(answers.boxes[row, 2:] - answers.boxes[row, :2])
                inside |= shared / own >= least_overlap  # of a crowd: how much lies in it
        if not inside:
            verdicts.append(0)
    hits = np.cumsum(verdicts) if verdicts else np.zeros(0)
    precision = hits / np.arange(1, len(hits) + 1)
    recall = hits / wanted
    total = 0.0
    for at in np.linspace(0, 1, 101):
        reached = recall >= at  # in floating point, as COCO compares
        total += precision[reached].max() if reached.any() else 0.0
    return total / 101


def case(seed: int) -> tuple[Objects, Objects]:
    """Objects of 12 pictures and 3 classes, some crowds, and answers near them: with ties, doubles
    and false alarms."""
    r = np.random.default_rng(seed)
    true: list[tuple] = []
    answers: list[tuple] = []
    for picture in range(12):
        for _ in range(int(r.integers(0, 5))):
            start = r.uniform(0, 150, 2)
            box = np.concatenate([start, start + r.uniform(8, 120, 2)])
            label, ignored = int(r.integers(3)), bool(r.random() < 0.2)
            true.append((picture, label, box, ignored))
            for _ in range(int(r.integers(0, 3))):
                near = box + r.normal(0, 4, 4)
                answers.append((picture, label, near, round(float(r.random()), 1)))
        for _ in range(int(r.integers(0, 3))):
            start = r.uniform(0, 150, 2)
            wrong = np.concatenate([start, start + r.uniform(8, 60, 2)])
            answers.append((picture, int(r.integers(3)), wrong, round(float(r.random()), 1)))
    truth = Objects.of(*zip(*[one[:3] for one in true], strict=True), ignored=[o[3] for o in true])
    return truth, Objects.of(*zip(*answers, strict=True))


@pytest.mark.parametrize("seed", range(6))
def test_average_precision_with_crowds_and_ties_is_that_of_the_definition(seed):
    truth, found = case(seed)
    judged = Judged(truth, found, 12, 3)
    for label in range(3):
        plain = [plain_average_precision(truth, found, label, least) for least in OVERLAPS]
        assert judged.by_class(label)["AP"] == pytest.approx(np.mean(plain), abs=1e-9, nan_ok=True)
        assert judged.by_class(label)["AP50"] == pytest.approx(plain[0], abs=1e-9, nan_ok=True)
        assert judged.by_class(label)["AP75"] == pytest.approx(plain[5], abs=1e-9, nan_ok=True)


def test_what_each_picture_adds_gives_the_same_average_precision():
    truth, found = case(3)
    judged = Judged(truth, found, 12, 3)
    once = np.ones(12)
    for label, one in enumerate(judged.matches):
        expected = judged.by_class(label)["AP"]
        assert one.average_precision(once) == pytest.approx(expected, abs=1e-9)
    # A picture that counts twice is there twice.
    weights = once + (np.arange(12) == 2)
    double = truth.picture == 2
    more = Objects.of(
        np.concatenate([truth.picture, np.full(double.sum(), 12)]),
        np.concatenate([truth.label, truth.label[double]]),
        np.concatenate([truth.boxes, truth.boxes[double]]),
        ignored=np.concatenate([truth.ignored, truth.ignored[double]]),
    )
    again = found.picture == 2
    answers = Objects.of(
        np.concatenate([found.picture, np.full(again.sum(), 12)]),
        np.concatenate([found.label, found.label[again]]),
        np.concatenate([found.boxes, found.boxes[again]]),
        np.concatenate([found.score, found.score[again]]),
    )
    twice = Judged(more, answers, 13, 3)
    for label, one in enumerate(judged.matches):
        expected = twice.by_class(label)["AP"]
        assert one.average_precision(weights) == pytest.approx(expected, abs=0.03)


def test_sizes_are_those_of_boxes_and_absent_ones_have_no_figure():
    truth = Objects.of([0, 0], [0, 0], [[0, 0, 20, 20], [50, 50, 110, 110]])
    found = Objects.of([0], [0], [[0, 0, 20, 20]], [0.9])
    figures = Judged(truth, found, 1, 1).figures()
    assert figures["map_small"] == pytest.approx(1.0)
    assert figures["map_medium"] == 0.0
    assert "map_large" not in figures
    assert figures["recall_100"] == 0.5
    assert figures["map"] == pytest.approx(51 / 101)


def test_no_threshold_parts_answers_that_are_equally_sure():
    # Of three answers with 0.6 one is right; the pycocotools' order has it first.
    truth = Objects.of([0, 1, 2], [0, 0, 0], [[0, 0, 20, 20]] * 3)
    boxes = [[0, 0, 20, 20]] * 2 + [[50, 50, 70, 70]] * 4
    found = Objects.of([0, 1, 1, 1, 2, 2], [0] * 6, boxes, [0.9, 0.6, 0.6, 0.6, 0.6, 0.6])
    judged = Judged(truth, found, 3, 1)
    threshold = judged.best_threshold()
    right, wrong, _ = judged.counts(threshold)
    # 0.9 alone has an F1 of 2 * 1 / (3 + 1), all of them 2 * 2 / (3 + 6).
    assert threshold == pytest.approx(0.75)
    assert (right.sum(), wrong.sum()) == (1, 0)


def test_the_threshold_lies_where_right_answers_end():
    truth = Objects.of([0, 1, 2], [0, 0, 0], [[0, 0, 20, 20]] * 3)
    found = Objects.of(
        [0, 1, 2, 0, 1],
        [0] * 5,
        [[0, 0, 20, 20]] * 3 + [[50, 50, 70, 70]] * 2,
        [0.9, 0.8, 0.7, 0.3, 0.2],
    )
    judged = Judged(truth, found, 3, 1)
    assert judged.best_threshold() == pytest.approx(0.5)
    right, wrong, objects = judged.counts(0.5)
    assert right.tolist() == [[1, 1, 1]]
    assert wrong.sum() == 0
    assert objects.tolist() == [[1, 1, 1]]
    right, wrong, _ = judged.counts(0.25)
    assert (right.sum(), wrong.sum()) == (3, 1)
    nothing = Judged(truth, Objects.of([], [], []), 3, 1)
    assert nothing.best_threshold() == 0.5
    assert nothing.figures()["map"] == 0.0
    assert len(nothing.samples(Draws(nothing.pictures))) == 200


@pytest.mark.parametrize("seed", [1, 2])
def test_an_ignored_object_of_every_class_is_as_one_of_each(seed):
    truth, found = case(seed)
    # Answers of another class than that of the object that they are near.
    found = replace(found, label=(found.label + np.arange(len(found)) % 2) % 3)
    spread = truth.ignored
    each = [truth.rows(~spread), *(truth.rows(spread) for _ in range(3))]
    labels = [truth.label[~spread], *(np.full(spread.sum(), label) for label in range(3))]
    copies = Objects.of(
        np.concatenate([one.picture for one in each]),
        np.concatenate(labels),
        np.concatenate([one.boxes for one in each]),
        ignored=np.concatenate([one.ignored for one in each]),
    )
    every = replace(truth, label=np.where(spread, EVERY, truth.label))
    assert Judged(every, found, 12, 3).figures() == Judged(copies, found, 12, 3).figures()
    assert Judged(every, found, 12, 3).figures() != Judged(truth, found, 12, 3).figures()
