"""The threshold holds its false alarm rate, and says how well."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from modelyard.errors import BadData
from modelyard.families.anomaly.samples import _autoregressive
from modelyard.families.anomaly.threshold import check, choose, conformal, rate_of, sentences
from tests.unit.anomaly.conftest import make


@pytest.mark.parametrize("rate", [0.01, 0.05])
def test_new_scores_exceed_the_threshold_at_the_stated_rate(rate: float) -> None:
    rng = np.random.default_rng(0)
    levels = [choose(rng.exponential(1, 4000), rate, 1).value for _ in range(50)]
    assert np.mean(np.exp(-np.array(levels))) == pytest.approx(rate, rel=0.06)


def test_the_conformal_rank_is_the_one_of_the_formula() -> None:
    scores = np.random.default_rng(0).permutation(np.arange(1.0, 100.0))
    assert conformal(scores, 0.1) == 90
    assert conformal(scores, 0.01) == 99
    assert conformal(scores, 0.001) == 99


def test_the_interval_is_wider_for_scores_that_come_in_clusters_and_covers_the_true_rate() -> None:
    rng = np.random.default_rng(0)
    truth = _autoregressive(400_000, 0.95, 1.0, rng)
    covered, widths = [], []
    for _ in range(40):
        found = choose(_autoregressive(4000, 0.95, 1.0, rng), 0.02, 12)
        covered.append(found.low <= (truth > found.value).mean() <= found.high)
        widths.append(found.high - found.low)
    alone = choose(rng.normal(0, 1, 4000), 0.02, 12)
    assert np.mean(covered) > 0.8
    assert np.median(widths) > 1.5 * (alone.high - alone.low)


@pytest.mark.parametrize("answers", [12, 362, 385, 499, 4_321])
def test_the_rate_that_is_proposed_where_answers_are_few_is_enough(answers: int) -> None:
    scores = np.random.default_rng(0).exponential(1, answers)
    with pytest.raises(BadData, match="answers cannot set") as caught:
        choose(scores, 1e-3, 1)
    rate = float(caught.value.hint.partition("false_alarm_rate=")[2])
    assert rate < 1.1 * 5 / answers
    assert choose(scores, rate, 1).value > np.median(scores)


@pytest.mark.parametrize(
    ("answers", "rate"), [(4_000, 0.01), (500, 0.01), (250, 0.02), (60, 0.084), (50, 0.1)]
)
def test_of_few_answers_the_rate_that_nobody_set_is_as_little_as_they_can_set(
    answers: int, rate: float
) -> None:
    assert rate_of(None, answers) == pytest.approx(rate)
    assert rate_of(0.2, answers) == 0.2
    choose(np.random.default_rng(0).exponential(1, answers), rate_of(None, answers), 1)


def test_a_rate_that_was_set_is_never_another() -> None:
    with pytest.raises(BadData, match=r"false_alarm_rate=0\.02$"):
        rate_of(0.01, 250)
    with pytest.raises(
        BadData, match="40 calibration answers cannot set a false alarm rate of 0.1"
    ):
        rate_of(None, 40)


def test_contamination_leaves_out_the_highest_scores() -> None:
    rng = np.random.default_rng(0)
    normal = rng.exponential(1, 9500)
    dirty = rng.permutation(np.concatenate([normal, np.full(500, 50.0)]))
    assert choose(dirty, 0.01, 1).value == 50
    assert choose(dirty, 0.01, 1, contamination=0.05).value == pytest.approx(
        choose(normal, 0.01, 1).value, rel=0.05
    )


def test_too_few_scores_or_equal_ones_are_refused_with_what_is_needed() -> None:
    scores = np.random.default_rng(0).normal(0, 1, 300)
    with pytest.raises(
        BadData, match=r"300 calibration answers cannot.*0.01: 500 are needed.*rate=0\.017"
    ):
        choose(scores, 0.01, 1)
    with pytest.raises(BadData, match="nearly all calibration rows the same score"):
        choose(np.ones(1000), 0.01, 1)


def test_the_card_warns_when_all_alarms_are_one_cluster() -> None:
    scores = np.random.default_rng(0).normal(0, 1, 960)
    good = choose(np.tile(scores, 10), 0.01, 1)
    scores[300:312] += 10
    poor = choose(scores, 0.01, 24)
    assert poor.high > 0.02 > good.high
    assert "little calibration data" not in sentences(good, 0.01, "answers")
    assert "little calibration data" in sentences(poor, 0.01, "answers")


@pytest.mark.parametrize("contamination", [0.0, 0.02])
def test_too_little_calibration_data_is_told_before_training(
    machines: Path, tmp_path: Path, contamination: float
) -> None:
    family = make("autoencoder", false_alarm_rate=1e-4, contamination=contamination)
    with pytest.raises(
        BadData,
        match="calibration answers cannot set a false alarm rate of 0.0001: 50,000 are needed",
    ):
        family.fit(machines, tmp_path, trainer=None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("answers", "contamination"), [(500, 0.0), (511, 0.02), (527, 0.05), (1_000, 0.5)]
)
def test_what_passes_before_training_passes_after_it(answers: int, contamination: float) -> None:
    check(answers, 0.01, contamination)
    choose(np.random.default_rng(0).exponential(1, answers), 0.01, 1, contamination)
    with pytest.raises(BadData):
        check(answers - 5, 0.01, contamination)
