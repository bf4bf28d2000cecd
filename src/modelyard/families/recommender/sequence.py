"""A causal transformer over the ordered history that says what comes next."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional

from modelyard.families.recommender.catalog import Catalog
from modelyard.families.recommender.config import RecommenderModel
from modelyard.families.recommender.networks import (
    Batch,
    HistoryNetwork,
    energy,
)
from modelyard.runtimes.types import Arrays, Graph


class SASRec(HistoryNetwork):
    """Self-attention over what a user had, in its order (Kang and McAuley 2018: SASRec).

    A start token and the items, each with the embedding of its place, go through causal blocks; the
    last output is the user's taste, whose dot products with the items' embeddings are the scores.
    Each place learns to say the next item by a softmax over it and `negatives` drawn ones, which
    ranks better than one negative and cross-entropy (Klenitskiy and Vasilev 2023).
    """

    scorer: ClassVar[str] = "sequence"

    def __init__(self, catalog: Catalog, settings: RecommenderModel) -> None:
        size = settings.dimensions
        super().__init__(catalog, size)
        self.penalty = settings.penalty
        self.start = nn.Parameter(torch.randn(size) * 0.1)
        self.place = nn.Parameter(torch.randn(settings.length + 1, size) * 0.1)
        self.dropout = nn.Dropout(settings.dropout)
        self.blocks = nn.ModuleList()
        for _ in range(settings.blocks):
            self.blocks.append(Block(size, settings.heads, settings.dropout))
        self.last = nn.LayerNorm(size)

    def forward(
        self, items: torch.Tensor, vectors: torch.Tensor, user: torch.Tensor | None = None
    ) -> torch.Tensor:
        """`items` int64 (batch, length), oldest first, -1 where a list has ended, with the items'
        `vectors` and what columns say of the `user` (batch, width), to the taste before the first
        item and after each, (batch, length + 1, width)."""
        known = vectors[items.clamp(min=0)]
        start = self.start.expand(items.shape[0], 1, -1)
        if user is not None:
            start = start + user[:, None]
        hidden = torch.cat([start, known], 1) + self.place[: items.shape[1] + 1]
        hidden = self.dropout(hidden)
        for block in self.blocks:
            hidden = block(hidden)
        tastes: torch.Tensor = self.last(hidden)
        return tastes

    def loss(self, batch: Batch) -> torch.Tensor:
        """Cross-entropy of the next item against drawn ones, over the places that count."""
        target, counted = batch["target"], batch["counted"]
        vectors = self.vectors()
        user = self.known(batch)
        tastes = self(target[:, :-1], vectors, user)
        wanted, others = vectors[target.clamp(min=0)], vectors[batch["negative"]]
        # All places of a window share its drawn items.
        right = (tastes * wanted).sum(-1, keepdim=True)
        wrong = tastes @ others.transpose(1, 2)
        missed = torch.logsumexp(torch.cat([right, wrong], -1), -1) - right[..., 0]
        count = self.weight(batch).clamp(min=1)
        loss: torch.Tensor = (missed * counted).sum() / count
        if not self.training or not self.penalty:
            return loss
        return loss + self.penalty * energy((wanted * counted[..., None], others), count)

    def weight(self, batch: Batch) -> torch.Tensor:
        """The places that count."""
        return batch["counted"].sum()

    def graphs(self) -> list[Graph]:
        """`taste`: `items` (batch, length), and `profile` (batch, outputs) where users have
        columns, to `taste` (batch, width)."""
        return [Graph("taste", self.example(), module=Taste(self), dynamic={"items": (1,)})]

    def retrieval(self) -> Arrays:
        """`items` float32 (items, width): what a taste is multiplied with."""
        return {"items": self.vectors().detach().cpu().numpy()}


class Block(nn.Module):
    """Causal self-attention and two layers, each normalized first and added."""

    def __init__(self, size: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.first, self.second = nn.LayerNorm(size), nn.LayerNorm(size)
        self.joint, self.out = nn.Linear(size, 3 * size), nn.Linear(size, size)
        self.layers = nn.Sequential(
            nn.Linear(size, 2 * size), nn.GELU(), nn.Dropout(dropout), nn.Linear(2 * size, size)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """(batch, places, width) to the same; a place sees itself and those before it."""
        hidden = hidden + self.dropout(self._attended(self.first(hidden)))
        changed: torch.Tensor = hidden + self.dropout(self.layers(self.second(hidden)))
        return changed

    def _attended(self, hidden: torch.Tensor) -> torch.Tensor:
        batch, places, size = hidden.shape
        shape = (batch, places, self.heads, size // self.heads)
        query, key, value = self.joint(hidden).chunk(3, -1)
        # Heads in front of places: (batch, heads, places, width of a head).
        query = query.reshape(shape).transpose(1, 2)
        key = key.reshape(shape).transpose(1, 2)
        value = value.reshape(shape).transpose(1, 2)
        # Lists are padded behind their end, where no place that counts looks.
        mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        joined: torch.Tensor = self.out(mixed.transpose(1, 2).reshape(batch, places, size))
        return joined


class Taste(nn.Module):
    """The taste after the last item of each list."""

    def __init__(self, net: SASRec) -> None:
        super().__init__()
        self.net, self.vectors = net, nn.Buffer(net.vectors().detach().clone())

    def forward(self, items: torch.Tensor, profile: torch.Tensor | None = None) -> Batch:
        """`items` int64 (batch, length) to `taste` (batch, width)."""
        tastes = self.net(items, self.vectors, self.net.of_profile(profile))
        last = (items >= 0).sum(1)[:, None, None].expand(-1, 1, tastes.shape[2])
        return {"taste": tastes.gather(1, last)[:, 0]}
