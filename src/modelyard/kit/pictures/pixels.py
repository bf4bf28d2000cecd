"""From bytes to pixels, with Pillow only: training and serving decode by the same functions."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeVar

import numpy as np

from modelyard.errors import BadData
from modelyard.kit.classifier.kind import FileKind, FileLimits, too_large
from modelyard.kit.pictures.plain import SAVE, plain

if TYPE_CHECKING:
    from PIL.Image import Image

T = TypeVar("T")
FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "GIF", "TIFF")
PICTURES = FileKind(
    one="picture",
    field="image",
    input="pixels",
    suffixes=frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".tif", ".tiff"}),
    unread=frozenset({".heic", ".heif", ".avif", ".jp2", ".dcm", ".ppm", ".pgm", ".psd", ".svg"}),
    save_as=".png",
)
STATISTICS_SIDE = 256
"""Figures of a picture are taken from a copy of at most this side."""
SMALL_BYTES = 2_048
ORIENTATION, SIDEWAYS = 0x0112, range(5, 9)
"""EXIF's tag of how a picture is turned, and the values that swap width and height."""
TILE_WIDTH, TILE_LENGTH = 322, 323
"""Tags of TIFF."""
BEGINNINGS = {
    b"\x89PNG": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"GIF8": "GIF",
    b"RIFF": "WEBP",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
}
"""First bytes of files that are broken where Pillow does not know them."""
PAGES = "with several pages or frames, of which the first is read"
"""Said of pictures that have them."""


@dataclass(frozen=True)
class Limits(FileLimits):
    """What a picture may be at most."""

    pixels: int


def open_picture(data: bytes, limits: Limits) -> Image:
    """The first page or frame as its camera meant it: `plain`.

    Raises:
        BadData: too large, or not a whole picture of one of FORMATS. A huge picture is refused
        before it is decoded.
    """
    return checked(data, limits, plain)


def checked(
    data: bytes, limits: Limits, change: Callable[[Image], T], formats: tuple[str, ...] = FORMATS
) -> T:
    """What `change` makes of a picture as it is stored; whatever a broken file makes Pillow raise
    becomes one line.

    Raises:
        BadData: too large, or not a whole picture of one of the formats.
    """
    from PIL import Image, UnidentifiedImageError

    if not data:
        raise BadData("is empty, not a picture")
    if len(data) > limits.bytes:
        raise too_large(len(data), limits)
    try:
        picture = Image.open(io.BytesIO(data), formats=formats)
        _check_pixels(picture, limits)
        return change(picture)
    except BadData:
        raise
    except Image.DecompressionBombError:
        raise BadData(
            f"has more than the {limits.pixels:,} pixels allowed (features.most_megapixels)"
        ) from None
    except UnidentifiedImageError:
        raise _unidentified(data, formats) from None
    except Exception as error:  # whatever Pillow's parsers stumble over in a broken file
        raise BadData(f"is a broken picture: {error or type(error).__name__}") from None


def as_stored(data: bytes) -> tuple[tuple[int, int], int]:
    """Width and height of a picture file before it is turned, and EXIF's orientation: 1, not
    turned, to 8. For files that `open_picture` reads."""
    from PIL import Image

    picture = Image.open(io.BytesIO(data), formats=FORMATS)
    size, orientation = picture.size, int(picture.getexif().get(ORIENTATION, 1))
    if picture.format == "TIFF" and orientation in SIDEWAYS:
        # Pillow says the size of a TIFF as it is shown.
        size = size[::-1]
    return size, orientation


def has_pages(data: bytes) -> bool:
    """Whether a picture file holds pages or frames after the first. The preview that a camera adds
    to a JPEG counts as none."""
    from PIL import Image

    kind = _beginning(data)
    if kind in (None, "JPEG") or (kind == "PNG" and b"acTL" not in data):
        return False
    try:
        picture = Image.open(io.BytesIO(data), formats=FORMATS)
        return bool(getattr(picture, "is_animated", False))
    except Exception:  # whatever is wrong with it is said when it is decoded
        return False


def pixels_of(data: bytes) -> int:
    """Pixels that a picture file says it has; 0 for a file so small that it cannot be much work,
    or no picture."""
    from PIL import Image

    if len(data) < SMALL_BYTES:
        return 0
    try:
        return _most_pixels(Image.open(io.BytesIO(data), formats=FORMATS))
    except Exception:  # whatever is wrong with it is said when it is decoded
        return 0


