"""Building the kind sam: prompts on training pictures, two graphs, and overlap by prompt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from modelyard.errors import UsageError
from modelyard.families.segmentation import prompt_report
from modelyard.families.segmentation.family import MASKS, Segmentation, true_masks
from modelyard.families.segmentation.losses import object_loss
from modelyard.families.segmentation.prompt_host import DECODER, ENCODER, SLOTS, PromptHost, filled
from modelyard.families.segmentation.prompt_report import Compared
from modelyard.families.segmentation.prompts import ObjectMask, disc, drawn, objects_in
from modelyard.families.segmentation.sam import Decoder, Encoder, Sam
from modelyard.families.segmentation.spec import IGNORED, SegmentationSpec
from modelyard.family import Split
from modelyard.host import Host
from modelyard.judging.evaluation import Evaluation, Part
from modelyard.kit.boxes.geometry import into_square
from modelyard.kit.classifier import store
from modelyard.kit.pictures.family import Batch
from modelyard.kit.pictures.host import PIXELS
from modelyard.runtimes.types import Graph, Runtime
from modelyard.training.batches import Batches

PROMPTS = 4
"""Prompts a picture and epoch: the picture is encoded once for all of them."""
MOST_OBJECTS = 6
"""Objects of a picture that are judged: the largest."""
POINTS, KINDS, TARGETS = "points", "kinds", "targets"
"""A batch's prompts, (batch, PROMPTS, SLOTS, …) as the decoder takes them; and what each means, int64
(batch, PROMPTS, size, size): 1 in the object, 0 outside, IGNORED."""
QUALITY = 0.1
"""Weight of the error of the overlap that is expected."""


class PromptedSegmentation(Segmentation):
    """From a folder of pictures with masks to a network that is prompted for one object at a time: the
    regions of a class that touch."""

    def batches(self, features: Path, split: Split, epoch: int) -> Batches:
        """`pixels` float32 (batch, 3, size, size), POINTS, KINDS and TARGETS.

        Objects and prompts follow from picture and epoch; of a validation picture they are the same
        in every epoch.
        """
        plain = super().batches(features, split, epoch)
        skipped = _between(features)
        number = epoch if split == "train" else 0

        def take(rows: np.ndarray) -> Batch:
            batch = plain.take(rows)
            masks = batch[MASKS].numpy().astype(np.uint8)
            points, kinds, targets = [], [], []
            for labels, row in zip(masks, rows.tolist(), strict=True):
                # By the picture, so that neither order nor batch changes what it is asked.
                r = np.random.default_rng([self.config.seed, number, row])
                where, what, meant = _prompts(labels, skipped, r)
                points.append(where)
                kinds.append(what)
                targets.append(meant)
            return {
                PIXELS: batch[PIXELS],
                POINTS: torch.from_numpy(np.stack(points)),
                KINDS: torch.from_numpy(np.stack(kinds)),
                TARGETS: torch.from_numpy(np.stack(targets)),
            }

        return Batches(plain.order, plain.size, take, plain.least)

    def replayed(self, memory: Batch, features: Path, epoch: int) -> Batch:
        """Exemplars with the prompts that they were stored with."""
        return memory

    def loss(self, model: torch.nn.Module, batch: Batch) -> torch.Tensor:
        """Cross entropy and Dice of the object, and the squared error of the overlap that is
        expected; the mean over pictures."""
        outputs = model(batch[PIXELS], batch[POINTS], batch[KINDS])
        logits, targets = outputs["logits"].flatten(0, 1), batch[TARGETS].flatten(0, 1)
        loss = object_loss(logits, targets, self.config.training.dice)
        # The overlap is what the score learns to tell: it teaches the mask nothing.
        there, found = targets == 1, (logits.detach() > 0) & (targets != IGNORED)
        overlap = (there & found).sum((1, 2)) / (there | found).sum((1, 2)).clamp(min=1)
        error = (outputs["score"].flatten() - overlap).square() * there.any(2).any(1)
        mean: torch.Tensor = (loss + QUALITY * error).mean()
        return mean

    def graphs(self, model: Path) -> list[Graph]:
        """Two graphs: `encoder`, `pixels` to `embedding`, and `decoder`, `embedding`, `points` and
        `kinds` to `logits` and `score`."""
        (whole,) = super().graphs(model)
        sam = whole.module
        assert isinstance(sam, Sam)
        pixels = whole.example[PIXELS]
        with torch.inference_mode():
            embedding = sam.eval().encode(torch.from_numpy(pixels)).numpy()
        side = pixels.shape[-1]
        # Both sorts of prompt, in turn.
        box = filled([], (side / 4, side / 4, side / 2, side / 2))
        points = filled([(9, 9, True)], None)
        slots = [(box, points)[row % 2] for row in range(len(pixels))]
        inputs = {
            "embedding": embedding,
            "points": np.stack([one for one, _ in slots]),
            "kinds": np.stack([one for _, one in slots]),
        }
        return [
            Graph(ENCODER, {PIXELS: pixels}, module=Encoder(sam), tolerance=self.tolerance),
            Graph(DECODER, inputs, module=Decoder(sam), tolerance=self.tolerance),
        ]

    def evaluate_part(
        self, host: Host, run: Runtime, features: Path, split: Split, part: Part
    ) -> Evaluation:
        """Overlap with the objects of a split, each prompted by a point and by its box, next to a
        disc and the filled box.

        Raises:
            UsageError: the host is that of another kind.
        """
        if not isinstance(host, PromptHost):
            raise UsageError("a model of another kind than sam gives classes, not objects")
        skipped, area = _between(features), _usual_area(features)
        pixels, sizes = host.spec.seen(features, split)
        compared: list[Compared] = []
        pictures = zip(pixels, sizes, true_masks(features, split), strict=True)
        for place, (seen, size, truth) in enumerate(part.take(pictures)):
            objects = objects_in(truth, skipped)[:MOST_OBJECTS]
            if not objects:
                continue
            found = _asked_for(host, run, seen, size, objects)
            counted = truth != IGNORED
            for prompted, (by_point, by_box) in zip(objects, found, strict=True):
                round_ = disc(prompted.point, area * truth.size, truth.shape)
                answers = (by_point, by_box, round_, prompted.filled_box())
                overlaps = [_overlap(prompted.mask, answer, counted) for answer in answers]
                compared.append(Compared(place, prompted, by_point, overlaps))
        whole = len(pixels)
        done = min(whole, place + 1)
        return prompt_report.evaluation(compared, host, features, split, done, whole)


def _between(features: Path) -> int:
    """The class that lies between objects: the most frequent one of training."""
    spec = SegmentationSpec.load(Path(features) / "assets")
    return int(np.argmax(spec.counts))


def _usual_area(features: Path) -> float:
    """Mean share of a picture's square that an object of training has."""
    masks, skipped = store.load_arrays(features, "train.masks"), _between(features)
    shares = []
    for labels in masks:
        known = (labels != IGNORED).sum()
        for there in objects_in(labels, skipped):
            shares.append(there.mask.sum() / known)
    if shares:
        return float(np.mean(shares))
    return 0.0


