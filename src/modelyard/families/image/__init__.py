"""Pictures: classification, with thresholds for diagnosis and maps of the evidence."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from modelyard.evaluation import Evaluation
from modelyard.families.image.config import ImageConfig, ImageFeatures, ImageModel, ImageTraining
from modelyard.families.image.search import SEARCH
from modelyard.family import Family, Graph, Host, Runtime, Split

if TYPE_CHECKING:
    import torch

    from modelyard.training.batches import Batches
    from modelyard.training.loop import Trainer


class Image(Family[ImageConfig]):
    """From a folder of pictures to a served classifier."""

    title: ClassVar[str] = "pictures: classification and diagnosis"
    Config = ImageConfig
    shortcuts: ClassVar[Mapping[str, str]] = {"kind": "model.kind"}
    search_space = SEARCH

    @classmethod
    def debug(cls) -> ImageConfig:
        """A narrow network on 400 real digits of 16 x 16 pixels."""
        return ImageConfig(
            features=ImageFeatures(sample_images=400, size=16),
            model=ImageModel(width=8),
            training=ImageTraining(epochs=6, batch_size=16, learning_rate=3e-3),
        )

    def requires(self) -> Mapping[str, str]:
        """Pillow, torch, and transformers for its kinds."""
        needs = {"PIL": "image", "sklearn": "image", "torch": "torch"}
        return needs | ({} if self.config.model.kind == "cnn" else {"transformers": "image"})

    def sample(self, raw: Path) -> None:
        """Writes `<class>/<number>.png` of `features.sample`."""
        from modelyard.families.image.samples import write_sample

        settings = self.config.features
        write_sample(raw, settings.sample, settings.sample_images, settings.sample_drift, self.config.seed)

    def features(self, raw: Path, out: Path) -> dict[str, Any]:
        """Reads a folder of pictures; writes splits and assets."""
        from modelyard.families.image.data import build_features

        return build_features(raw, out, self.config)

    @classmethod
    def host(cls, assets: Path) -> Host:
        """Answers pictures in base64."""
        from modelyard.families.image.host import ImageHost

        return ImageHost(assets)

    def requests(self, features: Path, split: Split, limit: int | None = None) -> list[dict[str, Any]]:
        """Picture files of a split as JSON bodies."""
        from modelyard.families.image.data import request_bodies

        return request_bodies(features, split, limit)

    def evaluate(self, host: Host, run: Runtime, features: Path, split: Split = "test") -> Evaluation:
        """Judges a model on a split."""
        from modelyard.families.image.evaluate import evaluate
        from modelyard.families.image.host import ImageHost

        assert isinstance(host, ImageHost), "a host of another family"
        return evaluate(host, run, features, split)

    def model(self, assets: Path) -> torch.nn.Module:
        """The untrained network."""
        from modelyard.families.image.model import network

        return network(self.config, assets)

    def batches(self, features: Path, split: Split, epoch: int) -> Batches:
        """Pixels and labels."""
        from modelyard.families.image.model import batches

        return batches(self.config, features, split, epoch)

    def loss(self, model: torch.nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Cross-entropy."""
        from modelyard.families.image.model import loss

        return loss(self.config, model, batch)

    def weight(self, model: torch.nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """The sum of class weights."""
        from modelyard.families.image.model import weight

        return weight(model, batch)

    def scores(self, model: torch.nn.Module, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Accuracy."""
        from modelyard.families.image.model import scores

        return scores(model, batch)

    def groups(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Classes."""
        return batch["label"]

    def replayed(self, memory: dict[str, torch.Tensor], features: Path, epoch: int) -> dict[str, torch.Tensor]:
        """Kept pictures, changed at random as new ones are."""
        from modelyard.families.image.model import replayed

        return replayed(self.config, memory, epoch)

    def fit(self, features: Path, out: Path, trainer: Trainer) -> dict[str, Any]:
        """Trains, calibrates, and chooses the threshold."""
        from modelyard.families.image.model import fit

        return fit(self, features, out, trainer)

    def graphs(self, model: Path) -> list[Graph]:
        """One graph, `model`."""
        from modelyard.families.image.model import graphs

        return graphs(self, model)
