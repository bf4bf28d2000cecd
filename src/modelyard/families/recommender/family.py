"""Building: a network of users and items, and what it leaves for the host."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from modelyard.families.recommender.batches import batches, replayed
from modelyard.families.recommender.config import RecommenderConfig
from modelyard.families.recommender.data import RecommenderData
from modelyard.families.recommender.evaluate import evaluate
from modelyard.families.recommender.host import RecommenderHost
from modelyard.families.recommender.model import Net, build, describe, graphs, item_vectors
from modelyard.family import Family, Split
from modelyard.judging.evaluation import Evaluation
from modelyard.runtimes.types import Graph, Runtime
from modelyard.store.artifact import write_json
from modelyard.training.batches import Batches
from modelyard.training.loop import load_weights

if TYPE_CHECKING:
    from modelyard.training.loop import Trainer

Batch = dict[str, torch.Tensor]


class Recommender(RecommenderData, Family[RecommenderConfig]):
    """From a log of interactions to a served ranking of the catalogue."""

    def model(self, assets: Path) -> Net:
        """The untrained network."""
        return build(self.config.model, assets)

    def batches(self, features: Path, split: Split, epoch: int) -> Batches:
        """Interactions with negatives, or for multitask what was shown."""
        return batches(self.config, features, split, epoch)

    def loss(self, model: torch.nn.Module, batch: Batch) -> torch.Tensor:
        """The network's own loss."""
        assert isinstance(model, Net)
        return model.loss(batch)

    def replayed(self, memory: Batch, features: Path, epoch: int) -> Batch:
        """Exemplars with freshly drawn negatives."""
        return replayed(self.config, memory, features, epoch)

    def fit(self, features: Path, out: Path, trainer: Trainer) -> dict[str, Any]:
        """The shared loop; then `assets/model.json` and `assets/item_vectors.npy` for the host."""
        report = trainer.fit(self, features, out)
        write_json(out / "assets" / "model.json", describe(self.config.model))
        np.save(out / "assets" / "item_vectors.npy", item_vectors(self._trained(out)))
        return report | {"headline": f"{self.config.model.kind}, {report['headline']}"}

    def graphs(self, model: Path) -> list[Graph]:
        """`personal`: `user` (batch,) and `history`: `items` (batch, length), to logits (batch,
        items)."""
        return graphs(self._trained(model))

    def evaluate(
        self, host: RecommenderHost, run: Runtime, features: Path, split: Split = "test"
    ) -> Evaluation:
        """Ranks the whole catalogue for each judged user."""
        return evaluate(host, run, features, split)

    def _trained(self, model: Path) -> Any:
        return load_weights(self.model(model / "assets"), model)
