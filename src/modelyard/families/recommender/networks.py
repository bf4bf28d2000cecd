"""What every network of the family is, whatever its kind."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from modelyard.families.recommender.catalog import Catalog
from modelyard.families.recommender.profiles import Side
from modelyard.runtimes.types import Arrays, Graph

Batch = dict[str, torch.Tensor]

FORGOTTEN = 0.1
"""Share of users and items whose columns, or own embeddings, are left out of a step of training."""


class Network(nn.Module):
    """A model that ranks items for a user."""

    scorer: ClassVar[str] = "catalogue"
    """Which class of scoring.py ranks by its graphs."""

    def loss(self, batch: Batch) -> torch.Tensor:
        """Mean loss of a batch, a scalar; of what the shared loop trains."""
        raise TypeError(f"{type(self).__name__} is not trained in steps")

    def weight(self, batch: Batch) -> float | torch.Tensor:
        """Over how many terms `loss` is a mean: the examples."""
        return len(batch["user"])

    @abstractmethod
    def graphs(self) -> list[Graph]:
        """The trained network as graphs. The examples hold several users, and lists of unequal
        length."""

    def likeness(self) -> torch.Tensor | None:
        """The items' vectors whose cosines tell how alike items are, (items, width); None, where
        the scorer itself says what an item adds."""
        return None

    def retrieval(self) -> Arrays:
        """Arrays that the scorer needs besides the graphs; none, where the graphs score all."""
        return {}


class Columns(nn.Module):
    """What columns say of users or items, as vectors: standardized, one linear layer. Of a category
    this is an embedding each."""

    def __init__(self, side: Side, size: int) -> None:
        super().__init__()
        self.values = nn.Buffer(torch.from_numpy(side.values), persistent=False)
        self.scale = nn.Buffer(torch.from_numpy(side.scale), persistent=False)
        self.missing = nn.Buffer(torch.from_numpy(side.missing), persistent=False)
        self.linear = nn.Linear(side.values.shape[1], size)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """`values` float32 (rows, outputs) to (rows, size)."""
        vectors: torch.Tensor = self.linear((values - self.scale[0]) / self.scale[1])
        return vectors

    def of(self, rows: torch.Tensor) -> torch.Tensor:
        """Vectors of users or items (rows,) of the training data, (rows, size). In training some
        are as if nothing were known of them, so that this has an answer too."""
        values = self.values[rows]
        if self.training:
            values = torch.where(forgotten(values), self.missing, values)
        vectors: torch.Tensor = self(values)
        return vectors


class HistoryNetwork(Network):
    """A model that reads what a user had: an embedding of each item, and what columns say of items
    and users."""

    def __init__(self, catalog: Catalog, size: int) -> None:
        super().__init__()
        self.user_side = catalog.user_side
        self.item = nn.Parameter(torch.randn(len(catalog.items), size) * 0.1)
        self.seen = nn.Buffer(seen(catalog), persistent=False)
        self.item_columns = columns_of(catalog.item_side, size)
        self.user_columns = columns_of(catalog.user_side, size)

    def vectors(self) -> torch.Tensor:
        """Of all items, (items, width)."""
        return described(self.item, self.item_columns, self.seen, self.training)

    def likeness(self) -> torch.Tensor:
        """The items' vectors."""
        return self.vectors()

    def known(self, batch: Batch) -> torch.Tensor | None:
        """What columns say of a batch's users, (batch, width); None where they have none."""
        if self.user_columns is not None:
            return self.user_columns.of(batch["user"])
        return None

    def of_profile(self, profile: torch.Tensor | None) -> torch.Tensor | None:
        """The same of users by their `profile`, float32 (batch, outputs)."""
        if self.user_columns is None:
            return None
        vectors: torch.Tensor = self.user_columns(profile)
        return vectors

    def example(self, **more: np.ndarray) -> Arrays:
        """A graph's `items`, (batch, length), and `more`; and `profile`, (batch, outputs), where
        users have columns."""
        example = {"items": example_histories(len(self.item)), **more}
        if self.user_side is not None:
            example["profile"] = example_profiles(self.user_side)
        return example


def columns_of(side: Side | None, size: int) -> Columns | None:
    """Vectors of columns, where there are any."""
    if side is not None:
        return Columns(side, size)
    return None


def seen(catalog: Catalog) -> torch.Tensor:
    """1 for items with a training interaction, float32 (items, 1)."""
    return torch.from_numpy((catalog.popularity > 0).astype(np.float32))[:, None]


def described(
    own: torch.Tensor, columns: Columns | None, seen: torch.Tensor, training: bool
) -> torch.Tensor:
    """All embeddings (rows, size) with what columns say of them added.

    One that was never `seen` (rows, 1) in training is what its columns say; in training some others
    are too (DropoutNet: Volkovs et al. 2017), so that this becomes enough.
    """
    if columns is None:
        return own
    if training:
        seen = seen * ~forgotten(own)
    vectors: torch.Tensor = own * seen + columns(columns.values)
    return vectors


def forgotten(rows: torch.Tensor) -> torch.Tensor:
    """Which rows are left out of one step, bool (rows, 1)."""
    return torch.rand(len(rows), 1, device=rows.device) < FORGOTTEN


def item_vectors(net: Network) -> np.ndarray | None:
    """The items' vectors scaled to length 1, float32 (items, width); None, where there are none."""
    with torch.inference_mode():
        vectors = net.likeness()
        if vectors is None:
            return None
        return np.asarray(functional.normalize(vectors, dim=1).cpu().numpy())


def example_profiles(side: Side) -> np.ndarray:
    """Seven rows of columns, the last of nobody, float32 (7, outputs)."""
    rows = np.linspace(0, len(side.values) - 1, 6).astype(np.int64)
    return np.concatenate([side.values[rows], side.missing[None]])


def example_histories(items: int) -> np.ndarray:
    """Seven histories of one to three items, padded with -1, int64 (7, 3)."""
    history = np.linspace(0, items - 1, 21).astype(np.int64).reshape(7, 3)
    # Graphs are traced with them: padding and lengths of one to three must not become constants.
    history[1::2, 2] = -1
    history[2, 1:] = -1
    return history


def dot(user: torch.Tensor, item: torch.Tensor) -> torch.Tensor:
    """(batch, width) with (items, width) or (batch, items, width) to (batch, items)."""
    if item.ndim == 2:
        return user @ item.T
    # Each user has items of its own to be ranked.
    return torch.bmm(item, user[:, :, None])[..., 0]


def energy(embeddings: tuple[torch.Tensor, ...], rows: int | torch.Tensor) -> torch.Tensor:
    """Half the squared length of a batch's embeddings, for each of its rows."""
    return torch.stack([part.square().sum() for part in embeddings]).sum() / (2 * rows)
