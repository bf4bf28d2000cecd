"""Random changes of training pictures: mirrored, resized, moved, and lit otherwise; imports torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch.nn.functional import affine_grid, grid_sample

from modelyard.kit.pictures.settings import ChangesTraining


@dataclass(frozen=True)
class Changes:
    """What happens to each picture of an epoch, drawn beforehand: whichever batch it is in.

    A place p, from -1 to 1 over the picture, comes to p * scale + shift.
    """

    scale: torch.Tensor
    """How much larger; negative along an axis that is mirrored, (pictures, 2)."""
    shift: torch.Tensor
    """Right and down, (pictures, 2); a side is 2 long, as in affine_grid."""
    light: torch.Tensor
    """Factors of contrast and brightness, (pictures, 2)."""

    @classmethod
    def draw(cls, count: int, settings: ChangesTraining, generator: torch.Generator) -> Changes:
        """Changes of `count` pictures."""

        def spread(columns: int, most: float) -> torch.Tensor:
            return (torch.rand(count, columns, generator=generator) * 2 - 1) * most

        mirror = torch.ones(count, 2)
        for axis in range({"none": 0, "horizontal": 1, "both": 2}[settings.flip]):
            mirror[:, axis] -= 2 * (torch.rand(count, generator=generator) < 0.5)
        zoom = 1 + spread(1, settings.zoom)
        return cls(mirror * zoom, 2 * spread(2, settings.shift), 1 + spread(2, settings.light))

    def moved(
        self, maps: torch.Tensor, rows: np.ndarray, mode: Literal["bilinear", "nearest"]
    ) -> torch.Tensor:
        """Maps float32 (batch, channels, size, size) of the pictures numbered `rows`, moved, resized
        and mirrored. What comes in from outside is 0."""
        scale, shift = self.scale[rows], self.shift[rows]
        # The sampler asks for the way back.
        back = 1 / scale
        matrix = torch.zeros(len(rows), 2, 3)
        matrix[:, 0, 0], matrix[:, 1, 1] = back[:, 0], back[:, 1]
        matrix[:, :, 2] = -shift * back
        where = affine_grid(matrix, list(maps.shape), align_corners=False)
        found: torch.Tensor = grid_sample(maps, where, mode=mode, align_corners=False)
        return found

    def pictures(self, pixels: torch.Tensor, rows: np.ndarray) -> torch.Tensor:
        """The pictures numbered `rows`, float32 (batch, channels, size, size), moved and lit. What
        comes in from outside is black, as the padding is."""
        moved = self.moved(pixels, rows, "bilinear")
        contrast, brightness = self.light[rows].T[..., None, None, None]
        middle = moved.mean((1, 2, 3), keepdim=True)
        lit: torch.Tensor = (moved - middle) * contrast + middle * brightness
        return lit.clamp(0, 255)
