"""Arithmetic on boxes, for training and serving: numpy only.

Arrays of boxes are float (…, 4): left, top, right and bottom in pixels, where (0, 0) is the outer
corner of the first pixel.
"""

from __future__ import annotations

import numpy as np

from modelyard.kit.pictures.pixels import Placement, placed

TURNED = frozenset({5, 6, 7, 8})
"""Values of EXIF's orientation that swap width and height."""


def turned(boxes: np.ndarray, size: tuple[int, int], orientation: int) -> np.ndarray:
    """Boxes of a picture as it is stored, on the picture as EXIF's `orientation` shows it.

    Args:
        boxes: (n, 4) in pixels of the stored picture; size: its width and height.
    """
    width, height = size
    left, top, right, bottom = boxes.T
    # EXIF's tag 274: 2 to 4 mirror one side or both; 5 to 8 swap the sides, then mirror.
    if orientation in (2, 3):
        left, right = width - right, width - left
    if orientation in (3, 4):
        top, bottom = height - bottom, height - top
    if orientation in TURNED:
        left, top, right, bottom = top, left, bottom, right
        if orientation in (6, 7):  # the stored picture's last row is shown at the left
            left, right = height - right, height - left
        if orientation in (7, 8):
            top, bottom = width - bottom, width - top
    return np.stack([left, top, right, bottom], axis=1)


def into_square(boxes: np.ndarray, size: tuple[int, int], side: int) -> np.ndarray:
    """Boxes (n, 4) of a picture of `size`, width and height, in the square it is padded to."""
    scale, shift = _mapping(placed(size, side), size)
    found: np.ndarray = boxes * scale + shift
    return found


def out_of_square(boxes: np.ndarray, size: tuple[int, int], side: int) -> np.ndarray:
    """Boxes (n, 4) of the padded square in pixels of the picture, and no further than its edges."""
    scale, shift = _mapping(placed(size, side), size)
    return clipped((boxes - shift) / scale, size)


def _mapping(place: Placement, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    # By the rounded sides, as the pixels were resized: not by one ratio for both.
    scale = np.array([place.width / size[0], place.height / size[1]] * 2)
    return scale, np.array([place.left, place.top] * 2, np.float64)


def clipped(boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Boxes (n, 4) without what lies outside of a picture of `size`, width and height."""
    found: np.ndarray = np.clip(boxes, 0, np.array([*size, *size], np.float64))
    return found


def areas(boxes: np.ndarray) -> np.ndarray:
    """Pixels (…) of boxes (…, 4)."""
    found: np.ndarray = np.prod(np.maximum(boxes[..., 2:] - boxes[..., :2], 0), axis=-1)
    return found


def overlaps(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Intersection over union of each box of `one` (n, 4) with each of `other` (m, 4): (n, m)."""
    low = np.maximum(one[:, None, :2], other[None, :, :2])
    high = np.minimum(one[:, None, 2:], other[None, :, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=-1)
    union = areas(one)[:, None] + areas(other)[None] - shared
    # Two boxes without area overlap by 0, not by 0 / 0.
    found: np.ndarray = shared / np.maximum(union, 1e-12)
    return found


def suppressed(
    boxes: np.ndarray, scores: np.ndarray, labels: np.ndarray, most_overlap: float, most: int
) -> np.ndarray:
    """Non-maximum suppression within each label: which rows stay, best score first.

    A box goes where a better one of its label overlaps it by more than `most_overlap`; of equal
    scores the first stays.
    """
    order = np.argsort(-scores, kind="stable")
    kept: list[int] = []
    while len(order) and len(kept) < most:
        best, rest = order[0], order[1:]
        kept.append(int(best))
        same = labels[rest] == labels[best]
        near = overlaps(boxes[best : best + 1], boxes[rest])[0] > most_overlap
        order = rest[~(same & near)]
    return np.array(kept, np.int64)


def on_grid(offsets: np.ndarray, side: int, strides: list[int]) -> np.ndarray:
    """Boxes of a network that answers at each place of grids laid over a square of `side` pixels.

    Args:
        offsets: (…, places, 4): the centre's way from the place's middle, right and down, and the
            logarithms of width and height, all in strides; grids one after the other, row by row.
    """
    places = grid(side, strides)
    centre = places[:, :2] + offsets[..., :2] * places[:, 2:]
    half = np.exp(offsets[..., 2:]) * places[:, 2:] / 2
    return np.concatenate([centre - half, centre + half], axis=-1)


def grid(side: int, strides: list[int]) -> np.ndarray:
    """The middle of each place, right and down, and its stride, in pixels: float64 (places, 3)."""
    found = []
    for stride in strides:
        steps = (np.arange(side // stride) + 0.5) * stride
        down, right = np.meshgrid(steps, steps, indexing="ij")
        found.append(np.stack([right.ravel(), down.ravel(), np.full(right.size, stride)], axis=1))
    return np.concatenate(found)


def from_centres(boxes: np.ndarray, side: int) -> np.ndarray:
    """Boxes (…, 4) of centre, width and height as shares of a square of `side` pixels."""
    half = boxes[..., 2:] / 2
    return np.concatenate([boxes[..., :2] - half, boxes[..., :2] + half], axis=-1) * side
