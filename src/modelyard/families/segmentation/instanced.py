"""Building the kind mask2former: objects of training pictures, the network's loss, and average
precision of masks."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from modelyard.errors import UsageError
from modelyard.families.segmentation.config import SegmentationConfig
from modelyard.families.segmentation.family import MASKS, Segmentation
from modelyard.families.segmentation.instance_baseline import SIMPLE
from modelyard.families.segmentation.instance_gallery import gallery
from modelyard.families.segmentation.instance_host import InstanceHost, Seen
from modelyard.families.segmentation.instances import InstanceData, load_truth
from modelyard.families.segmentation.rle import run_lengths
from modelyard.families.segmentation.spec import SegmentationSpec
from modelyard.family import Split
from modelyard.host import Host
from modelyard.judging.evaluation import WHOLE, Evaluation, Part
from modelyard.kit.boxes import report
from modelyard.kit.boxes.family import ObjectFamily
from modelyard.kit.boxes.precision import LEAST_SCORE, MOST_FOUND, Judged, Objects
from modelyard.kit.classifier import store
from modelyard.kit.pictures.family import Batch
from modelyard.kit.pictures.host import PIXELS
from modelyard.kit.splits import load_groups
from modelyard.runtimes.types import Runtime
from modelyard.training.batches import Batches

LABELS = "labels"
"""A batch's classes, int64 (batch, MOST_TRAINED): of the objects that MASKS numbers from 1 on; -1 where
there is none."""
VIEWS = 2
"""How often an epoch shows each training picture."""


class InstanceSegmentation(
    InstanceData, ObjectFamily[SegmentationConfig, SegmentationSpec], Segmentation
):
    """From a folder of pictures with outlines to a network that finds each object."""

    Answering = InstanceHost

    # Queries look where the mask of the layer before is likelier than not (Cheng et al. 2022,
    # section 3.2.1), so that a rounding error turns a pixel on or off.
    tolerance = 0.2

    def batches(self, features: Path, split: Split, epoch: int) -> Batches:
        """`pixels` float32 (batch, 3, size, size), MASKS and LABELS.

        An epoch shows each training picture VIEWS times, changed differently each time: it takes many
        steps until each query has found what it looks for.
        """
        views = VIEWS if split == "train" and epoch > 0 else 1
        drawn = super().batches
        plain = [drawn(features, split, epoch * views - view) for view in range(views)]
        labels = torch.from_numpy(store.load_labels(features, split))
        count = len(labels)

        def take(rows: np.ndarray) -> Batch:
            # A view's pictures are taken together, and then brought into the order of the rows.
            taken: list[np.ndarray] = []
            parts: list[Batch] = []
            for view, one in enumerate(plain):
                own = np.flatnonzero(rows // count == view)
                if len(own):
                    taken.append(own)
                    parts.append(one.take(rows[own] % count))
            back = torch.from_numpy(np.argsort(np.concatenate(taken)))
            found = {LABELS: labels[rows % count]}
            for name in (PIXELS, MASKS):
                found[name] = torch.cat([part[name] for part in parts])[back]
            return found

        order = np.concatenate([one.order + view * count for view, one in enumerate(plain)])
        return Batches(order, plain[0].size, take, plain[0].least)

    def replayed(self, memory: Batch, features: Path, epoch: int) -> Batch:
        return super().replayed(memory, features, epoch) | {LABELS: memory[LABELS]}

    def loss(self, model: torch.nn.Module, batch: Batch) -> torch.Tensor:
        """The library's, each picture by itself; the mean over pictures."""
        loss: torch.Tensor = model(batch[PIXELS], *targets(batch))["loss"]
        return loss.mean()

    def evaluate_part(
        self, host: Host, run: Runtime, features: Path, split: Split, part: Part
    ) -> Evaluation:
        """Average precision of masks of a split next to that of simple answers.

        Raises:
            UsageError: the host is that of another kind.
        """
        if not isinstance(host, InstanceHost):
            raise UsageError("a model of another kind than mask2former does not tell objects apart")
        spec = SegmentationSpec.load(Path(features) / "assets")
        judged = self.judged(host, run, features, split, part)
        simple = {}
        for name, answers in SIMPLE.items():
            some = itertools.islice(answers(features, split), judged.pictures)
            simple[name] = _against(
                features, split, [list(map(packed, objects)) for objects in some]
            )
        return report.evaluation(
            judged,
            simple,
            split=split,
            whole=len(store.load_arrays(features, split)),
            classes=spec.classes,
            threshold=host.answers.threshold,
            compared="masks",
            gallery=gallery(judged, host, run, features, split),
            groups=load_groups(features, split, judged.pictures),
        )

    def judged(
        self, host: InstanceHost, run: Runtime, features: Path, split: Split, part: Part = WHOLE
    ) -> Judged:
        classes = SegmentationSpec.load(Path(features) / "assets").classes
        numbers = host.spec.numbered_in(classes, -1).tolist()
        pixels, sizes = host.spec.seen(features, split)
        outputs = zip(host.outputs(run, pixels), sizes, strict=True)
        found = []
        for one, size in part.take(outputs):
            own = []
            for seen in host.objects(one, size, LEAST_SCORE, MOST_FOUND):
                label = numbers[seen.label]
                # A class that the split does not know is not judged.
                if label >= 0:
                    own.append(packed(seen._replace(label=label)))
            found.append(own)
        return _against(features, split, found)


def targets(batch: Batch) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """What the library's loss takes of each picture: masks float32 (objects, size, size) and classes
    int64 (objects,), of the objects that have a pixel."""
    masks, labels = [], []
    for numbers, own in zip(batch[MASKS], batch[LABELS], strict=True):
        known = own[own >= 0]
        every = torch.arange(1, len(known) + 1, device=numbers.device)
        apart = numbers[None] == every[:, None, None]
        there = apart.flatten(1).any(1)
        masks.append(apart[there].float())
        labels.append(known[there])
    return masks, labels


class Packed(NamedTuple):
    """A found object as it is judged: its mask takes little room."""

    label: int
    score: float
    mask: dict[str, Any]


def packed(one: Seen) -> Packed:
    """An object with the run lengths of its mask."""
    runs = {"size": list(one.mask.shape), "counts": run_lengths(one.mask)}
    return Packed(one.label, one.score, runs)


def _against(features: Path, split: str, found: Sequence[Sequence[Packed]]) -> Judged:
    """What was found in the first pictures of a split, held against their true objects."""
    spec = SegmentationSpec.load(Path(features) / "assets")
    truth = load_truth(features, split)
    pictures: list[int] = []
    every: list[Packed] = []
    for place, objects in enumerate(found):
        pictures += [place] * len(objects)
        every += objects
    answers = Objects.masked(
        pictures,
        [answer.label for answer in every],
        [answer.mask for answer in every],
        [answer.score for answer in every],
    )
    judged = truth.rows(truth.picture < len(found))
    return Judged(judged, answers, len(found), len(spec.classes))
