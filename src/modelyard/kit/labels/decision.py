"""From logits to probabilities by label, and to the labels that are answered. Numpy only."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from modelyard.kit.assets import Asset


class Thresholds(Asset):
    """From which probability on each label is answered."""

    FILE: ClassVar[str] = "thresholds.json"

    values: list[float]
    """By class."""
    temperature: float = 1.0
    """Logits are divided by it."""
    note: str = ""
    """How they were chosen."""

    def calibrated(self, logits: np.ndarray) -> np.ndarray:
        """Logits divided by the temperature, float64 (n, classes)."""
        divided: np.ndarray = logits.astype(np.float64) / self.temperature
        return divided

    def of_logits(self, logits: np.ndarray) -> np.ndarray:
        """Logits (n, classes) to probabilities of each label by itself, float64 (n, classes)."""
        return sigmoid(self.calibrated(logits))

    def answers(self, p: np.ndarray) -> np.ndarray:
        """Which labels are answered, bool (n, classes)."""
        found: np.ndarray = p >= np.array(self.values)
        return found


def sigmoid(x: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x))."""
    # The same by the hyperbolic tangent, since exp overflows at 710.
    return np.asarray(0.5 * (1 + np.tanh(0.5 * x)))
