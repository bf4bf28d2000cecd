"""What files of pictures hold, as 8 bits of gray or of red, green and blue, the right way up."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from modelyard.errors import BadData

if TYPE_CHECKING:
    from PIL.Image import Image

BAND_ROWS = 256
READ_MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"})
"""Pillow's names of what 8 bits a channel and fewer hold."""
BITS, PHOTOMETRIC, WHITE_IS_ZERO = 258, 262, 0
"""Tags of TIFF: bits a channel, and what a 0 looks like."""
SAVE = "Save it with 8 or 16 bits a channel, in gray or RGB"


def plain(picture: Image) -> Image:
    """An opened picture in mode L or RGB, turned as EXIF says. Transparent parts show white.

    16 bits are divided by 257, so that 65,535 is white; numbers with a point are taken as 0 (black)
    to 1 (white).

    Raises:
        BadData: which number is white cannot be known, or the colours are of no kind that is read.
    """
    from PIL import ImageOps

    tags = getattr(picture, "tag_v2", {})
    wide = picture.mode.startswith(("I", "F"))
    # Before it is loaded: turning a TIFF forgets its tags.
    narrowing = _narrowing(picture.mode, tags) if wide else None
    if not wide and picture.mode not in READ_MODES:
        raise BadData(f"has colours in {picture.mode}, which is not read", hint=SAVE)
    picture.load()
    ImageOps.exif_transpose(picture, in_place=True)
    if narrowing is not None:
        return _in_bands(picture, "L", narrowing)
    if picture.has_transparency_data:
        mode = "L" if picture.mode == "LA" else "RGB"
        return _in_bands(picture, mode, _on_white)
    mode = "L" if picture.mode in ("1", "L") else "RGB"
    if picture.mode == mode:
        return picture
    return picture.convert(mode)


def _narrowing(mode: str, tags: dict[int, object]) -> Callable[[Image, str], Image]:
    """How values of more than 8 bits become 0 to 255."""
    if mode == "F":
        return _of_floats
    if mode == "I":
        raise BadData("holds whole numbers of 32 bits or with a sign: which is white?", hint=SAVE)
    bits = tags.get(BITS, (16,))
    assert isinstance(bits, tuple)
    white = 2 ** bits[0] - 1
    # Pillow inverts 8 bits itself, but not 16.
    inverted = tags.get(PHOTOMETRIC) == WHITE_IS_ZERO

    def narrow(band: Image, _: str) -> Image:
        share = np.asarray(band, np.float64) / white
        if inverted:
            share = 1 - share
        return _gray(share)

    return narrow


def _of_floats(band: Image, _: str) -> Image:
    values = np.asarray(band, np.float64)
    if not np.isfinite(values).all():
        raise BadData("holds numbers that are not finite", hint=SAVE)
    low, high = values.min(), values.max()
    if low < 0 or high > 1:
        problem = f"holds numbers from {low:.4g} to {high:.4g}; with a point, 0 to 1 are read"
        raise BadData(problem, hint="Scale them: 0 is black, 1 is white")
    return _gray(values)


def _gray(share: np.ndarray) -> Image:
    """Shares of white (height, width) as a picture."""
    from PIL import Image

    return Image.fromarray((share * 255).round().clip(0, 255).astype(np.uint8))


def _on_white(band: Image, mode: str) -> Image:
    from PIL import Image

    solid = band.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", solid.size, "white"), solid).convert(mode)


def _in_bands(picture: Image, mode: str, change: Callable[[Image, str], Image]) -> Image:
    """A picture changed some rows at a time: all at once a large one would be held several times
    over."""
    from PIL import Image

    whole = Image.new(mode, picture.size)
    for top in range(0, picture.height, BAND_ROWS):
        band = picture.crop((0, top, picture.width, min(top + BAND_ROWS, picture.height)))
        whole.paste(change(band, mode), (0, top))
    return whole
