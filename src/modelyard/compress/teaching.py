"""What a student learns of its teacher's answers."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn import functional

from modelyard.errors import UsageError

Batch = dict[str, torch.Tensor]
Teacher = Callable[[Batch], Batch]
"""The teacher's answers to a training batch, by name, axis 0 the examples."""

PREFIX = "teacher_"
"""Of the names that the teacher's answers have in a batch."""
LOGITS, MAPS = f"{PREFIX}logits", f"{PREFIX}maps"


def soft_targets(logits: torch.Tensor, teacher: torch.Tensor, temperature: float) -> torch.Tensor:
    """Mean Kullback-Leibler divergence of the student's answers from the teacher's, times the
    temperature squared, so that its gradient is as large as that of the labels (Hinton et al. 2015,
    section 2).

    Args:
        logits, teacher: (examples, classes).
    """
    student = functional.log_softmax(logits / temperature, dim=-1)
    target = functional.log_softmax(teacher / temperature, dim=-1)
    gap = functional.kl_div(student, target, reduction="batchmean", log_target=True)
    return gap * temperature**2


def attention_gap(maps: torch.Tensor | None, teacher: torch.Tensor) -> torch.Tensor:
    """Mean squared difference between normalized attention maps: the mean over channels of the
    squares (Zagoruyko & Komodakis 2017, section 3.1). The channels may differ in number.

    Args:
        maps, teacher: (examples, channels, rows, columns). None: the network gives no maps.

    Raises:
        UsageError: they have not the same rows and columns.
    """
    seen = None if maps is None else tuple(maps.shape[2:])
    if maps is None or seen != tuple(teacher.shape[2:]):
        raise UsageError(
            f"compress.feature_weight: the teacher's maps have {tuple(teacher.shape[2:])} rows and columns, this "
            f"network's {seen}. Type: --set compress.feature_weight=0"
        )
    return (_attention(maps) - _attention(teacher)).square().sum(dim=1).mean()


def _attention(maps: torch.Tensor) -> torch.Tensor:
    energy = maps.square().mean(dim=1).flatten(1)
    return functional.normalize(energy, dim=1)
