"""Simple answers that a network is held against."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np

from modelyard.kit.arrays import load_beside
from modelyard.kit.boxes.precision import Objects
from modelyard.kit.classifier import store
from modelyard.kit.pictures.square import sizes_of

PRIOR, NEAREST = "prior boxes", "boxes of the most similar training picture"
STEPS = 8
"""Cells along a side that tell places and sizes of boxes apart."""
MOST_PRIOR = 30
SIDE = 16
"""Pixels of the small copies by which pictures are compared."""
MOST_COMPARED = 5_000
"""Training pictures among which the most similar one is looked for."""


def load_objects(features: Path, split: str) -> Objects:
    """The true objects of a split."""
    table = load_beside(features, split, "objects")
    return Objects.of(table[:, 0], table[:, 1], table[:, 2:6], ignored=table[:, 6] > 0)


def load_sizes(features: Path, split: str) -> np.ndarray:
    """Width and height of each picture of a split, (pictures, 2)."""
    return np.array(sizes_of(features, split))


def prior_boxes(features: Path, split: str) -> Objects:
    """The same for every picture: the classes and places that are the most frequent in training,
    as sure as they are frequent."""
    train, sizes = load_objects(features, "train"), load_sizes(features, "train")
    seen = train.rows(~train.ignored)
    shares = seen.boxes / np.tile(sizes[seen.picture], 2)
    centre, extent = (shares[:, :2] + shares[:, 2:]) / 2, shares[:, 2:] - shares[:, :2]
    cells = np.column_stack([seen.label, np.floor(centre * STEPS), np.round(extent * STEPS)])
    rows_by_cell: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for row, cell in enumerate(cells.astype(int).tolist()):
        rows_by_cell[tuple(cell)].append(row)
    common = sorted(rows_by_cell, key=lambda cell: -len(rows_by_cell[cell]))[:MOST_PRIOR]
    # Each stands at the mean of the boxes that fell into its cell.
    boxes = np.array([shares[rows_by_cell[cell]].mean(axis=0) for cell in common])
    scores = np.array([len(rows_by_cell[cell]) for cell in common]) / len(sizes)
    labels = [label for label, *_ in common]
    targets = load_sizes(features, split)
    count = len(targets)
    return Objects.of(
        np.repeat(np.arange(count), len(common)),
        np.tile(labels, count),
        (boxes[None] * np.tile(targets, 2)[:, None]).reshape(-1, 4),
        np.tile(np.minimum(scores, 1.0), count),
    )


def nearest_boxes(features: Path, split: str) -> Objects:
    """Of each picture those boxes that the most similar training picture has: what a fixed camera
    needs no network for."""
    train = load_objects(features, "train")
    known = _small(store.load_arrays(features, "train")[:MOST_COMPARED])
    asked = _small(store.load_arrays(features, split))
    before, after = load_sizes(features, "train"), load_sizes(features, split)
    places: list[int] = []
    rows: list[np.ndarray] = []
    scores: list[float] = []
    for place, one in enumerate(asked):
        distances = np.square(known - one).mean(axis=1)
        best = int(np.argmin(distances))
        own = np.flatnonzero((train.picture == best) & ~train.ignored)
        places += [place] * len(own)
        rows.append(own)
        # Only the order of scores counts: boxes of nearer pictures come first.
        scores += [1 / (1 + float(distances[best]))] * len(own)
    # An empty array first: where no picture has a box, there is nothing else to concatenate.
    chosen = np.concatenate([np.zeros(0, np.int64), *rows])
    scale = np.tile(after[places] / before[train.picture[chosen]], 2)
    return Objects.of(places, train.label[chosen], train.boxes[chosen] * scale, scores)


def _small(pixels: np.ndarray) -> np.ndarray:
    """Gray copies of SIDE x SIDE pixels, (n, SIDE * SIDE)."""
    side = pixels.shape[-1]
    edges = np.linspace(0, side, SIDE, endpoint=False).astype(int)
    found = []
    for start in range(0, len(pixels), 64):
        gray = pixels[start : start + 64].mean(axis=1)
        sums = np.add.reduceat(np.add.reduceat(gray, edges, axis=1), edges, axis=2)
        found.append(sums.reshape(len(gray), -1) / (side / SIDE) ** 2)
    return np.concatenate(found)
