"""Building: the network, its batches and training, and its judging."""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from modelyard.errors import UsageError
from modelyard.families.segmentation import report
from modelyard.families.segmentation.baseline import SIMPLE
from modelyard.families.segmentation.config import SegmentationConfig
from modelyard.families.segmentation.data import SegmentationData
from modelyard.families.segmentation.host import GRAPH, PIXELS, SegmentationHost
from modelyard.families.segmentation.judging import Judged
from modelyard.families.segmentation.losses import pixel_loss
from modelyard.families.segmentation.network import build, plan
from modelyard.families.segmentation.spec import IGNORED, SegmentationSpec
from modelyard.family import Family, Split
from modelyard.judging.evaluation import WHOLE, Evaluation, Part
from modelyard.kit.classifier import store
from modelyard.kit.pictures.changes import Changes
from modelyard.kit.pictures.layers import Standardizing
from modelyard.kit.pictures.starting import paced, starting_folder
from modelyard.runtimes.types import Graph, Runtime
from modelyard.training.batches import Batches
from modelyard.training.loop import load_weights

if TYPE_CHECKING:
    from modelyard.training.loop import Trainer

EXAMPLES, EXAMPLE_ROWS = "examples.npy", 2
MASKS = "masks"
"""A batch's classes, int64 (batch, size, size), IGNORED where there is none."""
TOLERANCE = 1e-3
"""Of the graph: logits are not of the order of one."""

Batch = dict[str, torch.Tensor]


class Segmentation(SegmentationData, Family[SegmentationConfig]):
    """From a folder of pictures with masks to a served network."""

    def model(self, assets: Path) -> Standardizing:
        """The untrained network: of the plan that training left in the assets, else as set."""
        spec = SegmentationSpec.load(assets)
        file = Path(assets) / store.PLAN
        if file.is_file():
            return build(json.loads(file.read_text()), spec)
        folder = starting_folder(self.config.model)
        return build(plan(self.config.model, spec, folder), spec, folder)

    def batches(self, features: Path, split: Split, epoch: int) -> Batches:
        """`pixels` float32 (batch, 3, size, size) and MASKS.

        Training pictures are shuffled and changed at random; not so in epoch 0.
        """
        arrays = store.load_arrays(features, split)
        masks = store.load_arrays(features, f"{split}.masks")
        training = split == "train" and epoch > 0
        order = np.arange(len(arrays))
        changes: Changes | None = None
        if training:
            generator = torch.Generator().manual_seed(self.config.seed * 100_003 + epoch)
            order = torch.randperm(len(arrays), generator=generator).numpy()
            changes = Changes.draw(len(arrays), self.config.training, generator)

        def take(rows: np.ndarray) -> Batch:
            pixels = torch.from_numpy(arrays[rows].astype(np.float32))
            labels = torch.from_numpy(masks[rows].astype(np.int64))
            found = {PIXELS: pixels, MASKS: labels}
            return found if changes is None else _changed(found, changes, rows)

        # Batch statistics of one picture can be undefined.
        return Batches(order, self.config.training.batch_size, take, least=2 if training else 1)

    def replayed(self, memory: Batch, features: Path, epoch: int) -> Batch:
        """Exemplars, changed at random as new pictures are."""
        count = len(memory[PIXELS])
        generator = torch.Generator().manual_seed((self.config.seed + 1) * 100_003 - epoch)
        changes = Changes.draw(count, self.config.training, generator)
        return _changed(memory, changes, np.arange(count))

    def loss(self, model: torch.nn.Module, batch: Batch) -> torch.Tensor:
        """Cross entropy and Dice, the mean over pictures."""
        logits = model(batch[PIXELS])["logits"]
        return pixel_loss(logits, batch[MASKS], self.config.training.dice).mean()

    def fit(self, features: Path, out: Path, trainer: Trainer) -> dict[str, Any]:
        """Trains into `out`; adds the network's plan to the assets.

        Raises:
            UsageError: the settings do not fit the data.
        """
        settings = self.config.model
        made = plan(
            settings, SegmentationSpec.load(Path(out) / "assets"), starting_folder(settings)
        )
        trainer, notes = paced(trainer, settings, features)
        found = trainer.fit(self, features, out)
        (Path(out) / "assets" / store.PLAN).write_text(json.dumps(made, indent=1) + "\n")
        examples = store.load_arrays(features, "train")[:EXAMPLE_ROWS]
        np.save(Path(out) / EXAMPLES, examples, allow_pickle=False)
        headline = f"{made['kind']}, {found['headline']}"
        return found | {"headline": headline, "notes": [*found.get("notes", ()), *notes]}

    def graphs(self, model: Path) -> list[Graph]:
        """One graph, `model`: `pixels` to `logits`."""
        file = Path(model) / EXAMPLES
        if not file.is_file():
            raise UsageError(f"{model} holds no {EXAMPLES}. Train it again: modelyard train")
        pixels = np.load(file, allow_pickle=False).astype(np.float32)
        net = load_weights(self.model(Path(model) / "assets"), model)
        return [Graph(GRAPH, {PIXELS: pixels}, module=net, tolerance=TOLERANCE)]

    def evaluate(
        self, host: SegmentationHost, run: Runtime, features: Path, split: Split = "test"
    ) -> Evaluation:
        """Overlap and borders of a split next to those of simple answers, and what people of the
        field look at.

        The host may be another package's: it decodes the files by its own rules, and its classes
        are matched by name.
        """
        return self.evaluate_part(host, run, features, split, WHOLE)

    def evaluate_part(
        self, host: SegmentationHost, run: Runtime, features: Path, split: Split, part: Part
    ) -> Evaluation:
        """The same, on so many pictures as `part` allows: large masks take long to compare."""
        spec = SegmentationSpec.load(Path(features) / "assets")
        classes = len(spec.classes)
        found = part.take(found_in(host, run, features, split))
        judged = Judged.of(zip(true_masks(features, split), found, strict=False), classes)
        simple = {}
        for name, answers in SIMPLE.items():
            some = itertools.islice(answers(features, split), judged.pictures)
            simple[name] = Judged.of(zip(true_masks(features, split), some, strict=False), classes)
        return report.evaluation(judged, simple, host, run, features, split, spec)


