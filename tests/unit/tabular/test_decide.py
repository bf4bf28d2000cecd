"""Calibration and thresholds: chosen on validation rows, applied with numpy alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import f1_score, log_loss

from modelyard.families.tabular.config import TabularModel
from modelyard.families.tabular.decide import Decision, Isotonic, NoCalibration, Sigmoid, fit_decision


def overconfident(rows: int, seed: int = 0, share: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (rows, 2) three times too sure in log-odds, and the classes drawn from the true ones."""
    rng = np.random.default_rng(seed)
    odds = rng.normal(np.log(share / (1 - share)), 1.5, rows)
    y = (rng.random(rows) < 1 / (1 + np.exp(-odds))).astype(np.int64)
    p = 1 / (1 + np.exp(-3 * odds))
    return np.stack([1 - p, p], axis=1).astype(np.float32), y


def settings(**values: object) -> TabularModel:
    return TabularModel.model_validate(values)


@pytest.mark.parametrize(("rows", "method"), [(60, "none"), (600, "sigmoid"), (6_000, "isotonic")])
def test_auto_takes_the_method_that_the_positive_rows_can_bear(rows: int, method: str) -> None:
    raw, y = overconfident(rows)
    decision = fit_decision(settings(), raw, y)
    assert decision.calibration.method == method
    assert ("Not calibrated" in decision.note) == (method == "none")


def test_auto_leaves_good_probabilities_alone() -> None:
    rng = np.random.default_rng(3)
    p = rng.random(800)
    y = (rng.random(800) < p).astype(np.int64)
    decision = fit_decision(settings(), np.stack([1 - p, p], axis=1), y)
    assert decision.calibration == NoCalibration()
    assert "would not lower the log loss" in decision.note


@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
def test_calibration_lowers_the_log_loss_of_rows_it_has_not_seen(method: str) -> None:
    decision = fit_decision(settings(calibration=method), *overconfident(4_000))
    raw, y = overconfident(4_000, seed=1)
    calibrated = decision.probabilities(raw)
    assert log_loss(y, calibrated[:, 1]) < log_loss(y, raw[:, 1]) - 0.05
    np.testing.assert_allclose(calibrated.sum(axis=1), 1)


def test_sigmoid_finds_the_slope_that_was_put_in() -> None:
    calibration = fit_decision(settings(calibration="sigmoid"), *overconfident(20_000)).calibration
    assert isinstance(calibration, Sigmoid)
    assert calibration.a == pytest.approx(1 / 3, abs=0.02)
    assert calibration.b == pytest.approx(0, abs=0.06)


def test_sigmoid_stays_finite_where_the_classes_part_cleanly() -> None:
    p = np.r_[np.linspace(0.001, 0.1, 50), np.linspace(0.9, 0.999, 50)]
    y = np.r_[np.zeros(50), np.ones(50)].astype(np.int64)
    calibration = fit_decision(settings(calibration="sigmoid"), np.stack([1 - p, p], axis=1), y).calibration
    assert isinstance(calibration, Sigmoid)
    assert 0 < calibration.a < 10


def test_isotonic_never_says_impossible_or_certain() -> None:
    calibration = fit_decision(settings(calibration="isotonic"), *overconfident(2_000)).calibration
    assert isinstance(calibration, Isotonic)
    seen = calibration.apply(np.linspace(0, 1, 1_001))
    assert 0 < seen.min() < seen.max() < 1
    assert (np.diff(seen) >= 0).all()


def test_f1_threshold_is_the_best_of_all_thresholds() -> None:
    raw, y = overconfident(300)
    decision = fit_decision(settings(calibration="none"), raw, y)
    tried = [f1_score(y, raw[:, 1] >= threshold) for threshold in np.unique(raw[:, 1])]
    assert f1_score(y, decision.labels(raw)) == max(tried)


