"""From a model's scores to calibrated probabilities and a class. Numpy only: training fits it,
serving applies it."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from modelyard.kit.assets import Asset
from modelyard.kit.logits import softmax

HALF = 0.5
CLIP = 1e-7
"""Probabilities stay this far from 0 and 1 where their logarithm is taken."""


class NoCalibration(BaseModel):
    """Probabilities as the model gives them."""

    model_config = ConfigDict(frozen=True)
    method: Literal["none"] = "none"


class Temperature(BaseModel):
    """Logits divided by one number (Guo et al. 2017, section 4.2); above 1 the model was too
    sure of itself."""

    model_config = ConfigDict(frozen=True)
    method: Literal["temperature"] = "temperature"
    value: float = 1.0
    offset: list[float] | None = None
    """Added to the divided logits: log class shares, where training took the classes as equally
    frequent."""

    def apply(self, logits: np.ndarray) -> np.ndarray:
        """Logits (n, k) to calibrated logits, float64 (n, k)."""
        divided: np.ndarray = logits.astype(np.float64) / self.value
        if self.offset is None:
            return divided
        return np.asarray(divided + np.array(self.offset))


class Sigmoid(BaseModel):
    """1 / (1 + exp(-(a logit(p) + b))): Platt's scaling (1999) on the log-odds. a = 1, b = 0
    changes nothing."""

    model_config = ConfigDict(frozen=True)
    method: Literal["sigmoid"] = "sigmoid"
    a: float
    b: float

    def apply(self, p: np.ndarray) -> np.ndarray:
        """Probabilities of the positive class, (n,) to (n,)."""
        return np.asarray(1 / (1 + np.exp(-(self.a * logit(p) + self.b))))


class Isotonic(BaseModel):
    """A rising line through the points (x, y), flat outside (Zadrozny and Elkan 2002)."""

    model_config = ConfigDict(frozen=True)
    method: Literal["isotonic"] = "isotonic"
    x: list[float]
    y: list[float]

    def apply(self, p: np.ndarray) -> np.ndarray:
        """Probabilities of the positive class, (n,) to (n,)."""
        return np.asarray(np.interp(p, self.x, self.y))


Calibration = Annotated[
    NoCalibration | Temperature | Sigmoid | Isotonic, Field(discriminator="method")
]


class Decision(Asset):
    """How scores become an answer. Class 1 is the positive one of two."""

    FILE: ClassVar[str] = "decision.json"

    calibration: Calibration = NoCalibration()
    threshold: float | None = None
    """Of two classes the positive one is answered from this probability on. None: the most
    probable class."""
    aim: str = "most probable class"
    """What the threshold was chosen for."""
    note: str = ""
    """How it was chosen, with its figures on the validation split."""
    headline: str = ""
    """A clause on the threshold and its cost for the stage's line; empty at one half."""

    def of_logits(self, logits: np.ndarray) -> np.ndarray:
        """Logits (n, k) to calibrated probabilities, float64 (n, k)."""
        return self._calibrated(softmax(self.calibrated_logits(logits)))

    def of_probabilities(self, raw: np.ndarray) -> np.ndarray:
        """A model's probabilities (n, k) to calibrated ones, float64 (n, k)."""
        return self._calibrated(raw.astype(np.float64))

    def calibrated_logits(self, logits: np.ndarray) -> np.ndarray:
        """Logits (n, k) with the temperature, where there is one; float64 (n, k)."""
        if isinstance(self.calibration, Temperature):
            return self.calibration.apply(logits)
        return logits.astype(np.float64)

    def labels(self, p: np.ndarray) -> np.ndarray:
        """Calibrated probabilities (n, k) to class indices, int64 (n,)."""
        if self.threshold is None or p.shape[1] != 2:
            labels: np.ndarray = p.argmax(axis=1)
        else:
            labels = p[:, 1] >= self.threshold
        return labels.astype(np.int64)

    @property
    def answers_from(self) -> float:
        """The probability from which the positive class of two is answered."""
        if self.threshold is None:
            return HALF
        return self.threshold

    def _calibrated(self, p: np.ndarray) -> np.ndarray:
        # These two are fitted on the positive class; a temperature has acted on the logits already.
        if p.shape[1] != 2 or not isinstance(self.calibration, Sigmoid | Isotonic):
            return p
        positive = self.calibration.apply(p[:, 1])
        return np.stack([1 - positive, positive], axis=1)


def logit(p: np.ndarray) -> np.ndarray:
    """Log-odds of probabilities, which are first moved CLIP away from 0 and 1."""
    clipped = np.clip(np.asarray(p, dtype=np.float64), CLIP, 1 - CLIP)
    return np.asarray(np.log(clipped / (1 - clipped)))