def _prompts(
    labels: np.ndarray, skipped: int, r: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Prompts on a picture with the classes `labels`, and what they mean: POINTS, KINDS and TARGETS
    of one picture. All is ignored where it has no object."""
    objects = objects_in(labels, skipped)
    points = np.zeros((PROMPTS, SLOTS, 2), np.float32)
    kinds = np.full((PROMPTS, SLOTS), -1, np.int64)
    targets = np.full((PROMPTS, *labels.shape), IGNORED, np.int64)
    if objects:
        for number, chosen in enumerate(r.integers(0, len(objects), PROMPTS)):
            one = objects[chosen]
            points[number], kinds[number] = drawn(one, r)
            targets[number] = np.where(labels == IGNORED, IGNORED, one.mask)
    return points, kinds, targets


def _asked_for(
    host: PromptHost, run: Runtime, pixels: np.ndarray, size: Any, objects: list[ObjectMask]
) -> list[tuple[np.ndarray, np.ndarray]]:
    """The masks that a host answers to the point and to the box of each object of a picture, bool
    (height, width)."""
    height, width = objects[0].mask.shape
    rows = [[*mask.point, *mask.point] for mask in objects] + [list(mask.box) for mask in objects]
    there = into_square(np.array(rows, np.float64), (width, height), host.spec.size)
    count = len(objects)
    slots = [filled([(x, y, True)], None) for x, y, *_ in there[:count].tolist()]
    slots += [filled([], tuple(edges)) for edges in there[count:].tolist()]
    embedding = run(ENCODER, {PIXELS: pixels[None].astype(np.float32)})["embedding"]
    answers = host.decoded(run, np.repeat(embedding, len(slots), axis=0), slots)
    masks = [host.labelled(scores, size)[0] == 1 for scores, _ in answers]
    return list(zip(masks[:count], masks[count:], strict=True))


def _overlap(truth: np.ndarray, found: np.ndarray, counted: np.ndarray) -> float:
    whole = ((truth | found) & counted).sum()
    return float((truth & found & counted).sum() / max(1, whole))
