"""Random shifts, turns and mirrors of training pictures."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.functional import affine_grid, grid_sample

from modelyard.families.image.config import ImageTraining


@dataclass(frozen=True)
class Changes:
    """What happens to each picture of an epoch, drawn beforehand: whichever batch it is in."""

    settings: ImageTraining
    angle: torch.Tensor
    """Radians, (pictures,)."""
    shift: torch.Tensor
    """Right and down, (pictures, 2); a side is 2 long, as in affine_grid."""
    mirror: torch.Tensor
    """-1 for an axis that is mirrored, else 1, (pictures, 2)."""

    @classmethod
    def draw(cls, count: int, settings: ImageTraining, generator: torch.Generator) -> Changes:
        """Changes of `count` pictures."""
        angle = (torch.rand(count, generator=generator) * 2 - 1) * math.radians(settings.rotate)
        shift = (torch.rand(count, 2, generator=generator) * 2 - 1) * 2 * settings.shift
        mirror = torch.ones(count, 2)
        for axis in range({"none": 0, "horizontal": 1, "both": 2}[settings.flip]):
            mirror[:, axis] -= 2 * (torch.rand(count, generator=generator) < 0.5)
        return cls(settings, angle, shift, mirror)

    def __call__(self, pixels: torch.Tensor, rows: np.ndarray) -> torch.Tensor:
        """float32 (batch, channels, size, size), the pictures numbered `rows`, moved, turned and
        mirrored.

        What comes in from outside repeats the border.
        """
        angle, shift, mirror = self.angle[rows], self.shift[rows], self.mirror[rows]
        if not self.settings.rotate and not self.settings.shift:
            if self.settings.flip != "none":
                return _mirrored(pixels, mirror)
            return pixels
        cos, sin = angle.cos(), angle.sin()
        turn = torch.stack([cos, -sin, sin, cos], dim=1).reshape(len(rows), 2, 2)
        matrix = torch.cat([turn * mirror[:, None], shift[:, :, None]], dim=2)
        grid = affine_grid(matrix, list(pixels.shape), align_corners=False)
        return grid_sample(
            pixels, grid, mode="bilinear", padding_mode="border", align_corners=False
        )


def _mirrored(pixels: torch.Tensor, mirror: torch.Tensor) -> torch.Tensor:
    """Without interpolation."""
    for axis in range(2):
        chosen = (mirror[:, axis] < 0)[:, None, None, None]
        pixels = torch.where(chosen, pixels.flip(3 - axis), pixels)
    return pixels
