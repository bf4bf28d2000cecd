"""Recommenders: who had what, to what they may like next."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from modelyard.artifact import write_json
from modelyard.base import base_of
from modelyard.evaluation import Evaluation
from modelyard.families.recommender.config import (
    RecommenderConfig,
    RecommenderFeatures,
    RecommenderModel,
    RecommenderTraining,
)
from modelyard.families.recommender.search import SEARCH
from modelyard.family import Family, Graph, Host, Runtime, Split

if TYPE_CHECKING:
    import torch

    from modelyard.training.batches import Batches
    from modelyard.training.loop import Trainer


class Recommender(Family[RecommenderConfig]):
    """From a log of interactions to a served ranking of the catalogue."""

    title: ClassVar[str] = "recommendations: what a user may like next"
    Config = RecommenderConfig
    search_space = SEARCH

    @classmethod
    def debug(cls) -> RecommenderConfig:
        """A few users, a short training."""
        return RecommenderConfig(
            features=RecommenderFeatures(sample_users=150, sample_items=80),
            model=RecommenderModel(dimensions=16, layers=2),
            training=RecommenderTraining(epochs=15, batch_size=512, learning_rate=2e-2),
        )

    def requires(self) -> Mapping[str, str]:
        """Training needs torch; answering does not."""
        return {"torch": "torch", "safetensors": "torch"}

    def sample(self, raw: Path) -> None:
        """Writes `interactions.csv` and `items.csv`."""
        from modelyard.families.recommender.sample import write_sample

        settings = self.config.features
        write_sample(raw, settings.sample_users, settings.sample_items, self.config.seed)

    def features(self, raw: Path, out: Path) -> dict[str, Any]:
        """Reads a log of interactions; leaves each user's last two out."""
        from modelyard.families.recommender.data import build_features
        from modelyard.families.recommender.earlier import earlier_catalog

        base = base_of(out)
        earlier = earlier_catalog(base, self.config.model) if base is not None else None
        return build_features(raw, out, self.config.features, self.config.seed, earlier)

    @classmethod
    def host(cls, assets: Path) -> Host:
        """Answers whom it is asked for."""
        from modelyard.families.recommender.host import RecommenderHost

        return RecommenderHost(assets)

    def requests(self, features: Path, split: Split, limit: int | None = None) -> list[dict[str, Any]]:
        """Judged users as JSON bodies."""
        from modelyard.families.recommender.data import bodies

        return bodies(features, split, limit)

    def evaluate(self, host: Host, run: Runtime, features: Path, split: Split = "test") -> Evaluation:
        """Ranks the whole catalogue for each judged user."""
        from modelyard.families.recommender.evaluate import evaluate
        from modelyard.families.recommender.host import RecommenderHost

        assert isinstance(host, RecommenderHost), "a host of another family"
        return evaluate(host, run, features, split)

    def model(self, assets: Path) -> torch.nn.Module:
        """The untrained network."""
        from modelyard.families.recommender.model import build

        return build(self.config.model, assets)

    def batches(self, features: Path, split: Split, epoch: int) -> Batches:
        """Interactions with negatives, or for multitask what was shown."""
        from modelyard.families.recommender.batches import batches

        return batches(self.config, features, split, epoch)

    def loss(self, model: torch.nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """The network's own loss."""
        from modelyard.families.recommender.model import Net

        assert isinstance(model, Net)
        return model.loss(batch)

    def replayed(self, memory: dict[str, torch.Tensor], features: Path, epoch: int) -> dict[str, torch.Tensor]:
        """Kept interactions with negatives drawn anew."""
        from modelyard.families.recommender.batches import replayed

        return replayed(self.config, memory, features, epoch)

    def fit(self, features: Path, out: Path, trainer: Trainer) -> dict[str, Any]:
        """The shared loop; then `assets/model.json` and `assets/item_vectors.npy` for the host."""
        import numpy as np

        from modelyard.families.recommender.model import describe, item_vectors

        report = trainer.fit(self, features, out)
        write_json(out / "assets" / "model.json", describe(self.config.model))
        np.save(out / "assets" / "item_vectors.npy", item_vectors(self._trained(out)))
        return report | {"headline": f"{self.config.model.kind}, {report['headline']}"}

    def graphs(self, model: Path) -> list[Graph]:
        """`personal`: `user` (batch,) and `history`: `items` (batch, length), to logits (batch, items)."""
        from modelyard.families.recommender.model import graphs

        return graphs(self._trained(model))

    def _trained(self, model: Path) -> Any:
        from modelyard.training.loop import load_weights

        return load_weights(self.model(model / "assets"), model)
