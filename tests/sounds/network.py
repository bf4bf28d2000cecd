"""The network: two convolutions over the spectrogram, their mean over it, one linear layer."""

from __future__ import annotations

import torch
from torch import nn

from tests.sounds.spec import SoundsSpec


class SoundsNet(nn.Module):
    """Spectrograms float32 (batch, 1, frequencies, frames) to `logits` (batch, classes)."""

    def __init__(self, width: int, spec: SoundsSpec) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(spec.mean))
        self.register_buffer("std", torch.tensor(spec.std))
        self.maps = nn.Sequential(
            nn.Conv2d(1, width, 3, stride=2, padding=1),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, 2 * width, 3, stride=2, padding=1),
            nn.BatchNorm2d(2 * width),
            nn.ReLU(),
        )
        self.head = nn.Linear(2 * width, len(spec.classes))

    def forward(self, spectrogram: torch.Tensor) -> dict[str, torch.Tensor]:
        """Spectrograms as they are: they are scaled inside."""
        scaled = (spectrogram - self.get_buffer("mean")) / self.get_buffer("std")
        return {"logits": self.head(self.maps(scaled).mean((2, 3)))}
