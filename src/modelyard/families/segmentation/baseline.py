"""Simple answers that a network is held against: fitted on the training split, in its square."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from modelyard.families.segmentation.spec import (
    IGNORED,
    SegmentationSpec,
    answered,
    resized,
)
from modelyard.kit.classifier import store
from modelyard.kit.pictures.pixels import placed
from modelyard.kit.pictures.square import sizes_of

PRIOR, FREQUENT, COLOUR = "mean mask", "most frequent class", "class by colour"
LEVELS = 16
"""Steps of each channel by which colours are told apart."""
Answers = Iterator[np.ndarray]
"""Classes of each picture of a split, uint8 (height, width)."""


def mean_mask(features: Path, split: str) -> Answers:
    """The same for every picture: at each place the class that it has most often in training."""
    spec, masks = _training(features)
    counts = np.zeros((len(spec.classes), spec.size, spec.size), np.int64)
    for label in range(len(spec.classes)):
        counts[label] = (masks == label).sum(axis=0)
    # A place that no training picture reaches has the class that is the most frequent of all.
    counts[int(np.argmax(spec.counts))] += counts.sum(axis=0) == 0
    square = counts.argmax(axis=0).astype(np.uint8)
    return (out_of_square(square, size, spec.size) for size in sizes_of(features, split))


def frequent_class(features: Path, split: str) -> Answers:
    """The class of most training pixels, everywhere."""
    label = int(np.argmax(_training(features)[0].counts))
    for width, height in sizes_of(features, split):
        size = answered((width, height))
        yield np.full((size[1], size[0]), label, np.uint8)


def class_by_colour(features: Path, split: str) -> Answers:
    """Of each pixel the class that its colour has most often in training."""
    spec, masks = _training(features)
    counts = np.zeros((len(spec.classes), LEVELS**3), np.int64)
    for pixels, labels in zip(store.load_arrays(features, "train"), masks, strict=True):
        codes = codes_of(pixels)
        for label in range(len(spec.classes)):
            counts[label] += np.bincount(codes[labels == label], minlength=LEVELS**3)
    counts[int(np.argmax(spec.counts))] += counts.sum(axis=0) == 0
    table = counts.argmax(axis=0).astype(np.uint8)
    arrays = store.load_arrays(features, split)
    for pixels, size in zip(arrays, sizes_of(features, split), strict=True):
        yield out_of_square(table[codes_of(pixels)], size, spec.size)


SIMPLE: dict[str, Callable[[Path, str], Answers]] = {
    PRIOR: mean_mask,
    FREQUENT: frequent_class,
    COLOUR: class_by_colour,
}


def _training(features: Path) -> tuple[SegmentationSpec, np.ndarray]:
    spec = SegmentationSpec.load(Path(features) / "assets")
    masks = store.load_arrays(features, "train.masks")
    assert (masks != IGNORED).any(), "features without a labelled pixel are refused"
    return spec, masks


def codes_of(pixels: np.ndarray) -> np.ndarray:
    """Colours uint8 (3, size, size) as numbers (size, size)."""
    steps = pixels.astype(np.int64) * LEVELS // 256
    codes: np.ndarray = (steps[0] * LEVELS + steps[1]) * LEVELS + steps[2]
    return codes


def out_of_square(
    labels: np.ndarray, size: tuple[int, int], side: int, most: int | None = None
) -> np.ndarray:
    """The part of a square that a picture of `size` takes, in the size of its mask, as `answered` has
    it."""
    place = placed(size, side)
    inside = labels[place.top : place.top + place.height, place.left : place.left + place.width]
    return resized(np.ascontiguousarray(inside), answered(size, most))
