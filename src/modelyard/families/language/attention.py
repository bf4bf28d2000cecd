"""Attention to a window of a text, and to what every token sees: its first tokens, and a learnt
prefix.

Positions are those within the memory, as in StreamingLLM (Xiao et al. 2024, section 3.2): a global
token is as far from token t as the memory holds entries between them, min(t, cap) - j with
cap = global tokens + window - 1, and not t - j. No distance is then larger than in training, however
long the text grows. StreamingLLM turns the kept keys again for each token that is written; here the
query is turned back instead, so that many tokens can be read in one call, and training, which
reads whole rows, computes the same.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional
from transformers import AttentionInterface
from transformers.models.llama.modeling_llama import repeat_kv

from modelyard.families.language.decoder import REACH

ANCHORED = "modelyard_anchored"
"""This attention's name within transformers."""
STEP = 1024
"""Places of the finer table of angles."""

Angles = tuple[torch.Tensor, torch.Tensor]
"""Cosines and sines, (rows, tokens, head width) each."""


class Rotary(nn.Module):
    """Rotary positions (Su et al. 2021) from tables, by the addition theorem: exact at every one of
    REACH places. Position times frequency in float32 is off by a thousandth at 32,000, and half
    precision has no whole numbers above 2,048."""

    near_cos: torch.Tensor
    near_sin: torch.Tensor
    far_cos: torch.Tensor
    far_sin: torch.Tensor

    def __init__(self, given: Any) -> None:
        """`given`: what transformers made for the architecture."""
        super().__init__()
        self.attention_scaling = float(given.attention_scaling)
        frequencies = given.inv_freq.double()
        for name, places in (
            ("near", torch.arange(STEP)),
            ("far", torch.arange(REACH // STEP) * STEP),
        ):
            angles = torch.outer(places.double(), frequencies)
            # Not saved: they follow from the architecture, and float64 keeps their last digits.
            self.register_buffer(f"{name}_cos", angles.cos().float(), persistent=False)
            self.register_buffer(f"{name}_sin", angles.sin().float(), persistent=False)

    def angles(self, positions: torch.Tensor) -> Angles:
        """Of places (rows, tokens), int64."""
        far, near = positions // STEP, positions % STEP
        near_cos, near_sin = self.near_cos[near], self.near_sin[near]
        far_cos, far_sin = self.far_cos[far], self.far_sin[far]
        # cos(a + b) and sin(a + b), so that two small tables give every place.
        cos = far_cos * near_cos - far_sin * near_sin
        sin = far_sin * near_cos + far_cos * near_sin
        # transformers turns the first half of a head's numbers with the second one.
        return torch.cat([cos, cos], dim=-1), torch.cat([sin, sin], dim=-1)

    def forward(self, x: torch.Tensor, position_ids: torch.Tensor) -> Angles:
        """As transformers asks for them, in the type of `x`."""
        cos, sin = self.angles(position_ids)
        scaling = self.attention_scaling
        return (cos * scaling).to(x.dtype), (sin * scaling).to(x.dtype)


def turned_back(vectors: torch.Tensor, angles: Angles) -> torch.Tensor:
    """Queries or keys (rows, heads, tokens, head width) as they would be so many places earlier."""
    cos, sin = (part[:, None].to(vectors.dtype) for part in angles)
    first, second = vectors.chunk(2, dim=-1)
    return vectors * cos - torch.cat([-second, first], dim=-1) * sin


def anchored(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor,
    dropout: float = 0.0,
    scaling: float | None = None,
    *,
    anchors: torch.Tensor,
    back: Angles,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Attention in which the keys that `anchors` marks, bool (rows, keys), meet each query turned
    by the angles `back`, and all others the query as it is.

    One product does both: the query stands twice in each row, and a key in the half that is meant
    for it.
    """
    groups = query.shape[1] // key.shape[1]
    # Several heads of the query share one of the keys (grouped queries).
    key, value = repeat_kv(key, groups), repeat_kv(value, groups)
    marked = anchors[:, None, :, None]
    # The half that is not meant for a key adds 0 to its product.
    none = torch.zeros_like(key)
    halves = [torch.where(marked, none, key), torch.where(marked, key, none)]
    out = functional.scaled_dot_product_attention(
        torch.cat([query, turned_back(query, back)], dim=-1),
        torch.cat(halves, dim=-1),
        value,
        attn_mask=attention_mask,
        dropout_p=dropout,
        scale=scaling,
    )
    return out.transpose(1, 2).contiguous(), None


AttentionInterface.register(ANCHORED, anchored)
