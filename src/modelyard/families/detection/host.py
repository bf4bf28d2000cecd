"""The half that answers: picture files to objects. Numpy, pydantic and Pillow only."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel

from modelyard.families.detection.spec import DetectionSpec
from modelyard.host import Cost, Host, WithWarnings
from modelyard.kit.boxes.answering import (
    FoundObject,
    ObjectAnswers,
    ObjectBox,
    ObjectPicture,
    described,
)
from modelyard.kit.boxes.geometry import areas, from_centres, on_grid, out_of_square, suppressed
from modelyard.kit.classifier.kind import from_base64
from modelyard.kit.classifier.store import PLAN
from modelyard.kit.pictures.answering import (
    Turns,
    as_request,
    cautions,
    decoding_cost,
    seen_in,
)
from modelyard.kit.pictures.pixels import open_picture, statistics
from modelyard.kit.pictures.square import Size
from modelyard.runtimes.types import Runtime

GRAPH, PIXELS = "model", "pixels"
CHUNK = 16
"""Pictures that go through the graph at once."""
CANDIDATES = 1_000
"""Boxes that are compared with each other, the surest."""
SHOWN_CLASSES = 20
"""Classes whose share drift looks at: the most frequent in training."""


class Things(WithWarnings):
    """One answer out."""

    objects: list[FoundObject]
    """The surest first."""
    threshold: float
    """Least score that was asked for."""
    width: int
    """Of the picture, in pixels."""
    height: int


class DetectionHost(Host):
    """Answers for one trained network."""

    Request, Response = ObjectPicture, Things
    rows_by = "objects"
    sensitive = frozenset({"image"})

    def __init__(self, assets: Path) -> None:
        super().__init__(assets)
        self.spec = DetectionSpec.load(self.assets)
        self.answers = ObjectAnswers.load_or(self.assets, ObjectAnswers())
        self.plan: dict[str, Any] = json.loads((self.assets / PLAN).read_text())
        self._turns = Turns()
        self._shown = self.spec.frequent(SHOWN_CLASSES)

    def predict(self, run: Runtime, requests: Sequence[BaseModel]) -> list[BaseModel]:
        """One answer a request, in order.

        Raises:
            BadData: a request whose text is not a picture within the limits.
        """
        found: list[BaseModel] = []
        for start in range(0, len(requests), CHUNK):
            chunk = [_asked(request) for request in requests[start : start + CHUNK]]
            seen = [seen_in(request.image, self.spec, self._turns) for request in chunk]
            pixels = np.stack([pixels for pixels, _ in seen])
            for place, (scores, boxes) in enumerate(self.outputs(run, pixels)):
                request, size = chunk[place], seen[place][1]
                threshold = request.threshold
                if threshold is None:
                    threshold = self.answers.threshold
                some = self.chosen(scores, boxes, size, threshold, request.most)
                answer = Things(
                    objects=[self._object(*one) for one in zip(*some, strict=True)],
                    threshold=threshold,
                    width=size[0],
                    height=size[1],
                )
                answer.warnings = cautions(pixels[place], request.image, self.spec.limits)
                found.append(answer)
        return found

    def outputs(self, run: Runtime, pixels: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Of each picture, uint8 (n, 3, size, size): scores (places, classes) and boxes (places, 4)
        in pixels of the square."""
        side = self.spec.size
        for start in range(0, len(pixels), CHUNK):
            part = pixels[start : start + CHUNK].astype(np.float32)
            outputs = run(GRAPH, {PIXELS: part})
            logits, boxes = (outputs[name].astype(np.float64) for name in ("logits", "boxes"))
            if self.plan.get("softmax"):
                scores = np.exp(logits - logits.max(-1, keepdims=True))
                scores = (scores / scores.sum(-1, keepdims=True))[..., :-1]
            else:
                scores = 1 / (1 + np.exp(-logits))
            boxes = (
                on_grid(boxes, side, self.plan["strides"])
                if "strides" in self.plan
                else from_centres(boxes, side)
            )
            yield from zip(scores, boxes, strict=True)

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

    def cost(self, request: BaseModel) -> Cost:
        """Decoding, which takes as long as the picture is large."""
        return decoding_cost(_asked(request).image, self.spec.limits)

    def describe(self, request: BaseModel, response: BaseModel) -> dict[str, float | str | None]:
        """Figures of the picture as it was sent, and of what was found in it."""
        assert isinstance(response, Things)
        data = from_base64(_asked(request).image, self.spec.limits)
        with self._turns.of(data):
            figures = statistics(open_picture(data, self.spec.limits))
        pixels = response.width * response.height
        covered = [one.box.width * one.box.height / pixels for one in response.objects]
        return described(figures, response.objects, covered, self._shown)

    def read_file(self, file: Path) -> list[dict[str, Any]] | None:
        """A picture as one request; None for any other file."""
        return as_request(file)

    def _object(self, label: int, score: float, box: np.ndarray) -> FoundObject:
        name = self.spec.classes[label]
        return FoundObject(label=name, score=float(score), box=ObjectBox.of(box))


def _asked(request: BaseModel) -> ObjectPicture:
    assert isinstance(request, ObjectPicture)
    return request
