"""The risk manager: what a signal asks for, within limits on volatility, drawdown and exposure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from modelyard.families.forecast.config import ForecastTrading

SOFT = 0.5
"""Share of the largest drawdown from which on positions shrink, down to nothing at the limit."""
LEAST_RETURNS = 5
"""Steps of history without which nothing is known of the risk."""


class RiskManager:
    """Sees past prices and the account's own equity, nothing else."""

    def __init__(self, settings: ForecastTrading, steps_a_year: float) -> None:
        self.settings, self.steps_a_year = settings, steps_a_year
        self.peak = 0.0
        self.waiting = 0

    def allowed(self, weights: np.ndarray, returns: np.ndarray, equity: float) -> np.ndarray:
        """Weights (assets,) within every limit.

        Args:
            weights: wanted, in parts of the equity; below 0 short.
            returns: of past steps (steps, assets), latest last.
            equity: of the account now.
        """
        settings = self.settings
        room = self._room(equity)
        if room == 0 or len(returns) < LEAST_RETURNS:
            return np.zeros_like(weights)
        lowest = 0.0
        if settings.short:
            lowest = -settings.most_weight
        # Each limit only shrinks what the one before allowed, so that all hold in the end.
        found = np.clip(weights, lowest, settings.most_weight)
        gross = float(np.abs(found).sum())
        if gross > settings.most_exposure:
            found = found * (settings.most_exposure / gross)
        expected = self.volatility(found, returns)
        if expected > settings.volatility:
            found = found * (settings.volatility / expected)
        return np.asarray(found * room)

    def volatility(self, weights: np.ndarray, returns: np.ndarray) -> float:
        """Expected standard deviation of a year's return of these positions."""
        covariance = np.atleast_2d(np.cov(returns, rowvar=False))
        # A calm month is no promise: the larger of the recent and the whole history counts.
        recent = returns[-self.settings.window :]
        latest = np.atleast_2d(np.cov(recent, rowvar=False))
        variance = max(float(weights @ covariance @ weights), float(weights @ latest @ weights))
        # Rounding may leave a little less than 0.
        return float(np.sqrt(max(variance, 0.0) * self.steps_a_year))

    def _room(self, equity: float) -> float:
        """1 at a new peak, less as the drawdown nears its limit; 0 there, and for `pause` steps on,
        after which the peak counts from what is left."""
        settings = self.settings
        if self.waiting > 0:
            self.waiting -= 1
            self.peak = equity
            return 0.0
        self.peak = max(self.peak, equity)
        used = (1 - equity / self.peak) / settings.drawdown
        if used >= 1:
            self.waiting = settings.pause
            return 0.0
        return min(1.0, (1 - used) / (1 - SOFT))
