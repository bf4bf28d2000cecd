"""Temperature, threshold and evidence, against other ways to compute them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from modelyard.families.image import cam
from modelyard.families.image.decide import Decision, choose_threshold, fit_decision, fit_temperature, softmax, wilson


def logits_of(n: int, k: int, sureness: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits whose softmax would be right, made `sureness` times too large; labels drawn from them."""
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
    best = minimize_scalar(lambda t: -(target * np.log(softmax(logits / t))).sum(), bounds=(0.05, 20), method="bounded")
    assert fit_temperature(logits, y) == pytest.approx(best.x, rel=1e-3)


def test_a_split_without_an_error_asks_for_no_certainty() -> None:
    y = np.arange(200) % 2
    logits = np.where(y[:, None] == np.arange(2), 4.0, -4.0)
    p = Decision(temperature=fit_temperature(logits, y)).probabilities(logits)
    assert 0.99 < p.max() < 0.998


@pytest.mark.parametrize("least", [0.5, 0.8, 0.95, 1.0])
def test_the_threshold_keeps_the_sensitivity_at_the_highest_specificity(least: float) -> None:
    rng = np.random.default_rng(3)
    positive = rng.random(400) < 0.2
    score = np.round(np.clip(rng.normal(0.4 + 0.25 * positive, 0.2), 0.01, 0.99), 2)
    threshold = choose_threshold(score, positive, least)

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
    decision = fit_decision(logits, y, ["well", "ill"], least_sensitivity=0.9)
    assert decision.threshold is not None
    assert "Answers ill from" in decision.note
    assert "finds 18 of 20 (0.900, 95 % interval 0.699 to 0.972)" in decision.note


def test_balanced_training_is_brought_back_to_the_real_shares() -> None:
    decision = fit_decision(
        np.zeros((10, 2)), np.array([0] * 9 + [1]), ["a", "b"], calibrate=False, shares=np.array([0.9, 0.1])
    )
    assert decision.probabilities(np.zeros((1, 2)))[0] == pytest.approx([0.9, 0.1])


def test_several_classes_answer_the_most_probable_one_and_say_so() -> None:
    logits, y = logits_of(60, 3, 1.0)
    decision = fit_decision(logits, y, ["a", "b", "c"], least_sensitivity=0.9)
    assert decision.threshold is None
    assert "for two classes, and was left aside" in decision.note
    assert np.array_equal(decision.labels(decision.probabilities(logits)), logits.argmax(axis=1))


@pytest.mark.parametrize(("hits", "of", "low", "high"), [(8, 10, 0.490, 0.943), (10, 10, 0.722, 1.0), (0, 0, 0, 1)])
def test_wilson_s_interval_has_the_published_values(hits: int, of: int, low: float, high: float) -> None:
    assert wilson(hits, of) == pytest.approx((low, high), abs=1e-3)


@pytest.mark.parametrize(("classes", "index"), [(2, 0), (2, 1), (5, 3)])
def test_evidence_is_the_logits_split_over_places(classes: int, index: int) -> None:
    rng = np.random.default_rng(1)
    features, head = rng.normal(size=(6, 5, 7)), rng.normal(size=(classes, 7))
    logits = head[:, :6] @ features.mean(axis=(1, 2)) + head[:, 6]
    places, base = cam.evidence(features, head, cam.contrast(classes, index))
    expected = logits[1] - logits[0] if classes == 2 else logits[index] - logits.mean()
    assert places.sum() + base == pytest.approx(expected)


def test_evidence_is_grad_cam_before_its_relu() -> None:
    import torch

    rng = np.random.default_rng(2)
    maps = torch.tensor(rng.normal(size=(6, 4, 4)), requires_grad=True)
    head = rng.normal(size=(3, 7))
    logit = torch.tensor(head[2, :6]) @ maps.mean(dim=(1, 2)) + head[2, 6]
    (gradient,) = torch.autograd.grad(logit, maps)
    grad_cam = (gradient.mean(dim=(1, 2))[:, None, None] * maps).sum(dim=0).detach().numpy()
    places, _ = cam.evidence(maps.detach().numpy(), head, np.array([0.0, 0.0, 1.0]))
    assert places == pytest.approx(grad_cam, rel=1e-9)


@pytest.mark.parametrize("shape", [(3, 4), (8, 8), (14, 14), (24, 9)])
def test_coarse_cells_keep_the_sum(shape: tuple[int, int]) -> None:
    places = np.random.default_rng(0).normal(size=shape)
    cells = cam.coarse(places)
    assert cells.shape == tuple(min(side, 8) for side in shape)
    assert cells.sum() == pytest.approx(places.sum())


def test_an_overlay_is_red_for_and_blue_against() -> None:
    shown = np.asarray(cam.overlay(np.full((1, 8, 8), 128, np.uint8), np.array([[1.0, 0.0], [0.0, -1.0]]), 64), int)
    assert shown[4, 4, 0] > shown[4, 4, 2] + 50
    assert shown[-4, -4, 2] > shown[-4, -4, 0] + 50
