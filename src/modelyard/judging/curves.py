"""Curves and counts of scores: what classifiers and detectors share in judging. Numpy only."""

from __future__ import annotations

import numpy as np

from modelyard.judging.evaluation import Plot, Roc, Series

MOST_POINTS = 200
"""Of a curve that is drawn."""
BINS = 20
"""Of a histogram."""


def counts(y: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What each threshold finds and alarms, by a single pass down the ranking (Fawcett 2006,
    algorithm 1).

    Args:
        y: 1 for positive examples, (n,); score: the higher the more positive, (n,).

    Returns:
        Positives and negatives at or above each threshold, and the thresholds, descending: (steps,)
            each. The first is above every score, and finite: nothing is answered positive.
    """
    order = np.argsort(-score, kind="stable")
    ranked, hits = score[order], np.cumsum(y[order] == 1)
    # Equal scores are answered alike: a step ends where the next score is another one.
    last = np.r_[np.flatnonzero(np.diff(ranked)), len(ranked) - 1]
    # Adding 1 to a large score changes nothing.
    above = max(ranked[0] + 1, np.nextafter(ranked[0], np.inf))
    return np.r_[0, hits[last]], np.r_[0, last + 1 - hits[last]], np.r_[above, ranked[last]]


def roc_auc(truth: np.ndarray, score: np.ndarray) -> float:
    """The chance that a positive is scored above a negative, ties counting half (Mann and
    Whitney 1947)."""
    _, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    # Tied scores share the mean of their ranks.
    rank = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    positive = truth == 1
    n, m = int(positive.sum()), int((~positive).sum())
    # The rank sum less the least that n positives can have is U, the pairs in the right order.
    return float((rank[positive].sum() - n * (n + 1) / 2) / (n * m))


def roc(y: np.ndarray, score: np.ndarray, most: int = MOST_POINTS) -> Roc:
    """At most `most` of the corners of the curve from (0, 0) to (1, 1); thresholds descend and are
    finite.

    Args:
        y: 1 for positive examples, (n,), both classes present; score: (n,).
    """
    found, alarms, thresholds = counts(y, score)
    # A point in the middle of two equal steps is no corner: the line goes through it anyway.
    straight = (np.diff(found, 2) == 0) & (np.diff(alarms, 2) == 0)
    corners = np.flatnonzero(np.r_[True, ~straight, True])
    kept = corners[thinned(len(corners), most)]
    return Roc(
        false_positive_rate=(alarms[kept] / alarms[-1]).tolist(),
        true_positive_rate=(found[kept] / found[-1]).tolist(),
        thresholds=thresholds[kept].tolist(),
    )


def precision_recall(y: np.ndarray, score: np.ndarray, name: str, most: int = MOST_POINTS) -> Plot:
    """Precision against recall, at most `most` points; where nothing is answered positive, nothing
    is wrong: 1.

    Args:
        y: 1 for positive examples, (n,), at least one; score: (n,); name: what is found.
    """
    found, alarms, _ = counts(y, score)
    # From the most recall to the least, as thresholds rise.
    precision = np.r_[1.0, found[1:] / (found[1:] + alarms[1:])][::-1]
    recall = (found / found[-1])[::-1]
    kept = thinned(len(precision), most)
    return Plot(
        kind="line",
        title="Precision and recall",
        x_label="recall",
        y_label="precision",
        series=[Series(name=name, x=recall[kept].tolist(), y=precision[kept].tolist())],
        caption=f"Chance is a precision of {float((y == 1).mean()):.3g}.",
    )


def histogram(name: str, values: np.ndarray, limits: tuple[float, float] = (0.0, 1.0)) -> Series:
    """Counts in BINS bins of equal width; x holds their edges, one more than there are counts."""
    heights, edges = np.histogram(values, bins=BINS, range=limits)
    return Series(name=name, x=edges.tolist(), y=heights.astype(float).tolist())


def thinned(points: int, most: int = MOST_POINTS) -> np.ndarray:
    """At most `most` of the indices 0 to `points` - 1, both ends among them, evenly spaced,
    int64."""
    return np.unique(np.linspace(0, points - 1, min(points, most)).round().astype(np.int64))
