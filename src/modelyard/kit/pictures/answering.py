"""What a host does with the picture of a request: its work, and turns for large ones."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager, nullcontext

import numpy as np
from pydantic import BaseModel, Field

from modelyard.errors import BadData
from modelyard.host import Caution, Cost
from modelyard.kit.classifier.kind import FileLimits, from_base64
from modelyard.kit.pictures.pixels import PAGES, PICTURES, has_pages, pixels_of
from modelyard.kit.pictures.square import Size, SquareSpec

DECODE_SECONDS = 20e-9
"""For each pixel of a picture, on one core, at most."""
HEAD_CHARACTERS = 16_384
LARGE_PIXELS = 4_000_000


class SentPicture(BaseModel, extra="forbid"):
    """One example in."""

    image: str = Field(
        min_length=1,
        description="A PNG, JPEG, BMP, WebP, GIF or TIFF file in base64; a data: URL is allowed",
        json_schema_extra={"contentEncoding": "base64", "contentMediaType": "image/*"},
    )


class Turns:
    """Large pictures are decoded one at a time, whoever asks: each takes 100 MB and more."""

    def __init__(self) -> None:
        self._large = threading.Lock()

    def of(self, data: bytes) -> AbstractContextManager[object]:
        """Within it, a picture file may be decoded."""
        if pixels_of(data) > LARGE_PIXELS:
            return self._large
        return nullcontext()


def decoding_cost(image: str, limits: FileLimits) -> Cost:
    """The network sees the same few pixels of every picture; decoding takes as long as the picture
    is large. `image` is a picture in base64."""
    return Cost(1.0, sent_pixels(image, limits) * DECODE_SECONDS)


def sent_pixels(image: str, limits: FileLimits) -> int:
    """Pixels of a picture in base64, as `pixels_of` gives them; 0 where it is none."""
    # The beginning of a file says how large the picture is, but for some JPEG and WebP files.
    for text in (image[:HEAD_CHARACTERS], image):
        try:
            pixels = pixels_of(from_base64(text, limits))
        except BadData:
            continue
        if pixels or len(text) == len(image):
            return pixels
    return 0


def seen_in(image: str, spec: SquareSpec, turns: Turns) -> tuple[np.ndarray, Size]:
    """What the model sees of a request's picture in base64, uint8 (3, size, size), and the picture's
    width and height.

    Raises:
        BadData: not a picture within the limits; with the request's field.
    """
    try:
        data = from_base64(image, spec.limits)
        with turns.of(data):
            return spec.decode(data)
    except BadData as problem:
        raise BadData(problem.problem, column=PICTURES.field, hint=problem.hint) from None


def cautions(seen: np.ndarray, image: str, limits: FileLimits) -> tuple[Caution, ...]:
    """What to doubt of an answer to a picture in base64, which the model sees so, uint8 (3, size,
    size)."""
    found: tuple[Caution, ...] = ()
    if (seen == seen[:, :1, :1]).all():
        said = "the picture is the same everywhere: there is nothing to see in it"
        found = (Caution(field=PICTURES.field, message=said),)
    return found + page_cautions(image, limits)


def page_cautions(image: str, limits: FileLimits) -> tuple[Caution, ...]:
    """That only the first of a picture's pages or frames was seen. `image` is a picture in base64
    that could be decoded."""
    if not has_pages(from_base64(image, limits)):
        return ()
    return (Caution(field=PICTURES.field, message=f"is a picture {PAGES}"),)
