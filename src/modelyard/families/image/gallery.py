"""Pictures for the card: the worst errors, and where the evidence lies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from modelyard.families.image import cam
from modelyard.families.image.host import FEATURES
from modelyard.judging.evaluation import Picture, Plot
from modelyard.kit.classes.judged import Judged
from modelyard.kit.pictures.drawing import data_url, picture

if TYPE_CHECKING:
    from modelyard.families.image.host import ImageHost
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
    certainty = np.where(
        labels < len(classes), p[np.arange(len(y)), np.minimum(labels, len(classes) - 1)], 0
    )
    worst = wrong[np.argsort(-certainty[wrong], kind="stable")][:MOST_ERRORS]
    right = _one_of_each(np.flatnonzero(labels == y), y)
    names = [*classes, "another"]
    rows = [
        f"{names[y[row]]}, answered {names[labels[row]]} ({certainty[row]:.2f})" for row in worst
    ]
    fine = [f"{names[y[row]]} ({certainty[row]:.2f})" for row in right]
    tiles = _tiles(host, run, pixels, np.r_[worst, right])
    plots = []
    for title, captions, shown in (
        ("Worst errors", rows, tiles[: len(worst)]),
        ("Right answers", fine, tiles[len(worst) :]),
    ):
        if captions:
            pictures = [
                Picture(caption=text, url=tile) for text, tile in zip(captions, shown, strict=True)
            ]
            plots.append(
                Plot(kind="pictures", title=title, pictures=pictures, caption=_caption(host))
            )
    return plots


def _one_of_each(rows: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Rows of as many classes as there are, in turn."""
    turn = np.zeros(len(rows), dtype=np.int64)
    for index in np.unique(y[rows]):
        chosen = y[rows] == index
        turn[chosen] = np.arange(chosen.sum())
    return rows[np.lexsort((y[rows], turn))][:MOST_RIGHT]


def _tiles(host: ImageHost, run: Runtime, pixels: np.ndarray, rows: np.ndarray) -> list[str]:
    """Each picture next to itself with the evidence laid over, as data URLs."""
    from PIL import Image

    chosen = np.stack([pixels[row] for row in rows])
    features = np.concatenate([outputs[FEATURES] for outputs in host.outputs(run, chosen)])
    found = host.decision.labels(host.probabilities(run, chosen))
    tiles = []
    for one, maps, index in zip(chosen, features, found.tolist(), strict=True):
        parts = [picture(one, SIDE)]
        if host.head is not None:
            parts.append(cam.overlay(one, host.evidence(maps, index)[0], SIDE))
        tile = Image.new("RGB", (sum(part.width for part in parts), parts[0].height))
        for number, part in enumerate(parts):
            tile.paste(part, (number * parts[0].width, 0))
        tiles.append(data_url(tile, "JPEG"))
    return tiles


def _caption(host: ImageHost) -> str:
    if host.head is None:
        return ""
    of = f"for {host.spec.classes[1]}" if len(host.spec.classes) == 2 else "for the answer"
    return f"As the model sees them, and the {host.method}. Red is evidence {of}, blue against it."