def to_array(
    picture: Image, size: int, channels: int, fit: Literal["pad", "crop", "stretch"]
) -> np.ndarray:
    """The square that the model sees: uint8 (channels, size, size)."""
    from PIL import Image, ImageOps

    mode = "L" if channels == 1 else "RGB"
    if picture.mode != mode:
        picture = picture.convert(mode)
    if fit == "crop":
        square = ImageOps.fit(picture, (size, size), Image.Resampling.BILINEAR)
    elif fit == "stretch":
        square = picture.resize((size, size), Image.Resampling.BILINEAR)
    else:
        place = placed(picture.size, size)
        square = Image.new(picture.mode, (size, size))
        small = picture.resize((place.width, place.height), Image.Resampling.BILINEAR)
        square.paste(small, (place.left, place.top))
    array = np.asarray(square)
    array = array[None] if channels == 1 else array.transpose(2, 0, 1)
    return np.ascontiguousarray(array)


@dataclass(frozen=True)
class Placement:
    """Where a picture lies in a square that it is padded to: pixels of the square."""

    left: int
    top: int
    width: int
    height: int


def placed(size: tuple[int, int], side: int) -> Placement:
    """Where a picture of `size`, width and height, lies in a square of `side` pixels: in the
    middle, its longer side as long as the square's."""
    ratio = side / max(size)
    width, height = (max(1, round(length * ratio)) for length in size)
    return Placement((side - width) // 2, (side - height) // 2, width, height)


def has_colour(picture: Image) -> bool:
    """Whether any pixel is not gray."""
    if picture.mode == "L":
        return False
    array = np.asarray(picture)
    return bool((array[..., :1] != array[..., 1:]).any())


def statistics(picture: Image) -> dict[str, float | None]:
    """What drift looks at: `width` and `height` in pixels; in [0, 1] `brightness` (mean),
    `contrast` (standard deviation) and `saturation` (mean, as in HSV); `sharpness`, the standard
    deviation of the Laplacian (Pech-Pacheco et al. 2000, whose measure is its square), None below 3
    x 3 pixels.
    """
    from PIL import Image

    small = picture.copy()
    small.thumbnail((STATISTICS_SIDE, STATISTICS_SIDE), Image.Resampling.BILINEAR)
    gray = np.asarray(small.convert("L"), np.float64) / 255
    # The Laplacian: the four neighbours less four times the pixel itself.
    inner = gray[1:-1, 1:-1]
    edges = gray[:-2, 1:-1] + gray[2:, 1:-1] + gray[1:-1, :-2] + gray[1:-1, 2:] - 4 * inner
    sharpness = float(edges.std()) if edges.size else None
    return {
        "width": float(picture.width),
        "height": float(picture.height),
        "brightness": float(gray.mean()),
        "contrast": float(gray.std()),
        "saturation": _saturation(small),
        "sharpness": sharpness,
    }


def moments(pixels: np.ndarray) -> tuple[list[float], list[float]]:
    """Mean and standard deviation by channel of uint8 (n, channels, size, size); a deviation is
    at least 1."""
    total = np.zeros((2, pixels.shape[1]))
    for start in range(0, len(pixels), 256):
        part = pixels[start : start + 256].astype(np.float64)
        total += [part.sum(axis=(0, 2, 3)), np.square(part).sum(axis=(0, 2, 3))]
    mean, square = total / (pixels.size / pixels.shape[1])
    # Sums of squares of bytes are exact in float64; rounding may still fall below 0.
    variance = np.maximum(square - mean**2, 0)
    return mean.tolist(), np.maximum(np.sqrt(variance), 1.0).tolist()


def _saturation(picture: Image) -> float:
    if picture.mode == "L":
        return 0.0
    array = np.asarray(picture, np.float64)
    most, least = array.max(axis=2), array.min(axis=2)
    return float(((most - least) / np.maximum(most, 1)).mean())


def _check_pixels(picture: Image, limits: Limits) -> None:
    if _most_pixels(picture) > limits.pixels:
        width, height = picture.size
        said = f"has {width} x {height} pixels"
        if width * height <= limits.pixels:
            said += f" in tiles of {_most_pixels(picture):,}"
        allowed = f"at most {limits.pixels:,} are allowed (features.most_megapixels)"
        raise BadData(f"{said}; {allowed}")


def _most_pixels(picture: Image) -> int:
    """Pixels that are held when a picture is decoded: a small TIFF can lie in a huge tile."""
    tags = getattr(picture, "tag_v2", {})
    tile = tags.get(TILE_WIDTH, 0) * tags.get(TILE_LENGTH, 0)
    return max(picture.width * picture.height, int(tile))


def _beginning(data: bytes) -> str | None:
    """The format that a file's first bytes say."""
    for begin, name in BEGINNINGS.items():
        if data.startswith(begin):
            return name
    return None


def _unidentified(data: bytes, formats: tuple[str, ...]) -> BadData:
    kind = _beginning(data)
    if kind not in formats:
        return BadData(f"is not a picture; read are {', '.join(formats)}")
    if kind == "TIFF":
        problem = "is a broken TIFF, or one whose pixels are of no kind that is read"
        return BadData(problem, hint=SAVE)
    return BadData(f"is a broken picture: its {kind} header is cut off or spoilt")
