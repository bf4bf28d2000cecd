"""What people of the field look at: overlap by class, which classes are taken for which, and masks
next to the truth."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from modelyard.families.segmentation.baseline import PRIOR
from modelyard.families.segmentation.gallery import gallery
from modelyard.families.segmentation.host import SegmentationHost
from modelyard.families.segmentation.judging import Judged
from modelyard.families.segmentation.spec import SegmentationSpec
from modelyard.family import Split
from modelyard.judging.evaluation import (
    Confusion,
    Evaluation,
    Plot,
    Series,
    Table,
)
from modelyard.kit.boxes.report import rounded
from modelyard.kit.classifier.store import load_arrays
from modelyard.kit.intervals import Draws, Resampled
from modelyard.kit.pictures.pixels import PICTURES
from modelyard.kit.splits import load_groups
from modelyard.runtimes.types import Runtime

MAIN = "miou"
MOST_BARS, MOST_CONFUSED = 30, 20
"""Classes in a plot: those with the least overlap; classes of which pairs are counted."""


def evaluation(
    judged: Judged,
    simple: Mapping[str, Judged],
    host: SegmentationHost,
    run: Runtime,
    features: Path,
    split: Split,
    spec: SegmentationSpec,
) -> Evaluation:
    """The judged split, next to the simple answers to it."""
    metrics = judged.figures()
    figures = {name: one.figures() for name, one in simple.items()}
    names = list(simple)
    draws = Draws(judged.pictures, load_groups(features, split, judged.pictures))
    samples = np.column_stack([one.samples(draws) for one in (judged, *simple.values())])
    values = np.array([metrics[MAIN], *(figures[name][MAIN] for name in names)])
    resampled = draws.resampled(values, samples)
    whole = len(load_arrays(features, split))
    return Evaluation(
        split=split,
        rows=judged.pictures,
        part=judged.pictures if judged.pictures < whole else None,
        unit=PICTURES.many,
        metrics=metrics,
        baseline=figures[PRIOR],
        baseline_name=PRIOR,
        rivals={name: figures[name][MAIN] for name in names if name != PRIOR},
        directions=dict.fromkeys(metrics, "max"),
        **resampled.compared(MAIN, "max", *names),
        notes=_notes(judged, resampled, spec),
        confusion=_confusion(judged, spec.classes),
        plots=[
            *_bars(judged, spec.classes),
            *gallery(judged, host, run, features, split, spec),
        ],
        tables=[_by_class(judged, spec.classes)],
    )


def _notes(judged: Judged, resampled: Resampled, spec: SegmentationSpec) -> list[str]:
    notes = [resampled.sentence("Mean IoU", within=(0.0, 1.0))]
    true, found = judged.pixels[:, 1].sum(axis=0), judged.pixels[:, 2].sum(axis=0)
    absent = [spec.classes[label] for label in np.flatnonzero(true + found == 0)]
    if absent:
        notes.append(f"Neither there nor found, and in no mean: {', '.join(absent[:MOST_BARS])}.")
    if strange := int(judged.confusion[:, -1].sum()):
        share = strange / max(1, int(judged.confusion.sum()))
        notes.append(f"{share:.1%} of the pixels were given a class that this data does not know.")
    return notes


def _confusion(judged: Judged, classes: list[str]) -> Confusion | None:
    if len(classes) > MOST_CONFUSED:
        return None
    return Confusion(labels=classes, matrix=judged.confusion[:, :-1].tolist())


def _bars(judged: Judged, classes: list[str]) -> list[Plot]:
    found = judged.by_class()
    overlap = found["IoU"]
    known = np.flatnonzero(~np.isnan(overlap))
    worst = known[np.argsort(overlap[known], kind="stable")][:MOST_BARS]
    names = [classes[label] for label in worst]
    series = []
    for name in ("IoU", "boundary F1"):
        shares = np.nan_to_num(found[name][worst])
        series.append(Series(name=name, x=names, y=shares.tolist()))
    caption = ""
    if len(known) > MOST_BARS:
        caption = f"The {MOST_BARS} classes with the least."
    title = "Overlap by class, the least first"
    return [Plot(kind="bar", title=title, y_label="share", series=series, caption=caption)]


def _by_class(judged: Judged, classes: list[str]) -> Table:
    found = judged.by_class()
    true = judged.pixels[:, 1].sum(axis=0)
    whole = max(1, int(true.sum()))
    rows: list[list[str | float]] = []
    for label, name in enumerate(classes):
        cells = [rounded(float(values[label])) for values in found.values()]
        rows.append([name, f"{true[label] / whole:.1%}", *cells])
    return Table(title="Overlap by class", columns=["class", "of the pixels", *found], rows=rows)
