"""The half that answers: picture files to labels. Numpy, pydantic and Pillow alone."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, Field

from modelyard.errors import BadData
from modelyard.families.image import cam
from modelyard.families.image.pixels import SUFFIXES, from_base64, open_picture, pixels_of, statistics
from modelyard.families.image.spec import ImageSpec
from modelyard.family import Cost, Explanation, Host
from modelyard.kit.classes.answers import ClassAnswer, answer_type, answers, score_of
from modelyard.kit.classes.decision import Decision
from modelyard.runtimes.types import Runtime

GRAPH, INPUT, LOGITS, FEATURES = "model", "pixels", "logits", "features"
DECODE_SECONDS = 20e-9
"""For each pixel of a picture, on one core, at most."""
HEAD_CHARACTERS = 16_384
LARGE_PIXELS = 4_000_000
CHUNK = 64
"""Pictures that go through the graph at once."""


class Picture(BaseModel, extra="forbid"):
    """One example in."""

    image: str = Field(
        min_length=1,
        description="A PNG, JPEG, BMP or WebP file in base64; a data: URL is allowed",
        json_schema_extra={"contentEncoding": "base64", "contentMediaType": "image/*"},
    )


class ImageHost(Host):
    """Answers for one trained network."""

    Request = Picture
    sensitive = frozenset({"image"})

    def __init__(self, assets: Path) -> None:
        super().__init__(assets)
        self._large = threading.Lock()
        self.spec = ImageSpec.load(self.assets)
        self.decision = Decision.load_or(self.assets, Decision())
        self.head = cam.load_head(self.assets)
        self.method = cam.method(self.assets) if self.head is not None else ""
        self.Response = answer_type(self.spec.classes)

    def predict(self, run: Runtime, requests: Sequence[BaseModel]) -> list[BaseModel]:
        """One answer a request, in order.

        Raises:
            BadData: a request whose text is not a picture within the limits.
        """
        found: list[BaseModel] = []
        for start in range(0, len(requests), CHUNK):
            pixels = np.stack([self.decode(request) for request in requests[start : start + CHUNK]])
            found += answers(self.decision, self.spec.classes, self.probabilities(run, pixels))
        return found

    def cost(self, request: BaseModel) -> Cost:
        """The network sees the same few pixels of every picture; decoding takes as long as the picture is large."""
        assert isinstance(request, Picture)
        # The beginning of a file says how large the picture is, but for some JPEG and WebP files.
        for text in (request.image[:HEAD_CHARACTERS], request.image):
            try:
                pixels = pixels_of(from_base64(text, self.spec.limits))
            except BadData:
                continue
            if pixels or len(text) == len(request.image):
                return Cost(1.0, pixels * DECODE_SECONDS)
        return Cost()

    def decode(self, request: BaseModel) -> np.ndarray:
        """What the model sees of a request: uint8 (channels, size, size)."""
        assert isinstance(request, Picture)
        try:
            data = self._bytes(request)
            with self._turn(data):
                return self.spec.decode(data)
        except BadData as problem:
            raise BadData(problem.problem, column="image", hint=problem.hint) from None

    def logits(self, run: Runtime, pixels: np.ndarray) -> np.ndarray:
        """Pixels uint8 (n, channels, size, size) to logits float64 (n, classes), uncalibrated."""
        parts = [outputs[LOGITS] for outputs in self.outputs(run, pixels)]
        return np.concatenate(parts).astype(np.float64) if parts else np.empty((0, len(self.spec.classes)))

    def probabilities(self, run: Runtime, pixels: np.ndarray) -> np.ndarray:
        """Pixels uint8 (n, channels, size, size) to calibrated probabilities, float64 (n, classes)."""
        return self.decision.of_logits(self.logits(run, pixels))

    def outputs(self, run: Runtime, pixels: np.ndarray) -> Iterator[dict[str, np.ndarray]]:
        """The graph's outputs, CHUNK pictures at a time."""
        for start in range(0, len(pixels), CHUNK):
            yield run(GRAPH, {INPUT: pixels[start : start + CHUNK].astype(np.float32)})

    def describe(self, request: BaseModel, response: BaseModel) -> dict[str, float | str | None]:
        """Figures of the picture as it was sent, and the answer."""
        assert isinstance(request, Picture)
        assert isinstance(response, ClassAnswer)
        p = np.array(list(response.probabilities.values()))
        entropy = float(-(p * np.log(np.maximum(p, 1e-300))).sum() / np.log(len(p)))
        data = self._bytes(request)
        with self._turn(data):
            figures = statistics(open_picture(data, self.spec.limits))
        return {**figures, "score": score_of(response), "entropy": entropy, "label": response.label}

    def explain(self, run: Runtime, request: BaseModel) -> Explanation | None:
        """The class activation map of the answer, which is Grad-CAM before its ReLU: cells of a grid and a picture.

        Base and contributions add up to the output: of two classes the calibrated log-odds of the positive one, of
        more the calibrated logit of the answer less the mean of all.
        """
        if self.head is None:
            return None
        pixels = self.decode(request)
        (outputs,) = self.outputs(run, pixels[None])
        index = int(self.decision.labels(self.decision.of_logits(outputs[LOGITS]))[0])
        places, base, name = self.evidence(outputs[FEATURES][0], index)
        cells = cam.coarse(places)
        order = np.argsort(-np.abs(cells), axis=None, kind="stable")
        ranked = [tuple(map(int, np.unravel_index(place, cells.shape))) for place in order]
        return Explanation(
            method=self.method,
            output=name,
            base=base,
            contributions={f"row {r + 1} column {c + 1}": float(cells[r, c]) for r, c in ranked},
            picture=cam.data_url(cam.overlay(pixels, places)),
        )

    def read_file(self, file: Path) -> list[dict[str, Any]] | None:
        """A picture file as one request."""
        if file.suffix.lower() not in SUFFIXES:
            return None
        return [{"image": base64.b64encode(file.read_bytes()).decode()}]

    def evidence(self, features: np.ndarray, index: int) -> tuple[np.ndarray, float, str]:
        """Evidence for class `index` (of two: for the positive one) by place, (rows, columns); base; what it is."""
        assert self.head is not None
        classes = self.spec.classes
        weights = cam.contrast(len(classes), index)
        # The temperature divides the logits and so the evidence; an offset belongs to no place.
        shift = self.decision.calibrated_logits(np.zeros(len(classes)))
        slope = self.decision.calibrated_logits(np.ones(len(classes))) - shift
        places, base = cam.evidence(features, self.head, weights * slope)
        base += float(weights @ shift)
        name = f"log-odds of {classes[1]}" if len(classes) == 2 else f"logit of {classes[index]} less the mean of all"
        return places, base, name

    def _turn(self, data: bytes) -> AbstractContextManager[object]:
        """Large pictures are decoded one at a time, whoever asks: each takes 100 MB and more."""
        return self._large if pixels_of(data) > LARGE_PIXELS else nullcontext()

    def _bytes(self, request: Picture) -> bytes:
        return from_base64(request.image, self.spec.limits)
