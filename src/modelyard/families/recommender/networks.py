"""What every network of the family is, whatever its kind."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from modelyard.runtimes.types import Arrays, Graph

Batch = dict[str, torch.Tensor]


class Network(nn.Module):
    """A model that ranks items for a user."""

    scorer: ClassVar[str] = "catalogue"
    """Which class of scoring.py ranks by its graphs."""

    @abstractmethod
    def loss(self, batch: Batch) -> torch.Tensor:
        """Mean loss of a batch, a scalar."""

    def weight(self, batch: Batch) -> float | torch.Tensor:
        """Over how many terms `loss` is a mean: the examples."""
        return len(batch["user"])

    @abstractmethod
    def graphs(self) -> list[Graph]:
        """The trained network as graphs. The examples hold several users, and lists of unequal
        length."""

    @abstractmethod
    def likeness(self) -> torch.Tensor:
        """The items' vectors whose cosines tell how alike items are, (items, width)."""

    def retrieval(self) -> Arrays:
        """Arrays that the scorer needs besides the graphs; none, where the graphs score all."""
        return {}


def item_vectors(net: Network) -> np.ndarray:
    """The items' vectors scaled to length 1, float32 (items, width)."""
    with torch.inference_mode():
        return np.asarray(functional.normalize(net.likeness(), dim=1).cpu().numpy())


def example_histories(items: int) -> np.ndarray:
    """Seven histories of one to three items, padded with -1, int64 (7, 3)."""
    history = np.linspace(0, items - 1, 21).astype(np.int64).reshape(7, 3)
    history[1::2, 2] = -1
    history[2, 1:] = -1
    return history


def dot(user: torch.Tensor, item: torch.Tensor) -> torch.Tensor:
    """(batch, width) with (items, width) or (batch, items, width) to (batch, items)."""
    if item.ndim == 2:
        return user @ item.T
    return torch.bmm(item, user[:, :, None])[..., 0]


def energy(embeddings: tuple[torch.Tensor, ...], rows: int | torch.Tensor) -> torch.Tensor:
    """Half the squared length of a batch's embeddings, for each of its rows."""
    return torch.stack([part.square().sum() for part in embeddings]).sum() / (2 * rows)
