"""The unit in which a regression is fitted, and the way back to the target's own. Numpy only:
training fits it, serving applies it.

Models and graphs hold float32 numbers, which carry seven digits: a target of 2,000,000,134 would be
rounded to the next multiple of 128, and one of 1e-9 has errors that no tolerance sees. So a model
gives the target centred and scaled, and the host goes back in float64.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from modelyard.kit.assets import Asset

NORMAL_QUARTILES = 1.349
"""Quartiles of a normal distribution are so many standard deviations apart."""


class TargetScale(Asset):
    """target = center + spread * output, or its exponential where `log` is set."""

    FILE: ClassVar[str] = "target.json"

    center: float = 0.0
    spread: float = 1.0
    log: bool = False
    """The model predicts the logarithm of the target."""

    @classmethod
    def fit(cls, y: np.ndarray, *, log: bool = False, robust: bool = False) -> TargetScale:
        """Of training targets (rows,): their mean and standard deviation; `robust`: their median,
        and the distance of their quartiles as that of a normal distribution.

        The spread is 1 where all targets are the same.
        """
        values = np.log(y) if log else y.astype(np.float64)
        if robust:
            center = float(np.median(values))
        else:
            center = float(np.mean(values))
        from_center = values - center
        largest = float(np.abs(from_center).max())
        if largest == 0:
            return cls(center=center, log=log)
        # Squares of very small or large numbers leave float64, so the largest distance is 1 first.
        unit = from_center / largest
        spread = float(unit.std())
        if robust:
            low, high = np.quantile(unit, [0.25, 0.75])
            # Half of the targets or more may be the same.
            spread = float(high - low) / NORMAL_QUARTILES or spread
        return cls(center=center, spread=spread * largest, log=log)

    def scaled(self, y: np.ndarray) -> np.ndarray:
        """Targets (rows,) in the model's unit, float64."""
        values = np.log(y) if self.log else y.astype(np.float64)
        return np.asarray((values - self.center) / self.spread)

    def restored(self, output: np.ndarray) -> np.ndarray:
        """A model's output (rows,) in the target's unit, float64."""
        values = self.center + self.spread * output.astype(np.float64)
        if self.log:
            return np.asarray(np.exp(values))
        return np.asarray(values)


IDENTITY = TargetScale()
