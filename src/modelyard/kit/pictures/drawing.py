"""Pixels and pictures as the card, the page and a message hold them."""

from __future__ import annotations

import base64
import io
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from modelyard.judging.evaluation import Picture

if TYPE_CHECKING:
    from PIL.Image import Image

LEAST_SIDE = 224
"""Pixels of a picture's side for people, at least."""


def picture(pixels: np.ndarray, side: int = LEAST_SIDE) -> Image:
    """uint8 (channels, size, size) as an RGB picture of at least `side` pixels."""
    from PIL import Image

    # One channel becomes three.
    array = np.broadcast_to(pixels, (3, *pixels.shape[1:])).transpose(1, 2, 0)
    size = max(side, pixels.shape[1])
    plain = Image.fromarray(np.ascontiguousarray(array))
    return plain.resize((size, size), Image.Resampling.NEAREST)


def captioned(file: str, said: str, tile: Image) -> Picture:
    """A picture of the card: its file's name, and what is to be said of it."""
    return Picture(caption=f"{PurePosixPath(file).name}: {said}", url=data_url(tile, "JPEG"))


def data_url(image: Image, kind: str = "PNG") -> str:
    """A picture as `data:image/…;base64,…`; JPEG is small, PNG exact."""
    stream = io.BytesIO()
    options = {"quality": 85} if kind == "JPEG" else {}
    image.save(stream, kind, optimize=True, **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(stream.getvalue()).decode()}"
