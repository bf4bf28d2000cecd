"""How sure a figure is: intervals of shares, of any metric, and of its gain over a baseline. For
judging, not for answering: they need scipy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

from modelyard.judging.evaluation import Direction, Gain

RESAMPLES, RESAMPLED_ROWS = 200, 5_000

Metric = Callable[[np.ndarray, np.ndarray], float]
"""A metric of the truth and the answers, (n,) or (n, …) each."""


def wilson(hits: int, of: int) -> tuple[float, float]:
    """95 % interval of the share `hits / of` (Wilson 1927); 0 to 1 where nothing was counted."""
    if of == 0:
        return 0.0, 1.0
    found = binomtest(hits, of).proportion_ci(0.95, "wilson")
    return float(found.low), float(found.high)


@dataclass(frozen=True)
class Resampled:
    """A metric of several answers to the same rows, on bootstrap samples of them (Efron and
    Tibshirani 1993, chapter 13): all answers are judged on the same samples, so that their
    differences are paired."""

    values: np.ndarray
    """On all rows, (answers,)."""
    samples: np.ndarray
    """(samples, answers); none where more than half of the samples held a single value of the
    truth: too few rows."""
    shrink: float = 1.0
    """Large splits are resampled to fewer rows: the spread is scaled by the root of the ratio
    (Bickel, Götze and van Zwet 1997)."""

    def interval(self, answer: int = 0) -> tuple[float, float] | None:
        """95 % percentile interval of an answer's metric, centred on its value."""
        return self._around(float(self.values[answer]), self.samples[:, answer])

    def intervals(self, metric: str) -> dict[str, tuple[float, float]]:
        """The first answer's interval, by the metric's name; none for too few rows."""
        found = self.interval()
        return {} if found is None else {metric: found}

    def paired(self) -> list[float]:
        """The first answer's metric on each sample, scaled to the spread of all rows. Another
        model's answers to the same rows give the same samples."""
        scaled: list[float] = (self.samples[:, 0] * self.shrink).tolist()
        return scaled

    def gain(self, metric: str, over: str, direction: Direction, simple: int = 1) -> Gain | None:
        """How much better the first answer is than the answer `simple`, called `over`."""
        sign = 1 if direction == "max" else -1
        value = sign * float(self.values[0] - self.values[simple])
        found = self._around(value, sign * (self.samples[:, 0] - self.samples[:, simple]))
        if found is None:
            return None
        return Gain(metric=metric, over=over, value=value, low=found[0], high=found[1])

    def sentence(self, name: str, within: tuple[float, float] | None = None) -> str:
        """The first answer's metric with its interval, for the card; `within` are the bounds that
        the metric cannot leave."""
        found = self.interval()
        if found is None:
            return f"{name}: too few rows for an interval."
        low, high = found
        if within is not None:
            low, high = max(low, within[0]), min(high, within[1])
        count = len(self.samples)
        return (
            f"{name} {self.values[0]:.4g}, 95 % interval {low:.4g} to {high:.4g} "
            f"({count} bootstrap samples)."
        )

    def _around(self, value: float, samples: np.ndarray) -> tuple[float, float] | None:
        if not len(samples):
            return None
        spread = (samples - np.median(samples)) * self.shrink
        low, high = value + np.quantile(spread, [0.025, 0.975])
        return float(low), float(high)


def resample(metric: Metric, y: np.ndarray, *answers: np.ndarray, varied: bool = True) -> Resampled:
    """A metric of answers to the rows `y`, on RESAMPLES bootstrap samples of at most RESAMPLED_ROWS
    rows.

    Args:
        varied: the metric needs two different values of the truth: samples with one are left out.
    """
    rng = np.random.default_rng(0)
    size = min(len(y), RESAMPLED_ROWS)
    seen = []
    for _ in range(RESAMPLES):
        rows = rng.integers(0, len(y), size)
        if not varied or len(np.unique(y[rows])) > 1:
            seen.append([metric(y[rows], answer[rows]) for answer in answers])
    if len(seen) < RESAMPLES / 2:
        seen = []
    values = np.array([metric(y, answer) for answer in answers])
    samples = np.array(seen).reshape(-1, len(answers))
    return Resampled(values, samples, float(np.sqrt(size / len(y))))


def share_sentence(name: str, hits: int, of: int) -> str:
    """A share with its interval, for the card."""
    low, high = wilson(hits, of)
    return f"{name}: {hits} of {of}, 95 % interval {low:.3f} to {high:.3f} (Wilson)."
