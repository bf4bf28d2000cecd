"""Every kind of picture that people have becomes the pixels that were put in; what cannot be read
is refused in one line."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from modelyard.errors import BadData
from modelyard.kit.pictures.answering import page_cautions
from modelyard.kit.pictures.pixels import Limits, as_stored, has_pages, open_picture, pixels_of

LIMITS = Limits(bytes=2_000_000, pixels=1_000_000)
COLOURS = np.random.default_rng(3).integers(0, 256, (37, 29, 3), np.uint8)
GRAY = COLOURS[..., 0]
WIDE = np.array([[0, 257, 32_896, 65_535]], np.uint16)
NARROWED = [[0, 1, 128, 255]]


def saved(image: Image.Image | np.ndarray, kind: str, **options: Any) -> bytes:
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def read(data: bytes) -> np.ndarray:
    picture = open_picture(data, LIMITS)
    assert picture.mode in ("L", "RGB")
    return np.asarray(picture)


def png(pixels: np.ndarray, colour_type: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG file with 16 bits a channel, which Pillow does not write in colour."""

    def chunk(name: bytes, content: bytes) -> bytes:
        body = name + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    height, width = pixels.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def tiff(
    pixels: np.ndarray,
    *,
    bits: int,
    kind: int = 1,
    photometric: int = 1,
    order: str = "<",
    tile: int | None = None,
    compressed: bool = False,
) -> bytes:
    """A gray TIFF file by hand: strips or tiles, of any depth and sense."""
    height, width = pixels.shape
    blocks = [pixels]
    if tile is not None:
        padded = np.zeros((-(-height // tile) * tile, -(-width // tile) * tile), pixels.dtype)
        padded[:height, :width] = pixels
        blocks = [
            padded[top : top + tile, left : left + tile]
            for top in range(0, padded.shape[0], tile)
            for left in range(0, padded.shape[1], tile)
        ]
    contents = [block.astype(pixels.dtype.newbyteorder(order)).tobytes() for block in blocks]
    if compressed:
        contents = [zlib.compress(content) for content in contents]
    tags: dict[int, tuple[int, list[int]]] = {
        256: (4, [width]),
        257: (4, [height]),
        258: (3, [bits]),
        259: (3, [8 if compressed else 1]),
        262: (3, [photometric]),
        277: (3, [1]),
        339: (3, [kind]),
    }
    places, sizes = (273, 279) if tile is None else (324, 325)
    if tile is None:
        tags[278] = (4, [height])
    else:
        tags |= {322: (4, [tile]), 323: (4, [tile])}
    start = 8 + 2 + 12 * (len(tags) + 2) + 4
    many = 8 * len(contents) if len(contents) > 1 else 0
    offsets, at = [], start + many
    for content in contents:
        offsets.append(at)
        at += len(content)
    tags |= {places: (4, offsets), sizes: (4, [len(content) for content in contents])}
    lists, entries = b"", b""
    for tag, (form, values) in sorted(tags.items()):
        if len(values) > 1:
            held = struct.pack(f"{order}I", start + len(lists))
            lists += struct.pack(f"{order}{len(values)}I", *values)
        else:
            held = struct.pack(f"{order}{'HI'[form == 4]}", values[0]).ljust(4, b"\0")
        entries += struct.pack(f"{order}HHI", tag, form, len(values)) + held
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, 8)
    count = struct.pack(f"{order}H", len(tags))
    return head + count + entries + bytes(4) + lists + b"".join(contents)


SAME: dict[str, bytes] = {
    "TIFF": saved(COLOURS, "TIFF"),
    "TIFF, LZW": saved(COLOURS, "TIFF", compression="tiff_lzw"),
    "TIFF, deflate": saved(COLOURS, "TIFF", compression="tiff_adobe_deflate"),
    "TIFF, packbits": saved(COLOURS, "TIFF", compression="packbits"),
    "TIFF, LZW, a difference to the left": saved(
        COLOURS, "TIFF", compression="tiff_lzw", tiffinfo={317: 2}
    ),
    "TIFF in strips": saved(COLOURS, "TIFF", compression="tiff_lzw", tiffinfo={278: 5}),
    "BigTIFF": saved(COLOURS, "TIFF", big_tiff=True),
    "WebP": saved(COLOURS, "WEBP", lossless=True),
    "BMP": saved(COLOURS, "BMP"),
    "PNG, 16 bits of colour": png(COLOURS.astype(np.uint16) * 257, 2),
    "PNG, opaque": saved(np.dstack([COLOURS, np.full_like(GRAY, 255)]), "PNG"),
    "GIF, the first frame": saved(
        GRAY, "GIF", save_all=True, append_images=[Image.fromarray(255 - GRAY)]
    ),
    "PNG, gray, animated": saved(
        GRAY, "PNG", save_all=True, append_images=[Image.fromarray(255 - GRAY)]
    ),
    "WebP, animated": saved(
        COLOURS,
        "WEBP",
        save_all=True,
        lossless=True,
        append_images=[Image.fromarray(255 - COLOURS)],
    ),
    "TIFF, the first page": saved(
        COLOURS, "TIFF", save_all=True, append_images=[Image.fromarray(255 - COLOURS)]
    ),
    "TIFF, gray in tiles": tiff(GRAY, bits=8, tile=16),
    "TIFF, gray in compressed tiles": tiff(GRAY, bits=8, tile=16, compressed=True),
    "TIFF, white is 0": tiff(255 - GRAY, bits=8, photometric=0),
    "TIFF, floats": tiff((GRAY / 255).astype(np.float32), bits=32, kind=3),
    "TIFF, floats, the other byte order": tiff(
        (GRAY / 255).astype(np.float32), bits=32, kind=3, order=">"
    ),
}


@pytest.mark.parametrize("name", SAME)
def test_what_loses_nothing_gives_the_pixels_that_were_saved(name: str) -> None:
    found = read(SAME[name])
    if found.ndim == 3 and np.array_equal(found[..., 0], found[..., 1]):
        found = found[..., 0]
    assert np.array_equal(found, COLOURS if found.ndim == 3 else GRAY)


@pytest.mark.parametrize(
    "data",
    [
        saved(WIDE, "PNG"),
        saved(WIDE, "TIFF"),
        saved(WIDE, "TIFF", compression="tiff_lzw"),
        tiff(WIDE, bits=16, order=">"),
        tiff(WIDE, bits=16, order=">", compressed=True),
        tiff(65_535 - WIDE, bits=16, photometric=0),
        tiff(WIDE, bits=16, tile=16, compressed=True),
    ],
    ids=["PNG", "TIFF", "LZW", "big-endian", "big-endian, deflate", "white is 0", "in tiles"],
)
def test_16_bits_of_gray_keep_their_range_in_every_format(data: bytes) -> None:
    assert read(data).tolist() == NARROWED


def test_16_bits_over_several_bands_of_rows_are_all_read() -> None:
    tall = np.linspace(0, 65_535, 700, dtype=np.uint16)[:, None].repeat(3, axis=1)
    assert np.array_equal(read(saved(tall, "PNG")), np.round(tall / 257))


def test_12_bits_are_scaled_by_their_own_white() -> None:
    # Two values in three bytes, the high bits first: 0, 4095, 2048, 1.
    data = tiff(np.frombuffer(bytes([0x00, 0x0F, 0xFF, 0x80, 0x00, 0x01]), np.uint8)[None], bits=12)
    at = data.index(struct.pack("<HHII", 256, 4, 1, 6))
    data = data[: at + 8] + struct.pack("<I", 4) + data[at + 12 :]
    assert read(data).tolist() == [[0, 255, 128, 0]]


def test_16_bits_of_gray_with_transparency_show_white_behind() -> None:
    pixels = np.array([[[0, 65_535], [0, 0], [65_535, 65_535]]], np.uint16)
    found = read(png(pixels, 4))
    assert (found.T[0] == found.T).all()
    assert found[..., 0].tolist() == [[0, 255, 255]]


@pytest.mark.parametrize("kind", ["PNG", "BMP", "GIF", "TIFF", "TIFF, group 4"])
def test_1_bit_is_black_and_white(kind: str) -> None:
    bits = GRAY > 127
    options = {"compression": "group4"} if "," in kind else {}
    found = read(saved(Image.fromarray(bits), kind.split(",")[0], **options))
    found = found if found.ndim == 2 else found[..., 0]
    assert np.array_equal(found, np.where(bits, 255, 0))


def test_a_transparent_palette_shows_white() -> None:
    picture = Image.fromarray(np.array([[0, 1, 2]], np.uint8), "P")
    picture.putpalette([200, 10, 30, 0, 0, 0, 9, 99, 199])
    for kind in ("PNG", "GIF"):
        data = saved(picture, kind, transparency=1)
        assert read(data).tolist() == [[[200, 10, 30], [255, 255, 255], [9, 99, 199]]], kind
    half = saved(picture, "PNG", transparency=bytes([255, 0, 128]))
    assert np.abs(read(half)[0, 2].astype(int) - (131.5, 176.7, 226.9)).max() < 1


def test_gray_with_transparency_stays_gray() -> None:
    pixels = np.array([[[0, 255], [0, 0], [100, 255], [0, 128]]], np.uint8)
    for kind in ("PNG", "TIFF"):
        picture = open_picture(saved(pixels, kind), LIMITS)
        assert (picture.mode, np.asarray(picture).tolist()) == ("L", [[0, 255, 100, 127]])


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_inks_become_colours(kind: str) -> None:
    """Cyan, magenta, yellow and black; in a JPEG they are stored inverted, as Adobe does."""
    inks = {
        (0, 0, 0, 0): (255, 255, 255),
        (0, 255, 255, 0): (255, 0, 0),
        (255, 0, 255, 0): (0, 255, 0),
        (255, 255, 0, 0): (0, 0, 255),
        (0, 0, 0, 255): (0, 0, 0),
        (0, 0, 0, 128): (127, 127, 127),
    }
    for ink, colour in inks.items():
        options = {"quality": 100} if kind == "JPEG" else {}
        data = saved(Image.new("CMYK", (16, 16), ink), kind, **options)
        seen = read(data)[4, 4].astype(int)
        assert np.abs(seen - colour).max() <= 3, (ink, seen)


def test_inks_as_luminance_and_colour_differences_become_colours() -> None:
    """Photoshop's usual JPEG of four inks: cyan, magenta and yellow as luminance and colour
    differences, with 255 for full ink; black is stored inverted."""
    # No cyan, full magenta and yellow: red.
    luminance, blue, red = 179, 171, 0
    # Pillow inverts what it writes.
    stored = Image.new("CMYK", (16, 16), (255 - luminance, 255 - blue, 255 - red, 0))
    data = bytearray(saved(stored, "JPEG", quality=100))
    at = data.index(b"Adobe")
    assert data[at + 11] == 0
    data[at + 11] = 2
    assert np.abs(read(bytes(data))[4, 4].astype(int) - (255, 0, 0)).max() <= 3


TURNS: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda shown: shown,
    2: lambda shown: shown[:, ::-1],
    3: lambda shown: shown[::-1, ::-1],
    4: lambda shown: shown[::-1],
    5: lambda shown: shown.transpose(1, 0, 2),
    6: lambda shown: np.rot90(shown, 1),
    7: lambda shown: np.rot90(shown, 2).transpose(1, 0, 2),
    8: lambda shown: np.rot90(shown, -1),
}
"""How a camera stores what it shows, by EXIF's orientation."""


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "TIFF, LZW", "JPEG"])
@pytest.mark.parametrize("orientation", TURNS)
def test_a_picture_is_turned_as_its_camera_says(kind: str, orientation: int) -> None:
    stored = np.ascontiguousarray(
        TURNS[orientation](np.kron(COLOURS, np.ones((8, 8, 1), np.uint8)))
    )
    exif = Image.Exif()
    exif[0x0112] = orientation
    options: dict[str, Any] = {
        "WEBP": {"lossless": True},
        "JPEG": {"quality": 95, "subsampling": 0},
    }.get(kind, {})
    if "," in kind:
        options = {"compression": "tiff_lzw"}
    data = saved(stored, kind.split(",")[0], exif=exif, **options)
    found = read(data)[::8, ::8].astype(int)
    assert found.shape == COLOURS.shape
    assert np.abs(found - COLOURS).mean() < (4 if kind == "JPEG" else 1e-9)
    assert as_stored(data) == ((stored.shape[1], stored.shape[0]), orientation)


