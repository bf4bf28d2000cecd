"""The figures that a person of the field expects of a classifier, as data."""

from __future__ import annotations

import numpy as np

from modelyard.evaluation import Plot, Roc, Series

MOST_POINTS = 200
MOST_CLASSES = 30
"""Classes in the plot by class: the worst."""


def roc(y: np.ndarray, score: np.ndarray) -> Roc:
    """At most MOST_POINTS points from (0, 0) to (1, 1), thresholds descending.

    Args:
        y: 1 for positive pictures, (n,), both classes present; score: probability of the positive class, (n,).
    """
    order = np.argsort(-score, kind="stable")
    ranked, hits = score[order], np.cumsum(y[order] == 1)
    last = np.r_[np.flatnonzero(np.diff(ranked)), len(ranked) - 1]
    found, alarms = np.r_[0, hits[last]], np.r_[0, last + 1 - hits[last]]
    # Nothing is answered positive from a score above the highest on.
    thresholds = np.r_[ranked[0] + 1, ranked[last]]
    kept = _thinned(len(found))
    return Roc(
        false_positive_rate=(alarms[kept] / alarms[-1]).tolist(),
        true_positive_rate=(found[kept] / found[-1]).tolist(),
        thresholds=thresholds[kept].tolist(),
    )


def two(y: np.ndarray, score: np.ndarray, classes: list[str], threshold: float | None) -> list[Plot]:
    """ROC, what each threshold finds and alarms, and the scores of each class."""
    at = f"The answer is {classes[1]} from {threshold or 0.5:.4g} on."
    scores = Plot(
        kind="histogram", title="Scores by class", x_label=f"probability of {classes[1]}", y_label="pictures",
        series=[_histogram(name, score[y == index]) for index, name in enumerate(classes)], caption=at,
    )  # fmt: skip
    if not 0 < y.sum() < len(y):
        return [scores]
    curve = roc(y, score)
    thresholds, specificity = np.clip(curve.thresholds, 0, 1), 1 - np.array(curve.false_positive_rate)
    return [
        Plot(
            kind="line", title="ROC", x_label="1 - specificity", y_label="sensitivity", diagonal=True,
            series=[Series(name=classes[1], x=curve.false_positive_rate, y=curve.true_positive_rate)],
        ),
        Plot(
            kind="line", title="Sensitivity and specificity by threshold", x_label="threshold", y_label="share",
            series=[
                Series(name="sensitivity", x=thresholds.tolist(), y=curve.true_positive_rate),
                Series(name="specificity", x=thresholds.tolist(), y=specificity.tolist()),
            ],
            caption=at,
        ),
        scores,
    ]  # fmt: skip


def several(y: np.ndarray, p: np.ndarray, labels: np.ndarray, classes: list[str]) -> list[Plot]:
    """Recall and precision of each class, of many the worst."""
    recall = np.array([_share(labels[y == index] == index) for index in range(len(classes))])
    precision = np.array([_share(y[labels == index] == index) for index in range(len(classes))])
    order = np.arange(len(classes))
    if len(order) > MOST_CLASSES:
        order = np.sort(np.argsort(recall, kind="stable")[:MOST_CLASSES])
    names = [classes[index] for index in order]
    return [
        Plot(
            kind="bar", title="Recall and precision by class", y_label="share",
            series=[Series(name="recall", x=names, y=recall[order].tolist()),
                    Series(name="precision", x=names, y=precision[order].tolist())],
            caption=f"The {MOST_CLASSES} classes with the least recall." if len(classes) > MOST_CLASSES else "",
        )
    ]  # fmt: skip


def reliability(hit: np.ndarray, confidence: np.ndarray, bins: int) -> Plot:
    """Share right against mean probability, in bins of equal width (Guo et al. 2017, figure 1)."""
    place = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    used = np.unique(place)
    counts = [int((place == index).sum()) for index in used]
    return Plot(
        kind="line", title="Reliability", x_label="probability of the more probable class", y_label="share right",
        diagonal=True,
        series=[Series(name="bins", x=[float(confidence[place == index].mean()) for index in used],
                       y=[float(hit[place == index].mean()) for index in used])],
        caption=f"{len(used)} bins with {min(counts):,} to {max(counts):,} pictures.",
    )  # fmt: skip


def _histogram(name: str, values: np.ndarray) -> Series:
    counts, edges = np.histogram(values, bins=20, range=(0.0, 1.0))
    return Series(name=name, x=edges.tolist(), y=counts.astype(float).tolist())


def _share(hit: np.ndarray) -> float:
    return float(hit.mean()) if len(hit) else 0.0


def _thinned(points: int) -> np.ndarray:
    return np.unique(np.linspace(0, points - 1, min(points, MOST_POINTS)).round().astype(np.int64))
