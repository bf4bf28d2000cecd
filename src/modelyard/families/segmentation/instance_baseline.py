"""Simple answers that a network is held against which tells objects apart; fitted on the training
split, in its square."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from scipy import ndimage

from modelyard.families.segmentation.baseline import LEVELS, codes_of, out_of_square
from modelyard.families.segmentation.instance_host import MASK_PIXELS, Seen
from modelyard.families.segmentation.spec import IGNORED, SegmentationSpec
from modelyard.kit.boxes.precision import MOST_FOUND
from modelyard.kit.classifier import store
from modelyard.kit.pictures.square import sizes_of

COLOUR, PRIOR = "regions of a colour", "mean masks"
SMALL = 5
"""Percentile of the sizes of training's objects: smaller regions are no answers."""
HALF = 0.5
Objects = Iterator[list[Seen]]
"""Of each picture of a split."""


def regions_by_colour(features: Path, split: str) -> Objects:
    """Pixels that touch whose colour has a class most often in training, as sure as it has it
    there."""
    spec, classes, sizes = _training(features)
    counts = np.zeros((len(spec.classes) + 1, LEVELS**3), np.int64)
    for pixels, labels in zip(store.load_arrays(features, "train"), classes, strict=True):
        codes = codes_of(pixels)
        for label in range(len(counts)):
            counts[label] += np.bincount(codes[labels == label], minlength=LEVELS**3)
    # The last class is what lies between objects; a colour that training lacks is of it.
    counts[-1] += counts.sum(axis=0) == 0
    table = counts.argmax(axis=0).astype(np.uint8)
    sure = counts.max(axis=0) / counts.sum(axis=0)
    least = np.percentile(sizes, SMALL) if len(sizes) else 0
    arrays = store.load_arrays(features, split)
    for pixels, size in zip(arrays, sizes_of(features, split), strict=True):
        codes = codes_of(pixels)
        labels, shares = table[codes], sure[codes]
        found = []
        for label in range(len(spec.classes)):
            numbers, count = ndimage.label(labels == label)
            for number in range(1, count + 1):
                region = numbers == number
                if region.sum() >= least:
                    mask = out_of_square(region.astype(np.uint8), size, spec.size, MASK_PIXELS) > 0
                    found.append(Seen(label, float(shares[region].mean()), mask))
        found.sort(key=lambda one: -one.score)
        yield found[:MOST_FOUND]


def mean_masks(features: Path, split: str) -> Objects:
    """The same for every picture: of each class where it lies at least half as often as at its most
    frequent place, as sure as it is frequent there."""
    spec, classes, _ = _training(features)
    usual: list[tuple[int, float, np.ndarray]] = []
    for label in range(len(spec.classes)):
        share = (classes == label).mean(axis=0)
        most = float(share.max())
        if most > 0:
            usual.append((label, most, (share >= HALF * most).astype(np.uint8)))
    for size in sizes_of(features, split):
        found = []
        for label, most, often in usual:
            mask = out_of_square(often, size, spec.size, MASK_PIXELS) > 0
            if mask.any():
                found.append(Seen(label, most, mask))
        yield found


SIMPLE: dict[str, Callable[[Path, str], Objects]] = {COLOUR: regions_by_colour, PRIOR: mean_masks}


def _training(features: Path) -> tuple[SegmentationSpec, np.ndarray, np.ndarray]:
    """The spec, the class of each training pixel, uint8 (pictures, size, size), IGNORED where nothing
    is known and one more for what lies between objects, and the sizes of objects in pixels."""
    spec = SegmentationSpec.load(Path(features) / "assets")
    numbers = store.load_arrays(features, "train.masks")
    labels = store.load_labels(features, "train")
    between = len(spec.classes)
    found = np.empty(numbers.shape, np.uint8)
    sizes = []
    for place, (own, classes) in enumerate(zip(numbers, labels, strict=True)):
        # From the number of an object in its picture to its class.
        table = np.full(IGNORED + 1, IGNORED, np.uint8)
        table[0] = between
        table[1 : len(classes) + 1] = np.where(classes < 0, IGNORED, classes)
        found[place] = table[own]
        counts = np.bincount(own.ravel(), minlength=IGNORED + 1)[1:IGNORED]
        sizes.append(counts[counts > 0])
    return spec, found, np.concatenate(sizes)
