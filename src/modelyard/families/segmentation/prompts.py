"""Objects of masks, and prompts that mean them: for training and judging; needs scipy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from modelyard.families.segmentation.prompt_host import BoxEdges, filled
from modelyard.families.segmentation.spec import IGNORED

LEAST = 1 / 400
"""Share of a mask's pixels that an object has at least."""
OFF = 0.1
"""Share of a box's sides by which its edges are off in training: as people draw them."""


@dataclass(frozen=True)
class ObjectMask:
    """An object: pixels of one class that touch."""

    mask: np.ndarray
    """bool (height, width)."""
    point: tuple[float, float]
    """The middle of the pixel that is the farthest from its border: right and down."""
    box: BoxEdges
    """Its outer edges: left, top, right, bottom."""

    def filled_box(self) -> np.ndarray:
        """All pixels in the box, bool (height, width)."""
        left, top, right, bottom = (int(edge) for edge in self.box)
        found = np.zeros_like(self.mask)
        found[top:bottom, left:right] = True
        return found


def objects_in(labels: np.ndarray, skipped: int) -> list[ObjectMask]:
    """The objects of a mask, uint8 (height, width), the largest first; the class `skipped` is what
    lies between them."""
    found = []
    for label in np.unique(labels).tolist():
        if label in (skipped, IGNORED):
            continue
        numbers, count = ndimage.label(labels == label)
        sizes = np.bincount(numbers.ravel(), minlength=count + 1)
        places = ndimage.find_objects(numbers)
        for number in range(1, count + 1):
            if sizes[number] >= max(4, LEAST * labels.size):
                found.append(_object(numbers == number, places[number - 1]))
    return sorted(found, key=lambda one: -int(one.mask.sum()))


def _object(mask: np.ndarray, place: tuple[slice, slice]) -> ObjectMask:
    rows, columns = place
    # The edge of the picture is a border too.
    away = ndimage.distance_transform_edt(np.pad(mask[place], 1))[1:-1, 1:-1]
    down, right = np.unravel_index(int(away.argmax()), away.shape)
    point = (columns.start + right + 0.5, rows.start + down + 0.5)
    return ObjectMask(mask, point, (columns.start, rows.start, columns.stop, rows.stop))


def drawn(one: ObjectMask, r: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A prompt as training has it: a box that is a little off, or one to three points in it."""
    if r.random() < 0.5:
        left, top, right, bottom = one.box
        sides = np.array([right - left, bottom - top] * 2)
        edges = np.array(one.box) + r.uniform(-OFF, OFF, 4) * sides
        return filled([], tuple(edges.tolist()))
    places = np.argwhere(one.mask)
    chosen = places[r.integers(0, len(places), int(r.integers(1, 4)))]
    points = [(float(right) + 0.5, float(down) + 0.5, True) for down, right in chosen]
    if r.random() < 0.5:
        points[0] = (*one.point, True)
    return filled(points, None)


def disc(point: tuple[float, float], area: float, shape: tuple[int, int]) -> np.ndarray:
    """A disc of so many pixels around a point, bool (height, width)."""
    down, right = np.mgrid[: shape[0], : shape[1]] + 0.5
    away = np.square(right - point[0]) + np.square(down - point[1])
    found: np.ndarray = away * np.pi <= area
    return found
