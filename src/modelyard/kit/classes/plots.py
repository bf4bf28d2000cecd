"""The figures that a person of the field expects of a classifier, as data."""

from __future__ import annotations

from typing import Literal

import numpy as np
from sklearn.metrics import precision_recall_fscore_support

from modelyard.judging.curves import counts, histogram, precision_recall, roc, thinned
from modelyard.judging.evaluation import Plot, Series
from modelyard.kit.classes.judged import Judged

MOST_CLASSES = 30
"""Classes in the plot by class: the worst."""
CALIBRATION_BINS = 10


def of_two(judged: Judged, threshold: float, unit: str) -> list[Plot]:
    """ROC, precision and recall, what each threshold finds, calibration, and the scores of each
    class.

    Only calibration and scores where the split holds a single class. `unit` names examples: `rows`,
    `pictures`.
    """
    y, score, positive = judged.y, judged.p[:, 1], judged.classes[1]
    always = [
        _calibration(y == 1, score, f"probability of {positive}", f"share of {positive}"),
        _scores(judged, threshold, unit),
    ]
    if not judged.both_classes_seen:
        return always
    curve = roc(y, score)
    area = Plot(
        kind="line",
        title="ROC",
        x_label="false positive rate (1 - specificity)",
        y_label="true positive rate (recall)",
        diagonal=True,
        series=[Series(name=positive, x=curve.false_positive_rate, y=curve.true_positive_rate)],
    )
    return [
        area,
        precision_recall(y, score, positive),
        _by_threshold(y, score, threshold, positive),
        *always,
    ]


def of_several(judged: Judged) -> list[Plot]:
    """Recall and precision of each class, and calibration of the most probable one."""
    hit, confidence = judged.p.argmax(axis=1) == judged.y, judged.p.max(axis=1)
    return [
        by_class(judged.y, judged.labels, judged.classes),
        _calibration(hit, confidence, "probability of the predicted class", "share right"),
    ]


def by_class(y: np.ndarray, labels: np.ndarray, classes: list[str]) -> Plot:
    """Recall and precision of each class, of many the MOST_CLASSES with the least recall.

    Args:
        y, labels: true and answered class indices, (n,).
    """
    precision, recall, _, _ = precision_recall_fscore_support(
        y, labels, labels=np.arange(len(classes)), zero_division=0
    )
    return recall_bars("class", classes, recall, precision, ("recall", recall))


def recall_bars(
    what: Literal["class", "label"],
    names: list[str],
    recall: np.ndarray,
    precision: np.ndarray,
    by: tuple[str, np.ndarray] | None = None,
) -> Plot:
    """Recall and precision of each class or label, (n,) each.

    Args:
        by: a figure's name and its values (n,): of many only the MOST_CLASSES with the least of it
            are shown. None: all are.
    """
    shown, caption = np.arange(len(names)), ""
    if by is not None and len(names) > MOST_CLASSES:
        figure, values = by
        shown = np.sort(np.argsort(values, kind="stable")[:MOST_CLASSES])
        several = {"class": "classes", "label": "labels"}[what]
        caption = f"The {MOST_CLASSES} {several} with the least {figure}."
    chosen = [names[place] for place in shown]
    return Plot(
        kind="bar",
        title=f"Recall and precision by {what}",
        y_label="share",
        series=[
            Series(name="recall", x=chosen, y=recall[shown].tolist()),
            Series(name="precision", x=chosen, y=precision[shown].tolist()),
        ],
        caption=caption,
    )


def _by_threshold(y: np.ndarray, score: np.ndarray, threshold: float, positive: str) -> Plot:
    found, alarms, thresholds = counts(y, score)
    kept = thinned(len(thresholds))
    x = np.clip(thresholds[kept], 0, 1).tolist()
    return Plot(
        kind="line",
        title="Recall and specificity by threshold",
        x_label="threshold",
        y_label="share",
        series=[
            Series(name="recall", x=x, y=(found[kept] / found[-1]).tolist()),
            Series(name="specificity", x=x, y=(1 - alarms[kept] / alarms[-1]).tolist()),
        ],
        caption=_answers_from(threshold, positive),
    )


def _scores(judged: Judged, threshold: float, unit: str) -> Plot:
    positive = judged.classes[1]
    series = []
    for index, name in enumerate(judged.classes):
        series.append(histogram(name, judged.p[judged.y == index, 1]))
    return Plot(
        kind="histogram",
        title="Scores by class",
        x_label=f"probability of {positive}",
        y_label=unit,
        series=series,
        caption=_answers_from(threshold, positive),
    )


def _calibration(hit: np.ndarray, p: np.ndarray, x_label: str, y_label: str) -> Plot:
    """Mean probability against observed share, in bins of as many examples each."""
    # Not of equal width: where nearly all probabilities are near 0 the others would hold no rows.
    order = np.argsort(p, kind="stable")
    mean, share = [], []
    for rows in np.array_split(order, min(CALIBRATION_BINS, len(order))):
        mean.append(float(p[rows].mean()))
        share.append(float(hit[rows].mean()))
    return Plot(
        kind="line",
        title="Calibration",
        x_label=x_label,
        y_label=y_label,
        diagonal=True,
        series=[Series(name="bins of as many examples each", x=mean, y=share)],
    )


def _answers_from(threshold: float, positive: str) -> str:
    return f"The answer is {positive} from {threshold:.4g} on."
