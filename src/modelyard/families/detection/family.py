"""Building: the network, its batches and training, and its judging."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

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
from modelyard.families.detection.host import DetectionHost
from modelyard.families.detection.network import build, plan
from modelyard.families.detection.spec import DetectionSpec
from modelyard.family import Split
from modelyard.judging.evaluation import Evaluation
from modelyard.kit.arrays import load_beside
from modelyard.kit.boxes import report
from modelyard.kit.boxes.family import ObjectFamily
from modelyard.kit.boxes.geometry import areas, into_square
from modelyard.kit.boxes.precision import EVERY, LEAST_SCORE, MOST_FOUND, Judged, Objects
from modelyard.kit.classes.answers import check_shared
from modelyard.kit.classifier import store
from modelyard.kit.pictures.changes import Changes
from modelyard.kit.pictures.family import Batch
from modelyard.kit.pictures.host import PIXELS
from modelyard.kit.pictures.square import sizes_of
from modelyard.kit.splits import load_groups
from modelyard.runtimes.types import Runtime

OBJECTS = "objects"
"""A batch's objects, float32 (batch, most, 6): class, left, top, right and bottom in pixels of the
square, ignored; class -1 where there is none."""


class Detection(DetectionData, ObjectFamily[DetectionConfig, DetectionSpec]):
    """From a folder of pictures with boxes to a served detector."""

    Answering = DetectionHost
    plan = staticmethod(plan)
    network = staticmethod(build)
    ANNOTATIONS = OBJECTS
    example_rows = 4

    def annotations(self, features: Path, split: Split) -> np.ndarray:
        """OBJECTS of all pictures of a split; of more than `most_boxes` the largest."""
        spec = DetectionSpec.load(Path(features) / "assets")
        table = load_beside(features, split, "objects")
        sizes = sizes_of(features, split)
        most = self.config.features.most_boxes
        found = np.zeros((len(sizes), most, 6), np.float32)
        found[..., 0] = -1
        for place, (width, height) in enumerate(sizes):
            rows = table[table[:, 0] == place]
            order = np.argsort(-areas(rows[:, 2:6]), kind="stable")[:most]
            rows = rows[order]
            # What is learnt in an ignored object depends on no class; -1 would be no object at all.
            found[place, : len(rows), 0] = np.where(rows[:, 1] == EVERY, 0, rows[:, 1])
            found[place, : len(rows), 1:5] = into_square(rows[:, 2:6], (width, height), spec.size)
            found[place, : len(rows), 5] = rows[:, 6]
        return found

    def changed(self, batch: Batch, changes: Changes, rows: np.ndarray) -> Batch:
        """Pictures and boxes, changed alike."""
        pixels, objects = changed(changes, batch[PIXELS], batch[OBJECTS], rows)
        return {PIXELS: pixels, OBJECTS: objects}

    def loss(self, model: torch.nn.Module, batch: Batch) -> torch.Tensor:
        """Of scores and boxes, the mean over pictures."""
        loss: torch.Tensor = model(batch[PIXELS], batch[OBJECTS])["loss"]
        return loss.mean()

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
        judged = self.judged(host, run, features, split)
        simple = {
            PRIOR: self._against(features, split, prior_boxes(features, split)),
            NEAREST: self._against(features, split, nearest_boxes(features, split)),
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
            groups=load_groups(features, split),
        )

    def judged(self, host: DetectionHost, run: Runtime, features: Path, split: Split) -> Judged:
        """What a host finds in the pictures of a split."""
        return self._against(features, split, found_in(host, run, features, split))

    def _against(self, features: Path, split: Split, found: Objects) -> Judged:
        """Answers held against the true objects of a split."""
        spec = DetectionSpec.load(Path(features) / "assets")
        pictures = len(store.load_arrays(features, split))
        return Judged(load_objects(features, split), found, pictures, len(spec.classes))


def found_in(host: DetectionHost, run: Runtime, features: Path, split: Split) -> Objects:
    """What a host finds in the pictures of a split, its classes as the split numbers them."""
    classes = DetectionSpec.load(Path(features) / "assets").classes
    numbers = host.spec.numbered_in(classes, -1)
    pixels, sizes = host.spec.seen(features, split)
    picture: list[np.ndarray] = []
    label: list[np.ndarray] = []
    box: list[np.ndarray] = []
    score: list[np.ndarray] = []
    for place, (scores, boxes) in enumerate(host.outputs(run, pixels)):
        labels, sure, there = host.chosen(scores, boxes, sizes[place], LEAST_SCORE, MOST_FOUND)
        # A class that the split does not know is not judged.
        known = numbers[labels] >= 0
        picture.append(np.full(known.sum(), place))
        label.append(numbers[labels[known]])
        box.append(there[known])
        score.append(sure[known])
    return Objects.of(
        np.concatenate(picture), np.concatenate(label), np.concatenate(box), np.concatenate(score)
    )
