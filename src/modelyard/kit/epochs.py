"""What is random in an epoch: the same for the same seed and epoch, on every machine."""

from __future__ import annotations

import torch

APART = 100_003
"""Between the numbers of two seeds: more than there are epochs."""


def epoch_draws(seed: int, epoch: int) -> torch.Generator:
    """What orders and changes the training examples of an epoch."""
    return torch.Generator().manual_seed(seed * APART + epoch)


def replay_draws(seed: int, epoch: int) -> torch.Generator:
    """What changes the exemplars that an epoch shows again: other numbers than those of new
    examples."""
    return torch.Generator().manual_seed((seed + 1) * APART - epoch)
