"""EASE: a linear model of which items go with which, fitted in one step (Steck 2019)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from modelyard.errors import BadData
from modelyard.families.recommender.catalog import Catalog
from modelyard.families.recommender.config import RecommenderConfig, RecommenderModel
from modelyard.families.recommender.data import load_split
from modelyard.families.recommender.evaluate import MAIN, histories, mean_gain, rank
from modelyard.families.recommender.networks import Batch, Network, example_histories
from modelyard.families.recommender.ranking import ranks, together
from modelyard.families.recommender.scoring import marked
from modelyard.runtimes.types import Graph
from modelyard.store.base import WEIGHTS

MOST_ITEMS = 6_000
"""A weight for each pair of items: 144 MB of them, and eight times as much while they are fitted."""
PENALTIES = (30.0, 100.0, 300.0, 1000.0)
"""What `model.regularization` is chosen from by the validation split: the best one grows with the
number of interactions."""


class EASE(Network):
    """What each item that a user had says of every other: a user's scores are the sum."""

    scorer: ClassVar[str] = "linear"
    weights: torch.Tensor
    """float32 (items, items), by the item that is had; none says anything of itself."""

    def __init__(self, catalog: Catalog, settings: RecommenderModel) -> None:
        super().__init__()
        items = len(catalog.items)
        self.weights = nn.Buffer(torch.zeros(items, items))

    def forward(self, had: torch.Tensor) -> Batch:
        """`had` float32 (batch, items), 1 for what a user had, to `score` (batch, items)."""
        return {"score": had @ self.weights}

    def graphs(self) -> list[Graph]:
        """`linear`: `had` to the scores of all items."""
        items = len(self.weights)
        had = marked(example_histories(items).tolist(), items)
        return [Graph("linear", {"had": had}, module=self)]


def fit(config: RecommenderConfig, features: Path, out: Path) -> dict[str, Any]:
    """Fits the weights and writes them to `out`; returns what the card tells.

    The weights are those of the ridge regression of each item on all others: -P / diag(P) with P
    the inverse of X'X + λ (section 3.1 of the paper), X the users and items of training.

    Raises:
        BadData: there are more items than pairs can be held of.
    """
    catalog = Catalog.load(features / "assets")
    items = len(catalog.items)
    if items > MOST_ITEMS:
        raise BadData(
            f"model.kind=ease holds a weight for each pair of items, of at most {MOST_ITEMS:,} items; "
            f"here are {items:,}",
            hint="Type: --set model.kind=lightgcn; or leave rare items out: --set features.core=5",
        )
    _, target = load_split(features, "validation")
    had = histories(features, "validation")
    counts = torch.from_numpy(together(catalog)).double()
    penalties: tuple[float, ...] = PENALTIES
    if config.model.regularization is not None:
        penalties = (config.model.regularization,)
    figures, best = {}, np.empty(0)
    for penalty in penalties:
        weights = _solved(counts, penalty)
        scores = (weights[past].sum(axis=0) for past in had)
        figures[penalty] = mean_gain(target, ranks(rank(scores, had), target))
        if figures[penalty] == max(figures.values()):
            chosen, best = penalty, weights
    save_file({"weights": torch.from_numpy(best)}, out / WEIGHTS)
    tried = ", ".join(f"{penalty:g}: {figure:.4f}" for penalty, figure in figures.items())
    return {
        "headline": f"{best.size:,} weights, regularization {chosen:g}",
        "parameters": best.size,
        "notes": [f"{MAIN} on the validation split by model.regularization: {tried}."],
    }


def _solved(counts: torch.Tensor, penalty: float) -> np.ndarray:
    """The weights, float32 (items, items)."""
    ridge = counts.clone()
    ridge.diagonal().add_(penalty)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(ridge))
    weights = (-inverse / inverse.diagonal()).float()
    weights.fill_diagonal_(0)
    return np.ascontiguousarray(weights.numpy())
