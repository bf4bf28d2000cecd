"""Classes matched by name, and a classifier's metrics against scikit-learn's or by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as reference

from modelyard.kit.classes.judged import (
    Judged,
    align,
    calibration_error,
    class_metrics,
    class_shares,
    confusion,
    macro_f1,
    top_accuracy,
)
from modelyard.kit.classes.plots import by_class

CLASSES = ["a", "b", "c", "d"]


def judged(k: int = 4, n: int = 300) -> Judged:
    rng = np.random.default_rng(5)
    y = rng.integers(0, k, n)
    raw = rng.gamma(1, size=(n, k)) + 1.2 * (np.arange(k) == y[:, None])
    p = raw / raw.sum(axis=1, keepdims=True)
    return Judged(y, p, p.argmax(axis=1), CLASSES[:k])


def test_answers_are_matched_by_class_name_and_an_unknown_class_is_another() -> None:
    p = np.array([[0.2, 0.7, 0.1], [0.6, 0.3, 0.1], [0.1, 0.1, 0.8]])
    judged = align(p, p.argmax(axis=1), ["cat", "dog", "eel"], np.array([1, 0, 0]), ["dog", "cat"])
    assert judged.p.tolist() == [[0.7, 0.2], [0.3, 0.6], [0.1, 0.1]]
    assert judged.labels.tolist() == [0, 1, 2]
    seen = confusion(judged)
    assert seen.labels == ["dog", "cat", "(another)"]
    assert seen.matrix == [[0, 1, 1], [1, 0, 0], [0, 0, 0]]
    assert confusion(Judged(judged.y, judged.p, np.array([1, 0, 0]), judged.classes)).labels == [
        "dog",
        "cat",
    ]


def test_class_metrics_are_scikit_learn_s() -> None:
    rng = np.random.default_rng(1)
    y, p = rng.choice(3, 400, p=[0.7, 0.2, 0.1]), rng.dirichlet(np.ones(3), 400)
    seen = class_metrics(Judged(y, p, p.argmax(axis=1), list("abc")))
    expected = {
        "accuracy": reference.accuracy_score(y, p.argmax(axis=1)),
        "balanced_accuracy": reference.balanced_accuracy_score(y, p.argmax(axis=1)),
        "macro_f1": reference.f1_score(y, p.argmax(axis=1), average="macro"),
        "worst_class_recall": reference.recall_score(y, p.argmax(axis=1), average=None).min(),
        "top_2_accuracy": reference.top_k_accuracy_score(y, p, k=2),
        "log_loss": reference.log_loss(y, p),
    }
    assert {name: seen[name] for name in expected} == pytest.approx(expected)


def test_macro_f1_is_scikit_learn_s_over_the_classes_that_are_true() -> None:
    rng = np.random.default_rng(2)
    for y in (rng.choice([0, 1, 3], 200), np.full(200, 3), rng.choice([1, 2], 200)):
        labels = np.where(rng.random(200) < 0.5, y, rng.integers(0, 6, 200))
        expected = reference.f1_score(y, labels, labels=np.unique(y), average="macro")
        assert macro_f1(y, labels) == pytest.approx(expected)
    assert macro_f1(np.array([0, 1, 1]), np.array([2, 2, 2])) == 0


def test_of_many_classes_the_worst_are_shown() -> None:
    y = np.repeat(np.arange(40), 10)
    labels = np.where(np.arange(400) % 10 < y % 40 // 4, (y + 1) % 40, y)
    recall = [(labels[y == index] == index).mean() for index in range(40)]
    shown = by_class(y, labels, [f"c{index}" for index in range(40)])
    assert len(shown.series[0].x) == 30
    assert max(shown.series[0].y) <= sorted(recall)[30]
    assert "30 classes" in shown.caption
    few = by_class(np.array([0, 0, 1]), np.array([0, 1, 1]), ["a", "b"])
    assert ([one.y for one in few.series], few.caption) == ([[0.5, 1.0], [1.0, 0.5]], "")


def test_two_classes_are_counted_as_a_table_of_four_does() -> None:
    one = judged(k=2)
    hits, alarms = (
        int(((one.y == 1) & (one.labels == 1)).sum()),
        int(((one.y == 0) & (one.labels == 1)).sum()),
    )
    misses, quiet = (
        int(((one.y == 1) & (one.labels == 0)).sum()),
        int(((one.y == 0) & (one.labels == 0)).sum()),
    )
    seen = class_metrics(one)
    assert seen["recall"] == hits / (hits + misses)
    assert seen["specificity"] == quiet / (quiet + alarms)
    assert seen["precision"] == hits / (hits + alarms)
    assert seen["negative_predictive_value"] == quiet / (quiet + misses)
    pairs = one.p[one.y == 1, 1][:, None] - one.p[one.y == 0, 1]
    assert seen["roc_auc"] == pytest.approx((pairs > 0).mean() + (pairs == 0).mean() / 2)


def test_calibration_error_by_hand() -> None:
    confidence, hit = np.array([0.95, 0.97, 0.55, 0.56]), np.array([True, False, True, True])
    assert calibration_error(hit, confidence) == pytest.approx(
        0.5 * abs(0.5 - 0.96) + 0.5 * abs(1 - 0.555)
    )


def test_ties_of_the_best_classes_count_by_their_expected_value() -> None:
    y = np.arange(4)
    assert top_accuracy(y, np.full((4, 4), 0.25), 2) == pytest.approx(0.5)
    assert top_accuracy(y[:1], np.array([[0.4, 0.4, 0.2, 0.0]]), 1) == pytest.approx(0.5)
    assert top_accuracy(y[3:], np.array([[0.5, 0.3, 0.2, 0.0]]), 4) == 0


def test_the_baseline_answers_the_most_frequent_training_class_with_the_training_shares() -> None:
    one = judged(k=3)
    baseline = class_shares(one, np.array([0, 1, 1, 2, 1, 0]))
    assert set(baseline.labels.tolist()) == {1}
    assert baseline.p[0].tolist() == pytest.approx([2 / 6, 3 / 6, 1 / 6])
