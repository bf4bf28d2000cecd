"""Curves and counts against scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as reference

from modelyard.judging.curves import counts, histogram, precision_recall, roc, thinned


def scored(rows: int, decimals: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels and scores, tied where few decimals are kept."""
    rng = np.random.default_rng(seed)
    y = (rng.random(rows) < 0.2).astype(np.int64)
    return y, np.round(rng.normal(y, 1.5), decimals)


@pytest.mark.parametrize("decimals", [0, 1, 6])
def test_the_roc_is_scikit_learn_s_with_or_without_ties(decimals: int) -> None:
    y, score = scored(3_000, decimals)
    false, true, thresholds = reference.roc_curve(y, score, drop_intermediate=False)
    rates = dict(zip(thresholds, zip(false, true, strict=True), strict=True))
    found = roc(y, score, most=10_000)
    assert np.trapezoid(found.true_positive_rate, found.false_positive_rate) == pytest.approx(
        reference.roc_auc_score(y, score), abs=1e-12
    )
    for threshold, *seen in zip(
        found.thresholds[1:],
        found.false_positive_rate[1:],
        found.true_positive_rate[1:],
        strict=True,
    ):
        assert seen == pytest.approx(rates[threshold])
    assert found.thresholds[0] > score.max()


def test_a_thinned_roc_keeps_its_ends_and_nearly_its_area() -> None:
    y, score = scored(20_000, 6)
    found = roc(y, score)
    assert len(found.thresholds) <= 200
    assert (found.false_positive_rate[0], found.true_positive_rate[0]) == (0, 0)
    assert (found.false_positive_rate[-1], found.true_positive_rate[-1]) == (1, 1)
    area = np.trapezoid(found.true_positive_rate, found.false_positive_rate)
    assert area == pytest.approx(reference.roc_auc_score(y, score), abs=1e-3)
    assert np.all(np.diff(found.thresholds) < 0)


@pytest.mark.parametrize("highest", [1.0, 1e30])
def test_the_first_threshold_is_finite_and_above_every_score(highest: float) -> None:
    found, alarms, thresholds = counts(np.array([0, 1, 1]), np.array([0.1, highest, 0.1]))
    assert (found.tolist(), alarms.tolist()) == ([0, 1, 2], [0, 0, 1])
    assert np.isfinite(thresholds).all()
    assert thresholds[0] > thresholds[1] == highest


@pytest.mark.parametrize("decimals", [0, 6])
def test_precision_and_recall_are_scikit_learn_s(decimals: int) -> None:
    y, score = scored(500, decimals)
    precision, recall, _ = reference.precision_recall_curve(y, score)
    plot = precision_recall(y, score, "found", most=10_000)
    (line,) = plot.series
    assert np.array(line.y) == pytest.approx(precision)
    assert np.array(line.x, float) == pytest.approx(recall)
    assert plot.caption == f"Chance is a precision of {y.mean():.3g}."


def test_a_histogram_counts_all_values_within_its_edges() -> None:
    bars = histogram("a", np.array([-1.0, 0.0, 0.5, 1.0]))
    assert (len(bars.x), len(bars.y), sum(bars.y)) == (21, 20, 3)
    assert (bars.x[0], bars.x[-1]) == (0, 1)


@pytest.mark.parametrize("points", [1, 2, 199, 200, 201, 100_000])
def test_thinning_keeps_both_ends(points: int) -> None:
    kept = thinned(points)
    assert (kept[0], kept[-1], len(kept)) == (0, points - 1, min(points, 200))
