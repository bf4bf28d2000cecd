"""What the dense network learns: which places belong to which object, and how far it is off."""

from __future__ import annotations

import torch
from torch.nn.functional import binary_cross_entropy_with_logits

SCALE = 5.0
"""Objects up to so many strides across belong to a grid; the coarsest takes all larger ones too."""
FOCUS = 2.0
"""How much less places count that are answered right already."""
BOX_WEIGHT = 2.0
CLASS, LEFT, RIGHT, IGNORED = 0, 1, 5, 5
"""Columns of an object: its class (-1: there is none), its edges, whether it is ignored."""


def dense_loss(
    logits: torch.Tensor, offsets: torch.Tensor, objects: torch.Tensor, places: torch.Tensor
) -> torch.Tensor:
    """The loss of each picture, (batch,).

    Scores learn how well the place's box overlaps its object (quality focal loss: Li et al. 2020,
    equation 2), boxes the generalized overlap (Rezatofighi et al. 2019).

    Args:
        logits: (batch, places, classes); offsets: (batch, places, 4); objects: (batch, most, 6).
        places: (places, 3), as `geometry.grid` gives them.
    """
    logits, offsets = logits.float(), offsets.float()
    # Rows without an object stand behind the others.
    most = int((objects[..., CLASS] >= 0).sum(1).max())
    objects = objects[:, : max(1, most)]
    owner, outside = assigned(objects, places)
    taken = owner >= 0
    own = torch.gather(objects, 1, owner.clamp(min=0)[..., None].expand(-1, -1, objects.shape[2]))
    boxes = decoded(offsets, places)
    overlap, general = overlaps(boxes, own[..., LEFT:RIGHT])
    target = torch.zeros_like(logits)
    # From a half on: by the overlap only, a fresh network, whose boxes are far off, would first
    # learn that there is nothing anywhere.
    quality = 0.5 + 0.5 * overlap.detach().clamp(0, 1)
    quality = torch.where(taken, quality, torch.zeros_like(overlap))
    target.scatter_(2, own[..., CLASS].long().clamp(min=0)[..., None], quality[..., None])
    focus = (target - logits.sigmoid()).abs() ** FOCUS
    scores = focus * binary_cross_entropy_with_logits(logits, target, reduction="none")
    score_loss = (scores.sum(2) * ~outside).sum(1)
    box_loss = ((1 - general) * taken).sum(1)
    return score_loss + BOX_WEIGHT * box_loss / 4


def assigned(objects: torch.Tensor, places: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Which object each place answers for, int64 (batch, places), -1 for none; and whether it lies
    in an ignored object and so learns nothing, bool (batch, places).

    An object belongs to the grid of its size, and there to the places around its middle: at least
    one, however small it is. Of several objects a place takes the smallest.
    """
    middle = places[None, :, None, :2]
    stride = places[None, :, None, 2]
    low, high = objects[:, None, :, LEFT : LEFT + 2], objects[:, None, :, LEFT + 2 : RIGHT]
    there = objects[:, None, :, CLASS] >= 0
    ignored = objects[:, None, :, IGNORED] > 0
    across = (high - low).clamp(min=0).prod(-1).sqrt()
    finest, coarsest = places[:, 2].min(), places[:, 2].max()
    # Strides double from grid to grid: the sizes of one begin where those of the finer one end.
    fits = (across < SCALE * stride) | (stride == coarsest)
    fits &= (across >= SCALE * stride / 2) | (stride == finest)
    away = (middle - (low + high) / 2).abs().amax(-1)
    mine = there & ~ignored & fits & (away <= stride)
    size = torch.where(mine, across, torch.inf)
    smallest, owner = size.min(2)
    owner = torch.where(smallest.isfinite(), owner, -1)
    inside = ((middle >= low) & (middle <= high)).all(-1)
    outside = (there & ignored & inside).any(2) & (owner < 0)
    return owner, outside


def decoded(offsets: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Boxes in pixels, as `geometry.on_grid` decodes them in serving."""
    stride = places[:, 2:]
    centre = places[:, :2] + offsets[..., :2] * stride
    half = offsets[..., 2:].exp() * stride / 2
    return torch.cat([centre - half, centre + half], -1)


def overlaps(one: torch.Tensor, other: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Intersection over union of boxes (…, 4) in pairs, and the generalized one: (…)."""
    shared = _area(torch.maximum(one[..., :2], other[..., :2]), torch.minimum(one, other)[..., 2:])
    around = _area(torch.minimum(one, other)[..., :2], torch.maximum(one, other)[..., 2:])
    union = _area(one[..., :2], one[..., 2:]) + _area(other[..., :2], other[..., 2:]) - shared
    overlap = shared / union.clamp(min=1e-6)
    return overlap, overlap - (around - union) / around.clamp(min=1e-6)


def _area(low: torch.Tensor, high: torch.Tensor) -> torch.Tensor:
    return (high - low).clamp(min=0).prod(-1)
