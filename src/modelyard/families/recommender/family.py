"""Building: a network of users and items, and what it leaves for the host."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from modelyard.families.recommender.batches import replayed
from modelyard.families.recommender.config import USUAL, RecommenderConfig
from modelyard.families.recommender.data import RecommenderData
from modelyard.families.recommender.evaluate import evaluate
from modelyard.families.recommender.host import RecommenderHost
from modelyard.families.recommender.kinds import KINDS, build, describe, settled
from modelyard.families.recommender.networks import Network, item_vectors
from modelyard.families.recommender.profiles import ITEMS, USERS
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

    def model(self, assets: Path) -> Network:
        """The untrained network."""
        return build(settled(self.config, Path(assets).parent), assets)

    def batches(self, features: Path, split: Split, epoch: int) -> Batches:
        """What the kind is trained on."""
        batches = KINDS[settled(self.config, features).kind].batches
        assert batches is not None
        return batches(self.config, features, split, epoch)

    def loss(self, model: torch.nn.Module, batch: Batch) -> torch.Tensor:
        """The network's own loss."""
        assert isinstance(model, Network)
        return model.loss(batch)

    def weight(self, model: torch.nn.Module, batch: Batch) -> float | torch.Tensor:
        """Over how many terms the network's loss is a mean."""
        assert isinstance(model, Network)
        return model.weight(batch)

    def replayed(self, memory: Batch, features: Path, epoch: int) -> Batch:
        """Exemplars with freshly drawn negatives."""
        return replayed(self.config, memory, features, epoch)

    def fit(self, features: Path, out: Path, trainer: Trainer) -> dict[str, Any]:
        """The kind's own fit, or the shared loop; then what the host needs besides the graphs: see
        catalog.py."""
        settings = settled(self.config, features)
        kind = settings.kind
        fit = KINDS[kind].fit
        if fit is not None:
            report = fit(self.config, features, out)
        else:
            report = trainer.fit(self, features, out)
        if not USUAL[kind].columns:
            # A model carries only what it uses.
            for name in (USERS, ITEMS):
                shutil.rmtree(out / "assets" / name, ignore_errors=True)
        assets = out / "assets"
        net = load_weights(build(settings, assets), out)
        assert isinstance(net, Network)
        write_json(assets / "model.json", describe(settings, net))
        vectors = item_vectors(net)
        if vectors is not None:
            np.save(assets / "item_vectors.npy", vectors)
        arrays: dict[str, Any] = net.retrieval()
        if arrays:
            np.savez(assets / "retrieval.npz", **arrays)
        named: str = kind
        if self.config.model.kind == "auto":
            named += " (model.kind=auto)"
        return report | {"headline": f"{named}, {report['headline']}"}

    def graphs(self, model: Path) -> list[Graph]:
        """Those of the kind's network."""
        return self._trained(model).graphs()

    def evaluate(
        self, host: RecommenderHost, run: Runtime, features: Path, split: Split = "test"
    ) -> Evaluation:
        """Ranks the whole catalogue for each judged user."""
        return evaluate(host, run, features, split)

    def _trained(self, model: Path) -> Network:
        net = load_weights(self.model(model / "assets"), model)
        assert isinstance(net, Network)
        return net
