"""What networks learn: cross entropy and Dice, without the pixels that are ignored."""

from __future__ import annotations

import torch
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, one_hot

from modelyard.families.segmentation.spec import IGNORED

SMOOTH = 1.0
"""Pixels added above and below in Dice: a class of few pixels gives no wild gradients."""


def pixel_loss(logits: torch.Tensor, labels: torch.Tensor, dice: float) -> torch.Tensor:
    """The loss of each picture, (batch,): the mean cross entropy of its pixels, and `dice` times
    what its classes lack of a soft Dice of 1 (Milletari et al. 2016, section 3; the plain sum in
    the denominator), the mean over classes that it has. 0 where all pixels are ignored.

    Args:
        logits: (batch, classes, height, width); labels: int64 (batch, height, width).
    """
    logits = logits.float()
    counted = labels != IGNORED
    several = counted.sum((1, 2)).clamp(min=1)
    entropy = cross_entropy(logits, labels, ignore_index=IGNORED, reduction="none").sum((1, 2))
    loss = entropy / several
    if dice == 0:
        return loss
    # `one_hot` knows no IGNORED: such pixels are taken for class 0 here and left out below.
    true = one_hot(torch.where(counted, labels, 0), logits.shape[1]).movedim(3, 1)
    true = true * counted[:, None]
    shares = logits.softmax(1) * counted[:, None]
    both = (shares * true).sum((2, 3))
    whole = shares.sum((2, 3)) + true.sum((2, 3))
    lacking = 1 - (2 * both + SMOOTH) / (whole + SMOOTH)
    present = true.sum((2, 3)) > 0
    return loss + dice * (lacking * present).sum(1) / present.sum(1).clamp(min=1)


def object_loss(logits: torch.Tensor, targets: torch.Tensor, dice: float) -> torch.Tensor:
    """The loss of each object, (objects,): cross entropy, half of it that of the object's own
    pixels, however few they are, and `dice` times what it lacks of a soft Dice of 1. Where all
    pixels counted alike, a fresh network would first learn that there is nothing anywhere.

    Args:
        logits: (objects, height, width); targets: int64 of the same shape: 1 in the object, 0
            outside, IGNORED.
    """
    logits = logits.float()
    inside, outside = targets == 1, targets == 0
    entropy = binary_cross_entropy_with_logits(logits, inside.float(), reduction="none")
    loss = (_mean_over(entropy, inside) + _mean_over(entropy, outside)) / 2
    shares = logits.sigmoid() * (inside | outside)
    both = (shares * inside).sum((1, 2))
    whole = shares.sum((1, 2)) + inside.sum((1, 2))
    lacking = (1 - (2 * both + SMOOTH) / (whole + SMOOTH)) * inside.any(2).any(1)
    found: torch.Tensor = loss + dice * lacking
    return found


def _mean_over(values: torch.Tensor, part: torch.Tensor) -> torch.Tensor:
    """The mean of the pixels that `part` marks, (objects,); 0 of none."""
    mean: torch.Tensor = (values * part).sum((1, 2)) / part.sum((1, 2)).clamp(min=1)
    return mean
