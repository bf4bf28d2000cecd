"""Fits calibration and threshold on the validation split. Training only: it needs scikit-learn
and scipy."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.optimize import minimize_scalar
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedKFold

from modelyard.kit.classes.decision import (
    CLIP,
    HALF,
    Calibration,
    Decision,
    Isotonic,
    NoCalibration,
    Sigmoid,
    Temperature,
    logit,
)
from modelyard.kit.intervals import wilson
from modelyard.kit.logits import softmax

Method = Literal["auto", "sigmoid", "isotonic", "none"]

SIGMOID_POSITIVES, ISOTONIC_POSITIVES = 30, 1_000
"""Positive validation rows from which `auto` considers each method."""
FOLDS = 5
AIMS = {"f1": "the best F1", "recall": "its recall", "cost": "the least cost"}
LOWEST, HIGHEST = 0.05, 20.0
"""Bounds of the temperature."""
ONE_CLASS = "the validation split holds one class only"


@dataclass(frozen=True)
class Aim:
    """What the threshold of two classes is chosen for."""

    kind: Literal["half", "f1", "recall", "cost"] = "half"
    """`half`: the more probable class is the answer. `f1`: the best F1. `recall`: the fewest
    false alarms at a recall of `least_recall` or more. `cost`: the least cost."""
    least_recall: float = 0.9
    false_positive_cost: float = 1.0
    false_negative_cost: float = 5.0


def fit_on_logits(
    logits: np.ndarray,
    y: np.ndarray,
    classes: list[str],
    aim: Aim,
    *,
    calibrate: bool,
    shares: np.ndarray | None,
) -> Decision:
    """A decision on logits (n, k), calibrated by a temperature.

    Args:
        y: class indices, (n,); classes: names by index.
        shares: class shares (k,) to bring back into the probabilities after balanced training;
            None: it was not.
    """
    offset = None
    if shares is not None:
        # Bayes' rule with the shares as prior: a product of probabilities, a sum of logits.
        offset = np.log(np.maximum(shares, CLIP)).tolist()
    temperature, note = 1.0, ""
    if calibrate:
        temperature = fit_temperature(logits, y, offset)
        note = f"Calibrated by a temperature of {temperature:.3g} on the validation split."
    decision = Decision(calibration=Temperature(value=temperature, offset=offset), note=note)
    return _with_threshold(decision, decision.of_logits(logits), y, classes, aim)


def fit_on_probabilities(
    raw: np.ndarray, y: np.ndarray, classes: list[str], aim: Aim, *, method: Method
) -> Decision:
    """A decision on a model's probabilities (n, k); those of several classes are not calibrated.

    Args:
        y: class indices, (n,); classes: names by index.
    """
    calibration: Calibration = NoCalibration()
    note = ""
    if len(classes) == 2 and 0 < y.sum() < len(y):
        calibration, note = _fit_calibration(method, raw[:, 1].astype(np.float64), y == 1)
    elif len(classes) > 2 and method not in ("auto", "none"):
        note = f"Calibration by {method} is for two classes and was not used."
    decision = Decision(calibration=calibration, note=note)
    return _with_threshold(decision, decision.of_probabilities(raw), y, classes, aim)


def fit_temperature(logits: np.ndarray, y: np.ndarray, offset: list[float] | None = None) -> float:
    """The temperature with the least log loss, searched over its logarithm.

    The targets give 1 / (n + 2) to the other classes (as Platt 1999 does for two): else a split
    without an error would ask for a temperature of 0.
    """
    classes = logits.shape[1]
    spread = 1 / (len(y) + 2)
    target = np.full(logits.shape, spread / (classes - 1))
    target[np.arange(len(y)), y] = 1 - spread

    def loss(log_temperature: float) -> float:
        calibration = Temperature(value=math.exp(log_temperature), offset=offset)
        p = softmax(calibration.apply(logits))
        return float(-(target * np.log(np.maximum(p, 1e-300))).sum(axis=1).mean())

    # Over the logarithm, in which twice and half as much are equally far from 1.
    found = minimize_scalar(
        loss,
        bounds=(math.log(LOWEST), math.log(HIGHEST)),
        method="bounded",
        options={"xatol": 1e-6},
    )
    return math.exp(found.x)


def choose_threshold(aim: Aim, p: np.ndarray, positive: np.ndarray) -> float:
    """The threshold that serves the aim best; ties go to the higher one, and it lies midway between
    two seen values.

    Midway, so that rounding in an exported graph cannot move a seen example across it.

    Args:
        p: probability of the positive class, (n,); positive: bool (n,), both kinds present.
    """
    if aim.kind == "half":
        return HALF
    # Rows of the same probability pass a threshold together. From the highest one down, what is
    # found and what is a false alarm; before all of them, at place 0, nothing.
    values, group = np.unique(p, return_inverse=True)
    hits = np.cumsum(np.bincount(group, positive)[::-1])
    alarms = np.cumsum(np.bincount(group, ~positive)[::-1])
    values = values[::-1]
    utility = _utility(aim, np.r_[0.0, hits], np.r_[0.0, alarms])
    best = int(np.argmax(utility))
    if best == 0:
        # No alarm at all: above every value.
        if values[0] >= 1:
            return float(np.nextafter(1.0, 2.0))
        return float((values[0] + 1) / 2)
    if best == len(values):
        # Every row an alarm: below every value.
        return float(values[-1] / 2)
    return float((values[best - 1] + values[best]) / 2)


def _with_threshold(
    decision: Decision, p: np.ndarray, y: np.ndarray, classes: list[str], aim: Aim
) -> Decision:
    """The decision with the threshold for two classes, and a sentence about it."""
    if len(classes) != 2:
        said = f"The most probable of {len(classes)} classes is the answer."
        if aim.kind != "half":
            said += " A threshold is for two classes, so its aim was not used."
        return decision.model_copy(update={"note": f"{said} {decision.note}".strip()})
    positive = y == 1
    if positive.all() or not positive.any():
        said = f"Threshold {HALF}: {ONE_CLASS}."
        return decision.model_copy(
            update={"threshold": HALF, "aim": "half", "note": f"{said} {decision.note}".strip()}
        )
    threshold = choose_threshold(aim, p[:, 1], positive)
    said = _sentence(aim, threshold, p[:, 1] >= threshold, positive, classes[1])
    headline = ""
    if aim.kind != "half":
        chosen = ((p[:, 1] >= threshold) == positive).mean()
        probable = ((p[:, 1] >= HALF) == positive).mean()
        accuracy = f"accuracy {chosen:.3f}, at {HALF} {probable:.3f}"
        said += (
            f" The most probable class (a threshold of {HALF}) would be right in {probable:.3f} of the rows, "
            f"this is in {chosen:.3f}."
        )
        headline = (
            f"; answers {classes[1]} from {threshold:.3g} on for {AIMS[aim.kind]} ({accuracy})"
        )
    update = {
        "threshold": threshold,
        "aim": aim.kind,
        "note": f"{said} {decision.note}".strip(),
        "headline": headline,
    }
    return decision.model_copy(update=update)


def _utility(aim: Aim, hits: np.ndarray, alarms: np.ndarray) -> np.ndarray:
    """What the aim makes of each threshold, from the highest (no alarm at all) down; larger is
    better."""
    total = hits[-1]
    if aim.kind == "cost":
        misses = total - hits
        cost: np.ndarray = aim.false_positive_cost * alarms + aim.false_negative_cost * misses
        return -cost
    if aim.kind == "recall":
        # Less a little, for 0.9 · 10 may be above 9 in binary.
        enough = hits >= aim.least_recall * total - 1e-9
        # The last term lets the higher recall win where the false alarms are the same.
        return np.where(enough, -alarms + 0.5 * hits / total, -np.inf)
    # F1 from counts: 2 hits / (answered + true ones).
    return np.asarray(2 * hits / (hits + alarms + total))


def _sentence(
    aim: Aim, threshold: float, alarm: np.ndarray, positive: np.ndarray, name: str
) -> str:
    hits, alarms = int((alarm & positive).sum()), int((alarm & ~positive).sum())
    misses, of = int((~alarm & positive).sum()), int(positive.sum())
    precision, specificity = hits / max(hits + alarms, 1), 1 - alarms / int((~positive).sum())
    # Wilson's, since that of the normal distribution has no width at a recall of 1.
    low, high = wilson(hits, of)
    f1 = 2 * hits / (2 * hits + alarms + misses)
    cost = aim.false_positive_cost * alarms + aim.false_negative_cost * misses
    sum_of_costs = (
        f"{alarms} false alarms x {aim.false_positive_cost:g} + "
        f"{misses} misses x {aim.false_negative_cost:g}"
    )
    reason = {
        "half": "is one half, not chosen",
        "f1": f"has the best F1 ({f1:.3f})",
        "recall": f"has the fewest false alarms at a recall of {aim.least_recall:g} or more",
        "cost": f"costs least ({cost:g} = {sum_of_costs})",
    }[aim.kind]
    return (
        f"Answers {name} from {threshold:.4g} on, which {reason} on the validation split. There it finds {hits} of "
        f"{of} (recall {hits / of:.3f}, 95 % interval {low:.3f} to {high:.3f}) at a precision of {precision:.3f} and a "
        f"specificity of {specificity:.3f}."
    )


def _fit_calibration(
    method: Method, p: np.ndarray, positive: np.ndarray
) -> tuple[Calibration, str]:
    """The calibration, and a sentence on it; `auto` uses one only where it lowers the log loss
    on held-out folds."""
    if method == "auto":
        count = int(min(positive.sum(), (~positive).sum()))
        if count < SIGMOID_POSITIVES:
            said = f"{count} validation rows of the rarer class are too few"
            return NoCalibration(), f"Not calibrated: {said}."
        if count >= ISOTONIC_POSITIVES:
            method = "isotonic"
        else:
            method = "sigmoid"
        before, after = _held_out_losses(method, p, positive)
        if after >= before:
            said = f"{method} would not lower the log loss ({before:.4f} to {after:.4f}, cross-validated)"
            return NoCalibration(), f"Not calibrated: {said}."
    if method == "none":
        return NoCalibration(), ""
    return _calibration(method, p, positive), (
        f"Probabilities are calibrated ({method}) on the same rows, so these figures flatter a little; the test"
        " split judges."
    )


def _held_out_losses(method: str, p: np.ndarray, positive: np.ndarray) -> tuple[float, float]:
    """Log loss over all rows, raw and calibrated by the other folds."""
    calibrated = np.empty_like(p)
    for train, held_out in StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(p, positive):
        calibrated[held_out] = _calibration(method, p[train], positive[train]).apply(p[held_out])
    before = log_loss(positive, np.clip(p, CLIP, 1 - CLIP))
    after = log_loss(positive, np.clip(calibrated, CLIP, 1 - CLIP))
    return float(before), float(after)


def _calibration(method: str, p: np.ndarray, positive: np.ndarray) -> Sigmoid | Isotonic:
    if method == "isotonic":
        return _fit_isotonic(p, positive)
    return _fit_sigmoid(p, positive)


def _fit_sigmoid(p: np.ndarray, positive: np.ndarray) -> Sigmoid:
    """With Platt's smoothed targets, so that the slope stays finite where the classes part
    cleanly."""
    hits, others = positive.sum(), (~positive).sum()
    target = np.where(positive, (hits + 1) / (hits + 2), 1 / (others + 2))
    # scikit-learn takes no shares for targets: each row is of both classes, by its share of each.
    x = np.tile(logit(p), 2)[:, None]
    y = np.repeat([1, 0], len(p))
    weight = np.r_[target, 1 - target]
    # C as good as infinite: a penalty would pull the slope towards 0.
    model = LogisticRegression(C=1e6, max_iter=1_000).fit(x, y, sample_weight=weight)
    return Sigmoid(a=float(model.coef_[0, 0]), b=float(model.intercept_[0]))


def _fit_isotonic(p: np.ndarray, positive: np.ndarray) -> Isotonic:
    """Kept 1 / (n + 2) away from 0 and 1: no finite sample shows that an event is impossible."""
    edge = 1 / (len(p) + 2)
    model = IsotonicRegression(y_min=edge, y_max=1 - edge, out_of_bounds="clip").fit(p, positive)
    return Isotonic(x=model.X_thresholds_.tolist(), y=model.y_thresholds_.tolist())
