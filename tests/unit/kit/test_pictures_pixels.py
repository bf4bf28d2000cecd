"""Files and base64 become the same pixels wherever they are read; what is no picture is refused
in one line."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from modelyard.errors import BadData
from modelyard.kit.classifier.kind import from_base64
from modelyard.kit.pictures.pixels import Limits, has_colour, open_picture, statistics, to_array

LIMITS = Limits(bytes=200_000, pixels=40_000)
NOISE = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("kind", "options"), [("PNG", {}), ("BMP", {}), ("WEBP", {"lossless": True})]
)
def test_lossless_formats_give_the_same_pixels(kind: str, options: dict[str, Any]) -> None:
    picture = open_picture(encoded(Image.fromarray(NOISE), kind, **options), LIMITS)
    assert np.array_equal(np.asarray(picture), NOISE)


def test_a_jpeg_is_turned_as_its_camera_says() -> None:
    upright = Image.fromarray(np.kron(np.array([[0, 255]]), np.ones((16, 16))).astype(np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = open_picture(encoded(upright, "JPEG", quality=95, exif=exif), LIMITS)
    assert picture.size == (16, 32)
    assert np.asarray(picture)[:12].max() < 20
    assert np.asarray(picture)[-12:].min() > 235


def test_transparent_parts_show_white() -> None:
    pixels = np.zeros((4, 4, 4), np.uint8)
    pixels[:2, :, 3] = 255
    picture = np.asarray(open_picture(encoded(Image.fromarray(pixels)), LIMITS))
    assert (picture[:2] == 0).all()
    assert (picture[2:] == 255).all()


def test_16_bits_keep_their_range() -> None:
    wide = np.array([[0, 257, 32_896, 65_535]], np.uint16)
    assert np.asarray(open_picture(encoded(Image.fromarray(wide)), LIMITS)).tolist() == [
        [0, 1, 128, 255]
    ]


def test_a_palette_becomes_its_colours() -> None:
    picture = open_picture(encoded(Image.new("RGB", (3, 3), (10, 200, 30)).quantize(4)), LIMITS)
    assert np.asarray(picture)[0, 0].tolist() == [10, 200, 30]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"%PDF-1.7" + bytes(100), "is not a picture; read are PNG, JPEG, BMP, WEBP, GIF, TIFF"),
        (encoded(Image.fromarray(NOISE), "PPM"), "is not a picture"),
        (b"GIF89a" + bytes(100), "is a broken picture: its GIF header is cut off or spoilt"),
        (encoded(Image.fromarray(NOISE))[:900], "is a broken picture"),
        (encoded(Image.fromarray(NOISE), "JPEG")[:500], "is a broken picture"),
        (bytes(200_001), "has 200,001 bytes; at most 200,000"),
        (encoded(Image.new("1", (201, 200))), "has 201 x 200 pixels; at most 40,000"),
    ],
)
def test_what_is_no_picture_is_refused(content: bytes, said: str) -> None:
    with pytest.raises(BadData, match=said) as caught:
        open_picture(content, LIMITS)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("cut", range(0, 900, 37))
def test_a_file_spoilt_anywhere_is_refused_or_read(cut: int) -> None:
    content = bytearray(encoded(Image.fromarray(NOISE), "WEBP"))
    content[cut % len(content)] ^= 0xFF
    try:
        picture = open_picture(bytes(content), LIMITS)
    except BadData:
        return
    assert picture.mode in ("L", "RGB")


@pytest.mark.parametrize(
    "text",
    [
        base64.b64encode(NOISE.tobytes()).decode(),
        "data:image/png;base64," + base64.b64encode(NOISE.tobytes()).decode(),
        base64.encodebytes(NOISE.tobytes()).decode(),
        base64.urlsafe_b64encode(NOISE.tobytes()).decode().rstrip("="),
    ],
    ids=["plain", "data URL", "with line breaks", "URL-safe without padding"],
)
def test_base64_is_read_as_it_is_written_in_the_wild(text: str) -> None:
    assert from_base64(text, LIMITS) == NOISE.tobytes()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("no base64!", "is not base64; it begins with 'nobase64!'"),
        ("C:/pictures/cat.png", "is not base64"),
        ("data:image/png,raw", "must hold base64"),
        ("äöü", "is not base64"),
        ("A" * 700_000, "at most 200,000 are allowed"),
    ],
)
def test_other_text_is_refused(text: str, said: str) -> None:
    with pytest.raises(BadData, match=said):
        from_base64(text, LIMITS)


def test_padding_keeps_the_whole_picture_in_its_proportions() -> None:
    square = to_array(Image.new("L", (40, 20), 200), 16, 1, "pad")[0]
    assert square.shape == (16, 16)
    assert (square[4:12] == 200).all()
    assert (square[:4] == 0).all()
    assert (square[12:] == 0).all()


def test_cropping_keeps_the_middle_and_stretching_all() -> None:
    wide = Image.fromarray(
        np.repeat(np.array([0, 255, 255, 0], np.uint8), 10)[None].repeat(20, axis=0)
    )
    assert (to_array(wide, 16, 1, "crop") == 255).mean() > 0.85
    assert (to_array(wide, 16, 1, "stretch") == 255).mean() < 0.6


@pytest.mark.parametrize("fit", ["pad", "crop", "stretch"])
@pytest.mark.parametrize("size", [(1, 1), (1, 3_000), (3_000, 1), (7, 9)])
def test_any_shape_becomes_a_square(fit: Any, size: tuple[int, int]) -> None:
    assert to_array(Image.new("RGB", size, "red"), 16, 3, fit).shape == (3, 16, 16)


def test_shrinking_averages_instead_of_skipping() -> None:
    checks = Image.fromarray((np.indices((64, 64)).sum(axis=0) % 2 * 255).astype(np.uint8))
    small = to_array(checks, 16, 1, "stretch")
    assert 120 <= small.min() <= small.max() <= 135


def test_colour_is_seen() -> None:
    assert has_colour(Image.fromarray(NOISE))
    assert not has_colour(Image.fromarray(NOISE[..., 0]).convert("RGB"))


def changed(pixels: np.ndarray) -> dict[str, float | None]:
    return statistics(Image.fromarray(np.clip(pixels, 0, 255).round().astype(np.uint8)))


def test_each_figure_moves_with_its_own_change() -> None:
    smooth = (
        np.asarray(Image.fromarray(NOISE).resize((120, 80), Image.Resampling.BICUBIC), np.float64)
        * 0.5
        + 40
    )
    before = changed(smooth)
    gray = smooth.mean(axis=2, keepdims=True)
    after = {
        "brightness": changed(smooth + 50)["brightness"],
        "contrast": changed((smooth - smooth.mean()) * 1.5 + smooth.mean())["contrast"],
        "saturation": changed(gray + 2 * (smooth - gray))["saturation"],
        "sharpness": changed(smooth + np.random.default_rng(1).normal(0, 10, smooth.shape))[
            "sharpness"
        ],
    }
    for name, value in after.items():
        assert value > 1.2 * before[name], name
    assert (before["width"], before["height"]) == (120, 80)
    assert changed(smooth + 20)["contrast"] == pytest.approx(before["contrast"], rel=0.02)


def test_figures_of_tiny_and_gray_pictures() -> None:
    tiny = statistics(Image.new("L", (2, 2), 51))
    assert tiny == {
        "width": 2,
        "height": 2,
        "brightness": pytest.approx(0.2),
        "contrast": 0,
        "saturation": 0,
        "sharpness": None,
    }