def test_recall_threshold_has_the_best_precision_at_the_least_recall() -> None:
    raw, y = overconfident(500)
    decision = fit_decision(settings(calibration="none", aim="recall", least_recall=0.8), raw, y)
    hit = decision.labels(raw) == 1
    assert hit[y == 1].mean() >= 0.8
    reached = []
    for threshold in np.unique(raw[:, 1]):
        alarm = raw[:, 1] >= threshold
        if alarm[y == 1].mean() >= 0.8:
            reached.append(y[alarm].mean())
    assert y[hit].mean() == max(reached)


def test_cost_threshold_costs_least_and_may_answer_never_or_always() -> None:
    raw, y = overconfident(500)

    def cost(labels: np.ndarray, alarm: float, miss: float) -> float:
        return float(alarm * ((labels == 1) & (y == 0)).sum() + miss * ((labels == 0) & (y == 1)).sum())

    for alarm, miss in [(1, 5), (5, 1), (1, 0), (0, 1)]:
        aim = settings(calibration="none", aim="cost", false_positive_cost=alarm, false_negative_cost=miss)
        labels = fit_decision(aim, raw, y).labels(raw)
        tried = [cost((raw[:, 1] >= t).astype(int), alarm, miss) for t in [*np.unique(raw[:, 1]), 2]]
        assert cost(labels, alarm, miss) == min(tried)
    never = settings(calibration="none", aim="cost", false_positive_cost=1, false_negative_cost=0)
    assert not fit_decision(never, raw, y).labels(raw).any()
    certain = np.tile([0.0, 1.0], (len(y), 1))
    assert not fit_decision(never, certain, y).labels(certain).any()


def test_tied_scores_stay_on_one_side_of_the_threshold() -> None:
    p = np.repeat([0.1, 0.4, 0.6, 0.9], 25)
    y = (np.arange(100) % 25 < np.repeat([1, 5, 15, 24], 25)).astype(np.int64)
    raw = np.stack([1 - p, p], axis=1)
    decision = fit_decision(settings(calibration="none"), raw, y)
    assert decision.threshold == pytest.approx(0.5)
    assert np.array_equal(decision.labels(raw), (p > 0.5).astype(int))


def test_half_is_half_and_one_class_alone_falls_back_to_it() -> None:
    raw, y = overconfident(200)
    assert fit_decision(settings(aim="half"), raw, y).threshold == 0.5
    lone = fit_decision(settings(), raw, np.zeros_like(y))
    assert lone.threshold == 0.5
    assert "one class alone" in lone.note


def test_several_classes_take_the_most_probable_and_say_what_was_left_aside() -> None:
    raw = np.array([[0.2, 0.5, 0.3], [0.6, 0.2, 0.2]])
    decision = fit_decision(settings(calibration="isotonic"), raw, np.array([1, 0]))
    assert decision.labels(raw).tolist() == [1, 0]
    assert decision.labels(raw).dtype == np.int64
    assert decision.threshold is None
    assert "left aside" in decision.note


def test_the_note_tells_the_figures_of_the_validation_split() -> None:
    raw, y = overconfident(300)
    decision = fit_decision(settings(calibration="none"), raw, y)
    recall = (decision.labels(raw) == 1)[y == 1].mean()
    assert f"recall {recall:.3f}" in decision.note
    assert f"{decision.threshold:.4g}" in decision.note


@pytest.mark.parametrize("method", ["none", "sigmoid", "isotonic"])
def test_a_decision_reads_back_as_it_was_saved(tmp_path: Path, method: str) -> None:
    raw, y = overconfident(300)
    decision = fit_decision(settings(calibration=method), raw, y)
    decision.save(tmp_path)
    assert Decision.load(tmp_path) == decision
    assert np.array_equal(Decision.load(tmp_path).probabilities(raw), decision.probabilities(raw))


def test_without_a_file_nothing_is_changed(tmp_path: Path) -> None:
    raw = np.array([[0.4, 0.6], [0.7, 0.3]], dtype=np.float32)
    decision = Decision.load(tmp_path)
    assert np.array_equal(decision.probabilities(raw), raw.astype(np.float64))
    assert decision.labels(raw).tolist() == [1, 0]
