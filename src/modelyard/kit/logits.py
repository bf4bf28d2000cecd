"""From logits to probabilities, without overflow: numpy only, so that hosts use it."""

from __future__ import annotations

import numpy as np


def softmax(logits: np.ndarray, axis: int = -1) -> np.ndarray:
    """Probabilities that add up to 1 over the axis."""
    # The highest becomes exp(0): exp(1000) would overflow.
    powers = np.exp(logits - logits.max(axis=axis, keepdims=True))
    return np.asarray(powers / powers.sum(axis=axis, keepdims=True))


def log_softmax(logits: np.ndarray, axis: int = -1) -> np.ndarray:
    """Natural logarithms of the same, of the type of the logits."""
    shifted = logits - logits.max(axis=axis, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True)))


def log_sum(logs: np.ndarray, axis: int = -1) -> np.ndarray:
    """The logarithm of a sum over the axis, of its terms' logarithms."""
    most = logs.max(axis=axis, keepdims=True)
    return np.asarray(most.squeeze(axis) + np.log(np.exp(logs - most).sum(axis=axis)))
