"""From COCO's outlines to objects, each with its own mask: the data of kind mask2former.

train.masks.npy …       the object of each pixel of the square, uint8 (pictures, size, size): from 1 on,
                        0 where there is none, IGNORED in crowds and in the padding
train.labels.npy …      the class of each of these objects, int64 (pictures, MOST_TRAINED), -1 where
                        there is none
train.truth.json …      all objects as they are judged: class, crowd, and run lengths in the size of an
                        answer
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco

from modelyard.errors import BadData, UsageError
from modelyard.families.segmentation.data import Masked, SegmentationData, write_masks
from modelyard.families.segmentation.instance_host import MASK_PIXELS
from modelyard.families.segmentation.reading import Drawn, Pair, Pairs
from modelyard.families.segmentation.rle import run_lengths
from modelyard.families.segmentation.spec import IGNORED, SegmentationSpec, answered, resized
from modelyard.kit.arrays import load_beside
from modelyard.kit.boxes.annotated import Look
from modelyard.kit.boxes.precision import EVERY, Objects
from modelyard.kit.classifier import store
from modelyard.kit.pictures.data import NAMED

MOST_TRAINED = IGNORED - 1
"""Objects of a picture that training looks at: the largest. Judging looks at all."""


class InstanceData(SegmentationData):
    """From a folder of pictures with outlines to arrays."""

    counted = "objects"
    least_classes = 1

    preferred = "outlines"

    def _masked(self, pair: Pair, seen: Look) -> Masked:
        if pair.objects is None:
            problem = "holds masks, which do not tell objects of a class apart"
            hint = (
                "model.kind=mask2former needs outlines: COCO's JSON with segmentation, LabelMe's, …"
            )
            raise BadData(problem, file=pair.table, hint=hint)
        found = tuple(pair.objects(seen))
        counts: Counter[int] = Counter()
        for drawn in found:
            if _seen(drawn):
                counts[-1 if drawn.crowd else drawn.value] += 1
        words = [(value, crowd, mask["counts"].decode()) for value, crowd, mask in found]
        digest = hashlib.sha256(json.dumps(words).encode()).hexdigest()
        return Masked(pair, seen, counts, digest, found)

    def _fitted(
        self,
        raw: Path,
        names: dict[int, str],
        train: list[Masked],
        ignored: int | None,
        earlier: SegmentationSpec | None,
    ) -> SegmentationSpec:
        """As of other kinds; but the network's last output stands for no object, and could not be
        told from a class that came after it."""
        spec = super()._fitted(raw, names, train, ignored, earlier)
        if earlier is not None and spec.classes != earlier.classes:
            new = ", ".join(sorted(set(spec.classes) - set(earlier.classes))[:NAMED])
            raise UsageError(
                f"continual.start: the base model lacks the class {new}, and mask2former cannot add "
                "one. Start from scratch: --set continual.start=null"
            )
        return spec

    def _write_masks(
        self, out: Path, split: str, part: list[Masked], table: np.ndarray, spec: SegmentationSpec
    ) -> None:
        def drawn(one: Masked) -> tuple[np.ndarray, tuple[list[int], list[Any]]]:
            seen = [each for each in one.objects if _seen(each)]
            # A crowd is ignored, of whatever class it is.
            known = [each for each in seen if each.crowd or table[each.value] != IGNORED]
            numbers, labels = _numbered(known, one.look, table)
            return numbers, (labels, [_as_judged(each, one.look, table) for each in known])

        found = write_masks(out, split, part, spec, drawn)
        # As many places in every data set: exemplars of another one are learnt with these.
        padded = [labels + [-1] * (MOST_TRAINED - len(labels)) for labels, _ in found]
        store.save_labels(out, split, np.array(padded))
        truth = [objects for _, objects in found]
        (Path(out) / f"{split}.truth.json").write_text(json.dumps(truth) + "\n")

    def _summary(
        self,
        listing: Pairs,
        masked: dict[str, list[Masked]],
        names: dict[int, str],
        table: np.ndarray,
        spec: SegmentationSpec,
    ) -> dict[str, Any]:
        for picture in chain.from_iterable(masked.values()):
            empty = [drawn for drawn in picture.objects if not _seen(drawn)]
            listing.drop("objects: without a pixel in the picture", len(empty))
        most = max(picture.counts.total() - picture.counts[-1] for picture in masked["train"])
        if most > MOST_TRAINED:
            said = f"Training looks at the {MOST_TRAINED} largest objects of a picture, of up to {most}."
            listing.notes.append(said)
        return super()._summary(listing, masked, names, table, spec)

    def _also(self, total: Counter[int], table: np.ndarray) -> str:
        crowds = total[-1]
        said = f", {total.total() - crowds:,} objects"
        if crowds:
            said += f", {crowds:,} crowds, neither found nor missed"
        return said


def _seen(one: Drawn) -> bool:
    """Whether it has a pixel in the picture."""
    return bool(coco.area(one.mask))


def _numbered(objects: list[Drawn], look: Look, table: np.ndarray) -> tuple[np.ndarray, list[int]]:
    """The object of each pixel, uint8 (height, width), from 1 on, and the class of each object. Where
    two lie over each other, the smaller one is seen."""
    numbers = np.zeros((look.size[1], look.size[0]), np.uint8)
    labels: list[int] = []
    for drawn in objects:
        if drawn.crowd:
            numbers[coco.decode(drawn.mask) > 0] = IGNORED
        elif len(labels) < MOST_TRAINED:
            labels.append(int(table[drawn.value]))
            numbers[coco.decode(drawn.mask) > 0] = len(labels)
    return numbers, labels


def _as_judged(one: Drawn, look: Look, table: np.ndarray) -> list[Any]:
    """Class, whether it is a crowd, and run lengths in the size of an answer. The class of a crowd that
    is of none of training is EVERY."""
    size = answered(look.size, MASK_PIXELS)
    mask = resized(coco.decode(one.mask), size)
    label = int(table[one.value])
    if label == IGNORED:
        label = EVERY
    return [label, one.crowd, run_lengths(mask > 0)]


def load_truth(features: Path, split: str) -> Objects:
    """The true objects of a split."""
    found = json.loads((Path(features) / f"{split}.truth.json").read_text())
    sizes = load_beside(features, split, "sizes")
    pictures: list[int] = []
    labels: list[int] = []
    crowds: list[bool] = []
    masks: list[dict[str, Any]] = []
    for place, objects in enumerate(found):
        width, height = answered(tuple(sizes[place].tolist()), MASK_PIXELS)
        for label, crowd, counts in objects:
            pictures.append(place)
            labels.append(label)
            crowds.append(crowd)
            masks.append({"size": [height, width], "counts": counts})
    return Objects.masked(pictures, labels, masks, ignored=crowds)
