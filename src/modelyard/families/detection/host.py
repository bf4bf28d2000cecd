"""The half that answers: picture files to objects. Numpy, pydantic and Pillow only."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from pydantic import BaseModel

from modelyard.families.detection.spec import DetectionSpec
from modelyard.host import WithWarnings
from modelyard.kit.boxes.answering import FoundObject, ObjectBox, ObjectHost, ObjectPicture
from modelyard.kit.boxes.geometry import areas, from_centres, on_grid, out_of_square, suppressed
from modelyard.kit.classifier.store import load_plan
from modelyard.kit.logits import softmax
from modelyard.kit.pictures.square import Size
from modelyard.runtimes.types import Arrays

CANDIDATES = 1_000
"""Boxes that are compared with each other, the surest."""
Places = tuple[np.ndarray, np.ndarray]
"""Of one picture: scores (places, classes) and boxes (places, 4) in pixels of the square."""


class Things(WithWarnings):
    """One answer out."""

    objects: list[FoundObject]
    """The surest first."""
    threshold: float
    """Least score that was asked for."""
    width: int
    """Of the picture, in pixels."""
    height: int


class DetectionHost(ObjectHost[DetectionSpec, Places]):
    """Answers for one trained network."""

    Spec = DetectionSpec
    Request, Response = ObjectPicture, Things
    chunk = 16

    def __init__(self, assets: Path) -> None:
        super().__init__(assets)
        self.plan = load_plan(self.assets)

    def by_picture(self, outputs: Arrays) -> Iterator[Places]:
        """Scores and boxes of each picture."""
        scores = self._scores(outputs["logits"].astype(np.float64))
        boxes = self._in_pixels(outputs["boxes"].astype(np.float64))
        return zip(scores, boxes, strict=True)

    def answer(self, output: Places, size: Size, request: BaseModel) -> Things:
        """The objects with the threshold's score or more."""
        assert isinstance(request, ObjectPicture)
        threshold = self.least_score(request)
        labels, scores, boxes = self.chosen(*output, size, threshold, request.most)
        objects: list[FoundObject] = []
        for label, score, box in zip(labels, scores, boxes, strict=True):
            name = self.spec.classes[label]
            objects.append(FoundObject(label=name, score=float(score), box=ObjectBox.of(box)))
        return Things(objects=objects, threshold=threshold, width=size[0], height=size[1])

    def chosen(
        self, scores: np.ndarray, boxes: np.ndarray, size: Size, threshold: float, most: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Which of a network's boxes are answers: labels (n,), scores (n,) and boxes (n, 4) in
        pixels of the picture of `size`, width and height; the surest first."""
        # A place is one object: it has one class.
        every = scores.max(axis=1)
        order = np.argsort(-every, kind="stable")[:CANDIDATES]
        places = order[every[order] >= threshold]
        labels, sure = scores[places].argmax(axis=1), every[places]
        there = out_of_square(boxes[places], size, self.spec.size)
        visible = areas(there) > 0
        labels, sure, there = labels[visible], sure[visible], there[visible]
        kept = suppressed(there, sure, labels, self.answers.most_overlap, most)
        return labels[kept], sure[kept], there[kept]

    def objects_of(self, response: BaseModel) -> list[tuple[FoundObject, float]]:
        """Boxes and their areas."""
        assert isinstance(response, Things)
        pixels = response.width * response.height
        return [(one, one.box.width * one.box.height / pixels) for one in response.objects]

    def _scores(self, logits: np.ndarray) -> np.ndarray:
        """Of logits (n, places, outputs), by class."""
        if self.plan.get("softmax"):
            # The last output stands for nothing.
            return softmax(logits)[..., :-1]
        return np.asarray(1 / (1 + np.exp(-logits)))

    def _in_pixels(self, boxes: np.ndarray) -> np.ndarray:
        """The network's boxes (n, places, 4) in pixels of the square."""
        if "strides" in self.plan:
            return on_grid(boxes, self.spec.size, self.plan["strides"])
        return from_centres(boxes, self.spec.size)