def test_16_bits_are_turned_too() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert read(saved(WIDE, "PNG", exif=exif)).tolist() == [[value] for value in NARROWED[0]]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (
            tiff(np.array([[0, 300]], np.float32), bits=32, kind=3),
            "from 0 to 300; with a point, 0 to",
        ),
        (tiff(np.array([[-0.5, 1]], np.float32), bits=32, kind=3), "holds numbers from -0.5 to 1"),
        (tiff(np.array([[0, np.nan]], np.float32), bits=32, kind=3), "that are not finite"),
        (tiff(np.array([[0, 9]], np.int32), bits=32, kind=2), "of 32 bits or with a sign"),
        (tiff(np.array([[0, -9]], np.int16), bits=16, kind=2), "of 32 bits or with a sign"),
        (saved(Image.fromarray(COLOURS).convert("LAB"), "TIFF"), "has colours in LAB"),
        (
            tiff(np.array([[0, 1]], np.float64), bits=64, kind=3),
            "a broken TIFF, or one whose pixels",
        ),
    ],
)
def test_values_without_a_known_white_are_refused(data: bytes, said: str) -> None:
    with pytest.raises(BadData, match=said) as caught:
        open_picture(data, LIMITS)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [*SAME, "JPEG"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9])
def test_a_file_that_is_cut_off_is_refused_in_one_line(name: str, share: float) -> None:
    data = SAME[name] if name in SAME else saved(COLOURS, "JPEG")
    data = data[: max(12, int(len(data) * share))]
    try:
        found = read(data)
    except BadData as problem:
        said = str(problem)
        assert "\n" not in said
        assert "is a broken" in said or "which is white" in said
        assert "object at 0x" not in said
    else:
        # What is missing is behind the first frame, or outside of the picture in a tile.
        assert np.array_equal(found, read(SAME[name]))


