"""Random changes of training pictures, and of their boxes with them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.functional import affine_grid, grid_sample

from modelyard.families.detection.config import DetectionTraining

LEAST_LEFT = 0.3
"""Share of an object that must be left in the picture; of less nothing is learnt."""
Pair = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class Changes:
    """What happens to each picture of an epoch, drawn beforehand: whichever batch it is in."""

    mirror: torch.Tensor
    """-1 for an axis that is mirrored, else 1, (pictures, 2)."""
    zoom: torch.Tensor
    """How much larger, (pictures, 1)."""
    shift: torch.Tensor
    """Right and down, (pictures, 2); a side is 2 long, as in affine_grid."""
    light: torch.Tensor
    """Factors of contrast and brightness, (pictures, 2)."""

    @classmethod
    def draw(cls, count: int, settings: DetectionTraining, generator: torch.Generator) -> Changes:
        """Changes of `count` pictures."""

        def spread(columns: int, most: float) -> torch.Tensor:
            return (torch.rand(count, columns, generator=generator) * 2 - 1) * most

        mirror = torch.ones(count, 2)
        for axis in range({"none": 0, "horizontal": 1, "both": 2}[settings.flip]):
            mirror[:, axis] -= 2 * (torch.rand(count, generator=generator) < 0.5)
        zoom = 1 + spread(1, settings.zoom)
        return cls(mirror, zoom, 2 * spread(2, settings.shift), 1 + spread(2, settings.light))

    def __call__(self, pixels: torch.Tensor, objects: torch.Tensor, rows: np.ndarray) -> Pair:
        """The pictures numbered `rows`, and their objects, moved, resized, mirrored and lit.

        What comes in from outside is black, as the padding is.

        Args:
            pixels: float32 (batch, 3, size, size); objects: (batch, most, 6).
        """
        mirror, zoom, shift = self.mirror[rows], self.zoom[rows], self.shift[rows]
        # A place p of the picture comes to p * mirror * zoom + shift; the sampler asks for the way
        # back.
        back = mirror / zoom
        matrix = torch.zeros(len(rows), 2, 3)
        matrix[:, 0, 0], matrix[:, 1, 1] = back[:, 0], back[:, 1]
        matrix[:, :, 2] = -shift * back
        where = affine_grid(matrix, list(pixels.shape), align_corners=False)
        moved = grid_sample(pixels, where, align_corners=False)
        contrast, brightness = self.light[rows].T[..., None, None, None]
        middle = moved.mean((1, 2, 3), keepdim=True)
        lit = ((moved - middle) * contrast + middle * brightness).clamp(0, 255)
        return lit, moved_boxes(objects, pixels.shape[-1], mirror * zoom, shift)


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
    left = _area(inside) / _area(whole).clamp(min=1e-6)
    ignored = torch.maximum(objects[..., 5], (left < LEAST_LEFT).float())
    return torch.cat([objects[..., :1], inside, ignored[..., None]], -1)


def _area(boxes: torch.Tensor) -> torch.Tensor:
    return (boxes[..., 2:] - boxes[..., :2]).clamp(min=0).prod(-1)
