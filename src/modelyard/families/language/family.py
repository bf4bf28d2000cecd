"""Building: a decoder from scratch, from a checkpoint, or with adapters, and its draft."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from modelyard.families.language.architecture import CONFIG, read_config
from modelyard.families.language.config import LanguageConfig
from modelyard.families.language.data import LanguageData
from modelyard.families.language.evaluate import evaluate
from modelyard.families.language.host import LanguageHost
from modelyard.families.language.model import CausalLanguageModel, loss
from modelyard.families.language.pack import IGNORED
from modelyard.families.language.setup import Setup
from modelyard.families.language.train import (
    find,
    fit,
    from_checkpoint,
    from_scratch,
    load_graphs,
)
from modelyard.family import Family, Split
from modelyard.judging.evaluation import WHOLE, Evaluation, Part
from modelyard.runtimes.types import Graph, Runtime
from modelyard.training.batches import Batches

if TYPE_CHECKING:
    from modelyard.training.loop import Trainer

Batch = dict[str, torch.Tensor]


class Language(LanguageData, Family[LanguageConfig]):
    """From a person's texts to a served language model."""

    def __init__(self, config: LanguageConfig) -> None:
        super().__init__(config)
        self._setups: dict[Path, Setup] = {}

    def model(self, assets: Path) -> torch.nn.Module:
        """The untrained network; of a model folder's assets, the one they describe."""
        if (assets / CONFIG).is_file():
            return CausalLanguageModel(read_config(assets / CONFIG))
        return self._setup(assets).model(assets)

    def batches(self, features: Path, split: Split, epoch: int) -> Batches:
        """Packed rows of `model.context` tokens."""
        return self._setup(features / "assets").batches(features, split, epoch)

    def loss(self, model: torch.nn.Module, batch: Batch) -> torch.Tensor:
        """Mean cross-entropy, nats a token."""
        return loss(model, batch)

    def weight(self, model: torch.nn.Module, batch: Batch) -> torch.Tensor:
        """Tokens that have a target."""
        return (batch["targets"] != IGNORED).sum()

    def fit(self, features: Path, out: Path, trainer: Trainer) -> dict[str, Any]:
        """Trains the model, and its draft where one is wanted."""
        return fit(self.config, features, out, trainer)

    def graphs(self, model: Path) -> list[Graph]:
        """`decoder`, and `draft` where there is one."""
        return load_graphs(model)

    def evaluate(
        self, host: LanguageHost, run: Runtime, features: Path, split: Split = "test"
    ) -> Evaluation:
        """Judges a model on at most `features.evaluation_bytes` of a split."""
        return self.evaluate_part(host, run, features, split, WHOLE)

    def evaluate_part(
        self, host: LanguageHost, run: Runtime, features: Path, split: Split, part: Part
    ) -> Evaluation:
        """The same, on so many groups of documents as `part` allows."""
        most = self.config.features.evaluation_bytes
        return evaluate(host, run, features, split, most, part)

    def _setup(self, assets: Path) -> Setup:
        """The same documents are packed once."""
        if assets not in self._setups:
            found = find(self.config, assets)
            self._setups[assets] = (
                from_checkpoint(self.config, found, assets.parent)
                if found
                else from_scratch(self.config, assets)
            )
        return self._setups[assets]
