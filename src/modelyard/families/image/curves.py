"""The figures that a person of the field expects of a classifier, as data."""

from __future__ import annotations

import numpy as np

from modelyard.evaluation import Plot, Series
from modelyard.evaluation_curves import counts, histogram, roc, thinned


def two(y: np.ndarray, score: np.ndarray, classes: list[str], threshold: float | None) -> list[Plot]:
    """ROC, what each threshold finds and alarms, and the scores of each class."""
    at = f"The answer is {classes[1]} from {threshold or 0.5:.4g} on."
    scores = Plot(
        kind="histogram", title="Scores by class", x_label=f"probability of {classes[1]}", y_label="pictures",
        series=[histogram(name, score[y == index]) for index, name in enumerate(classes)], caption=at,
    )  # fmt: skip
    if not 0 < y.sum() < len(y):
        return [scores]
    curve = roc(y, score)
    found, alarms, thresholds = counts(y, score)
    kept = thinned(len(thresholds))
    x = np.clip(thresholds[kept], 0, 1).tolist()
    sensitivity, specificity = found[kept] / found[-1], 1 - alarms[kept] / alarms[-1]
    return [
        Plot(
            kind="line", title="ROC", x_label="1 - specificity", y_label="sensitivity", diagonal=True,
            series=[Series(name=classes[1], x=curve.false_positive_rate, y=curve.true_positive_rate)],
        ),
        Plot(
            kind="line", title="Sensitivity and specificity by threshold", x_label="threshold", y_label="share",
            series=[
                Series(name="sensitivity", x=x, y=sensitivity.tolist()),
                Series(name="specificity", x=x, y=specificity.tolist()),
            ],
            caption=at,
        ),
        scores,
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
