"""Building: the network, its batches and training, and its judging."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from modelyard.errors import UsageError
from modelyard.families.segmentation import report
from modelyard.families.segmentation.baseline import SIMPLE
from modelyard.families.segmentation.config import SegmentationConfig
from modelyard.families.segmentation.data import SegmentationData
from modelyard.families.segmentation.host import SegmentationHost
from modelyard.families.segmentation.instance_host import InstanceHost
from modelyard.families.segmentation.judging import Judged
from modelyard.families.segmentation.losses import pixel_loss
from modelyard.families.segmentation.network import build, plan
from modelyard.families.segmentation.prompt_host import PromptHost
from modelyard.families.segmentation.spec import IGNORED, SegmentationSpec
from modelyard.family import Split
from modelyard.host import Host
from modelyard.judging.evaluation import WHOLE, Evaluation, Part
from modelyard.kit.classifier import store
from modelyard.kit.pictures.changes import Changes
from modelyard.kit.pictures.family import Batch, SquareFamily
from modelyard.kit.pictures.host import PIXELS
from modelyard.runtimes.types import Runtime

MASKS = "masks"
"""A batch's classes, int64 (batch, size, size), IGNORED where there is none."""


class Segmentation(SegmentationData, SquareFamily[SegmentationConfig, SegmentationSpec]):
    """From a folder of pictures with masks to a served network."""

    plan = staticmethod(plan)
    network = staticmethod(build)
    ANNOTATIONS = MASKS
    example_rows = 2

    def annotations(self, features: Path, split: Split) -> np.ndarray:
        """The class of each pixel of the square, uint8 (pictures, size, size)."""
        return store.load_arrays(features, f"{split}.masks")

    def changed(self, batch: Batch, changes: Changes, rows: np.ndarray) -> Batch:
        """Pictures and masks, changed alike; what comes in from outside is ignored."""
        labels = batch[MASKS][:, None].float() - IGNORED
        moved = changes.moved(labels, rows, "nearest")[:, 0].long() + IGNORED
        return {PIXELS: changes.pictures(batch[PIXELS], rows), MASKS: moved}

    def loss(self, model: torch.nn.Module, batch: Batch) -> torch.Tensor:
        """Cross entropy and Dice, the mean over pictures."""
        logits = model(batch[PIXELS])["logits"]
        return pixel_loss(logits, batch[MASKS], self.config.training.dice).mean()

    def evaluate(
        self, host: Host, run: Runtime, features: Path, split: Split = "test"
    ) -> Evaluation:
        """Overlap and borders of a split next to those of simple answers, and what people of the
        field look at.

        The host may be another package's: it decodes the files by its own rules, and its classes
        are matched by name.
        """
        return self.evaluate_part(host, run, features, split, WHOLE)

    def evaluate_part(
        self, host: Host, run: Runtime, features: Path, split: Split, part: Part
    ) -> Evaluation:
        """The same, on so many pictures as `part` allows: large masks take long to compare.

        Raises:
            UsageError: the host gives no classes of pixels.
        """
        if isinstance(host, InstanceHost):
            problem = "a model of kind mask2former finds objects: it has no classes of pixels"
            raise UsageError(problem)
        if isinstance(host, PromptHost):
            problem = "a model of kind sam answers to prompts: it has no classes to compare"
            raise UsageError(problem)
        assert isinstance(host, SegmentationHost)
        spec = SegmentationSpec.load(Path(features) / "assets")
        classes = len(spec.classes)
        found = part.take(found_in(host, run, features, split))
        judged = Judged.of(zip(true_masks(features, split), found, strict=False), classes)
        simple = {}
        for name, answers in SIMPLE.items():
            some = itertools.islice(answers(features, split), judged.pictures)
            simple[name] = Judged.of(zip(true_masks(features, split), some, strict=False), classes)
        return report.evaluation(judged, simple, host, run, features, split, spec)


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
    numbers = host.spec.numbered_in(classes, len(classes)).astype(np.uint8)
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
