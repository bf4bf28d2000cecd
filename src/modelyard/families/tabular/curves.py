"""The figures that a person of the field expects of a classifier or a regression, as data."""

from __future__ import annotations

import numpy as np

from modelyard.evaluation import Plot, Roc, Series

MOST_POINTS = 200
MOST_DOTS = 500
BINS = 20
RELIABILITY_BINS = 10


def roc(y: np.ndarray, score: np.ndarray) -> Roc:
    """At most MOST_POINTS points from (0, 0) to (1, 1); the thresholds descend and are finite.

    Args:
        y: 1 for positive rows, (rows,), both classes present.
        score: the positive class's probability, (rows,).
    """
    from sklearn.metrics import roc_curve

    false, true, thresholds = roc_curve(y, score)
    # scikit-learn starts above every score, at infinity: any finite number above the highest says the same.
    thresholds[0] = thresholds[1] + 1
    kept = _thinned(len(false))
    return Roc(
        false_positive_rate=false[kept].tolist(),
        true_positive_rate=true[kept].tolist(),
        thresholds=thresholds[kept].tolist(),
    )


def binary(y: np.ndarray, score: np.ndarray, classes: list[str], threshold: float | None) -> list[Plot]:
    """ROC, precision and recall, calibration, and the scores of each class."""
    from sklearn.metrics import precision_recall_curve

    curve = roc(y, score)
    precision, recall, _ = precision_recall_curve(y, score)
    kept = _thinned(len(precision))
    at = "" if threshold is None else f"The threshold is {threshold:.4g}."
    return [
        Plot(
            kind="line", title="ROC", x_label="false positive rate", y_label="true positive rate", diagonal=True,
            series=[Series(name=classes[1], x=curve.false_positive_rate, y=curve.true_positive_rate)],
        ),
        Plot(
            kind="line", title="Precision and recall", x_label="recall", y_label="precision",
            series=[Series(name=classes[1], x=recall[kept].tolist(), y=precision[kept].tolist())],
            caption=f"Chance is a precision of {y.mean():.3g}.",
        ),
        _calibration(y == 1, score, f"probability of {classes[1]}", f"share of {classes[1]}"),
        Plot(
            kind="histogram", title="Scores by class", x_label=f"probability of {classes[1]}", y_label="rows",
            series=[_histogram(name, score[y == label], (0.0, 1.0)) for label, name in enumerate(classes)],
            caption=at,
        ),
    ]  # fmt: skip


def multiclass(y: np.ndarray, p: np.ndarray, labels: np.ndarray, classes: list[str]) -> list[Plot]:
    """Recall and precision of each class, and calibration of the most probable one."""
    recall = [_share(labels[y == index] == index) for index in range(len(classes))]
    precision = [_share(y[labels == index] == index) for index in range(len(classes))]
    return [
        Plot(
            kind="bar", title="Recall and precision by class", y_label="share",
            series=[Series(name="recall", x=classes, y=recall), Series(name="precision", x=classes, y=precision)],
        ),
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
            series=[_histogram("rows", np.clip(error, -edge, edge), (-edge, edge))],
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


def _histogram(name: str, values: np.ndarray, limits: tuple[float, float]) -> Series:
    """Counts in BINS bins; x is the middle of a bin."""
    counts, edges = np.histogram(values, bins=BINS, range=limits)
    return Series(name=name, x=((edges[1:] + edges[:-1]) / 2).tolist(), y=counts.astype(float).tolist())


def _share(hit: np.ndarray) -> float:
    return float(hit.mean()) if len(hit) else 0.0


def _thinned(points: int) -> np.ndarray:
    return np.unique(np.linspace(0, points - 1, min(points, MOST_POINTS)).round().astype(np.int64))
