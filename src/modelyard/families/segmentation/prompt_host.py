"""The half that answers to prompts: points and boxes in a picture to the mask of the object that
they mean. Numpy, pydantic and Pillow only."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, Field, model_validator

from modelyard.families.segmentation.host import Picture, SegmentationHost, Segmented
from modelyard.families.segmentation.spec import palette
from modelyard.host import Cost
from modelyard.kit.boxes.geometry import into_square
from modelyard.kit.classifier.store import load_plan
from modelyard.kit.pictures.answering import DECODE_SECONDS, page_cautions, sent_pixels
from modelyard.kit.pictures.host import PIXELS
from modelyard.kit.pictures.square import Size
from modelyard.runtimes.types import Arrays, Runtime

ENCODER, DECODER = "encoder", "decoder"
SLOTS = 8
"""Places that a prompt has for points and for the two corners of a box."""
MOST_POINTS = SLOTS - 2
NOTHING, OUTSIDE, INSIDE, UPPER_LEFT, LOWER_RIGHT = -1, 0, 1, 2, 3
"""What a place holds, as SAM numbers it."""
HELD_BYTES = 64 * 2**20
"""Size of the cache of embeddings, in which the most recently used pictures stay."""
BoxEdges = tuple[float, float, float, float]


class PromptPoint(BaseModel, extra="forbid"):
    """In pixels of the picture as it is shown; (0, 0) is its upper left corner."""

    x: float = Field(ge=0, le=100_000, description="Pixels from the left")
    y: float = Field(ge=0, le=100_000, description="Pixels from the top")
    inside: bool = Field(default=True, description="Whether it is in the object")


class PromptBox(BaseModel, extra="forbid"):
    """Around the object, in pixels of the picture as it is shown."""

    left: float = Field(ge=0, le=100_000)
    top: float = Field(ge=0, le=100_000)
    width: float = Field(gt=0, le=100_000)
    height: float = Field(gt=0, le=100_000)


class Prompt(Picture):
    """One example in: a picture, and points, a box, or both."""

    points: list[PromptPoint] = Field(
        default=[], max_length=MOST_POINTS, description="Points in the object and outside"
    )
    box: PromptBox | None = Field(default=None, description="A box around the object")

    @model_validator(mode="after")
    def _means_something(self) -> Prompt:
        if not self.box and not any(point.inside for point in self.points):
            raise ValueError("points: give a point in the object, or a box around it")
        return self


class Prompted(Segmented):
    """One answer out: the mask of one object."""

    score: float
    """Overlap with the object (intersection over union) that the model expects of its mask."""


class PromptHost(SegmentationHost):
    """Answers for one trained network with an encoder of pictures and a decoder of prompts. A second
    prompt on the same picture needs the decoder only."""

    Request, Response = Prompt, Prompted

    def __init__(self, assets: Path) -> None:
        super().__init__(assets)
        self.names = ["rest", "object"]
        self.colours = palette(2)
        self._shown = ["object"]
        self._held = Held()
        self._encoding = encoder_share(load_plan(self.assets)["config"])

    def predict(self, run: Runtime, requests: Sequence[BaseModel]) -> list[BaseModel]:
        found: list[BaseModel] = []
        for start in range(0, len(requests), self.chunk):
            chunk = [_asked(request) for request in requests[start : start + self.chunk]]
            seen = [self._embedding(run, request) for request in chunk]
            slots = []
            for request, (_, size) in zip(chunk, seen, strict=True):
                slots.append(self.slots(request.points, request.box, size))
            outputs = self.decoded(run, np.stack([one for one, _ in seen]), slots)
            for request, (_, size), (scores, score) in zip(chunk, seen, outputs, strict=True):
                answer = self.answer(scores, size, request)
                answer.warnings = page_cautions(request.image, self.spec.limits)
                found.append(Prompted(**dict(answer), score=score))
        return found

    def slots(self, points: Sequence[PromptPoint], box: PromptBox | None, size: Size) -> Slots:
        """A prompt on a picture of `size` in the square that the model sees."""
        rows = [[point.x, point.y] * 2 for point in points]
        if box is not None:
            rows.append([box.left, box.top, box.left + box.width, box.top + box.height])
        there = into_square(np.array(rows, np.float64), size, self.spec.size).tolist()
        edges: BoxEdges | None = None
        if box is not None:
            left, top, right, bottom = there.pop()
            edges = (left, top, right, bottom)
        places = []
        for point, (x, y, *_) in zip(points, there, strict=True):
            places.append((x, y, point.inside))
        return filled(places, edges)

    def decoded(
        self, run: Runtime, embeddings: np.ndarray, slots: Sequence[Slots]
    ) -> Iterator[tuple[np.ndarray, float]]:
        """Of each prompt: probabilities float32 (2, size, size) of the rest and of the object, and
        the overlap that is expected."""
        arrays: Arrays = {
            "embedding": embeddings,
            "points": np.stack([points for points, _ in slots]),
            "kinds": np.stack([kinds for _, kinds in slots]),
        }
        outputs = run(DECODER, arrays)
        for logits, score in zip(outputs["logits"], outputs["score"], strict=True):
            sure = 1 / (1 + np.exp(-logits))
            yield np.stack([1 - sure, sure]), float(np.clip(score, 0, 1))

    def cost(self, request: BaseModel) -> Cost:
        """A picture that is held needs neither its decoding nor the encoder."""
        asked = _asked(request)
        cost = super().cost(asked)
        if self._held.holds(_key(asked)):
            drawing = cost.seconds - sent_pixels(asked.image, self.spec.limits) * DECODE_SECONDS
            return Cost(1.0, drawing)
        return Cost(1.0 + self._encoding, cost.seconds)

    def _embedding(self, run: Runtime, request: Prompt) -> tuple[np.ndarray, Size]:
        """Of the request's picture, (channels, rows, columns), and its width and height."""
        key = _key(request)
        known = self._held.get(run, key)
        if known is None:
            pixels, size = self.seen(request)
            embedding = run(ENCODER, {PIXELS: pixels[None].astype(np.float32)})["embedding"][0]
            known = (embedding, size)
            self._held.put(run, key, known)
        return known


