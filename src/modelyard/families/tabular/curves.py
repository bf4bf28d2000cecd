"""The figures that a person of the field expects of a classifier or a regression, as data."""

from __future__ import annotations

import numpy as np

from modelyard.evaluation import Plot, Series
from modelyard.evaluation_curves import by_class, histogram, precision_recall, roc

MOST_DOTS = 500
RELIABILITY_BINS = 10


def binary(y: np.ndarray, score: np.ndarray, classes: list[str], threshold: float | None) -> list[Plot]:
    """ROC, precision and recall, calibration, and the scores of each class."""
    curve = roc(y, score)
    at = "" if threshold is None else f"The threshold is {threshold:.4g}."
    return [
        Plot(
            kind="line", title="ROC", x_label="false positive rate", y_label="true positive rate", diagonal=True,
            series=[Series(name=classes[1], x=curve.false_positive_rate, y=curve.true_positive_rate)],
        ),
        precision_recall(y, score, classes[1]),
        _calibration(y == 1, score, f"probability of {classes[1]}", f"share of {classes[1]}"),
        Plot(
            kind="histogram", title="Scores by class", x_label=f"probability of {classes[1]}", y_label="rows",
            series=[histogram(name, score[y == label]) for label, name in enumerate(classes)],
            caption=at,
        ),
    ]  # fmt: skip


def multiclass(y: np.ndarray, p: np.ndarray, labels: np.ndarray, classes: list[str]) -> list[Plot]:
    """Recall and precision of each class, and calibration of the most probable one."""
    return [
        by_class(y, labels, classes),
        _calibration(p.argmax(axis=1) == y, p.max(axis=1), "probability of the predicted class", "share right"),
    ]  # fmt: skip


def regression(y: np.ndarray, value: np.ndarray) -> list[Plot]:
    """Predictions against what was, for at most MOST_DOTS rows, and the errors."""
    rows = np.random.default_rng(0).permutation(len(y))[:MOST_DOTS]
    error = value - y
    edge = float(np.quantile(np.abs(error), 0.99)) or 1.0
    return [
        Plot(
            kind="scatter", title="Predicted against actual", x_label="actual", y_label="predicted", diagonal=True,
            series=[Series(name="rows", x=y[rows].tolist(), y=value[rows].tolist())],
        ),
        Plot(
            kind="histogram", title="Errors", x_label="predicted - actual", y_label="rows",
            series=[histogram("rows", np.clip(error, -edge, edge), (-edge, edge))],
            caption="The outermost bars hold the largest hundredth of the errors too.",
        ),
    ]  # fmt: skip


def _calibration(hit: np.ndarray, p: np.ndarray, x_label: str, y_label: str) -> Plot:
    """Mean probability against observed share, in bins of as many rows each."""
    order = np.argsort(p, kind="stable")
    bins = [rows for rows in np.array_split(order, min(RELIABILITY_BINS, len(order))) if len(rows)]
    x, y = [float(p[rows].mean()) for rows in bins], [float(hit[rows].mean()) for rows in bins]
    return Plot(
        kind="line", title="Calibration", x_label=x_label, y_label=y_label, diagonal=True,
        series=[Series(name="bins of as many rows each", x=x, y=y)],
    )  # fmt: skip
