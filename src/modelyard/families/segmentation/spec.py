"""What a picture must become, and what the classes are: `assets/segmentation.json`."""

from __future__ import annotations

import colorsys
from typing import ClassVar

import numpy as np
from pydantic import Field

from modelyard.kit.pictures.pixels import placed
from modelyard.kit.pictures.square import Size, SquareSpec

IGNORED = 255
"""Of a pixel that is neither learnt nor judged, in arrays of classes."""
MOST_CLASSES = 255
MOST_PIXELS = 4_000_000
"""Of an answered mask: those of larger pictures are smaller than their pictures."""
GOLDEN = 0.618034
"""Of the colour wheel: hues that follow each other in such steps stay far apart, however many."""


class SegmentationSpec(SquareSpec):
    """Fitted on the training split."""

    FILE: ClassVar[str] = "segmentation.json"

    classes: list[str] = Field(min_length=1, max_length=MOST_CLASSES)
    """In the order of the network's outputs."""

    def in_square(self, labels: np.ndarray) -> np.ndarray:
        """Classes uint8 (height, width) on the square that the model sees: uint8 (size, size),
        IGNORED in the padding."""
        square = np.full((self.size, self.size), IGNORED, np.uint8)
        height, width = labels.shape
        place = placed((width, height), self.size)
        rows = slice(place.top, place.top + place.height)
        columns = slice(place.left, place.left + place.width)
        square[rows, columns] = resized(labels, (place.width, place.height))
        return square


def answered(size: Size, most: int | None = None) -> Size:
    """Width and height of the mask of a picture of `size`: as large, up to `most` pixels, else
    MOST_PIXELS."""
    ratio = min(1.0, ((most or MOST_PIXELS) / (size[0] * size[1])) ** 0.5)
    return max(1, int(size[0] * ratio)), max(1, int(size[1] * ratio))


def resized(labels: np.ndarray, size: Size) -> np.ndarray:
    """Classes uint8 (height, width) in another size, each pixel that of the nearest one."""
    from PIL import Image

    if labels.shape == (size[1], size[0]):
        return labels
    # A number between two classes would be a third one.
    return np.asarray(Image.fromarray(labels).resize(size, Image.Resampling.NEAREST))


def palette(count: int) -> np.ndarray:
    """Colours of classes, uint8 (count, 3): the first one is dark, as background is."""
    colours = [(0.16, 0.16, 0.2)]
    for number in range(count - 1):
        light = (1.0, 0.75, 0.9)[number % 3]
        colours.append(colorsys.hsv_to_rgb(number * GOLDEN % 1, 0.75, light))
    found: np.ndarray = (np.array(colours[:count]) * 255).round().astype(np.uint8)
    return found
