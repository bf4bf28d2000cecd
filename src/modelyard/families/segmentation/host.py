"""The half that answers: picture files to masks. Numpy, pydantic and Pillow only."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, Field

from modelyard.families.segmentation.rle import as_text, runs_of
from modelyard.families.segmentation.spec import (
    MOST_PIXELS,
    SegmentationSpec,
    answered,
    palette,
)
from modelyard.host import Cost, Host, WithWarnings
from modelyard.kit.classifier.kind import from_base64
from modelyard.kit.classifier.store import PLAN
from modelyard.kit.pictures.answering import (
    DECODE_SECONDS,
    DESCRIPTION,
    ENCODED,
    Turns,
    as_request,
    cautions,
    seen_in,
    sent_pixels,
)
from modelyard.kit.pictures.pixels import open_picture, placed, statistics
from modelyard.kit.pictures.square import Size
from modelyard.runtimes.types import Runtime

GRAPH, PIXELS = "model", "pixels"
CHUNK = 8
"""Pictures that go through the graph at once."""
SHOWN_CLASSES = 20
"""Classes whose share drift looks at: the most frequent in training."""
PIXEL_SECONDS, CLASS_SECONDS = 100e-9, 8e-9
"""For each pixel of an answered mask, and more for each class, on one core, at most."""


class Picture(BaseModel, extra="forbid"):
    """One example in."""

    image: str = Field(min_length=1, description=DESCRIPTION, json_schema_extra=ENCODED)
    format: Literal["png", "rle"] = Field(
        default="png",
        description="png: one mask of all classes. rle: run lengths of each class, as COCO has them",
    )


class Runs(BaseModel):
    """Where a class is, as COCO writes it: pycocotools decodes it."""

    size: tuple[int, int]
    """Height and width in pixels."""
    counts: str


class Region(BaseModel):
    """A class that the picture has."""

    label: str
    value: int
    """Of its pixels in the mask."""
    colour: str
    """In the mask, as #rrggbb."""
    share: float
    """Of the picture's pixels."""
    confidence: float
    """Mean over its pixels, 0 to 1."""
    rle: Runs | None = Field(default=None, exclude_if=lambda found: found is None)


class Segmented(WithWarnings):
    """One answer out."""

    mask: str | None = Field(
        default=None,
        exclude_if=lambda found: found is None,
        description="A PNG with a palette as a data: URL; its pixels hold the classes' values",
    )
    classes: list[Region]
    """Those that the picture has, the largest first."""
    confidence: float
    """Mean over all pixels, 0 to 1."""
    width: int
    """Of the mask, in pixels: as the picture, up to 4,000,000 pixels."""
    height: int


