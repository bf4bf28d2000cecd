"""Intervals of metrics and of what a model gains over a baseline."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import mean_absolute_error, roc_auc_score

from modelyard.kit.intervals import resample


def test_a_paired_gain_is_surer_than_the_two_metrics_apart() -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=200)
    better, worse = y + 0.9 * (noise := rng.normal(size=200)), y + noise
    found = resample(mean_absolute_error, y, better, worse, varied=False)
    gain = found.gain("mae", "the other", "min")
    assert gain is not None
    assert gain.value == pytest.approx(
        mean_absolute_error(y, worse) - mean_absolute_error(y, better)
    )
    assert 0 < gain.low < gain.value < gain.high
    (low, _), (_, high) = found.interval(1) or (0, 0), found.interval(0) or (0, 0)
    assert low < high


def test_intervals_of_a_gain_hold_the_truth_as_often_as_they_say() -> None:
    held = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        y = rng.normal(size=60)
        # Both miss by a half normal of width 1: neither is better.
        first, second = y + rng.normal(size=60), y + rng.normal(size=60)
        gain = resample(mean_absolute_error, y, first, second, varied=False).gain("mae", "b", "min")
        assert gain is not None
        held += gain.low <= 0 <= gain.high
    assert 88 <= held <= 100


def test_too_few_rows_give_no_interval() -> None:
    y, score = np.array([0, 1]), np.array([0.1, 0.9])
    found = resample(roc_auc_score, y, score, np.zeros(2))
    assert not len(found.samples)
    assert found.gain("roc_auc", "chance", "max") is None
    assert found.sentence("roc_auc") == "roc_auc: too few rows for an interval."
