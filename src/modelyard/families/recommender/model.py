"""Networks of a vector for each user and each item.

LightGCN is written with one sparse product rather than torch-geometric's LGConv: the product is
three lines, and importing torch-geometric alone takes longer than the built-in training.
"""

from __future__ import annotations

import itertools
from abc import abstractmethod

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from modelyard.families.recommender.catalog import Catalog
from modelyard.families.recommender.config import RecommenderModel
from modelyard.families.recommender.networks import Batch, Network, dot, energy, example_histories
from modelyard.runtimes.types import Graph


class Net(Network):
    """A model that turns users and items into vectors and pairs of vectors into scores."""

    owners: torch.Tensor
    """Users and items of the training interactions, int64 (2, interactions)."""

    def __init__(self, catalog: Catalog) -> None:
        super().__init__()
        pairs = np.stack([catalog.history_users, catalog.history_items])
        self.owners = nn.Buffer(torch.from_numpy(pairs), persistent=False)

    @abstractmethod
    def vectors(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Of all users (users, width) and all items (items, width)."""

    @abstractmethod
    def heads(self, user: torch.Tensor, item: torch.Tensor) -> Batch:
        """Logits by name, (batch, items): `user` (batch, width), `item` (items, width) or
        (batch, items, width)."""

    def forward(self, user: torch.Tensor) -> Batch:
        """`user` int64 (batch,) to logits of all items, (batch, items)."""
        users, items = self.vectors()
        return self.heads(users[user], items)

    def graphs(self) -> list[Graph]:
        """`personal`: `user` (batch,) and `history`: `items` (batch, length), to logits (batch,
        items)."""
        users, items = (len(part) for part in self.vectors())
        user = np.linspace(0, users - 1, 7).astype(np.int64)
        history = example_histories(items)
        return [
            Graph("personal", {"user": user}, module=Personal(self)),
            Graph("history", {"items": history}, module=FoldIn(self), dynamic={"items": (1,)}),
        ]

    def likeness(self) -> torch.Tensor:
        """The items' vectors."""
        return self.vectors()[1]

    def profiles(self) -> torch.Tensor:
        """What having an item says of a person, (items, width): the mean vector of those who had
        it."""
        users, items = self.vectors()
        user, item = self.owners
        total = torch.zeros(len(items), users.shape[1], device=users.device)
        total = total.index_add(0, item, users[user])
        count = torch.bincount(item, minlength=len(items))[:, None]
        return torch.where(count > 0, total / count.clamp(min=1), users.mean(0))


class LightGCN(Net):
    """Light graph convolution (He et al. 2020): embeddings averaged over neighbourhoods of the
    bipartite graph.

    E(l+1) = D^-1/2 A D^-1/2 E(l), and the mean of E(0) … E(layers) is what scores by its dot
    product. Trained by Bayesian personalized ranking (Rendle et al. 2009) with an L2 penalty on the
    E(0) of the batch.
    """

    def __init__(self, catalog: Catalog, settings: RecommenderModel) -> None:
        super().__init__(catalog)
        self.users = len(catalog.users)
        self.layers, self.penalty = settings.layers, settings.penalty
        drawn = torch.randn(self.users + len(catalog.items), settings.dimensions) * 0.1
        # Two tensors, so that users and items can be appended to each.
        self.user = nn.Parameter(drawn[: self.users].clone())
        self.item = nn.Parameter(drawn[self.users :].clone())
        self.graph = nn.Buffer(_normalized(catalog), persistent=False)

    def vectors(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Layer means of all users and all items."""
        layer = total = torch.cat([self.user, self.item])
        for _ in range(self.layers):
            layer = torch.sparse.mm(self.graph, layer)
            total = total + layer
        mean = total / (self.layers + 1)
        return mean[: self.users], mean[self.users :]

    def heads(self, user: torch.Tensor, item: torch.Tensor) -> Batch:
        """Dot products, `score`."""
        return {"score": dot(user, item)}

    def profiles(self) -> torch.Tensor:
        """The items' own vectors: they live in the users' space."""
        return self.vectors()[1]

    def loss(self, batch: Batch) -> torch.Tensor:
        """-log sigmoid(positive - negative), plus the penalty when training."""
        users, items = self.vectors()
        user, positive = users[batch["user"]], items[batch["item"]]
        wanted = (user * positive).sum(-1, keepdim=True)
        if "unseen" in batch:
            return _mean_where(functional.softplus(dot(user, items) - wanted), batch["unseen"])
        ranking = functional.softplus(dot(user, items[batch["negative"]]) - wanted).mean()
        chosen = (self.user[batch["user"]], self.item[batch["item"]], self.item[batch["negative"]])
        return ranking + self.penalty * energy(chosen, len(batch["user"]))


class NeuMF(Net):
    """Neural matrix factorization (He et al. 2017, section 3.4): a generalized product beside a
    perceptron.

    Trained by cross-entropy against sampled negatives.
    """

    def __init__(self, catalog: Catalog, settings: RecommenderModel) -> None:
        super().__init__(catalog)
        self.size, self.penalty = settings.dimensions, settings.penalty
        self.negatives = settings.drawn
        self.user = nn.Parameter(torch.randn(len(catalog.users), 2 * self.size) * 0.1)
        self.item = nn.Parameter(torch.randn(len(catalog.items), 2 * self.size) * 0.1)
        self.first = Joint(self.size, self.size, settings.hidden[0])
        self.rest = perceptron(settings.hidden)
        self.product = nn.Linear(self.size, 1, bias=False)
        self.out = nn.Linear(settings.hidden[-1], 1)
        # It begins as matrix factorization: a plain dot product.
        nn.init.ones_(self.product.weight)

    def vectors(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Both embeddings of each, side by side."""
        return self.user, self.item

    def heads(self, user: torch.Tensor, item: torch.Tensor) -> Batch:
        """Logit of an interaction, `score`."""
        product = dot(user[:, : self.size] * self.product.weight, item[..., : self.size])
        joint = self.first(user[:, self.size :], item[..., self.size :])
        hidden = self.rest(functional.relu(joint))
        return {"score": product + self.out(hidden)[..., 0]}

    def loss(self, batch: Batch) -> torch.Tensor:
        """Cross-entropy, the positive against `negatives` others; on validation against all that
        are unseen."""
        user, positive = self.user[batch["user"]], self.item[batch["item"]]
        wanted = functional.softplus(-self.heads(user, positive[:, None])["score"]).mean()
        if "unseen" in batch:
            scores = self.heads(user, self.item)["score"]
            unwanted = _mean_where(functional.softplus(scores), batch["unseen"])
            return (wanted + self.negatives * unwanted) / (1 + self.negatives)
        negative = self.item[batch["negative"]]
        unwanted = functional.softplus(self.heads(user, negative)["score"]).mean()
        penalty = self.penalty * energy((user, positive, negative), len(user))
        return (wanted + self.negatives * unwanted) / (1 + self.negatives) + penalty


class Joint(nn.Module):
    """A linear layer over a user's and an item's vector side by side, each part computed once."""

    def __init__(self, user: int, item: int, out: int) -> None:
        super().__init__()
        self.user, self.item = nn.Linear(user, out), nn.Linear(item, out, bias=False)

    def forward(self, user: torch.Tensor, item: torch.Tensor) -> torch.Tensor:
        """`user` (batch, u), `item` (items, i) or (batch, items, i) to (batch, items, out)."""
        joint: torch.Tensor = self.user(user)[:, None] + self.item(item)
        return joint


def perceptron(widths: tuple[int, ...]) -> nn.Sequential:
    """Rectified linear layers from `widths[0]` to `widths[-1]`."""
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers)


class Personal(nn.Module):
    """A trained net with its vectors as constants: `user` int64 (batch,) to logits (batch,
    items)."""

    def __init__(self, net: Net) -> None:
        super().__init__()
        users, items = (part.detach().clone() for part in net.vectors())
        self.net, self.users, self.items = net, nn.Buffer(users), nn.Buffer(items)

    def forward(self, user: torch.Tensor) -> Batch:
        return self.net.heads(self.users[user], self.items)


class FoldIn(nn.Module):
    """A stranger as the mean of what their items say: `items` int64 (batch, length), -1 where a
    list has ended."""

    def __init__(self, net: Net) -> None:
        super().__init__()
        self.net, self.items = net, nn.Buffer(net.vectors()[1].detach().clone())
        self.profiles = nn.Buffer(net.profiles().detach().clone())

    def forward(self, items: torch.Tensor) -> Batch:
        there = (items >= 0)[..., None].float()
        total = (self.profiles[items.clamp(min=0)] * there).sum(1)
        return self.net.heads(total / there.sum(1).clamp(min=1), self.items)


def _mean_where(values: torch.Tensor, there: torch.Tensor) -> torch.Tensor:
    """Mean over rows of each row's mean over the places that are there."""
    return ((values * there).sum(1) / there.sum(1).clamp(min=1)).mean()


def _normalized(catalog: Catalog) -> torch.Tensor:
    """D^-1/2 A D^-1/2 of the training graph, users first, as a sparse matrix."""
    nodes = len(catalog.users) + len(catalog.items)
    user = torch.from_numpy(catalog.history_users)
    item = torch.from_numpy(catalog.history_items) + len(catalog.users)
    # Each interaction is an edge both ways.
    edges = torch.stack([torch.cat([user, item]), torch.cat([item, user])])
    degree = torch.bincount(edges[0], minlength=nodes).clamp(min=1).float()
    weight = degree[edges[0]].rsqrt() * degree[edges[1]].rsqrt()
    return torch.sparse_coo_tensor(edges, weight, (nodes, nodes), check_invariants=True).coalesce()
