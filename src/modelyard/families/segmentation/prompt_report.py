"""What the card shows of a model that answers to prompts: overlap by prompt, and the worst objects."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from modelyard.errors import BadData
from modelyard.families.segmentation.gallery import row
from modelyard.families.segmentation.prompt_host import PromptHost
from modelyard.families.segmentation.prompts import ObjectMask
from modelyard.family import Split
from modelyard.judging.evaluation import Evaluation, Plot, Series
from modelyard.kit.classifier import store
from modelyard.kit.intervals import Draws
from modelyard.kit.pictures.drawing import captioned
from modelyard.kit.pictures.pixels import PICTURES, open_picture
from modelyard.kit.splits import load_groups

MAIN, DISC = "iou", "disc around the point, filled box"
SHOWN, BINS = 12, 20
HALF = 0.5
"""Overlap from which on an object counts as found."""


@dataclass(frozen=True)
class Compared:
    """An object of a split and what was answered to its prompts."""

    picture: int
    object: ObjectMask
    by_point: np.ndarray
    overlaps: list[float]
    """Of the answer to the point, of that to the box, of the disc and of the filled box."""


def evaluation(
    compared: list[Compared],
    host: PromptHost,
    features: Path,
    split: Split,
    done: int,
    whole: int,
) -> Evaluation:
    """The judged objects of `done` of a split's pictures.

    Raises:
        BadData: there is no object.
    """
    if not compared:
        raise BadData(f"the {split} split has no region of a class that is large enough to ask for")
    table = np.array([prompted.overlaps for prompted in compared])
    pictures = np.array([prompted.picture for prompted in compared])
    mean = table.mean(axis=0)
    metrics = {MAIN: mean[0], "iou_box": mean[1], "found": (table[:, 0] >= HALF).mean()}
    baseline = {MAIN: mean[2], "iou_box": mean[3], "found": (table[:, 2] >= HALF).mean()}
    draws = Draws(done, load_groups(features, split, done))
    samples = _samples(table[:, [0, 2]], pictures, done, draws)
    resampled = draws.resampled(mean[[0, 2]], samples)
    notes = [
        resampled.sentence("Mean IoU by point", within=(0.0, 1.0)),
        f"{len(compared):,} objects, each prompted by its innermost point and by its box.",
    ]
    # The gate asks for points only.
    if mean[1] < mean[3]:
        notes.append(
            f"Prompted by a box, the box itself overlaps more: {mean[3]:.3f} to {mean[1]:.3f}. Use points."
        )
    return Evaluation(
        split=split,
        rows=done,
        part=done if done < whole else None,
        unit=PICTURES.many,
        metrics={name: float(value) for name, value in metrics.items()},
        baseline={name: float(value) for name, value in baseline.items()},
        baseline_name=DISC,
        directions=dict.fromkeys(metrics, "max"),
        **resampled.compared(MAIN, "max", DISC),
        notes=notes,
        plots=[_histogram(table), _gallery(compared, host, features, split)],
    )


def _samples(
    table: np.ndarray, pictures: np.ndarray, count: int, draws: Iterable[np.ndarray]
) -> np.ndarray:
    """Mean overlaps on bootstrap samples of pictures, whose objects stay together."""
    sums = np.zeros((count, table.shape[1]))
    np.add.at(sums, pictures, table)
    objects = np.bincount(pictures, minlength=count)
    found = []
    for rows in draws:
        if objects[rows].any():
            found.append(sums[rows].sum(axis=0) / objects[rows].sum())
    return np.array(found)


def _histogram(table: np.ndarray) -> Plot:
    edges = np.linspace(0, 1, BINS + 1)
    middles = ((edges[1:] + edges[:-1]) / 2).tolist()
    series = []
    for column, name in enumerate(("by point", "by box")):
        counts, _ = np.histogram(table[:, column], edges)
        series.append(Series(name=name, x=middles, y=counts.tolist()))
    title, caption = "Overlap of objects", "How many objects have how much overlap (IoU)."
    return Plot(
        kind="line", title=title, x_label="IoU", y_label="objects", series=series, caption=caption
    )


def _gallery(compared: list[Compared], host: PromptHost, features: Path, split: Split) -> Plot:
    worst = sorted(compared, key=lambda prompted: prompted.overlaps[0])[:SHOWN]
    files = store.chosen_files(features, split, {prompted.picture for prompted in worst})
    colours = np.zeros((256, 3), np.uint8)
    colours[:2] = host.colours
    pictures = []
    for prompted in worst:
        name, data = files[prompted.picture]
        truth, found = (mask.astype(np.uint8) for mask in (prompted.object.mask, prompted.by_point))
        tile = row(open_picture(data, host.spec.limits), truth, found, colours)
        pictures.append(captioned(name, f"IoU {prompted.overlaps[0]:.2f}", tile))
    caption = "From left to right: the picture, the object, the answer to its innermost point."
    return Plot(kind="pictures", title="Worst objects first", pictures=pictures, caption=caption)