def test_a_tile_that_is_larger_than_allowed_is_refused_before_it_is_decoded() -> None:
    data = bytearray(tiff(GRAY, bits=8, tile=64, compressed=True))
    for tag in (322, 323):
        at = data.index(struct.pack("<HHII", tag, 4, 1, 64))
        data[at + 8 : at + 12] = struct.pack("<I", 40_000)
    # So many are counted as work, too.
    assert pixels_of(bytes(data) + bytes(3_000)) == 1_600_000_000
    with pytest.raises(BadData, match="has 29 x 37 pixels in tiles of 1,600,000,000; at most"):
        open_picture(bytes(data), LIMITS)


@pytest.mark.parametrize("kind", ["WEBP", "GIF", "TIFF", "BMP"])
def test_a_huge_picture_in_a_small_file_is_refused(kind: str) -> None:
    options = {"compression": "tiff_adobe_deflate"} if kind == "TIFF" else {}
    data = saved(Image.new("1", (2_001, 1_000)), kind, **options)
    with pytest.raises(BadData, match="has 2001 x 1000 pixels; at most 1,000,000 are allowed"):
        open_picture(data, LIMITS)


def test_pages_are_seen_where_there_are_several() -> None:
    several = {name for name in SAME if has_pages(SAME[name])}
    assert several == {
        "GIF, the first frame",
        "PNG, gray, animated",
        "WebP, animated",
        "TIFF, the first page",
    }
    assert not has_pages(b"GIF89a")
    assert not has_pages(b"")


def test_the_preview_that_a_phone_adds_to_a_photo_is_no_page() -> None:
    photo = Image.fromarray(COLOURS)
    data = saved(photo, "MPO", save_all=True, append_images=[photo.resize((8, 8))])
    assert read(data).shape == COLOURS.shape
    assert not has_pages(data)


def test_an_answer_says_that_pages_were_not_read() -> None:
    import base64

    for name, few in (("TIFF, the first page", False), ("TIFF", True)):
        text = base64.b64encode(SAME[name]).decode()
        said = [(one.field, one.message) for one in page_cautions(text, LIMITS)]
        words = "is a picture with several pages or frames, of which the first is read"
        assert said == ([] if few else [("image", words)])


def test_the_tags_of_tiff_are_pillow_s() -> None:
    assert TiffImagePlugin.TILEWIDTH == 322
    assert TiffImagePlugin.TILELENGTH == 323
    assert TiffImagePlugin.BITSPERSAMPLE == 258
    assert TiffImagePlugin.PHOTOMETRIC_INTERPRETATION == 262
