"""Calibration and thresholds: chosen on validation rows, and against other ways to compute them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from sklearn.metrics import f1_score, log_loss

from modelyard.kit.classes.choosing import (
    Aim,
    Method,
    choose_threshold,
    fit_on_logits,
    fit_on_probabilities,
    fit_temperature,
)
from modelyard.kit.classes.decision import (
    Decision,
    Isotonic,
    NoCalibration,
    Sigmoid,
    Temperature,
)
from modelyard.kit.classes.evaluate import judge_classes
from modelyard.kit.classes.judged import align
from modelyard.kit.intervals import wilson
from modelyard.kit.logits import softmax


def overconfident(rows: int, seed: int = 0, share: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (rows, 2) three times too sure in log-odds, and the classes drawn from the
    true ones."""
    rng = np.random.default_rng(seed)
    odds = rng.normal(np.log(share / (1 - share)), 1.5, rows)
    y = (rng.random(rows) < 1 / (1 + np.exp(-odds))).astype(np.int64)
    p = 1 / (1 + np.exp(-3 * odds))
    return np.stack([1 - p, p], axis=1).astype(np.float32), y


def fitted(
    raw: np.ndarray, y: np.ndarray, method: Method = "auto", aim: str = "f1", **costs: float
) -> Decision:
    """A decision on probabilities of two classes."""
    return fit_on_probabilities(raw, y, ["no", "yes"], Aim(aim, **costs), method=method)  # type: ignore[arg-type]


@pytest.mark.parametrize(("rows", "method"), [(60, "none"), (600, "sigmoid"), (6_000, "isotonic")])
def test_auto_takes_the_method_that_the_positive_rows_can_bear(rows: int, method: str) -> None:
    raw, y = overconfident(rows)
    decision = fitted(raw, y)
    assert decision.calibration.method == method
    assert ("Not calibrated" in decision.note) == (method == "none")


def test_auto_leaves_good_probabilities_alone() -> None:
    rng = np.random.default_rng(3)
    p = rng.random(800)
    y = (rng.random(800) < p).astype(np.int64)
    decision = fitted(np.stack([1 - p, p], axis=1), y)
    assert decision.calibration == NoCalibration()
    assert "would not lower the log loss" in decision.note


@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
def test_calibration_lowers_the_log_loss_of_rows_it_has_not_seen(method: str) -> None:
    decision = fitted(*overconfident(4_000), method=method)
    raw, y = overconfident(4_000, seed=1)
    calibrated = decision.of_probabilities(raw)
    assert log_loss(y, calibrated[:, 1]) < log_loss(y, raw[:, 1]) - 0.05
    np.testing.assert_allclose(calibrated.sum(axis=1), 1)


def test_sigmoid_finds_the_slope_that_was_put_in() -> None:
    calibration = fitted(*overconfident(20_000), method="sigmoid").calibration
    assert isinstance(calibration, Sigmoid)
    assert calibration.a == pytest.approx(1 / 3, abs=0.02)
    assert calibration.b == pytest.approx(0, abs=0.06)


def test_sigmoid_stays_finite_where_the_classes_part_cleanly() -> None:
    p = np.r_[np.linspace(0.001, 0.1, 50), np.linspace(0.9, 0.999, 50)]
    y = np.r_[np.zeros(50), np.ones(50)].astype(np.int64)
    calibration = fitted(np.stack([1 - p, p], axis=1), y, method="sigmoid").calibration
    assert isinstance(calibration, Sigmoid)
    assert 0 < calibration.a < 10


def test_isotonic_never_says_impossible_or_certain() -> None:
    calibration = fitted(*overconfident(2_000), method="isotonic").calibration
    assert isinstance(calibration, Isotonic)
    seen = calibration.apply(np.linspace(0, 1, 1_001))
    assert 0 < seen.min() < seen.max() < 1
    assert (np.diff(seen) >= 0).all()


def test_f1_threshold_is_the_best_of_all_thresholds() -> None:
    raw, y = overconfident(300)
    decision = fitted(raw, y, method="none")
    tried = [f1_score(y, raw[:, 1] >= threshold) for threshold in np.unique(raw[:, 1])]
    assert f1_score(y, decision.labels(raw)) == max(tried)


def test_recall_threshold_has_the_fewest_false_alarms_at_the_least_recall() -> None:
    raw, y = overconfident(500)
    decision = fitted(raw, y, method="none", aim="recall", least_recall=0.8)
    hit = decision.labels(raw) == 1
    assert hit[y == 1].mean() >= 0.8
    reached = []
    for threshold in np.unique(raw[:, 1]):
        alarm = raw[:, 1] >= threshold
        if alarm[y == 1].mean() >= 0.8:
            reached.append((y[alarm] == 0).sum())
    assert (y[hit] == 0).sum() == min(reached)


