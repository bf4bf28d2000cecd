"""From which score on it is an alarm. Numpy only."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from modelyard.errors import BadData

LEAST_ABOVE = 5
"""Calibration answers that must lie above the threshold for it to mean anything."""
USUAL_RATE, MOST_RATE = 0.01, 0.1
"""Share of normal answers that raise an alarm where the settings name none: the first, or of few
calibration answers more, up to the second."""
CLUSTER = 4
"""A block of the error estimate holds this many windows: alarms come in clusters as long as a
window."""
LEAST_BLOCK = 50


@dataclass(frozen=True)
class Threshold:
    """A threshold and how well its false alarm rate is known."""

    value: float
    typical: float
    """Median score."""
    steps: int
    """Scores it was chosen from."""
    low: float
    high: float
    """95 % interval of the false alarm rate on further data of the same kind."""


def choose(scores: np.ndarray, rate: float, window: int, contamination: float = 0.0) -> Threshold:
    """The score that a share `rate` of normal answers exceeds.

    With `contamination` that share of the scores, the highest, is left out first. The rank is that
    of split conformal prediction (Vovk et al. 2005; Laxhammar and Falkman 2010): ceil((n + 1) (1 -
    rate)), so that an exchangeable new answer exceeds it with at most `rate`. Neighbouring answers
    are alike, and overlapping windows share rows, so the interval comes from means of blocks longer
    than a window.

    Args:
        scores: of calibration answers in the order of time, (answers,).

    Raises:
        BadData: too few of them for the rate, or all the same.
    """
    kept = scores
    if contamination:
        kept = scores[scores <= np.quantile(scores, 1 - contamination)]
    check(len(kept), rate)
    value = conformal(kept, rate)
    typical = float(np.median(kept))
    if not value > typical:
        # Severities would be divided by nothing.
        problem = f"the detector gives nearly all calibration rows the same score, {typical:.4g}"
        hint = "Choose another model.kind, or give data in which the columns vary"
        raise BadData(problem, hint=hint)
    margin = 1.96 * _standard_error(kept > value, max(CLUSTER * window, LEAST_BLOCK))
    seen = float((kept > value).mean())
    low, high = max(0.0, seen - margin), min(1.0, seen + margin)
    return Threshold(value, typical, len(kept), low, high)


def rate_of(wanted: float | None, answers: int, contamination: float = 0.0) -> float:
    """The share that is `wanted`, or else the usual one or as little as so many answers can set.

    Raises:
        BadData: too few of them.
    """
    rate = wanted
    if rate is None:
        least = _attainable(_kept(answers, contamination))
        rate = min(max(USUAL_RATE, least), MOST_RATE)
    check(answers, rate, contamination)
    return rate


def _kept(answers: int, contamination: float) -> int:
    """Answers without their contaminated share."""
    # As many as `np.quantile` leaves, which counts places from 0 to n - 1.
    return math.floor((answers - 1) * (1 - contamination)) + 1


def check(answers: int, rate: float, contamination: float = 0.0) -> None:
    """Raises BadData where so many calibration answers, without their contaminated share, are
    too few for the rate."""
    kept = _kept(answers, contamination)
    if kept * rate < LEAST_ABOVE:
        needed = f"{math.ceil(LEAST_ABOVE / rate):,} are needed"
        problem = (
            f"{kept:,} calibration answers cannot set a false alarm rate of {rate:g}: {needed}"
        )
        hint = f"Give more data, or type --set model.false_alarm_rate={_attainable(kept):g}"
        raise BadData(problem, hint=hint)


def conformal(scores: np.ndarray, rate: float) -> float:
    """The ceil((n + 1) (1 - rate))-th smallest score."""
    # Of few scores for a small rate the rank lies behind the last one.
    rank = min(math.ceil((len(scores) + 1) * (1 - rate)), len(scores))
    return float(np.partition(scores, rank - 1)[rank - 1])


def sentences(found: Threshold, rate: float, source: str) -> str:
    """How the threshold was chosen, for the card."""
    text = (
        f"The threshold {found.value:.4g} is exceeded by {rate:.2%} of {found.steps:,} {source}. On further normal "
        f"data the rate should lie between {found.low:.2%} and {found.high:.2%} (95 %, from blocks of time)."
    )
    if found.high > 2 * rate:
        text += " That is little calibration data for this rate: expect it to be off by more than a factor of two."
    return text


def _standard_error(above: np.ndarray, block: int) -> float:
    """Of the mean of `above`, from means of consecutive blocks (Carlstein 1986)."""
    # Two at least: one block has no deviation.
    count = max(2, len(above) // block)
    means = np.array([part.mean() for part in np.array_split(above, count)])
    # `ddof=1`: the mean of these few blocks is taken from the blocks themselves.
    return float(means.std(ddof=1) / math.sqrt(count))


def _attainable(answers: int) -> float:
    """The lowest rate that so many answers can set, rounded up to two digits: typed as shown, it
    is enough."""
    rate = LEAST_ABOVE / max(answers, 2 * LEAST_ABOVE + 1)
    digit: float = 10.0 ** (math.floor(math.log10(rate)) - 1)
    return math.ceil(rate / digit) * digit
