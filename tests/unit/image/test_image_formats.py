"""A folder of pictures in every format trains as it serves; each broken one is named in a line."""

from __future__ import annotations

import base64
import io
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from modelyard.errors import BadData
from modelyard.families.image.config import ImageConfig
from modelyard.families.image.data import ImageData
from modelyard.families.image.spec import ImageSpec
from modelyard.kit.classifier import store
from modelyard.stages import features as features_stage
from modelyard.stages import ingest
from modelyard.stages.run import Run
from tests.unit.image.test_image_data import picture, save, scans


def several(image: Image.Image) -> dict[str, Any]:
    """Options that save a picture with a second page."""
    return {"save_all": True, "append_images": [image.rotate(90)]}


def wide(image: Image.Image) -> Image.Image:
    """The picture with 16 bits."""
    return Image.fromarray(np.asarray(image).astype(np.uint16) * 257)


WAYS: dict[str, Callable[[Image.Image, Path], None]] = {
    ".tif": lambda image, file: save(file, image, compression="tiff_lzw"),
    ".TIFF": lambda image, file: save(file, image, **several(image)),
    ".gif": lambda image, file: save(file, image, **several(image)),
    ".bmp": lambda image, file: save(file, image),
    ".webp": lambda image, file: save(file, image.convert("RGB"), lossless=True),
    ".png": lambda image, file: save(file, wide(image)),
    "_deep.tif": lambda image, file: save(file, wide(image), compression="tiff_adobe_deflate"),
    "_float.tif": lambda image, file: save(
        file, Image.fromarray((np.asarray(image) / 255).astype(np.float32))
    ),
}


def mixed(raw: Path) -> Path:
    """Two classes of eight pictures of different formats each."""
    for label in ("dark", "light"):
        for number, (end, write) in enumerate(WAYS.items()):
            write(
                picture(1000 * (label == "light") + number, label == "light"),
                raw / label / f"{number}{end}",
            )
    return raw


def test_every_format_becomes_the_pixels_of_its_picture(tmp_path: Path) -> None:
    run = Run.of("image", {"data": {"uri": str(mixed(tmp_path / "mine"))}})
    ingest(run, dataset=tmp_path / "dataset")
    line = features_stage(run, dataset=tmp_path / "dataset", features=tmp_path / "features")
    assert line.startswith("16 pictures of 2 classes")
    assert "; 4 pictures with several pages or frames, of which the first is read" in line
    spec = ImageSpec.load(tmp_path / "features/assets")
    for split in ("train", "validation", "test"):
        pixels = store.load_arrays(tmp_path / "features", split)
        for row, (name, _) in enumerate(store.load_files(tmp_path / "features", split)):
            label, _, file = name.partition("/")
            number = int(file[0])
            original = picture(1000 * (label == "light") + number, label == "light")
            stream = io.BytesIO()
            original.save(stream, "PNG")
            assert np.array_equal(pixels[row], spec.decode(stream.getvalue())), name


def test_a_picture_in_another_format_is_a_copy_by_its_pixels(tmp_path: Path) -> None:
    raw = scans(tmp_path / "raw")
    save(raw / "dark/zz.tif", wide(picture(3, False)))
    save(raw / "dark/zy.gif", picture(3, False))
    (tmp_path / "out/assets").mkdir(parents=True)
    summary = ImageData(ImageConfig()).features(raw, tmp_path / "out")
    assert summary["dropped"] == {"same picture as another": 2}


def cut(kind: str, end: str, share: float, **options: Any) -> tuple[str, bytes]:
    stream = io.BytesIO()
    picture(5, True, 40).save(stream, kind, **options)
    content = stream.getvalue()
    return f"broken{end}", content[: int(len(content) * share)]


def tiff_of(values: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(values).save(stream, "TIFF")
    return stream.getvalue()


def spoilt() -> bytes:
    """A BMP file that says that it is compressed as a video."""
    stream = io.BytesIO()
    picture(5, True).convert("RGB").save(stream, "BMP")
    content = bytearray(stream.getvalue())
    content[30:34] = struct.pack("<I", 77)
    return bytes(content)


BROKEN = [
    (*cut("PNG", ".png", 0.6), "is a broken picture: "),
    (*cut("JPEG", ".jpg", 0.7), "is a broken picture: image file is truncated"),
    (*cut("GIF", ".gif", 0.5), "is a broken picture: "),
    (*cut("WEBP", ".webp", 0.5), "is a broken picture: "),
    (*cut("BMP", ".bmp", 0.5), "is a broken picture: image file is truncated"),
    (*cut("TIFF", ".tif", 0.5), "is a broken picture: image file is truncated"),
    (*cut("TIFF", ".tiff", 0.5, compression="tiff_lzw"), "is a broken TIFF"),
    ("note.png", b"not a picture at all", "is not a picture; read are PNG, JPEG"),
    ("none.gif", b"", "is empty, not a picture"),
    ("heat.tif", tiff_of(np.full((9, 9), 36.6, np.float32)), "holds numbers from 36.6 to 36.6"),
    ("depth.tif", tiff_of(np.full((9, 9), 3, np.int32)), "holds whole numbers of 32 bits"),
    ("video.bmp", spoilt(), "is a broken picture: "),
]


@pytest.mark.parametrize(("name", "content", "said"), BROKEN, ids=[one[0] for one in BROKEN])
def test_a_broken_picture_is_named_in_one_line(
    tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    raw = scans(tmp_path / "raw")
    (raw / "dark" / name).write_bytes(content)
    with pytest.raises(BadData) as caught:
        ImageData(ImageConfig()).features(raw, tmp_path / "out")
    line = str(caught.value)
    assert line.startswith(f"{raw}/dark/{name}: {said}")
    assert "\n" not in line


def test_a_request_in_another_format_gets_the_same_pixels_and_a_word_on_its_pages(
    tmp_path: Path,
) -> None:
    from modelyard.families.image.host import ImageHost, Picture

    (tmp_path / "out/assets").mkdir(parents=True)
    ImageData(ImageConfig()).features(scans(tmp_path / "raw"), tmp_path / "out")
    host = ImageHost(tmp_path / "out/assets")
    original = picture(77, True)
    seen = []
    for end, write in WAYS.items():
        file = tmp_path / f"request{end}"
        write(original, file)
        request = Picture(image=base64.b64encode(file.read_bytes()).decode())
        array = host.decode(request)
        seen.append(array)
        words = [one.message for one in host.cautions(request, array)]
        assert bool(words) == (end in (".TIFF", ".gif")), end
    assert all(np.array_equal(one, seen[0]) for one in seen)
