"""What families of classifiers and detectors share in judging: answers matched by class name, counts, and curves.

Numpy alone, so that it judges wherever it is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from modelyard.evaluation import Confusion, Plot, Roc, Series

MOST_POINTS = 200
"""Of a curve that is drawn."""
MOST_CLASSES = 30
"""Classes in the plot by class: the worst."""
BINS = 20
"""Of a histogram."""
ANOTHER = "(another)"
"""In a confusion matrix: the class of answers that the data does not know."""


@dataclass(frozen=True)
class Judged:
    """A classifier's answers, in the class order of the features folder, whatever the host's own is."""

    y: np.ndarray
    """True class indices, int64 (n,)."""
    p: np.ndarray
    """Probabilities (n, classes); 0 for a class that the host does not know."""
    labels: np.ndarray
    """Predicted class indices, int64 (n,); `len(classes)` for a class that is not in the data."""
    classes: list[str]


def align(p: np.ndarray, labels: np.ndarray, known: Sequence[str], y: np.ndarray, classes: list[str]) -> Judged:
    """Answers of a host with the classes `known`, in the order of `classes`: matched by name.

    Args:
        p: probabilities (n, len(known)); labels: answered indices into `known`, (n,).
        y: true indices into `classes`, (n,).
    """
    index = {name: position for position, name in enumerate(classes)}
    to = np.array([index.get(name, len(classes)) for name in known])
    aligned = np.zeros((len(p), len(classes) + 1))
    for column, position in enumerate(to):
        aligned[:, position] += p[:, column]
    return Judged(y, aligned[:, :-1], to[labels], classes)


def class_metrics(judged: Judged) -> dict[str, float]:
    """Accuracy, its mean over the classes that are true of an example, and log loss in nats."""
    y, labels = judged.y, judged.labels
    truth = np.clip(judged.p[np.arange(len(y)), y], np.finfo(np.float64).eps, 1)
    return {
        "accuracy": float((labels == y).mean()),
        "balanced_accuracy": float(np.mean([(labels[y == index] == index).mean() for index in np.unique(y)])),
        "log_loss": float(-np.log(truth).mean()),
    }


def confusion(judged: Judged) -> Confusion:
    """Counts by true and answered class; a last row and column where some answer is another class."""
    names = list(judged.classes)
    if (judged.labels == len(names)).any():
        names.append(ANOTHER)
    matrix = np.zeros((len(names), len(names)), dtype=np.int64)
    np.add.at(matrix, (judged.y, judged.labels), 1)
    return Confusion(labels=names, matrix=matrix.tolist())


def counts(y: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What each threshold finds and alarms, by a single pass down the ranking (Fawcett 2006, algorithm 1).

    Args:
        y: 1 for positive examples, (n,); score: the higher the more positive, (n,).

    Returns:
        Positives and negatives at or above each threshold, and the thresholds, descending: (steps,) each. The first
        is above every score, and finite: nothing is answered positive.
    """
    order = np.argsort(-score, kind="stable")
    ranked, hits = score[order], np.cumsum(y[order] == 1)
    last = np.r_[np.flatnonzero(np.diff(ranked)), len(ranked) - 1]
    above = max(ranked[0] + 1, np.nextafter(ranked[0], np.inf))
    return np.r_[0, hits[last]], np.r_[0, last + 1 - hits[last]], np.r_[above, ranked[last]]


def roc(y: np.ndarray, score: np.ndarray, most: int = MOST_POINTS) -> Roc:
    """At most `most` of the corners of the curve from (0, 0) to (1, 1); thresholds descend and are finite.

    Args:
        y: 1 for positive examples, (n,), both classes present; score: (n,).
    """
    found, alarms, thresholds = counts(y, score)
    straight = (np.diff(found, 2) == 0) & (np.diff(alarms, 2) == 0)
    corners = np.flatnonzero(np.r_[True, ~straight, True])
    kept = corners[thinned(len(corners), most)]
    return Roc(
        false_positive_rate=(alarms[kept] / alarms[-1]).tolist(),
        true_positive_rate=(found[kept] / found[-1]).tolist(),
        thresholds=thresholds[kept].tolist(),
    )


def precision_recall(y: np.ndarray, score: np.ndarray, name: str, most: int = MOST_POINTS) -> Plot:
    """Precision against recall, at most `most` points; where nothing is answered positive, nothing is wrong: 1.

    Args:
        y: 1 for positive examples, (n,), at least one; score: (n,); name: what is found.
    """
    found, alarms, _ = counts(y, score)
    precision = np.r_[1.0, found[1:] / (found[1:] + alarms[1:])][::-1]
    recall = (found / found[-1])[::-1]
    kept = thinned(len(precision), most)
    return Plot(
        kind="line", title="Precision and recall", x_label="recall", y_label="precision",
        series=[Series(name=name, x=recall[kept].tolist(), y=precision[kept].tolist())],
        caption=f"Chance is a precision of {float((y == 1).mean()):.3g}.",
    )  # fmt: skip


def by_class(y: np.ndarray, labels: np.ndarray, classes: list[str]) -> Plot:
    """Recall and precision of each class, of many the MOST_CLASSES with the least recall.

    Args:
        y, labels: true and answered class indices, (n,).
    """
    recall = np.array([_share(labels[y == index] == index) for index in range(len(classes))])
    precision = np.array([_share(y[labels == index] == index) for index in range(len(classes))])
    order = np.arange(len(classes))
    if len(order) > MOST_CLASSES:
        order = np.sort(np.argsort(recall, kind="stable")[:MOST_CLASSES])
    names = [classes[index] for index in order]
    return Plot(
        kind="bar", title="Recall and precision by class", y_label="share",
        series=[Series(name="recall", x=names, y=recall[order].tolist()),
                Series(name="precision", x=names, y=precision[order].tolist())],
        caption=f"The {MOST_CLASSES} classes with the least recall." if len(classes) > MOST_CLASSES else "",
    )  # fmt: skip


def histogram(name: str, values: np.ndarray, limits: tuple[float, float] = (0.0, 1.0)) -> Series:
    """Counts in BINS bins of equal width; x holds their edges, one more than there are counts."""
    heights, edges = np.histogram(values, bins=BINS, range=limits)
    return Series(name=name, x=edges.tolist(), y=heights.astype(float).tolist())


def thinned(points: int, most: int = MOST_POINTS) -> np.ndarray:
    """At most `most` of the indices 0 to `points` - 1, both ends among them, evenly spaced, int64."""
    return np.unique(np.linspace(0, points - 1, min(points, most)).round().astype(np.int64))


def _share(hit: np.ndarray) -> float:
    return float(hit.mean()) if len(hit) else 0.0
