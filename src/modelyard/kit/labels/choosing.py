"""Fits the temperature and the threshold of each label on the validation split."""

from __future__ import annotations

import math

import numpy as np
from scipy.optimize import minimize_scalar

from modelyard.kit.classes.choosing import HIGHEST, LOWEST, Aim, choose_threshold
from modelyard.kit.classes.decision import HALF
from modelyard.kit.labels.decision import Thresholds

FEW = 5
"""Validation examples of a label below which its threshold is one half: the best F1 of so few is
chance."""


def fit_thresholds(logits: np.ndarray, y: np.ndarray, *, calibrate: bool) -> Thresholds:
    """The decision on logits (n, classes); y is bool (n, classes)."""
    temperature = _temperature(logits, y) if calibrate else 1.0
    found = Thresholds(values=[HALF] * y.shape[1], temperature=temperature)
    values, few = best_thresholds(found.of_logits(logits), y)
    note = "Each label is answered from the probability with its best F1 on the validation split"
    if few:
        note += f"; of {few} with fewer than {FEW} examples there, from {HALF}"
    if calibrate:
        note += f". Calibrated by a temperature of {temperature:.3g}"
    return found.model_copy(update={"values": values, "note": note + "."})


def best_thresholds(p: np.ndarray, y: np.ndarray) -> tuple[list[float], int]:
    """By label, the threshold on probabilities (n, classes) with the best F1, and how many labels
    had too few examples for one."""
    aim = Aim("f1")
    values, few = [], 0
    for column in range(y.shape[1]):
        positive = y[:, column].astype(bool)
        if min(positive.sum(), (~positive).sum()) < FEW:
            values.append(HALF)
            few += 1
        else:
            values.append(choose_threshold(aim, p[:, column], positive))
    return values, few


def _temperature(logits: np.ndarray, y: np.ndarray) -> float:
    """The one with the least log loss, searched over its logarithm. Targets stay 1 / (n + 2) away
    from 0 and 1 (Platt 1999): else a split without an error would ask for 0."""
    edge = 1 / (len(y) + 2)
    target = np.where(y, 1 - edge, edge)

    def loss(log_temperature: float) -> float:
        scaled = logits / math.exp(log_temperature)
        # Log loss from logits: log(1 + exp(x)) - t x, where exp(x) by itself may overflow.
        return float((np.logaddexp(0, scaled) - target * scaled).mean())

    bounds = (math.log(LOWEST), math.log(HIGHEST))
    found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-6})
    return math.exp(found.x)