def _changed(batch: Batch, changes: Changes, rows: np.ndarray) -> Batch:
    """Pictures and masks, changed alike; what comes in from outside is ignored."""
    labels = batch[MASKS][:, None].float() - IGNORED
    moved = changes.moved(labels, rows, "nearest")[:, 0].long() + IGNORED
    return {PIXELS: changes.pictures(batch[PIXELS], rows), MASKS: moved}


def true_masks(features: Path, split: str) -> Iterator[np.ndarray]:
    """The true classes of each picture of a split, uint8 (height, width)."""
    from PIL import Image

    for _, data in store.load_files(features, f"{split}.truth"):
        yield np.asarray(Image.open(io.BytesIO(data)))


def found_in(
    host: SegmentationHost, run: Runtime, features: Path, split: Split
) -> Iterator[np.ndarray]:
    """The classes that a host finds in each picture of a split, uint8 (height, width), numbered as
    the split numbers them; one more stands for a class that it does not know."""
    classes = SegmentationSpec.load(Path(features) / "assets").classes
    numbers = np.array(
        [classes.index(name) if name in classes else len(classes) for name in host.spec.classes],
        np.uint8,
    )
    pixels, sizes = host.spec.seen(features, split)
    for scores, size in zip(host.outputs(run, pixels), sizes, strict=True):
        yield numbers[host.labelled(scores, size)[0]]


def building(config: SegmentationConfig) -> Segmentation:
    """The building half of the kind that is set."""
    if config.model.kind == "sam":
        from modelyard.families.segmentation.prompted import PromptedSegmentation

        return PromptedSegmentation(config)
    if config.model.kind == "mask2former":
        from modelyard.families.segmentation.instanced import InstanceSegmentation

        return InstanceSegmentation(config)
    return Segmentation(config)
