"""Building: the network, its batches and loss, and what the trained network leaves for the host."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from modelyard.errors import UsageError
from modelyard.families.image import cam, store
from modelyard.families.image.augment import Changes
from modelyard.families.image.config import ImageConfig
from modelyard.families.image.data import ImageData
from modelyard.families.image.earlier import PLAN
from modelyard.families.image.evaluate import evaluate
from modelyard.families.image.host import GRAPH, INPUT, ImageHost
from modelyard.families.image.network import Net, build, plan
from modelyard.families.image.spec import ImageSpec
from modelyard.family import Family, Split
from modelyard.judging.evaluation import Evaluation
from modelyard.kit.classes.choosing import Aim, fit_on_logits
from modelyard.runtimes.torch import TorchRuntime
from modelyard.runtimes.types import Graph, Runtime
from modelyard.training.batches import Batches
from modelyard.training.loop import load_weights

if TYPE_CHECKING:
    from modelyard.training.loop import Trainer

EXAMPLES = "examples.npy"
EXAMPLE_ROWS = 8


Batch = dict[str, torch.Tensor]


class Image(ImageData, Family[ImageConfig]):
    """From a folder of pictures to a served classifier."""

    def model(self, assets: Path) -> Net:
        """The untrained network: of `network.json` where training has written it, else of the config, which may start
        from a checkpoint."""
        spec = ImageSpec.load(assets)
        file = Path(assets) / PLAN
        if file.is_file():
            return build(json.loads(file.read_text()), spec)
        return build(plan(self.config.model, spec), spec, self.config.model.checkpoint)

    def batches(self, features: Path, split: Split, epoch: int) -> Batches:
        """`pixels` float32 (batch, channels, size, size), 0 to 255, and `label` int64 (batch,). Training pictures are
        shuffled and changed at random; not so in epoch 0."""
        pixels, labels = store.load_pixels(features, split), store.load_labels(features, split)
        training = split == "train" and epoch > 0
        generator = torch.Generator().manual_seed(self.config.seed * 100_003 + epoch)
        order = torch.randperm(len(labels), generator=generator).numpy() if training else np.arange(len(labels))
        changes = Changes.draw(len(labels), self.config.training, generator) if training else None

        def take(rows: np.ndarray) -> dict[str, torch.Tensor]:
            batch = torch.from_numpy(pixels[rows].astype(np.float32))
            return {"pixels": changes(batch, rows) if changes else batch, "label": torch.from_numpy(labels[rows])}

        # Batch statistics of one picture can be undefined.
        return Batches(order, self.config.training.batch_size, take, least=2 if training else 1)

    def replayed(self, memory: Batch, features: Path, epoch: int) -> Batch:
        """Kept pictures, changed at random as new ones are."""
        count = len(memory["label"])
        generator = torch.Generator().manual_seed((self.config.seed + 1) * 100_003 - epoch)
        changes = Changes.draw(count, self.config.training, generator)
        return memory | {"pixels": changes(memory["pixels"], np.arange(count))}

    def loss(self, model: torch.nn.Module, batch: Batch) -> torch.Tensor:
        """Cross-entropy, a scalar; smoothed labels in training alone, so that validation losses compare."""
        smoothing = self.config.training.label_smoothing if model.training else 0.0
        logits, weights = model(batch["pixels"])["logits"], model.get_buffer("class_weights")
        mean: torch.Tensor = cross_entropy(logits, batch["label"], weight=weights, label_smoothing=smoothing)
        return mean

    def weight(self, model: torch.nn.Module, batch: Batch) -> torch.Tensor:
        """The sum of class weights over which the cross-entropy is a mean."""
        return model.get_buffer("class_weights")[batch["label"]].sum()

    def scores(self, model: torch.nn.Module, batch: Batch) -> Batch:
        """`accuracy`, weighed by class as the loss is."""
        weights = model.get_buffer("class_weights")[batch["label"]]
        right = (model(batch["pixels"])["logits"].argmax(1) == batch["label"]).float()
        return {"accuracy": (right * weights).sum() / weights.sum()}

    def groups(self, batch: Batch) -> torch.Tensor:
        """Classes."""
        return batch["label"]

    def fit(self, features: Path, out: Path, trainer: Trainer) -> dict[str, Any]:
        """Trains into `out`, and adds to `out/assets` the network's shape, its last layer, and the decision.

        Raises:
            UsageError: the checkpoint does not fit.
        """
        config, assets = self.config, Path(out) / "assets"
        spec = ImageSpec.load(assets)
        shape = plan(config.model, spec)
        report = trainer.fit(self, features, out)
        (assets / PLAN).write_text(json.dumps(shape, indent=1) + "\n")
        net = load_weights(self.model(assets), out)
        assert isinstance(net, Net)
        cam.save_head(assets, net.head.weight.detach().numpy(), net.head.bias.detach().numpy())
        np.save(Path(out) / EXAMPLES, store.load_pixels(features, "train")[:EXAMPLE_ROWS], allow_pickle=False)
        least = config.model.least_sensitivity
        aim = Aim() if least is None else Aim("recall", least_recall=least)
        decision = fit_on_logits(
            ImageHost(assets).logits(TorchRuntime(self.graphs(out)), store.load_pixels(features, "validation")),
            store.load_labels(features, "validation"),
            spec.classes,
            aim,
            calibrate=config.model.calibration == "temperature",
            shares=np.array(spec.counts) / sum(spec.counts) if config.model.class_weight == "balanced" else None,
        )
        decision.save(assets)
        notes = [decision.note] if decision.note else []
        return report | {"headline": f"{config.model.kind}, {report['headline']}", "notes": notes}

    def graphs(self, model: Path) -> list[Graph]:
        """One graph, `model`: `pixels` to `logits` and `features`."""
        file = Path(model) / EXAMPLES
        if not file.is_file():
            raise UsageError(f"{model} holds no {EXAMPLES}. Train it again: modelyard train")
        example = np.load(file, allow_pickle=False).astype(np.float32)
        net = load_weights(self.model(Path(model) / "assets"), model)
        return [Graph(GRAPH, {INPUT: example}, module=net)]

    def evaluate(self, host: ImageHost, run: Runtime, features: Path, split: Split = "test") -> Evaluation:
        """Judges a classifier on a split."""
        return evaluate(host, run, features, split)
