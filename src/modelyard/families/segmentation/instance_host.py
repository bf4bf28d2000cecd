"""The half that answers with objects: picture files to the class, score, box and mask of each. Numpy,
pydantic and Pillow only."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, Field

from modelyard.families.segmentation.host import Runs, as_png
from modelyard.families.segmentation.spec import SegmentationSpec, answered, palette
from modelyard.host import Cost, WithWarnings
from modelyard.kit.boxes.answering import FoundObject, ObjectBox, ObjectHost, ObjectPicture
from modelyard.kit.classifier.store import load_plan
from modelyard.kit.logits import softmax
from modelyard.kit.pictures.answering import DECODE_SECONDS, sent_pixels
from modelyard.kit.pictures.pixels import placed
from modelyard.kit.pictures.square import Size
from modelyard.runtimes.types import Arrays

MOST_NUMBERED = 254
"""Objects of an answer at most: a mask in a PNG tells no more apart."""
MASK_PIXELS = 1_000_000
"""Of an answered mask: each object has its own, so they are smaller than those of classes."""
OBJECT_SECONDS = 12e-9
"""For each pixel of a mask and each object, on one core, at most."""


class InstancePicture(ObjectPicture):
    """One example in."""

    most: int = Field(
        default=100, ge=1, le=MOST_NUMBERED, description="Objects at most, the surest first"
    )
    format: Literal["png", "rle"] = Field(
        default="png",
        description="png: one mask, each pixel that of the surest object. rle: run lengths of each "
        "object, as COCO has them",
    )


class MaskedObject(FoundObject):
    """One object that was found, with its mask."""

    value: int
    """Of its pixels in the mask."""
    colour: str
    """In the mask, as #rrggbb."""
    share: float
    """Of the picture's pixels."""
    rle: Runs | None = Field(default=None, exclude_if=lambda found: found is None)


class MaskedObjects(WithWarnings):
    """One answer out."""

    objects: list[MaskedObject]
    """The surest first."""
    mask: str | None = Field(
        default=None,
        exclude_if=lambda found: found is None,
        description="A PNG with a palette as a data: URL; its pixels hold the objects' values, and 0 "
        "where there is none",
    )
    threshold: float
    """Least score that was asked for."""
    width: int
    """Of the picture, in pixels: those of boxes."""
    height: int
    mask_width: int
    """As the picture, up to 1,000,000 pixels."""
    mask_height: int


class Seen(NamedTuple):
    """One object in a picture."""

    label: int
    score: float
    mask: np.ndarray
    """bool (height, width), in the size of the answered mask."""


Queries = tuple[np.ndarray, np.ndarray]
"""Of one picture: scores (queries, classes), and logits of masks float32 (queries, rows, columns)."""


