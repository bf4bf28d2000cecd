"""Attention over a user's history by the candidate item."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from modelyard.families.recommender.catalog import Catalog
from modelyard.families.recommender.config import RecommenderModel
from modelyard.families.recommender.model import perceptron
from modelyard.families.recommender.networks import (
    Batch,
    HistoryNetwork,
    dot,
    energy,
)
from modelyard.runtimes.types import Arrays, Graph


class DIN(HistoryNetwork):
    """Deep interest network (Zhou et al. 2018): each candidate weighs the history by itself.

    The weight of an item of the history is a small network's of that item, the candidate, their
    product and how long ago it was; weights are not normalized, so that many alike items count for
    more than one (section 4.3). Layers over the weighted sum and the candidate give the logit, to
    which a weighted product of both is added, which layers alone learn poorly (Rendle et al. 2020).

    The same embeddings retrieve the candidates: the product of an item with the mean of the
    history, trained next to the logit.
    """

    scorer: ClassVar[str] = "attention"

    def __init__(self, catalog: Catalog, settings: RecommenderModel) -> None:
        size, units = settings.dimensions, settings.units
        super().__init__(catalog, size)
        self.negatives, self.penalty = settings.drawn, settings.penalty
        self.bias = nn.Parameter(torch.zeros(len(catalog.items), 2))
        self.ago = nn.Parameter(torch.zeros(settings.length, units))
        self.past, self.candidate = nn.Linear(size, units), nn.Linear(size, units, bias=False)
        self.pair = nn.Parameter(torch.randn(units, size) / size**0.5)
        self.weigh = nn.Linear(units, 1)
        self.layers = nn.Sequential(
            *perceptron(((3 + 2 * (self.user_columns is not None)) * size, *settings.hidden[-2:])),
            nn.Linear(settings.hidden[-1], 1),
        )
        self.product = nn.Parameter(torch.ones(size))
        self.mean = nn.Linear(size, size, bias=False)
        # At first what is retrieved by is the plain mean.
        nn.init.eye_(self.mean.weight)

    def forward(
        self,
        items: torch.Tensor,
        candidates: torch.Tensor,
        vectors: torch.Tensor,
        user: torch.Tensor | None = None,
    ) -> Batch:
        """`items` int64 (batch, length), newest first, -1 where a list has ended, and `candidates`
        int64 (batch, candidates), with the items' `vectors` and what columns say of the `user`
        (batch, width), to `score` (batch, candidates) and `attention` (batch, candidates,
        length)."""
        past, there = _past(items, vectors)
        item = vectors[candidates]
        attention = self._attention(past, there, item)
        interest = torch.bmm(attention, past)
        parts = [interest, item, interest * item]
        product = (interest * self.product * item).sum(-1)
        if user is not None:
            parts += [user[:, None].expand_as(item), user[:, None] * item]
            product = product + dot(user, item)
        score = self.layers(torch.cat(parts, -1))[..., 0] + product
        return {"score": score + self.bias[candidates][..., 0], "attention": attention}

    def loss(self, batch: Batch) -> torch.Tensor:
        """Cross-entropy of the item against drawn ones, of the logit and of the retrieval."""
        candidates = torch.cat([batch["item"][:, None], batch["negative"]], 1)
        # Most histories are much shorter than the longest: no work on columns of padding only.
        longest = int((batch["items"] >= 0).sum(1).max())
        items = batch["items"][:, : max(1, longest)]
        vectors = self.vectors()
        user = self.known(batch)
        scores = (
            self(items, candidates, vectors, user)["score"],
            self._retrieved(items, candidates, vectors, user),
        )
        loss = torch.stack([self._entropy(score) for score in scores]).sum()
        if not self.training:
            return loss
        return loss + self.penalty * energy((vectors[candidates],), len(candidates))

    def graphs(self) -> list[Graph]:
        """`attention`: `items` (batch, length), `candidates` (batch, candidates), and `profile`
        (batch, outputs) where users have columns, to logits and weights."""
        last = len(self.item) - 1
        candidates = np.linspace(0, last, 35).astype(np.int64).reshape(5, 7).T.copy()
        example = self.example(candidates=candidates)
        varying = {"items": (1,), "candidates": (1,)}
        return [Graph("attention", example, module=Frozen(self), dynamic=varying)]

    def retrieval(self) -> Arrays:
        """`past` and `items` float32 (items, width) and `bias` float32 (items,): a candidate's
        score is `items` times the mean of the history's `past`, plus `bias`. Where users have
        columns, `profile` (outputs, width) times these, plus `nobody` (width,), is added to the
        mean."""
        with torch.inference_mode():
            vectors = self.vectors()
            found = {"past": self.mean(vectors), "items": vectors, "bias": self.bias[:, 1]}
            if self.user_columns is not None:
                mean, spread = self.user_columns.scale
                linear = self.user_columns.linear
                found["profile"] = linear.weight.T / spread[:, None]
                found["nobody"] = linear.bias - mean @ found["profile"]
        return {name: values.detach().cpu().numpy() for name, values in found.items()}

    def _attention(
        self, past: torch.Tensor, there: torch.Tensor, item: torch.Tensor
    ) -> torch.Tensor:
        """Weights (batch, candidates, length)."""
        batch, length, _ = past.shape
        # A product of three, w_u · (past * item), as one matrix product: (batch, candidates *
        # units, size) with (batch, size, length).
        weighted = (item[:, :, None] * self.pair).flatten(1, 2)
        pair = torch.bmm(weighted, past.transpose(1, 2))
        pair = pair.reshape(batch, item.shape[1], len(self.pair), length).transpose(2, 3)
        hidden = pair + (self.past(past) + self.ago[:length])[:, None]
        hidden = functional.leaky_relu(hidden + self.candidate(item)[:, :, None], 0.1)
        weights: torch.Tensor = self.weigh(hidden)[..., 0] * there.transpose(1, 2)
        return weights

    def _retrieved(
        self,
        items: torch.Tensor,
        candidates: torch.Tensor,
        vectors: torch.Tensor,
        user: torch.Tensor | None,
    ) -> torch.Tensor:
        past, there = _past(items, vectors)
        mean: torch.Tensor = self.mean(past.sum(1) / there.sum(1).clamp(min=1))
        if user is not None:
            mean = mean + user
        return dot(mean, vectors[candidates]) + self.bias[candidates][..., 1]

    def _entropy(self, score: torch.Tensor) -> torch.Tensor:
        """The first column is the wanted item, the others are not; they count as if `negatives`
        were drawn."""
        # softplus(-s) is -log sigmoid(s), which does not overflow.
        wanted = functional.softplus(-score[:, 0]).mean()
        unwanted = functional.softplus(score[:, 1:]).mean()
        return (wanted + self.negatives * unwanted) / (1 + self.negatives)


class Frozen(nn.Module):
    """A trained net with the items' vectors as constants."""

    def __init__(self, net: DIN) -> None:
        super().__init__()
        self.net, self.vectors = net, nn.Buffer(net.vectors().detach().clone())

    def forward(
        self, items: torch.Tensor, candidates: torch.Tensor, profile: torch.Tensor | None = None
    ) -> Batch:
        user = self.net.of_profile(profile)
        found: Batch = self.net(items, candidates, self.vectors, user)
        return found


def _past(items: torch.Tensor, vectors: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Vectors of a history, zero where it has ended, and where it has not, (batch, length, 1)."""
    there = (items >= 0)[..., None].float()
    return vectors[items.clamp(min=0)] * there, there
