"""What people look at who find objects: average precision by class and size, precision and recall.
For judging, not for answering."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from modelyard.family import Split
from modelyard.judging.evaluation import Evaluation, Plot, Series, Table
from modelyard.kit.boxes.precision import SIZES, Judged
from modelyard.kit.intervals import Draws, Resampled
from modelyard.kit.pictures.pixels import PICTURES

MAIN = "map"
MOST_CURVES, MOST_BARS = 6, 30
"""Classes in a plot: those with the least average precision."""
THRESHOLDS = np.arange(0.02, 1.0, 0.02)
RECALLS = np.linspace(0, 1, 101)


def evaluation(
    judged: Judged,
    simple: Mapping[str, Judged],
    *,
    split: Split,
    whole: int,
    classes: list[str],
    threshold: float,
    compared: str,
    gallery: Sequence[Plot],
    groups: np.ndarray | None = None,
) -> Evaluation:
    """The judged split, next to the simple answers to it, of which the first one is the baseline.

    Args:
        whole: pictures of the split, of which as many may be judged as time allows.
        threshold: least score of an answer.
        compared: `boxes` or `masks`.
        groups: of the judged pictures, such as scenes; None: each is one.
    """
    metrics = judged.figures() | _at(judged, threshold)
    baseline, *others = simple
    figures = {name: one.figures() for name, one in simple.items()}
    draws = Draws(judged.pictures, groups)
    samples = np.column_stack([judged.samples(draws), simple[baseline].samples(draws)])
    values = np.array([metrics[MAIN], figures[baseline][MAIN]])
    # A sample may draw no picture with an object: it has no average precision.
    is_defined = ~np.isnan(samples).any(axis=1)
    resampled = draws.resampled(values, samples[is_defined])
    return Evaluation(
        split=split,
        rows=judged.pictures,
        part=judged.pictures if judged.pictures < whole else None,
        unit=PICTURES.many,
        metrics=metrics,
        baseline={name: value for name, value in figures[baseline].items() if name in metrics},
        baseline_name=baseline,
        rivals={name: figures[name][MAIN] for name in others},
        directions=dict.fromkeys(metrics, "max"),
        **resampled.compared(MAIN, "max", baseline),
        notes=_notes(judged, resampled, threshold, compared),
        plots=[
            _curves(judged, classes),
            _by_threshold(judged, threshold),
            *_bars(judged, classes),
            *gallery,
        ],
        tables=[_by_class(judged, classes, threshold)],
    )


def _at(judged: Judged, threshold: float) -> dict[str, float]:
    """Precision and recall of the answers at the threshold, all classes together."""
    counts = judged.counts(threshold)
    right, wrong, objects = [int(part.sum()) for part in counts]
    return {
        "precision": right / max(1, right + wrong),
        "recall": right / max(1, objects),
        "f1": 2 * right / max(1, right + wrong + objects),
    }


def _notes(judged: Judged, resampled: Resampled, threshold: float, compared: str) -> list[str]:
    _, _, objects = judged.counts(threshold)
    return [
        f"map is COCO's average precision of {compared}: the mean over classes and over the "
        f"overlaps 0.5, 0.55, … 0.95 (pycocotools). Sizes are those of {compared}.",
        resampled.sentence(MAIN, (0.0, 1.0)),
        f"precision, recall and f1 are those of answers with a score of {threshold:.2f} or more, "
        f"at an overlap of 0.5, of {int(objects.sum()):,} objects.",
    ]


def _worst(judged: Judged, most: int) -> list[int]:
    """Classes that have objects, the least average precision first."""
    known = {}
    for label in range(judged.classes):
        precision = judged.by_class(label)["AP"]
        if not np.isnan(precision):
            known[label] = precision
    return sorted(known, key=lambda label: known[label])[:most]


def _curves(judged: Judged, classes: list[str]) -> Plot:
    shown = _worst(judged, MOST_CURVES)
    series = []
    for label in shown:
        name = f"{classes[label]} ({judged.by_class(label)['AP50']:.2f})"
        series.append(Series(name=name, x=RECALLS.tolist(), y=judged.curve(label).tolist()))
    caption = "At an overlap of 0.5; average precision in brackets."
    if len(shown) < judged.classes:
        caption += f" The {len(shown)} classes with the least."
    return Plot(
        kind="line",
        title="Precision and recall by class",
        x_label="recall",
        y_label="precision",
        series=series,
        caption=caption,
    )


def _by_threshold(judged: Judged, threshold: float) -> Plot:
    figures = [_at(judged, float(value)) for value in THRESHOLDS]
    series = []
    for name in ("precision", "recall", "f1"):
        values = [at_threshold[name] for at_threshold in figures]
        series.append(Series(name=name, x=THRESHOLDS.tolist(), y=values))
    return Plot(
        kind="line",
        title="What a threshold finds",
        x_label="threshold",
        y_label="share",
        series=series,
        caption=f"Answers are given from {threshold:.2f} on, where a request says no other one.",
    )


def _bars(judged: Judged, classes: list[str]) -> list[Plot]:
    shown = _worst(judged, MOST_BARS)
    if len(shown) < 2:
        return []
    names = [classes[label] for label in shown]
    found = [judged.by_class(label) for label in shown]
    series = []
    for name in ("AP", "AP50", "AP75"):
        values = [of_class[name] for of_class in found]
        series.append(Series(name=name, x=names, y=values))
    title = "Average precision by class"
    return [Plot(kind="bar", title=title, y_label="average precision", series=series)]


def _by_class(judged: Judged, classes: list[str], threshold: float) -> Table:
    counts = judged.counts(threshold)
    right, wrong, objects = [part.sum(axis=1) for part in counts]
    rows: list[list[str | float]] = []
    for label, name in enumerate(classes):
        found = judged.by_class(label)
        answered = int(right[label] + wrong[label])
        precision = recall = math.nan
        if answered:
            precision = right[label] / answered
        if objects[label]:
            recall = right[label] / objects[label]
        cells = [*found.values(), float(precision), float(recall)]
        rows.append([name, int(objects[label]), *map(rounded, cells)])
    by_size = [f"AP {size}" for size in SIZES]
    columns = ["class", "objects", "AP", "AP50", "AP75", *by_size, "precision", "recall"]
    return Table(title="Average precision by class and size", columns=columns, rows=rows)


def rounded(value: float) -> str | float:
    """A cell of a table; a dash where there is no number."""
    if np.isnan(value):
        return "–"
    return round(value, 3)


def worst_pictures(judged: Judged, threshold: float, most: int) -> dict[int, str]:
    """The pictures with the most errors, then others in which there is something, and what is wrong
    with the answers to each."""
    counts = judged.counts(threshold)
    right, wrong, objects = [part.sum(axis=0) for part in counts]
    missed = objects - right
    errors = missed + wrong
    # lexsort takes the most important key last.
    worst = np.lexsort((-objects, -errors))
    worst = worst[(errors + objects)[worst] > 0][:most]
    found = {}
    for place in worst.tolist():
        parts = []
        if missed[place]:
            parts.append(f"{missed[place]} missed")
        if wrong[place]:
            parts.append(f"{wrong[place]} wrong")
        found[place] = ", ".join(parts) or "all right"
    return found
