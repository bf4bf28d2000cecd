"""The half that answers: picture files to masks. Numpy, pydantic and Pillow only."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, Field

from modelyard.families.segmentation.rle import run_lengths
from modelyard.families.segmentation.spec import (
    MOST_PIXELS,
    SegmentationSpec,
    answered,
    palette,
)
from modelyard.host import Cost, Host, WithWarnings
from modelyard.kit.classifier.store import find_plan
from modelyard.kit.logits import softmax
from modelyard.kit.pictures.answering import DECODE_SECONDS, SentPicture, sent_pixels
from modelyard.kit.pictures.host import SquareHost, image_of
from modelyard.kit.pictures.pixels import placed
from modelyard.kit.pictures.square import Size
from modelyard.runtimes.types import Arrays

PIXEL_SECONDS, CLASS_SECONDS = 100e-9, 8e-9
"""For each pixel of an answered mask, and more for each class, on one core, at most."""


class Picture(SentPicture):
    """One example in."""

    format: Literal["png", "rle"] = Field(
        default="png",
        description="png: one mask of all classes. rle: run lengths of each class, as COCO has them",
    )


class Runs(BaseModel):
    """Where a class is, as COCO writes it: pycocotools decodes it."""

    size: tuple[int, int]
    """Height and width in pixels."""
    counts: str

    @classmethod
    def of(cls, mask: np.ndarray) -> Runs:
        """Of a mask, bool (height, width)."""
        return cls(size=(mask.shape[0], mask.shape[1]), counts=run_lengths(mask))


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


class SegmentationHost(SquareHost[SegmentationSpec, np.ndarray]):
    """Answers for one trained network. It says of each picture the probabilities of the classes,
    float32 (classes, size, size)."""

    Spec = SegmentationSpec
    Request: type[BaseModel] = Picture
    Response: type[BaseModel] = Segmented

    def __init__(self, assets: Path) -> None:
        super().__init__(assets)
        self.names = self.spec.classes
        self.colours = palette(len(self.names))

    def by_picture(self, outputs: Arrays) -> Iterator[np.ndarray]:
        """Probabilities of each picture."""
        for logits in outputs["logits"]:
            yield softmax(logits, axis=0)

    def answer(self, output: np.ndarray, size: Size, request: BaseModel) -> Segmented:
        """The mask, and each class that it has."""
        assert isinstance(request, Picture)
        labels, sure = self.labelled(output, size)
        count = np.bincount(labels.ravel())
        total = np.bincount(labels.ravel(), sure.ravel())
        regions = []
        for value in np.argsort(-count, kind="stable"):
            # In falling order: behind the first class without a pixel come no others.
            if not count[value]:
                break
            region = Region(
                label=self.names[value],
                value=int(value),
                colour="#" + self.colours[value].tobytes().hex(),
                share=count[value] / labels.size,
                confidence=total[value] / count[value],
            )
            if request.format == "rle":
                region.rle = Runs.of(labels == value)
            regions.append(region)
        # In double: millions of pixels added up in float32 lose digits.
        found = Segmented(
            classes=regions,
            confidence=float(sure.mean(dtype=np.float64)),
            width=labels.shape[1],
            height=labels.shape[0],
        )
        if request.format == "png":
            found.mask = as_png(labels, self.colours)
        return found

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
        pixels = sent_pixels(image_of(request), self.spec.limits)
        drawing = PIXEL_SECONDS + len(self.names) * CLASS_SECONDS
        return Cost(1.0, pixels * DECODE_SECONDS + min(pixels, MOST_PIXELS) * drawing)

    def describe(self, request: BaseModel, response: BaseModel) -> dict[str, float | str | None]:
        """Figures of the picture as it was sent, and of what was found in it."""
        assert isinstance(response, Segmented)
        shares = {one.label: one.share for one in response.classes}
        row: dict[str, float | str | None] = {**self.figures(request)}
        row["classes"] = float(len(shares))
        row["mean confidence"] = response.confidence
        for name in self._shown:
            row[f"share {name}"] = shares.get(name, 0.0)
        return row


def as_png(labels: np.ndarray, colours: np.ndarray) -> str:
    """A mask uint8 (height, width) as a PNG with a palette, colours uint8 (n, 3), in a data: URL."""
    from PIL import Image

    image = Image.fromarray(labels)
    image.putpalette(colours.tobytes())
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()


def answering(assets: Path) -> Host:
    """The host of a trained network's kind."""
    plan = find_plan(assets)
    kind = plan["kind"] if plan is not None else ""
    if kind == "sam":
        from modelyard.families.segmentation.prompt_host import PromptHost

        return PromptHost(assets)
    if kind == "mask2former":
        from modelyard.families.segmentation.instance_host import InstanceHost

        return InstanceHost(assets)
    return SegmentationHost(assets)