def test_cost_threshold_costs_least_and_may_answer_never_or_always() -> None:
    raw, y = overconfident(500)

    def cost(labels: np.ndarray, alarm: float, miss: float) -> float:
        return float(
            alarm * ((labels == 1) & (y == 0)).sum() + miss * ((labels == 0) & (y == 1)).sum()
        )

    for alarm, miss in [(1, 5), (5, 1), (1, 0), (0, 1)]:
        costs = {"false_positive_cost": alarm, "false_negative_cost": miss}
        labels = fitted(raw, y, "none", "cost", **costs).labels(raw)
        tried = [
            cost((raw[:, 1] >= t).astype(int), alarm, miss) for t in [*np.unique(raw[:, 1]), 2]
        ]
        assert cost(labels, alarm, miss) == min(tried)
    never = {"false_positive_cost": 1, "false_negative_cost": 0}
    assert not fitted(raw, y, "none", "cost", **never).labels(raw).any()
    certain = np.tile([0.0, 1.0], (len(y), 1))
    assert not fitted(certain, y, "none", "cost", **never).labels(certain).any()


def test_tied_scores_stay_on_one_side_of_the_threshold() -> None:
    p = np.repeat([0.1, 0.4, 0.6, 0.9], 25)
    y = (np.arange(100) % 25 < np.repeat([1, 5, 15, 24], 25)).astype(np.int64)
    raw = np.stack([1 - p, p], axis=1)
    decision = fitted(raw, y, method="none")
    assert decision.threshold == pytest.approx(0.5)
    assert np.array_equal(decision.labels(raw), (p > 0.5).astype(int))


def test_half_is_half_and_a_single_class_falls_back_to_it() -> None:
    raw, y = overconfident(200)
    assert fitted(raw, y, aim="half").threshold == 0.5
    lone = fitted(raw, np.zeros_like(y))
    assert lone.threshold == 0.5
    assert "one class only" in lone.note


def test_several_classes_take_the_most_probable_and_say_what_was_not_used() -> None:
    raw = np.array([[0.2, 0.5, 0.3], [0.6, 0.2, 0.2]])
    y = np.array([1, 0])
    decision = fit_on_probabilities(raw, y, ["a", "b", "c"], Aim("f1"), method="isotonic")
    assert decision.labels(raw).tolist() == [1, 0]
    assert decision.labels(raw).dtype == np.int64
    assert decision.threshold is None
    assert "not used" in decision.note


def test_the_note_tells_the_figures_of_the_validation_split() -> None:
    raw, y = overconfident(300)
    decision = fitted(raw, y, method="none")
    recall = (decision.labels(raw) == 1)[y == 1].mean()
    assert f"recall {recall:.3f}" in decision.note
    assert f"{decision.threshold:.4g}" in decision.note


@pytest.mark.parametrize("method", ["none", "sigmoid", "isotonic"])
def test_a_decision_reads_back_as_it_was_saved(tmp_path: Path, method: str) -> None:
    raw, y = overconfident(300)
    decision = fitted(raw, y, method=method)
    decision.save(tmp_path)
    assert Decision.load(tmp_path) == decision
    assert np.array_equal(
        Decision.load(tmp_path).of_probabilities(raw), decision.of_probabilities(raw)
    )


def test_without_a_file_nothing_is_changed(tmp_path: Path) -> None:
    raw = np.array([[0.4, 0.6], [0.7, 0.3]], dtype=np.float32)
    decision = Decision.load_or(tmp_path, Decision())
    assert np.array_equal(decision.of_probabilities(raw), raw.astype(np.float64))
    assert decision.labels(raw).tolist() == [1, 0]