class SegmentationHost(Host):
    """Answers for one trained network."""

    Request: type[BaseModel] = Picture
    Response: type[BaseModel] = Segmented
    sensitive = frozenset({"image"})

    def __init__(self, assets: Path) -> None:
        super().__init__(assets)
        self.spec = SegmentationSpec.load(self.assets)
        self.names = self.spec.classes
        self.colours = palette(len(self.names))
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
            for place, scores in enumerate(self.outputs(run, pixels)):
                answer = self._answer(*self.labelled(scores, seen[place][1]), chunk[place].format)
                answer.warnings = cautions(pixels[place], chunk[place].image, self.spec.limits)
                found.append(answer)
        return found

    def outputs(self, run: Runtime, pixels: np.ndarray) -> Iterator[np.ndarray]:
        """Of each picture, uint8 (n, 3, size, size): probabilities float32 (classes, size, size)."""
        for start in range(0, len(pixels), CHUNK):
            part = pixels[start : start + CHUNK].astype(np.float32)
            for logits in run(GRAPH, {PIXELS: part})["logits"]:
                scores = np.exp(logits - logits.max(axis=0))
                yield scores / scores.sum(axis=0)

    def labelled(self, scores: np.ndarray, size: Size) -> tuple[np.ndarray, np.ndarray]:
        """Classes uint8 and probabilities float32, (height, width) each, of the mask that is
        answered to a picture of `size`, width and height.

        Probabilities are interpolated before they are compared: borders are smooth. A class
        that is first nowhere in the model's own square is not among them.
        """
        from PIL import Image

        place = placed(size, self.spec.size)
        inside = scores[
            :, place.top : place.top + place.height, place.left : place.left + place.width
        ]
        there = np.unique(inside.argmax(axis=0))
        width, height = answered(size)
        if (place.width, place.height) == (width, height):
            return inside.argmax(axis=0).astype(np.uint8), inside.max(axis=0)
        labels = np.zeros((height, width), np.uint8)
        best = np.full((height, width), -1, np.float32)
        for label in there.tolist():
            image = Image.fromarray(np.ascontiguousarray(inside[label], np.float32))
            large = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))
            better = large > best
            labels[better] = label
            np.maximum(best, large, out=best)
        return labels, best

    def cost(self, request: BaseModel) -> Cost:
        """Decoding, and drawing the mask: both take as long as the picture is large."""
        pixels = sent_pixels(_asked(request).image, self.spec.limits)
        drawing = PIXEL_SECONDS + len(self.names) * CLASS_SECONDS
        return Cost(1.0, pixels * DECODE_SECONDS + min(pixels, MOST_PIXELS) * drawing)

    def describe(self, request: BaseModel, response: BaseModel) -> dict[str, float | str | None]:
        """Figures of the picture as it was sent, and of what was found in it."""
        assert isinstance(response, Segmented)
        data = from_base64(_asked(request).image, self.spec.limits)
        with self._turns.of(data):
            figures = statistics(open_picture(data, self.spec.limits))
        shares = {one.label: one.share for one in response.classes}
        row: dict[str, float | str | None] = {**figures}
        row["classes"] = float(len(shares))
        row["mean confidence"] = response.confidence
        for name in self._shown:
            row[f"share {name}"] = shares.get(name, 0.0)
        return row

    def read_file(self, file: Path) -> list[dict[str, Any]] | None:
        """A picture as one request; None for any other file."""
        return as_request(file)

    def _answer(self, labels: np.ndarray, sure: np.ndarray, form: str) -> Segmented:
        count = np.bincount(labels.ravel())
        total = np.bincount(labels.ravel(), sure.ravel())
        regions = []
        for value in np.argsort(-count, kind="stable"):
            if not count[value]:
                break
            region = Region(
                label=self.names[value],
                value=int(value),
                colour="#" + self.colours[value].tobytes().hex(),
                share=count[value] / labels.size,
                confidence=total[value] / count[value],
            )
            if form == "rle":
                region.rle = Runs(size=labels.shape, counts=as_text(runs_of(labels == value)))
            regions.append(region)
        return Segmented(
            mask=as_png(labels, self.colours) if form == "png" else None,
            classes=regions,
            confidence=float(sure.mean(dtype=np.float64)),
            width=labels.shape[1],
            height=labels.shape[0],
        )


def as_png(labels: np.ndarray, colours: np.ndarray) -> str:
    """A mask uint8 (height, width) as a PNG with a palette, colours uint8 (n, 3), in a data: URL."""
    from PIL import Image

    image = Image.fromarray(labels)
    image.putpalette(colours.tobytes())
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()


def _asked(request: BaseModel) -> Picture:
    assert isinstance(request, Picture)
    return request


def answering(assets: Path) -> SegmentationHost:
    """The host of a trained network's kind."""
    file = Path(assets) / PLAN
    kind = json.loads(file.read_text())["kind"] if file.is_file() else ""
    if kind == "sam":
        from modelyard.families.segmentation.prompt_host import PromptHost

        return PromptHost(assets)
    if kind == "mask2former":
        from modelyard.families.segmentation.instance_host import InstanceHost

        return InstanceHost(assets)
    return SegmentationHost(assets)
