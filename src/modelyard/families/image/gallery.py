"""Pictures for the card: the worst errors, and where the evidence lies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from modelyard.families.image import cam
from modelyard.families.image.host import FEATURES
from modelyard.judging.evaluation import Picture, Plot
from modelyard.kit.classes.judged import Judged
from modelyard.kit.classifier.host import LOGITS
from modelyard.kit.labels.evaluate import JudgedLabels
from modelyard.kit.pictures.drawing import data_url, picture

if TYPE_CHECKING:
    from modelyard.families.image.host import ImageHost, LabelsImageHost
    from modelyard.runtimes.types import Runtime

MOST_ERRORS, MOST_RIGHT = 12, 8
SIDE = 112
"""Pixels of a picture in the card."""


def gallery(host: ImageHost, run: Runtime, pixels: np.ndarray, judged: Judged) -> list[Plot]:
    """The errors with the most certain answers, and right answers of different classes, each next to
    its evidence.

    Args:
        pixels: uint8 (n, channels, size, size) as the host sees them.
    """
    y, labels, p, classes = judged.y, judged.labels, judged.p, judged.classes
    wrong = np.flatnonzero(labels != y)
    # A class that the data does not know comes behind the others, and its probability is not here.
    names = [*classes, "another"]
    padded = np.column_stack([p, np.zeros(len(p))])
    certainty = padded[np.arange(len(y)), labels]
    worst = wrong[np.argsort(-certainty[wrong], kind="stable")][:MOST_ERRORS]
    right = np.flatnonzero(labels == y)
    right = right[_in_turn(y[right])]
    rows = []
    for row in worst:
        answered = f"answered {names[labels[row]]} ({certainty[row]:.2f})"
        rows.append(f"{names[y[row]]}, {answered}")
    fine = [f"{names[y[row]]} ({certainty[row]:.2f})" for row in right]
    tiles = _tiles(host, run, pixels, np.r_[worst, right])
    return _plots(host, [("Worst errors", rows), ("Right answers", fine)], tiles)


def label_gallery(
    host: LabelsImageHost, run: Runtime, pixels: np.ndarray, judged: JudgedLabels
) -> list[Plot]:
    """Pictures whose labels surprise the model most, and right answers with different labels, each
    next to its evidence.

    Args:
        pixels: uint8 (n, channels, size, size) as the host sees them.
    """
    y, answers, classes = judged.y, judged.answers, judged.classes
    wrong = np.flatnonzero((y != answers).any(axis=1))
    worst = wrong[np.argsort(-judged.surprise[wrong], kind="stable")][:MOST_ERRORS]
    right = np.flatnonzero((y == answers).all(axis=1))
    # Examples that have the same labels are of one kind.
    kinds = np.unique(y[right], axis=0, return_inverse=True)[1].reshape(-1)
    right = right[_in_turn(kinds)]

    def named(held: np.ndarray) -> str:
        return ", ".join(classes[place] for place in np.flatnonzero(held)) or "none"

    rows = [f"{named(y[row])}, answered {named(answers[row])}" for row in worst]
    fine = [named(y[row]) for row in right]
    tiles = _tiles(host, run, pixels, np.r_[worst, right])
    return _plots(host, [("Worst errors", rows), ("Right answers", fine)], tiles)


def _plots(
    host: ImageHost, parts: Sequence[tuple[str, list[str]]], tiles: Sequence[str]
) -> list[Plot]:
    """A plot for each title with captions; the tiles are in the order of the captions."""
    plots, start = [], 0
    for title, captions in parts:
        shown = tiles[start : start + len(captions)]
        start += len(captions)
        if not captions:
            continue
        pictures = []
        for text, tile in zip(captions, shown, strict=True):
            pictures.append(Picture(caption=text, url=tile))
        said = _caption(host)
        plots.append(Plot(kind="pictures", title=title, pictures=pictures, caption=said))
    return plots


def _in_turn(kinds: np.ndarray) -> np.ndarray:
    """Places of examples of as many kinds (n,) as there are, in turn."""
    turn = np.zeros(len(kinds), dtype=np.int64)
    for kind in np.unique(kinds):
        chosen = kinds == kind
        turn[chosen] = np.arange(chosen.sum())
    # `lexsort` takes its last key first: by turn, then by kind.
    return np.lexsort((kinds, turn))[:MOST_RIGHT]


def _tiles(host: ImageHost, run: Runtime, pixels: np.ndarray, rows: np.ndarray) -> list[str]:
    """Each picture next to itself with the evidence laid over, as data URLs."""
    from PIL import Image

    if not len(rows):
        return []
    chosen = np.stack([pixels[row] for row in rows])
    outputs = list(host.outputs(run, chosen))
    features = np.concatenate([part[FEATURES] for part in outputs])
    logits = np.concatenate([part[LOGITS] for part in outputs])
    tiles = []
    for one, maps, values in zip(chosen, features, logits, strict=True):
        parts = [picture(one, SIDE)]
        if host.head is not None:
            parts.append(cam.overlay(one, host.evidence(maps, values)[0], SIDE))
        tile = Image.new("RGB", (sum(part.width for part in parts), parts[0].height))
        for number, part in enumerate(parts):
            tile.paste(part, (number * parts[0].width, 0))
        tiles.append(data_url(tile, "JPEG"))
    return tiles


def _caption(host: ImageHost) -> str:
    if host.head is None:
        return ""
    said = f"As the model sees them, and the {host.method}. "
    return f"{said}Red is evidence {host.evidence_of}, blue against it."