Slots = tuple[np.ndarray, np.ndarray]
"""Places float32 (SLOTS, 2), right and down in pixels, and what each holds, int64 (SLOTS,)."""


def filled(points: Sequence[tuple[float, float, bool]], box: BoxEdges | None) -> Slots:
    """A prompt in pixels of the square: points, each with whether it is in the object, and the
    edges of a box."""
    places = np.zeros((SLOTS, 2), np.float32)
    kinds = np.full(SLOTS, NOTHING, np.int64)
    for number, (x, y, inside) in enumerate(points[:MOST_POINTS]):
        places[number] = x, y
        kinds[number] = INSIDE if inside else OUTSIDE
    if box is not None:
        places[-2:] = np.array(box, np.float32).reshape(2, 2)
        kinds[-2:] = UPPER_LEFT, LOWER_RIGHT
    return places, kinds


class Held:
    """Cache of the embeddings that one runtime computed, up to HELD_BYTES."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._run: Runtime | None = None
        self._found: OrderedDict[bytes, tuple[np.ndarray, Size]] = OrderedDict()
        self._bytes = 0

    def get(self, run: Runtime, key: bytes) -> tuple[np.ndarray, Size] | None:
        """What is held of a picture; nothing of what another runtime computed."""
        with self._lock:
            if run is not self._run or key not in self._found:
                return None
            self._found.move_to_end(key)
            return self._found[key]

    def holds(self, key: bytes) -> bool:
        """Whether a picture's embedding is there for the runtime that asked last."""
        with self._lock:
            return key in self._found

    def put(self, run: Runtime, key: bytes, value: tuple[np.ndarray, Size]) -> None:
        """Adds an embedding; the least recently used ones go."""
        with self._lock:
            if run is not self._run:
                self._run, self._bytes = run, 0
                self._found.clear()
            if key in self._found:
                return
            self._found[key] = value
            self._bytes += value[0].nbytes
            while self._bytes > HELD_BYTES and len(self._found) > 1:
                _, (old, _) = self._found.popitem(last=False)
                self._bytes -= old.nbytes


def encoder_share(config: dict[str, Any]) -> float:
    """How often the decoder's work the encoder's is, at most: multiplications for each place of the
    embedding, by the shapes of SAM's config.json."""
    vision, decoder = config["vision_config"], config["mask_decoder_config"]
    hidden, width = vision["hidden_size"], decoder["hidden_size"]
    places = (vision["image_size"] // vision["patch_size"]) ** 2
    # A layer's projections, its two dense layers, and attention among all places.
    layer = 4 * hidden**2 + 2 * hidden * vision["mlp_dim"] + 2 * places * hidden
    # Two layers that look both ways, one more look, and two doublings of the resolution.
    return float(vision["num_hidden_layers"] * layer / (6.5 * width**2))


def _key(request: Prompt) -> bytes:
    """Of the request's picture, by its text: one that is known need not be decoded either."""
    return hashlib.sha256(request.image.encode()).digest()


def _asked(request: BaseModel) -> Prompt:
    assert isinstance(request, Prompt)
    return request
