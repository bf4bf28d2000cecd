"""Anomalies in measurements of machines: detectors trained on normal rows or windows of time."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from modelyard.errors import UsageError
from modelyard.evaluation import Evaluation
from modelyard.families.anomaly.config import (
    TORCH,
    WINDOWED,
    AnomalyConfig,
    AnomalyFeatures,
    AnomalyModel,
    AnomalyTraining,
)
from modelyard.families.anomaly.search import SEARCH
from modelyard.family import Family, Graph, Host, Runtime, Split

if TYPE_CHECKING:
    import torch

    from modelyard.training.batches import Batches
    from modelyard.training.loop import Trainer


class Anomaly(Family[AnomalyConfig]):
    """From a machine's measurements to a served alarm with reasons."""

    title: ClassVar[str] = "anomalies in sensor series: rows or windows of time"
    Config = AnomalyConfig
    search_space = SEARCH

    def __init__(self, config: AnomalyConfig) -> None:
        """Raises UsageError for settings that don't go together."""
        super().__init__(config)
        kind, window = config.model.kind, config.features.window
        if kind in WINDOWED and window < 2:
            raise UsageError(f"setting 'features.window' = {window}: model.kind={kind} needs windows of 2 rows or more")

    @classmethod
    def debug(cls) -> AnomalyConfig:
        """A small autoencoder on two short series."""
        return AnomalyConfig(
            features=AnomalyFeatures(sample_series=2, sample_rows=1600, window=12),
            model=AnomalyModel(kind="autoencoder", hidden=(16,), false_alarm_rate=0.02),
            training=AnomalyTraining(epochs=15, batch_size=64, learning_rate=5e-3),
        )

    def requires(self) -> Mapping[str, str]:
        """The table reader and the metrics, and the library of `model.kind`."""
        needs = dict.fromkeys(("pyarrow", "sklearn"), "anomaly")
        if self.config.model.kind in TORCH:
            return needs | {"torch": "torch"}
        return needs | dict.fromkeys(("onnx", "skl2onnx", "skops"), "anomaly")

    def starts_anew(self) -> str:
        """The torch kinds alone are trained on from earlier weights."""
        kind = self.config.model.kind
        if kind in TORCH:
            return ""
        return f"model.kind = {kind} is fitted anew each time. Type: --set model.kind=autoencoder"

    def sample(self, raw: Path) -> None:
        """Writes a CSV file for each simulated machine."""
        from modelyard.families.anomaly.samples import write_sample

        write_sample(raw, self.config.features, self.config.seed)

    def features(self, raw: Path, out: Path) -> dict[str, Any]:
        """Reads CSV or Parquet files, one a series; writes the parts and `assets/schema.json`."""
        from modelyard.families.anomaly.data import build_features

        return build_features(raw, out, self.config)

    @classmethod
    def host(cls, assets: Path) -> Host:
        """Answers rows or windows."""
        from modelyard.families.anomaly.host import AnomalyHost

        return AnomalyHost(assets)

    def requests(self, features: Path, split: Split, limit: int | None = None) -> list[dict[str, Any]]:
        """Rows or windows of a split as JSON bodies, evenly spread over it."""
        from modelyard.families.anomaly.data import request_bodies

        window = self.config.features.window if self.config.model.kind in WINDOWED else 1
        return request_bodies(features, split, window, limit)

    def evaluate(self, host: Host, run: Runtime, features: Path, split: Split = "test") -> Evaluation:
        """Judges a detector on a split, with labels or without."""
        from modelyard.families.anomaly.evaluate import evaluate
        from modelyard.families.anomaly.host import AnomalyHost

        assert isinstance(host, AnomalyHost), "a host of another family"
        return evaluate(host, run, features, split)

    def model(self, assets: Path) -> torch.nn.Module:
        """The untrained network of a torch kind."""
        from modelyard.families.anomaly.model import build

        return build(self.config, assets)

    def batches(self, features: Path, split: Split, epoch: int) -> Batches:
        """`values` of a torch kind."""
        from modelyard.families.anomaly.model import TorchDetector

        return TorchDetector(self.config).batches(features, split, epoch)

    def loss(self, model: torch.nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Reconstruction error, or distance from the centre."""
        from modelyard.families.anomaly.model import TorchDetector

        return TorchDetector(self.config).loss(model, batch)

    def fit(self, features: Path, out: Path, trainer: Trainer) -> dict[str, Any]:
        """Trains the detector of `model.kind` and chooses its threshold."""
        from modelyard.families.anomaly.train import fit

        return fit(self.config, features, out, trainer)

    def native(self, model: Path) -> Runtime:
        """The model in torch or scikit-learn."""
        from modelyard.families.anomaly.train import native

        return native(self.config, model)

    def graphs(self, model: Path) -> list[Graph]:
        """One graph, `model`."""
        from modelyard.families.anomaly.train import graphs

        return graphs(self.config, model)
