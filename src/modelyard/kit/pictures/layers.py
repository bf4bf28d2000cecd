"""Parts of convolutional networks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

NATURAL = {"mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375]}
"""Mean and deviation by channel of ImageNet's pixels, as most checkpoints were trained on them."""


class Standardizing(nn.Module):
    """A network that takes pixels 0 to 255 and standardizes them inside: as its plan says, like a
    checkpoint's, else by the training split."""

    def __init__(self, made: Mapping[str, Any], mean: list[float], std: list[float]) -> None:
        super().__init__()
        for name, own in (("mean", mean), ("std", std)):
            values = torch.tensor(made.get(name, own))
            self.register_buffer(name, values.reshape(1, -1, 1, 1))

    def scaled(self, pixels: torch.Tensor) -> torch.Tensor:
        """Pixels of mean 0 and deviation 1."""
        return (pixels - self.get_buffer("mean")) / self.get_buffer("std")


class Block(nn.Module):
    """Two 3 x 3 convolutions with a shortcut (He et al. 2016)."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.second = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.shortcut = nn.Conv2d(before, after, 1, stride, bias=False)
        self.norms = nn.ModuleList([nn.BatchNorm2d(after), nn.BatchNorm2d(after)])

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        inner = self.norms[0](self.first(maps)).relu()
        after: torch.Tensor = self.norms[1](self.second(inner)) + self.shortcut(maps)
        return after.relu()
