"""Several tasks on one body: click, conversion after a click, and seconds spent after a click."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from modelyard.families.recommender.catalog import Catalog
from modelyard.families.recommender.config import RecommenderModel
from modelyard.families.recommender.model import Joint, Net, perceptron
from modelyard.families.recommender.networks import (
    Batch,
    columns_of,
    described,
    dot,
    energy,
    example_profiles,
    forgotten,
    seen,
)
from modelyard.runtimes.types import Graph

TASKS = ("shown", "click", "conversion", "dwell")


class Towers(Net):
    """A tower for each task over a shared bottom (Caruana 1997) or a mixture of experts (Ma et al.
    2018: MMoE).

    Inputs are the embeddings of user, item and the item's category, the user's activity and the
    item's popularity in training; to each tower's output comes a weighted product of the embeddings
    of user and item, which layers alone learn poorly (Rendle et al. 2020). A fourth tower tells
    what is shown from what is drawn at random, so that the whole catalogue can be ranked while the
    chance of a click stays that of a shown item (after the entire space of Ma et al. 2018, ESMM).
    """

    def __init__(self, catalog: Catalog, settings: RecommenderModel) -> None:
        super().__init__(catalog)
        self.size, self.penalty = settings.dimensions, settings.penalty
        if settings.bottom == "mmoe":
            self.experts = settings.experts
        else:
            self.experts = 1
        names = {name: number for number, name in enumerate(catalog.categories, 1)}
        kinds = [names.get(item.category or "", 0) for item in catalog.items]
        self.user = nn.Parameter(torch.randn(len(catalog.users), self.size) * 0.1)
        self.item = nn.Parameter(torch.randn(len(catalog.items), self.size) * 0.1)
        self.category = nn.Parameter(torch.randn(len(names) + 1, self.size) * 0.1)
        self.kinds = nn.Buffer(torch.tensor(kinds), persistent=False)
        self.activity = nn.Buffer(_standardized(catalog.lengths), persistent=False)
        self.popularity = nn.Buffer(_standardized(catalog.popularity), persistent=False)
        self.user_side = catalog.user_side
        self.seen = nn.Buffer(seen(catalog), persistent=False)
        self.item_columns = columns_of(catalog.item_side, self.size)
        self.user_columns = columns_of(catalog.user_side, self.size)
        widths = settings.hidden[-2:]
        width = self.experts * widths[0]
        self.bottom = Joint(self.size + 1, self.size + 1, width)
        self.product = nn.Parameter(torch.ones(len(TASKS), self.size))
        self.gates = nn.ModuleDict(
            {task: Joint(self.size + 1, self.size + 1, self.experts) for task in TASKS}
        )
        self.towers = nn.ModuleDict({task: _tower(widths) for task in TASKS})

    def vectors(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Embedding and activity of users; embedding (own and category's) and popularity of
        items."""
        item = described(self.item, self.item_columns, self.seen, self.training)
        item = item + self.category[self.kinds]
        popularity: torch.Tensor = self.popularity
        if self.item_columns is not None:
            # Of an item that nobody had yet it is unknown, not low: the mean.
            popularity = popularity * self.seen
        return torch.cat([self._users(), self.activity], 1), torch.cat([item, popularity], 1)

    def _users(self) -> torch.Tensor:
        """Own embeddings; in training some are what their columns say instead, so that these have
        an answer for users whom training does not know. Added to the embeddings of known users,
        they fit single users by heart: ndcg_at_10 of the built-in data fell from .31 to .26."""
        if self.user_columns is None or not self.training:
            return self.user
        columns = self.user_columns(self.user_columns.values)
        return torch.where(forgotten(self.user), columns, self.user)

    def graphs(self) -> list[Graph]:
        """With `profile`, (batch, outputs), for users of whom the columns say all, where they have
        some."""
        found = super().graphs()
        if self.user_side is not None:
            example = {"profile": example_profiles(self.user_side)}
            found.append(Graph("profile", example, module=Stranger(self)))
        return found

    def heads(self, user: torch.Tensor, item: torch.Tensor) -> Batch:
        """`shown`, `click` and `conversion` as logits, `dwell` as log(1 + seconds)."""
        hidden = functional.relu(self.bottom(user, item))
        parts = hidden.reshape(*hidden.shape[:2], self.experts, hidden.shape[2] // self.experts)
        ours, theirs = user[:, : self.size], item[..., : self.size]
        found = {}
        for task, weight in zip(TASKS, self.product, strict=True):
            product = dot(ours * weight, theirs)
            found[task] = product + self._task(task, parts, user, item)
        return found

    def loss(self, batch: Batch) -> torch.Tensor:
        """Cross-entropy of shown, click, conversion and squared error of the log seconds, plus an
        L2 penalty.

        The last two count where there was a click, the click where the item was shown.
        """
        users, items = self.vectors()
        user = users[batch["user"]]
        item = items[torch.cat([batch["item"][:, None], batch["negative"]], 1)]
        heads = self.heads(user, item)
        shown, clicked = torch.zeros_like(heads["shown"]), batch["click"]
        # The first column was shown, the others were drawn.
        shown[:, 0] = 1
        entropy = functional.binary_cross_entropy_with_logits
        conversion = entropy(heads["conversion"][:, 0], batch["conversion"], reduction="none")
        # NaN times 0 is NaN, so what has no time gets one before it is left out.
        timed = ~torch.isnan(batch["dwell"])
        dwell = (heads["dwell"][:, 0] - batch["dwell"].nan_to_num()).square() * timed
        after = ((conversion + dwell) * batch["after"]).mean()
        before = entropy(heads["shown"], shown) + entropy(heads["click"][:, 0], clicked)
        return before + after + self.penalty * energy((user, item), len(user))

    def _task(
        self, task: str, parts: torch.Tensor, user: torch.Tensor, item: torch.Tensor
    ) -> torch.Tensor:
        gate = torch.softmax(self.gates[task](user, item), -1)
        score: torch.Tensor = self.towers[task]((parts * gate[..., None]).sum(-2))[..., 0]
        return score


class Stranger(nn.Module):
    """A user without interactions: `profile` float32 (batch, outputs) to logits (batch, items)."""

    def __init__(self, net: Towers) -> None:
        super().__init__()
        # Items do not change any more: their vectors are constants of the graph.
        self.net, self.items = net, nn.Buffer(net.vectors()[1].detach().clone())
        # Of the least active user that training knew.
        self.activity = nn.Buffer(net.activity.min().detach().clone())

    def forward(self, profile: torch.Tensor) -> Batch:
        assert self.net.user_columns is not None
        user = self.net.user_columns(profile)
        activity = torch.zeros_like(user[:, :1]) + self.activity
        return self.net.heads(torch.cat([user, activity], 1), self.items)


def _tower(hidden: tuple[int, ...]) -> nn.Sequential:
    return nn.Sequential(*perceptron(hidden), nn.Linear(hidden[-1], 1))


def _standardized(counts: np.ndarray) -> torch.Tensor:
    """log(1 + count) less its mean, over its deviation, (rows, 1)."""
    values = torch.log1p(torch.from_numpy(counts).float())
    # Everybody may have the same number.
    return ((values - values.mean()) / values.std().clamp(min=1e-6))[:, None]
