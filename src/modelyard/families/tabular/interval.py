"""Intervals of a regression's values by conformal prediction. Numpy only: training calibrates them,
serving applies them."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import BaseModel, ConfigDict

from modelyard.kit.assets import Asset


class Spread(BaseModel):
    """How far errors reach by the row: exp(intercept + weights · x + of_value · output), a
    multiplicative model of the spread (Harvey 1976)."""

    model_config = ConfigDict(frozen=True)

    intercept: float
    weights: list[float]
    """Of the model's inputs, (columns,)."""
    of_value: float
    least: float
    most: float
    """Bounds of the exponent, as seen in calibration: a request far from all of it gets no interval
    of any width."""

    def at(self, x: np.ndarray, output: np.ndarray) -> np.ndarray:
        """Of inputs (rows, columns) and the model's output (rows,): above 0, float64 (rows,)."""
        weights = np.array(self.weights)
        exponent = self.intercept + x.astype(np.float64) @ weights + self.of_value * output
        return np.asarray(np.exp(np.clip(exponent, self.least, self.most)))


class Interval(Asset):
    """From `low` to `high` spreads around a value lies the share `coverage` of true values."""

    FILE: ClassVar[str] = "interval.json"

    coverage: float
    low: float
    high: float
    """Errors (truth - output) that an equal share of calibration rows lies below and above, in the
    model's unit, or in spreads."""
    spread: Spread | None = None
    """None: the same width everywhere."""
    rows: int
    """Rows it was calibrated on, none of which their model had seen."""

    def bounds(self, x: np.ndarray, output: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Low and high edges in the model's unit, float64 (rows,) each; the output is between.

        Args:
            x: inputs, (rows, columns); output: the model's, (rows,).
        """
        output = output.astype(np.float64)
        if self.spread is None:
            width = np.ones(len(output))
        else:
            width = self.spread.at(x, output)
        # All errors of calibration may lie on one side.
        low = np.minimum(output + self.low * width, output)
        high = np.maximum(output + self.high * width, output)
        return low, high


def rows_needed(coverage: float) -> int:
    """Fewest calibration rows for intervals of this coverage: with fewer no error is rare enough."""
    # The small number forgives what floats lose: 2 / (1 - 0.9) is 20.000000000000004.
    return int(np.ceil(2 / (1 - coverage) - 1 - 1e-9))


def tails(errors: np.ndarray, coverage: float) -> tuple[float, float]:
    """Low and high quantile of `errors` (rows,), which a new error leaves with probability
    (1 - coverage) / 2 each at most, if it is exchangeable with them.

    Split conformal prediction, each side by itself: Lei et al. 2018, algorithm 2; Romano, Patterson
    and Candès 2019, equation 8.
    """
    ordered = np.sort(errors)
    rank = int(np.ceil((len(errors) + 1) * (1 + coverage) / 2 - 1e-9))
    assert rank <= len(errors), f"{len(errors)} rows are too few for {coverage:g}"
    return float(ordered[-rank]), float(ordered[rank - 1])


def interval_score(y: np.ndarray, low: np.ndarray, high: np.ndarray, coverage: float) -> np.ndarray:
    """Width, and what the truth lies outside times 2 / (1 - coverage): the less the better; (rows,).

    Gneiting and Raftery 2007, equation 43. An interval cannot gain by being too wide or too narrow.
    """
    missed = np.maximum(low - y, 0) + np.maximum(y - high, 0)
    return np.asarray(high - low + 2 / (1 - coverage) * missed)