class InstanceHost(ObjectHost[SegmentationSpec, Queries]):
    """Answers for one trained network whose queries find objects."""

    Spec = SegmentationSpec
    Request, Response = InstancePicture, MaskedObjects

    def __init__(self, assets: Path) -> None:
        super().__init__(assets)
        self.colours = palette(MOST_NUMBERED + 1)
        # The library's own number, where a checkpoint's config.json does not say it.
        self._queries = load_plan(self.assets)["config"].get("num_queries", 100)

    def by_picture(self, outputs: Arrays) -> Iterator[Queries]:
        """The queries of each picture."""
        # The last class stands for no object.
        scores = softmax(outputs["logits"].astype(np.float64))[..., :-1]
        return zip(scores, outputs["masks"], strict=True)

    def answer(self, output: Queries, size: Size, request: BaseModel) -> MaskedObjects:
        """The objects with the threshold's score or more, each with its mask."""
        asked = _asked(request)
        threshold = self.least_score(asked)
        width, height = answered(size, MASK_PIXELS)
        # From the mask's pixels to the picture's, which boxes are in.
        scale = np.tile([size[0] / width, size[1] / height], 2)
        numbers = np.zeros((height, width), np.uint8)
        objects: list[MaskedObject] = []
        for value, one in enumerate(self.objects(output, size, threshold, asked.most), start=1):
            # A pixel of several objects is that of the surest.
            numbers[one.mask & (numbers == 0)] = value
            found = MaskedObject(
                label=self.spec.classes[one.label],
                score=one.score,
                box=ObjectBox.of(box_of(one.mask) * scale),
                value=value,
                colour="#" + self.colours[value].tobytes().hex(),
                share=float(one.mask.mean()),
            )
            if asked.format == "rle":
                found.rle = Runs.of(one.mask)
            objects.append(found)
        answer = MaskedObjects(
            objects=objects,
            threshold=threshold,
            width=size[0],
            height=size[1],
            mask_width=width,
            mask_height=height,
        )
        if asked.format == "png":
            answer.mask = as_png(numbers, self.colours)
        return answer

    def objects(self, queries: Queries, size: Size, threshold: float, most: int) -> Iterator[Seen]:
        """The objects in a picture of `size`, width and height: those with the threshold's score or
        more, the surest first.

        A query's score is the probability of its class, times the mean one of its mask's pixels
        (Cheng et al. 2022, section 4.2): an object is found when both are sure. Of two masks of a
        class that overlap by more than the model's `most_overlap` the surer one is the object.
        """
        scores, logits = queries
        inside = logits > 0
        # Of the pixels inside, whose logits are positive: exp overflows for none of these.
        sure = 1 / (1 + np.exp(-np.abs(logits, dtype=np.float64)))
        mean = (sure * inside).sum((1, 2)) / np.maximum(1, inside.sum((1, 2)))
        labels, every = scores.argmax(axis=1), scores.max(axis=1) * mean
        # The overlaps of all pairs are one product of matrices.
        flat = inside.reshape(len(inside), -1).astype(np.float32)
        both = flat @ flat.T
        either = np.diag(both)[:, None] + np.diag(both) - both
        alike = labels[:, None] == labels
        twice = alike & (both > self.answers.most_overlap * either)
        taken: list[int] = []
        for query in np.argsort(-every, kind="stable").tolist():
            if len(taken) == most or every[query] < threshold:
                return
            if twice[query, taken].any():
                continue
            mask = self._enlarged(logits[query], size)
            if mask.any():
                taken.append(query)
                yield Seen(int(labels[query]), float(every[query]), mask)

    def cost(self, request: BaseModel) -> Cost:
        """Decoding, and drawing each object's mask: both take as long as the picture is large."""
        asked = _asked(request)
        pixels = sent_pixels(asked.image, self.spec.limits)
        most = min(asked.most, self._queries)
        drawing = min(pixels, MASK_PIXELS) * most * OBJECT_SECONDS
        return Cost(1.0, pixels * DECODE_SECONDS + drawing)

    def objects_of(self, response: BaseModel) -> list[tuple[FoundObject, float]]:
        """Masks and their areas."""
        assert isinstance(response, MaskedObjects)
        return [(one, one.share) for one in response.objects]

    def _enlarged(self, logits: np.ndarray, size: Size) -> np.ndarray:
        """The mask of a query, bool, in the size of the answered mask of a picture of `size`."""
        from PIL import Image

        place = placed(size, self.spec.size)
        scale = logits.shape[0] / self.spec.size
        left, top = place.left * scale, place.top * scale
        box = (left, top, left + place.width * scale, top + place.height * scale)
        image = Image.fromarray(np.ascontiguousarray(logits, np.float32))
        large = image.resize(answered(size, MASK_PIXELS), Image.Resampling.BILINEAR, box)
        mask: np.ndarray = np.asarray(large) > 0
        return mask


def box_of(mask: np.ndarray) -> np.ndarray:
    """Left, top, right and bottom of a mask that has pixels, (4,)."""
    down, right = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return np.array([right[0], down[0], right[-1] + 1, down[-1] + 1], np.float64)


def _asked(request: BaseModel) -> InstancePicture:
    assert isinstance(request, InstancePicture)
    return request
