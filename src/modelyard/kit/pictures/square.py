"""What a picture becomes that is padded to a square."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydantic import Field

from modelyard.kit.arrays import load_beside, save_beside
from modelyard.kit.assets import Asset
from modelyard.kit.classifier.store import load_arrays, load_files
from modelyard.kit.pictures.pixels import Limits, open_picture, to_array
from modelyard.kit.pictures.settings import SquareFeatures

Size = tuple[int, int]
"""Width and height."""
SMALLEST, LARGEST, STEP = 96, 320, 32
"""Sides in pixels that are chosen from where no setting says one."""


class SquareSpec(Asset):
    """Fitted on the training split."""

    size: int
    """Side in pixels."""
    limits: Limits
    classes: list[str] = Field(min_length=1)
    """In the order of the network's outputs."""
    counts: list[int]
    """How much of each class training has, that of earlier models that the run went on from
    included."""
    mean: list[float] = [0.0] * 3
    """By channel, of pixels 0 to 255."""
    std: list[float] = [1.0] * 3

    def decode(self, data: bytes) -> tuple[np.ndarray, Size]:
        """A file's bytes to what the model sees, uint8 (3, size, size), and the picture's own
        width and height.

        Raises:
            BadData: not a picture within the limits.
        """
        picture = open_picture(data, self.limits)
        return to_array(picture, self.size, 3, "pad"), picture.size

    def seen(self, features: Path, split: str) -> tuple[np.ndarray, list[Size]]:
        """What the model sees of the pictures of a split, and their widths and heights.

        The stored pixels, where the features were made by the same rules; else the files, decoded.
        """
        arrays, sizes = load_arrays(features, split), sizes_of(features, split)
        # A model that continues another one keeps that one's side, whatever the features were made with.
        if arrays.shape[-1] == self.size:
            return arrays, sizes
        files = load_files(features, split)
        return np.stack([self.decode(data)[0] for _, data in files]), sizes

    def numbered_in(self, classes: Sequence[str], unknown: int) -> np.ndarray:
        """The number that each of the classes has among another model's or data set's `classes`,
        int64 (classes,); `unknown` where it is none of them."""
        known = {name: number for number, name in enumerate(classes)}
        return np.array([known.get(name, unknown) for name in self.classes], np.int64)

    def frequent(self, most: int) -> list[str]:
        """The classes that training has most of, at most so many."""
        order = np.argsort(-np.array(self.counts), kind="stable")[:most]
        return [self.classes[place] for place in order]


def limits_of(settings: SquareFeatures) -> Limits:
    """What the settings allow a picture to be at most."""
    most_bytes, most_pixels = settings.most_megabytes * 1e6, settings.most_megapixels * 1e6
    return Limits(bytes=round(most_bytes), pixels=round(most_pixels))


def save_sizes(features: Path, split: str, sizes: Sequence[Size]) -> None:
    """Writes widths and heights of a split's pictures."""
    save_beside(features, split, "sizes", np.array(sizes, np.int64))


def sizes_of(features: Path, split: str) -> list[Size]:
    """Widths and heights of a split's pictures."""
    sizes = load_beside(features, split, "sizes")
    return [(int(width), int(height)) for width, height in sizes]


def side_of(sizes: Sequence[Size]) -> int:
    """The side of the square for pictures of such sizes: the median longer side, rounded up."""
    median = float(np.median([max(size) for size in sizes]))
    return int(min(max(np.ceil(median / STEP) * STEP, SMALLEST), LARGEST))
