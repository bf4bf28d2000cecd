"""Answering about pictures that are padded to a square: numpy, pydantic and Pillow only."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from pydantic import BaseModel

from modelyard.host import Cost, Host, WithWarnings
from modelyard.kit.classifier.kind import from_base64
from modelyard.kit.pictures.answering import (
    SentPicture,
    Turns,
    cautions,
    decoding_cost,
    seen_in,
)
from modelyard.kit.pictures.pixels import PICTURES, open_picture, statistics
from modelyard.kit.pictures.square import Size, SquareSpec
from modelyard.runtimes.types import Arrays, Runtime

GRAPH, PIXELS = "model", PICTURES.input
SHOWN_CLASSES = 20
"""Classes whose share drift looks at: the most frequent in training."""

S = TypeVar("S", bound=SquareSpec)
Output = TypeVar("Output")
"""What the network says of one picture."""


class SquareHost(Host, Generic[S, Output]):
    """Answers for one trained network. A family gives `Spec`, `Request`, `by_picture`, `answer` and
    `describe`."""

    Spec: type[S]
    """The asset that decodes a picture's bytes."""
    chunk = 8
    """Pictures that go through the graph at once."""
    sensitive = frozenset({"image"})
    reads = PICTURES.suffixes

    def __init__(self, assets: Path) -> None:
        super().__init__(assets)
        self.spec: S = self.Spec.load(self.assets)
        self._turns = Turns()
        self._shown = self.spec.frequent(SHOWN_CLASSES)

    @abstractmethod
    def by_picture(self, outputs: Arrays) -> Iterable[Output]:
        """What the graph's outputs for some pictures say, picture by picture."""

    @abstractmethod
    def answer(self, output: Output, size: Size, request: BaseModel) -> WithWarnings:
        """The answer to a request whose picture has this width and height."""

    def predict(self, run: Runtime, requests: Sequence[BaseModel]) -> list[BaseModel]:
        """One answer a request, in order.

        Raises:
            BadData: a request whose text is not a picture within the limits.
        """
        found: list[BaseModel] = []
        for start in range(0, len(requests), self.chunk):
            chunk = requests[start : start + self.chunk]
            seen = [self.seen(request) for request in chunk]
            outputs = self.outputs(run, np.stack([pixels for pixels, _ in seen]))
            for request, (pixels, size), output in zip(chunk, seen, outputs, strict=True):
                answer = self.answer(output, size, request)
                answer.warnings = cautions(pixels, image_of(request), self.spec.limits)
                found.append(answer)
        return found

    def outputs(self, run: Runtime, pixels: np.ndarray) -> Iterator[Output]:
        """What the network says of each picture, uint8 (n, 3, size, size)."""
        for start in range(0, len(pixels), self.chunk):
            part = pixels[start : start + self.chunk].astype(np.float32)
            yield from self.by_picture(run(GRAPH, {PIXELS: part}))

    def seen(self, request: BaseModel) -> tuple[np.ndarray, Size]:
        """What the model sees of a request's picture, uint8 (3, size, size), and the picture's width
        and height.

        Raises:
            BadData: not a picture within the limits; with the request's field.
        """
        return seen_in(image_of(request), self.spec, self._turns)

    def figures(self, request: BaseModel) -> dict[str, float | None]:
        """What drift looks at in the picture as it was sent."""
        data = from_base64(image_of(request), self.spec.limits)
        with self._turns.of(data):
            return statistics(open_picture(data, self.spec.limits))

    def cost(self, request: BaseModel) -> Cost:
        """Decoding, which takes as long as the picture is large."""
        return decoding_cost(image_of(request), self.spec.limits)

    def read_file(self, file: Path) -> list[dict[str, Any]] | None:
        """A picture as one request; None for any other file."""
        return PICTURES.requests(file)


def image_of(request: BaseModel) -> str:
    """The picture of a request, in base64."""
    assert isinstance(request, SentPicture)
    return request.image