def logits_of(n: int, k: int, sureness: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits whose softmax would be right, made `sureness` times too large; labels drawn from
    them."""
    rng = np.random.default_rng(seed)
    right = rng.normal(0, 2, (n, k))
    y = (right + rng.gumbel(size=(n, k))).argmax(axis=1)
    return right * sureness, y


@pytest.mark.parametrize("sureness", [0.4, 1.0, 3.0])
def test_the_temperature_undoes_too_much_sureness(sureness: float) -> None:
    logits, y = logits_of(4_000, 5, sureness)
    assert fit_temperature(logits, y) == pytest.approx(sureness, rel=0.06)


def test_the_temperature_has_the_least_log_loss() -> None:
    logits, y = logits_of(900, 3, 2.0, seed=4)
    target = np.full((900, 3), 1 / 902 / 2)
    target[np.arange(900), y] = 1 - 1 / 902
    best = minimize_scalar(
        lambda t: -(target * np.log(softmax(logits / t))).sum(), bounds=(0.05, 20), method="bounded"
    )
    assert fit_temperature(logits, y) == pytest.approx(best.x, rel=1e-3)


def test_a_split_without_an_error_asks_for_no_certainty() -> None:
    y = np.arange(200) % 2
    logits = np.where(y[:, None] == np.arange(2), 4.0, -4.0)
    p = Decision(calibration=Temperature(value=fit_temperature(logits, y))).of_logits(logits)
    assert 0.99 < p.max() < 0.998


@pytest.mark.parametrize("least", [0.5, 0.8, 0.95, 1.0])
def test_the_threshold_keeps_the_sensitivity_at_the_highest_specificity(least: float) -> None:
    rng = np.random.default_rng(3)
    positive = rng.random(400) < 0.2
    score = np.round(np.clip(rng.normal(0.4 + 0.25 * positive, 0.2), 0.01, 0.99), 2)
    threshold = choose_threshold(Aim("recall", least_recall=least), score, positive)

    def sensitivity(at: float) -> float:
        return float((score[positive] >= at).mean())

    def specificity(at: float) -> float:
        return float((score[~positive] < at).mean())

    fine = [at for at in np.unique(score) if sensitivity(at) >= least]
    assert sensitivity(threshold) >= least
    assert specificity(threshold) == max(map(specificity, fine))
    assert np.abs(score - threshold).min() > 1e-3


def test_the_note_tells_what_the_threshold_finds() -> None:
    y = np.array([1] * 20 + [0] * 80)
    logits = np.column_stack([np.zeros(100), np.r_[np.linspace(-1, 3, 20), np.linspace(-4, 0, 80)]])
    aim = Aim("recall", least_recall=0.9)
    decision = fit_on_logits(logits, y, ["well", "ill"], aim, calibrate=True, shares=None)
    assert decision.threshold is not None
    assert "Answers ill from" in decision.note
    assert "finds 18 of 20 (recall 0.900, 95 % interval 0.699 to 0.972)" in decision.note


def test_balanced_training_is_brought_back_to_the_real_shares() -> None:
    y, shares = np.array([0] * 9 + [1]), np.array([0.9, 0.1])
    decision = fit_on_logits(
        np.zeros((10, 2)), y, ["a", "b"], Aim(), calibrate=False, shares=shares
    )
    assert decision.of_logits(np.zeros((1, 2)))[0] == pytest.approx([0.9, 0.1])


def test_several_classes_answer_the_most_probable_one_and_say_so() -> None:
    logits, y = logits_of(60, 3, 1.0)
    decision = fit_on_logits(logits, y, ["a", "b", "c"], Aim("recall"), calibrate=True, shares=None)
    assert decision.threshold is None
    assert "A threshold is for two classes, so its aim was not used" in decision.note
    assert np.array_equal(decision.labels(decision.of_logits(logits)), logits.argmax(axis=1))


@pytest.mark.parametrize(
    ("hits", "of", "low", "high"), [(8, 10, 0.490, 0.943), (10, 10, 0.722, 1.0), (0, 0, 0, 1)]
)
def test_wilson_s_interval_has_the_published_values(
    hits: int, of: int, low: float, high: float
) -> None:
    assert wilson(hits, of) == pytest.approx((low, high), abs=1e-3)


def test_a_threshold_says_what_it_costs_next_to_the_most_probable_class() -> None:
    raw, y = overconfident(400)
    decision = fitted(raw, y, method="none")
    p = raw[:, 1].astype(float)
    at_threshold = ((p >= decision.answers_from) == (y == 1)).mean()
    at_half = ((p >= 0.5) == (y == 1)).mean()
    accuracy = f"(accuracy {at_threshold:.3f}, at 0.5 {at_half:.3f})"
    assert decision.headline == (
        f"; answers yes from {decision.threshold:.3g} on for the best F1 {accuracy}"
    )
    assert f"would be right in {at_half:.3f} of the rows" in decision.note
    assert fitted(raw, y, method="none", aim="half").headline == ""


def test_the_card_has_the_figures_at_the_threshold_and_at_one_half() -> None:
    raw, y = overconfident(400)
    decision = fitted(raw, y, method="none")
    classes = ["no", "yes"]

    def notes(decision: Decision) -> str:
        p = raw.astype(float)
        judged = align(p, decision.labels(p), classes, y, classes)
        found = judge_classes(
            judged, decision, y, split="test", unit="rows", main_of_several="macro_f1"
        )
        return " ".join(found.notes)

    labels = (raw[:, 1] >= 0.5).astype(int)
    said = f"from 0.5 on accuracy {(labels == y).mean():.3f}, precision"
    assert said in notes(decision)
    assert f"f1 {f1_score(y, labels):.3f}, which is the most probable class" in notes(decision)
    assert "most probable class." not in notes(fitted(raw, y, method="none", aim="half"))
