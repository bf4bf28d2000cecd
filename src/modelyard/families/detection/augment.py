"""The boxes of training pictures that are changed at random."""

from __future__ import annotations

import numpy as np
import torch

from modelyard.kit.pictures.changes import Changes

LEAST_LEFT = 0.3
"""Share of an object that must be left in the picture; of less nothing is learnt."""


def changed(
    changes: Changes, pixels: torch.Tensor, objects: torch.Tensor, rows: np.ndarray
) -> tuple[torch.Tensor, torch.Tensor]:
    """The pictures numbered `rows`, and their objects, moved, resized, mirrored and lit.

    Args:
        pixels: float32 (batch, 3, size, size); objects: (batch, most, 6).
    """
    scale, shift = changes.scale[rows], changes.shift[rows]
    return changes.pictures(pixels, rows), moved_boxes(objects, pixels.shape[-1], scale, shift)


def moved_boxes(
    objects: torch.Tensor, side: int, scale: torch.Tensor, shift: torch.Tensor
) -> torch.Tensor:
    """Objects (batch, most, 6) after places p, from -1 to 1 over the picture, went to p * scale +
    shift; those of which too little is left become ignored ones."""
    corners = objects[..., 1:5].reshape(*objects.shape[:2], 2, 2) / side * 2 - 1
    corners = corners * scale[:, None, None] + shift[:, None, None]
    corners = (corners + 1) / 2 * side
    whole = torch.cat([corners.amin(2), corners.amax(2)], -1)
    inside = whole.clamp(0, side)
    # A row without an object has no area, and none of it is left.
    left = _area(inside) / _area(whole).clamp(min=1e-6)
    ignored = torch.maximum(objects[..., 5], (left < LEAST_LEFT).float())
    return torch.cat([objects[..., :1], inside, ignored[..., None]], -1)


def _area(boxes: torch.Tensor) -> torch.Tensor:
    return (boxes[..., 2:] - boxes[..., :2]).clamp(min=0).prod(-1)
