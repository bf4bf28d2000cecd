"""Building: the network, its batches and training, and its judging."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from modelyard.errors import UsageError
from modelyard.families.detection.augment import changed
from modelyard.families.detection.baseline import (
    NEAREST,
    PRIOR,
    load_objects,
    nearest_boxes,
    prior_boxes,
)
from modelyard.families.detection.config import DetectionConfig
from modelyard.families.detection.data import DetectionData
from modelyard.families.detection.gallery import gallery
from modelyard.families.detection.host import GRAPH, PIXELS, DetectionHost
from modelyard.families.detection.network import Detector, build, plan
from modelyard.families.detection.spec import DetectionSpec
from modelyard.family import Family, Split
from modelyard.judging.evaluation import Evaluation
from modelyard.kit.boxes import report
from modelyard.kit.boxes.answering import ObjectAnswers
from modelyard.kit.boxes.geometry import areas, into_square
from modelyard.kit.boxes.precision import MOST_FOUND, Judged, Objects
from modelyard.kit.classes.answers import check_shared
from modelyard.kit.classifier import store
from modelyard.kit.pictures.changes import Changes
from modelyard.kit.pictures.square import sizes_of
from modelyard.kit.pictures.starting import paced, starting_folder
from modelyard.runtimes.torch import TorchRuntime
from modelyard.runtimes.types import Graph, Runtime
from modelyard.training.batches import Batches
from modelyard.training.loop import load_weights

if TYPE_CHECKING:
    from modelyard.training.loop import Trainer

EXAMPLES, EXAMPLE_ROWS = "examples.npy", 4
OBJECTS = "objects"
"""A batch's objects, float32 (batch, most, 6): class, left, top, right and bottom in pixels of the
square, ignored; class -1 where there is none."""
FLOOR = 0.01
"""Least score of what is judged: what is surer than the rest counts, not what is sure."""
TOLERANCE = 1e-3
"""Of the graph: boxes are pixels or logarithms, not figures of the order of one."""

Batch = dict[str, torch.Tensor]


class Detection(DetectionData, Family[DetectionConfig]):
    """From a folder of pictures with boxes to a served detector."""

    def model(self, assets: Path) -> Detector:
        """The untrained network: of the plan that training left in the assets, else as set."""
        spec = DetectionSpec.load(assets)
        file = Path(assets) / store.PLAN
        if file.is_file():
            return build(json.loads(file.read_text()), spec)
        folder = starting_folder(self.config.model)
        return build(plan(self.config.model, spec, folder), spec, folder)

    def batches(self, features: Path, split: Split, epoch: int) -> Batches:
        """`pixels` float32 (batch, 3, size, size) and OBJECTS.

        Training pictures are shuffled and changed at random; not so in epoch 0.
        """
        arrays = store.load_arrays(features, split)
        objects = self._objects(features, split)
        training = split == "train" and epoch > 0
        order = np.arange(len(arrays))
        changes: Changes | None = None
        if training:
            generator = torch.Generator().manual_seed(self.config.seed * 100_003 + epoch)
            order = torch.randperm(len(arrays), generator=generator).numpy()
            changes = Changes.draw(len(arrays), self.config.training, generator)

        def take(rows: np.ndarray) -> Batch:
            pixels = torch.from_numpy(arrays[rows].astype(np.float32))
            own = torch.from_numpy(objects[rows])
            if changes is not None:
                pixels, own = changed(changes, pixels, own, rows)
            return {PIXELS: pixels, OBJECTS: own}

        # Batch statistics of one picture can be undefined.
        return Batches(order, self.config.training.batch_size, take, least=2 if training else 1)

    def replayed(self, memory: Batch, features: Path, epoch: int) -> Batch:
        """Exemplars, changed at random as new pictures are."""
        count = len(memory[PIXELS])
        generator = torch.Generator().manual_seed((self.config.seed + 1) * 100_003 - epoch)
        changes = Changes.draw(count, self.config.training, generator)
        pixels, objects = changed(changes, memory[PIXELS], memory[OBJECTS], np.arange(count))
        return {PIXELS: pixels, OBJECTS: objects}

    def loss(self, model: torch.nn.Module, batch: Batch) -> torch.Tensor:
        """Of scores and boxes, the mean over pictures."""
        loss: torch.Tensor = model(batch[PIXELS], batch[OBJECTS])["loss"]
        return loss.mean()

    def fit(self, features: Path, out: Path, trainer: Trainer) -> dict[str, Any]:
        """Trains into `out`; adds the network's plan and the threshold to the assets.

        Raises:
            UsageError: the settings do not fit the data.
        """
        settings, assets = self.config.model, Path(out) / "assets"
        made = plan(settings, DetectionSpec.load(assets), starting_folder(settings))
        trainer, notes = paced(trainer, settings, features)
        found = trainer.fit(self, features, out)
        (assets / store.PLAN).write_text(json.dumps(made, indent=1) + "\n")
        examples = store.load_arrays(features, "train")[:EXAMPLE_ROWS]
        np.save(Path(out) / EXAMPLES, examples, allow_pickle=False)
        answers = ObjectAnswers(
            threshold=settings.threshold or 0.5, most_overlap=settings.most_overlap
        )
        answers.save(assets)
        if settings.threshold is None:
            host, run = DetectionHost(assets), TorchRuntime(self.graphs(out))
            best = self._judged(host, run, features, "validation").best_threshold()
            answers = answers.model_copy(update={"threshold": best})
            answers.save(assets)
            notes.append(f"The threshold {best:.2f} has the best F1 on the validation split.")
        headline = f"{made['kind']}, {found['headline']}, threshold {answers.threshold:.2f}"
        return found | {"headline": headline, "notes": [*found.get("notes", ()), *notes]}

    def graphs(self, model: Path) -> list[Graph]:
        """One graph, `model`: `pixels` to `logits` and `boxes`."""
        file = Path(model) / EXAMPLES
        if not file.is_file():
            raise UsageError(f"{model} holds no {EXAMPLES}. Train it again: modelyard train")
        pixels = np.load(file, allow_pickle=False).astype(np.float32)
        net = load_weights(self.model(Path(model) / "assets"), model)
        return [Graph(GRAPH, {PIXELS: pixels}, module=net, tolerance=TOLERANCE)]

    def evaluate(
        self, host: DetectionHost, run: Runtime, features: Path, split: Split = "test"
    ) -> Evaluation:
        """COCO's metrics of a split next to those of simple answers, and what people of the field
        look at.

        The host may be another package's: it decodes the files by its own rules, and its classes
        are matched by name.

        Raises:
            UsageError: the host knows none of the classes.
        """
        spec = DetectionSpec.load(Path(features) / "assets")
        check_shared(host.spec.classes, spec.classes)
        judged = self._judged(host, run, features, split)
        simple = {
            name: self._against(features, split, answers(features, split))
            for name, answers in ((PRIOR, prior_boxes), (NEAREST, nearest_boxes))
        }
        return report.evaluation(
            judged,
            simple,
            split=split,
            whole=judged.pictures,
            classes=spec.classes,
            threshold=host.answers.threshold,
            compared="boxes",
            gallery=gallery(judged, host, run, features, split, spec),
        )

    def _judged(self, host: DetectionHost, run: Runtime, features: Path, split: Split) -> Judged:
        return self._against(features, split, found_in(host, run, features, split))

    def _against(self, features: Path, split: Split, found: Objects) -> Judged:
        """Answers held against the true objects of a split."""
        spec = DetectionSpec.load(Path(features) / "assets")
        pictures = len(store.load_arrays(features, split))
        return Judged(load_objects(features, split), found, pictures, len(spec.classes))

    def _objects(self, features: Path, split: Split) -> np.ndarray:
        """OBJECTS of all pictures of a split; of more than `most_boxes` the largest."""
        spec = DetectionSpec.load(Path(features) / "assets")
        table = np.load(Path(features) / f"{split}.objects.npy", allow_pickle=False)
        sizes = sizes_of(features, split)
        most = self.config.features.most_boxes
        found = np.zeros((len(sizes), most, 6), np.float32)
        found[..., 0] = -1
        for place, (width, height) in enumerate(sizes):
            rows = table[table[:, 0] == place]
            order = np.argsort(-areas(rows[:, 2:6]), kind="stable")[:most]
            rows = rows[order]
            found[place, : len(rows), 0] = rows[:, 1]
            found[place, : len(rows), 1:5] = into_square(rows[:, 2:6], (width, height), spec.size)
            found[place, : len(rows), 5] = rows[:, 6]
        return found


def found_in(host: DetectionHost, run: Runtime, features: Path, split: Split) -> Objects:
    """What a host finds in the pictures of a split, its classes as the split numbers them."""
    classes = DetectionSpec.load(Path(features) / "assets").classes
    numbers = np.array(
        [classes.index(name) if name in classes else -1 for name in host.spec.classes]
    )
    pixels, sizes = host.spec.seen(features, split)
    columns: list[list[np.ndarray]] = [[], [], [], []]
    for place, (scores, boxes) in enumerate(host.outputs(run, pixels)):
        labels, sure, there = host.chosen(scores, boxes, sizes[place], FLOOR, MOST_FOUND)
        known = numbers[labels] >= 0
        parts = (np.full(known.sum(), place), numbers[labels[known]], there[known], sure[known])
        for column, part in zip(columns, parts, strict=True):
            column.append(part)
    picture, label, there, sure = (np.concatenate(column) for column in columns)
    return Objects.of(picture, label, there, sure)
