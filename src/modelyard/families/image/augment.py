"""Random shifts, turns and mirrors of training pictures."""

from __future__ import annotations

import math

import torch
from torch.nn.functional import affine_grid, grid_sample

from modelyard.families.image.config import ImageTraining


def augment(pixels: torch.Tensor, settings: ImageTraining, generator: torch.Generator) -> torch.Tensor:
    """Each picture of float32 (batch, channels, size, size) moved, turned and mirrored by its own draw.

    What comes in from outside repeats the border.
    """
    count = len(pixels)
    angle = (torch.rand(count, generator=generator) * 2 - 1) * math.radians(settings.rotate)
    # affine_grid's sides are 2 long.
    shift = (torch.rand(count, 2, generator=generator) * 2 - 1) * 2 * settings.shift
    mirror = torch.ones(count, 2)
    for axis in range({"none": 0, "horizontal": 1, "both": 2}[settings.flip]):
        mirror[:, axis] -= 2 * (torch.rand(count, generator=generator) < 0.5)
    if not settings.rotate and not settings.shift:
        return _mirrored(pixels, mirror) if settings.flip != "none" else pixels
    turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], dim=1).reshape(count, 2, 2)
    matrix = torch.cat([turn * mirror[:, None], shift[:, :, None]], dim=2)
    grid = affine_grid(matrix, list(pixels.shape), align_corners=False)
    return grid_sample(pixels, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _mirrored(pixels: torch.Tensor, mirror: torch.Tensor) -> torch.Tensor:
    """Without interpolation."""
    for axis in range(2):
        chosen = (mirror[:, axis] < 0)[:, None, None, None]
        pixels = torch.where(chosen, pixels.flip(3 - axis), pixels)
    return pixels
