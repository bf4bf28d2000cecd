"""Building: windows as batches, the loss, training, judging."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from modelyard.families.forecast.config import ForecastConfig
from modelyard.families.forecast.data import ForecastData
from modelyard.families.forecast.evaluate import evaluate
from modelyard.families.forecast.host import GRAPH, ForecastHost
from modelyard.families.forecast.network import KINDS, pinball
from modelyard.families.forecast.panel import Panel
from modelyard.families.forecast.window import Schema, inputs_of
from modelyard.family import Family, Split
from modelyard.judging.evaluation import Evaluation
from modelyard.kit.arrays import load_named, save_named
from modelyard.runtimes.types import Graph, Runtime
from modelyard.training.batches import Batches
from modelyard.training.loop import load_weights

if TYPE_CHECKING:
    from modelyard.training.loop import Trainer

EXAMPLES = "examples.npz"
EXAMPLE_WINDOWS = 8
FARTHEST = 20.0
"""Spreads of a history beyond which a step ahead weighs no more."""


class Forecast(ForecastData, Family[ForecastConfig]):
    """From series in time to served quantiles of what comes next."""

    def model(self, assets: Path) -> torch.nn.Module:
        """The untrained network."""
        settings = self.config.model
        return KINDS[settings.kind](self._trained_schema(assets), settings)

    def batches(self, features: Path, split: Split, epoch: int) -> Batches:
        """`history`, `future` and `truth` (windows, horizon), scaled; training windows shuffled, of
        many those that seed and epoch draw."""
        panel, schema = Panel.load(features), Schema.load(Path(features) / "assets")
        most = self.config.training.windows
        if split == "train":
            stride = 1
        else:
            stride = max(1, schema.horizon // 2)
        origins = panel.origins(schema, split, stride)
        if split == "train" and epoch > 0:
            draw = np.random.default_rng([self.config.seed, epoch])
            origins = draw.permutation(origins)[:most]
        elif len(origins) > most:
            origins = origins[np.linspace(0, len(origins) - 1, most).astype(np.int64)]

        def take(some: np.ndarray) -> dict[str, torch.Tensor]:
            inputs = inputs_of(schema, panel.windows(schema, some))
            ahead = panel.ahead(schema, some)
            truth = (ahead - inputs.level[:, None]) / inputs.scale[:, None]
            arrays = inputs.arrays | {"truth": truth.astype(np.float32)}
            return {name: torch.from_numpy(array) for name, array in arrays.items()}

        return Batches(origins, self.config.training.batch_size, take)

    def loss(self, model: torch.nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Mean quantile loss of the scaled values."""
        quantiles = model(batch["history"], batch["future"])["quantiles"]
        levels = torch.tensor(self.config.model.quantiles, device=quantiles.device)
        # A series that leaves its history by orders of magnitude would outweigh all others.
        return pinball(quantiles, batch["truth"].clamp(-FARTHEST, FARTHEST), levels)

    def fit(self, features: Path, out: Path, trainer: Trainer) -> dict[str, Any]:
        """The shared loop; keeps some windows for export."""
        panel, schema = Panel.load(features), Schema.load(Path(features) / "assets")
        origins = panel.origins(schema, "train")
        some = origins[np.linspace(0, len(origins) - 1, EXAMPLE_WINDOWS).astype(np.int64)]
        arrays = inputs_of(schema, panel.windows(schema, some)).arrays
        save_named(Path(out) / EXAMPLES, arrays)
        self._trained_schema(Path(features) / "assets").save(Path(out) / "assets")
        report = trainer.fit(self, features, out)
        return report | {"headline": f"{self.config.model.kind}, {report['headline']}"}

    def graphs(self, model: Path) -> list[Graph]:
        """One graph, `model`: `history` and `future` to `quantiles`, all scaled."""
        example = load_named(Path(model) / EXAMPLES)
        network = load_weights(self.model(Path(model) / "assets"), model)
        return [Graph(GRAPH, example, module=network)]

    def evaluate(
        self, host: ForecastHost, run: Runtime, features: Path, split: Split = "test"
    ) -> Evaluation:
        """Rolling origins of a split, a horizon apart."""
        return evaluate(host, run, features, split, self.config.model.kind)

    def _trained_schema(self, assets: Path) -> Schema:
        """The schema with the quantiles that are trained: the features stage is not given the section
        `model`, and writes the default ones."""
        quantiles = list(self.config.model.quantiles)
        return Schema.load(assets).model_copy(update={"quantiles": quantiles})
