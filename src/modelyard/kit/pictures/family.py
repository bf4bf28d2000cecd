"""Building networks that see annotated pictures: their batches and training. Imports torch."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic

import numpy as np
import torch

from modelyard.family import Family, Split
from modelyard.kit.checkpoints import checkpoint_folder, paced
from modelyard.kit.classifier import store
from modelyard.kit.epochs import epoch_draws, replay_draws
from modelyard.kit.pictures.changes import Changes
from modelyard.kit.pictures.data import C, S, SquareData
from modelyard.kit.pictures.host import GRAPH, PIXELS
from modelyard.runtimes.types import Graph
from modelyard.training.batches import Batches
from modelyard.training.loop import load_weights

if TYPE_CHECKING:
    from modelyard.training.loop import Trainer

Batch = dict[str, torch.Tensor]


class SquareFamily(SquareData[C, S], Family[C], Generic[C, S]):
    """From a folder of annotated pictures to a served network. A family gives `plan`, `network`,
    `annotations`, `changed`, `loss` and `evaluate`."""

    plan: ClassVar[Callable[..., store.Plan]]
    """`plan(settings.model, spec, checkpoint)`: the network that the settings ask for; with a
    checkpoint's folder, that of its config.json. Raises UsageError where they do not fit."""
    network: ClassVar[Callable[..., torch.nn.Module]]
    """`network(plan, spec, checkpoint)`: the untrained network of a plan; with a checkpoint's folder,
    with those weights."""
    ANNOTATIONS: ClassVar[str]
    """What a batch calls the annotations."""
    example_rows: ClassVar[int]
    """Training pictures that the graph is exported with."""
    tolerance: ClassVar[float] = 1e-3
    """Of the graph: logits and pixels are not of the order of one."""

    @abstractmethod
    def annotations(self, features: Path, split: Split) -> np.ndarray:
        """The annotations of a split, (pictures, …)."""

    @abstractmethod
    def changed(self, batch: Batch, changes: Changes, rows: np.ndarray) -> Batch:
        """Pictures and annotations, the pictures numbered `rows` in `changes`, changed alike."""

    def model(self, assets: Path) -> torch.nn.Module:
        """The untrained network: of the plan that training left in the assets, else as set."""
        spec = self.Spec.load(assets)
        plan = store.find_plan(assets)
        if plan is not None:
            return self.network(plan, spec)
        folder = self._checkpoint()
        return self.network(self.plan(self.config.model, spec, folder), spec, folder)

    def batches(self, features: Path, split: Split, epoch: int) -> Batches:
        """`pixels` float32 (batch, 3, size, size) and ANNOTATIONS: int64 where they are classes.

        Training pictures are shuffled and changed at random; not so in epoch 0.
        """
        arrays = store.load_arrays(features, split)
        annotated = self.annotations(features, split)
        kind = np.int64 if np.issubdtype(annotated.dtype, np.integer) else np.float32
        training = split == "train" and epoch > 0
        order = np.arange(len(arrays))
        changes: Changes | None = None
        if training:
            generator = epoch_draws(self.config.seed, epoch)
            order = torch.randperm(len(arrays), generator=generator).numpy()
            changes = Changes.draw(len(arrays), self.config.training, generator)

        def take(rows: np.ndarray) -> Batch:
            pixels = torch.from_numpy(arrays[rows].astype(np.float32))
            batch = {
                PIXELS: pixels,
                self.ANNOTATIONS: torch.from_numpy(annotated[rows].astype(kind)),
            }
            if changes is None:
                return batch
            return self.changed(batch, changes, rows)

        # Batch statistics of one picture can be undefined.
        least = 2 if training else 1
        return Batches(order, self.config.training.batch_size, take, least=least)

    def replayed(self, memory: Batch, features: Path, epoch: int) -> Batch:
        """Exemplars, changed at random as new pictures are."""
        count = len(memory[PIXELS])
        draws = replay_draws(self.config.seed, epoch)
        changes = Changes.draw(count, self.config.training, draws)
        return self.changed(memory, changes, np.arange(count))

    def fit(self, features: Path, out: Path, trainer: Trainer) -> dict[str, Any]:
        """Trains into `out`; adds the network's plan to the assets.

        Raises:
            UsageError: the settings do not fit the data.
        """
        settings, assets = self.config.model, Path(out) / "assets"
        plan = self.plan(settings, self.Spec.load(assets), self._checkpoint())
        trainer, notes = paced(trainer, settings.checkpoint, settings.checkpoint_rate, features)
        found = trainer.fit(self, features, out)
        store.save_plan(assets, plan)
        store.save_examples(features, out, self.example_rows)
        headline = f"{plan['kind']}, {found['headline']}"
        return found | {"headline": headline, "notes": [*found.get("notes", ()), *notes]}

    def graphs(self, model: Path) -> list[Graph]:
        """One graph, `model`: `pixels` to what the network gives."""
        pixels = store.load_examples(model).astype(np.float32)
        net = load_weights(self.model(Path(model) / "assets"), model)
        return [Graph(GRAPH, {PIXELS: pixels}, module=net, tolerance=self.tolerance)]

    def _checkpoint(self) -> Path | None:
        """The folder of the weights to start from, where there are some."""
        settings = self.config.model
        if settings.checkpoint is None:
            return None
        return checkpoint_folder(settings.checkpoint, hub=settings.hub)
