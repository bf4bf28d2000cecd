"""Language: GPT-2, Llama and Mistral models that write on from a prompt; from scratch, a checkpoint, or adapters."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from modelyard.config import TrainingSettings
from modelyard.evaluation import Evaluation
from modelyard.families.language.config import LanguageConfig, LanguageFeatures, LanguageModel
from modelyard.families.language.search import SEARCH
from modelyard.family import Family, Graph, Host, Runtime, Split

if TYPE_CHECKING:
    import torch

    from modelyard.families.language.train import Setup
    from modelyard.training.batches import Batches
    from modelyard.training.loop import Trainer


class Language(Family[LanguageConfig]):
    """From a person's texts to a served language model."""

    title: ClassVar[str] = "text: causal language models"
    Config = LanguageConfig
    search_space = SEARCH

    def __init__(self, config: LanguageConfig) -> None:
        super().__init__(config)
        self._setups: dict[Path, Setup] = {}

    @classmethod
    def debug(cls) -> LanguageConfig:
        """A tiny Llama with a draft model, on a few modules of the standard library."""
        return LanguageConfig(
            features=LanguageFeatures(vocabulary=400, sample_bytes=24_000, evaluation_bytes=5_000),
            model=LanguageModel(layers=2, width=32, heads=2, kv_heads=1, context=64, draft_layers=1),
            training=TrainingSettings(epochs=3, batch_size=8, learning_rate=1e-2, patience=2),
        )

    def requires(self) -> Mapping[str, str]:
        """transformers and tokenizers; peft for adapters."""
        needs = {"torch": "torch", "safetensors": "torch", "transformers": "language", "tokenizers": "language"}
        return needs | ({"peft": "language"} if self.config.model.lora_rank else {})

    def sample(self, raw: Path) -> None:
        """Writes modules of Python's standard library."""
        from modelyard.families.language.data import write_sample

        write_sample(raw, self.config.features.sample_bytes)

    def features(self, raw: Path, out: Path) -> dict[str, Any]:
        """Reads text files and JSONL; writes documents by split and the tokenizer."""
        from modelyard.families.language.data import build_features

        return build_features(raw, out, self.config)

    @classmethod
    def host(cls, assets: Path) -> Host:
        """Writes on from prompts."""
        from modelyard.families.language.host import LanguageHost

        return LanguageHost(assets)

    def requests(self, features: Path, split: Split, limit: int | None = None) -> list[dict[str, Any]]:
        """Passages of a split as prompts."""
        from modelyard.families.language.data import request_bodies

        return request_bodies(features, split, limit)

    def evaluate(self, host: Host, run: Runtime, features: Path, split: Split = "test") -> Evaluation:
        """Judges a model on a split."""
        from modelyard.families.language.evaluate import evaluate
        from modelyard.families.language.host import LanguageHost

        assert isinstance(host, LanguageHost), "a host of another family"
        return evaluate(host, run, features, split, self.config.features.evaluation_bytes)

    def model(self, assets: Path) -> torch.nn.Module:
        """The untrained network; of a model folder's assets, the one they describe."""
        from modelyard.families.language.model import CONFIG, CausalLanguageModel, read_config

        if (assets / CONFIG).is_file():
            return CausalLanguageModel(read_config(assets / CONFIG))
        return self._setup(assets).model(assets)

    def batches(self, features: Path, split: Split, epoch: int) -> Batches:
        """Packed rows of `model.context` tokens."""
        return self._setup(features / "assets").batches(features, split, epoch)

    def loss(self, model: torch.nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Mean cross-entropy, nats a token."""
        from modelyard.families.language.model import loss

        return loss(model, batch)

    def weight(self, model: torch.nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Tokens that have a target."""
        from modelyard.families.language.pack import IGNORED

        return (batch["targets"] != IGNORED).sum()

    def fit(self, features: Path, out: Path, trainer: Trainer) -> dict[str, Any]:
        """Trains the model, and its draft where one is wanted."""
        from modelyard.families.language.train import fit

        return fit(self.config, features, out, trainer)

    def graphs(self, model: Path) -> list[Graph]:
        """`decoder`, and `draft` where there is one."""
        from modelyard.families.language.train import load_graphs

        return load_graphs(model)

    def _setup(self, assets: Path) -> Setup:
        """The same documents are packed once."""
        from modelyard.families.language.train import find, from_checkpoint, from_scratch

        if assets not in self._setups:
            found = find(self.config, assets)
            self._setups[assets] = from_checkpoint(self.config, found) if found else from_scratch(self.config, assets)
        return self._setups[assets]
