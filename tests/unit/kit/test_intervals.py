"""Intervals of metrics and of what a model gains over a baseline."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import mean_absolute_error, roc_auc_score

from modelyard.kit.intervals import resample, share_interval, share_sentence


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


def mean_error(y: np.ndarray, answer: np.ndarray) -> float:
    return float(np.abs(answer - y).mean())


def test_intervals_of_a_gain_hold_the_truth_as_often_as_they_say() -> None:
    held = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        y = rng.normal(size=60)
        # Both miss by a half normal of width 1: neither is better.
        first, second = y + rng.normal(size=60), y + rng.normal(size=60)
        gain = resample(mean_error, y, first, second, varied=False).gain("mae", "b", "min")
        assert gain is not None
        held += gain.low <= 0 <= gain.high
    assert 88 <= held <= 100


def test_too_few_rows_give_no_interval() -> None:
    y, score = np.array([0, 1]), np.array([0.1, 0.9])
    found = resample(roc_auc_score, y, score, np.zeros(2))
    assert not len(found.samples)
    assert found.gain("roc_auc", "chance", "max") is None
    assert found.sentence("roc_auc") == "roc_auc: too few rows for an interval."


def _alike(seed: int, groups: int = 30, each: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """Errors of rows that share half of their variance with their group, and the groups."""
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(groups), each)
    errors = rng.normal(size=groups)[group] + rng.normal(size=len(group))
    order = rng.permutation(len(group))
    return errors[order], group[order]


def _mean(_: np.ndarray, values: np.ndarray) -> float:
    return float(values.mean())


def test_intervals_of_grouped_rows_hold_the_truth_as_often_as_they_say() -> None:
    held = {"rows": 0, "groups": 0}
    for seed in range(100):
        errors, group = _alike(seed)
        for name, groups in (("rows", None), ("groups", group)):
            found = resample(_mean, errors, errors, varied=False, groups=groups).interval()
            assert found is not None
            held[name] += found[0] <= 0 <= found[1]
    assert 88 <= held["groups"] <= 100
    assert held["rows"] < 60


def test_shares_of_grouped_rows_hold_the_truth_as_often_as_they_say() -> None:
    held = {"rows": 0, "groups": 0}
    for seed in range(200):
        errors, group = _alike(seed, groups=20)
        hits = errors > 0
        for name, groups in (("rows", None), ("groups", group)):
            low, high = share_interval(hits, groups)
            held[name] += low <= 0.5 <= high
    assert 180 <= held["groups"] <= 200
    assert held["rows"] < 130


def test_a_group_of_each_row_is_as_none() -> None:
    errors, _ = _alike(0)
    alone = np.random.default_rng(1).permutation(len(errors))
    plain, grouped = (
        resample(_mean, errors, errors, varied=False, groups=groups) for groups in (None, alone)
    )
    assert np.array_equal(plain.samples, grouped.samples)
    assert grouped.sentence("bias") == plain.sentence("bias")
    assert share_interval(errors > 0, alone) == share_interval(errors > 0)


def test_large_groups_are_drawn_whole_and_their_spread_is_that_of_all() -> None:
    errors, group = _alike(3, groups=100, each=200)
    found = resample(_mean, errors, errors, varied=False, groups=group)
    means = np.array([errors[group == one].mean() for one in range(100)])
    assert np.std(found.samples[:, 0]) * found.shrink == pytest.approx(np.std(means) / 10, rel=0.15)


def test_few_groups_and_a_single_one_are_named() -> None:
    errors, group = _alike(0, groups=4)
    found = resample(_mean, errors, errors, varied=False, groups=group)
    assert found.sentence("bias").endswith(
        "(200 bootstrap samples of 4 groups, which are few: it is rather too narrow)."
    )
    assert "(Wilson of 4 groups, which are few" in share_sentence("above", errors > 0, group)
    one = np.zeros(len(errors), np.int64)
    found = resample(_mean, errors, errors, varied=False, groups=one)
    assert found.sentence("bias") == "bias: too few groups for an interval."
    assert share_interval(errors > 0, one) == (0.0, 1.0)


def test_a_share_of_all_rows_of_a_few_groups_is_not_sure() -> None:
    hits = np.ones(600, bool)
    low, high = share_interval(hits, np.repeat(np.arange(12), 50))
    assert high == 1.0
    assert low < 0.75 < share_interval(hits)[0]
