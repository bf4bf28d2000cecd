"""PNG masks and COCO's outlines say the same, and what is wrong in a file is named."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from modelyard.errors import BadData
from modelyard.families.segmentation.config import SegmentationConfig, SegmentationFeatures
from modelyard.families.segmentation.data import SegmentationData
from modelyard.families.segmentation.family import true_masks
from modelyard.families.segmentation.rle import as_text, check_runs, from_text, runs_of
from modelyard.families.segmentation.spec import IGNORED, SegmentationSpec
from modelyard.kit.splits import load_groups
from tests.unit.detection.folders import picture
from tests.unit.segmentation.folders import (
    HEIGHT,
    NAMES,
    WIDTH,
    as_palette,
    compressed,
    masks,
    outlines,
    truth,
)

SPLITS = ("train", "validation", "test")


def prepared(raw: Path, **features: Any) -> tuple[dict[str, Any], Path]:
    """The summary of a folder, and what the features stage wrote."""
    out = raw.parent / f"{raw.name}-features"
    (out / "assets").mkdir(parents=True)
    settings = {"size": 64, **features}
    config = SegmentationConfig(features=SegmentationFeatures(**settings))
    return SegmentationData(config).features(raw, out), out


def found(out: Path) -> dict[str, np.ndarray]:
    """Classes of each picture's pixels, by its stem."""
    seen = {}
    for split in SPLITS:
        names = json.loads((out / f"{split}.files.json").read_text())["names"]
        for name, labels in zip(names, true_masks(out, split), strict=True):
            seen[Path(name).stem] = labels
    return seen


@pytest.mark.parametrize("names", ["classes.txt", "labels.json", ""])
def test_masks_are_read_with_the_pixels_that_they_ignore(names, tmp_path):
    raw = masks(tmp_path / "raw", names=names)
    summary, out = prepared(raw)
    assert summary["headline"] == "masks: 20 pictures, 3 classes, 64 px, 6.7% of the pixels ignored"
    assert summary["dropped"] == {}
    expected = list(NAMES) if names else ["class 0", "class 1", "class 2"]
    assert SegmentationSpec.load(out / "assets").classes == expected
    for number in range(20):
        labels = truth(number)
        labels[:2] = IGNORED
        assert np.array_equal(found(out)[f"{number:02}"], labels)


def test_outlines_of_coco_say_the_same_in_all_their_forms(tmp_path):
    outlines(tmp_path / "raw")
    summary, out = prepared(tmp_path / "raw")
    assert summary["headline"] == "COCO: 20 pictures, 3 classes, 64 px"
    assert SegmentationSpec.load(out / "assets").classes == list(NAMES)
    seen = found(out)
    for number in range(20):
        assert np.array_equal(seen[f"{number:02}"], truth(number)), number


def test_what_the_model_sees_lies_in_the_square_and_the_padding_is_ignored(tmp_path):
    masks(tmp_path / "raw")
    _, out = prepared(tmp_path / "raw")
    pixels, labels = np.load(out / "train.npy"), np.load(out / "train.masks.npy")
    # 40 x 30 pixels become 64 x 48, in the middle.
    assert labels.shape == (len(pixels), 64, 64)
    assert (labels[:, :8] == IGNORED).all()
    assert (labels[:, 56:] == IGNORED).all()
    assert (pixels[:, :, :8] == 0).all()
    inside = labels[:, 12:56]
    assert set(np.unique(inside)) == {0, 1, 2}
    first = next(true_masks(out, "train"))
    large = np.asarray(Image.fromarray(first).resize((64, 48), Image.Resampling.NEAREST))
    assert np.array_equal(labels[0, 8:56], large)


def test_masks_of_all_depths_hold_the_same_numbers(tmp_path):
    """1, 2, 4, 8 and 16 bits, gray, with a palette, and gray as three channels."""
    labels = (truth(3) > 0).astype(np.uint8)
    written = {}
    for bits in (1, 2, 4, 8):
        stream = io.BytesIO()
        as_palette(labels).save(stream, "PNG", bits=bits)
        written[f"palette {bits}"] = stream.getvalue()
    for bits in (1, 2, 4):
        written[f"gray {bits}"] = gray(labels, bits)
    for name, image in {
        "gray 8": Image.fromarray(labels),
        "gray 16": Image.fromarray(labels.astype(np.uint16)),
        "three channels": Image.merge("RGB", [Image.fromarray(labels)] * 3),
    }.items():
        stream = io.BytesIO()
        image.save(stream, "PNG")
        written[name] = stream.getvalue()
    raw = masks(tmp_path / "raw", 16)
    for number, data in enumerate(written.values()):
        (raw / "masks" / f"{number:02}.png").write_bytes(data)
    seen = found(prepared(raw)[1])
    for number, name in enumerate(written):
        assert np.array_equal(seen[f"{number:02}"], labels), name


def gray(labels: np.ndarray, bits: int) -> bytes:
    """A gray PNG of few bits, which Pillow does not write: by the specification of PNG."""
    import struct
    import zlib

    height, width = labels.shape
    rows = []
    for row in labels:
        line = "".join(f"{value:0{bits}b}" for value in row)
        line += "0" * (-len(line) % 8)
        rows.append(b"\0" + int(line, 2).to_bytes(len(line) // 8, "big"))

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"".join(rows)))
    return b"\x89PNG\r\n\x1a\n" + body + chunk(b"IEND", b"")


def test_numbers_of_16_bits_are_classes_and_the_one_to_ignore_is_set(tmp_path):
    raw = masks(tmp_path / "raw", names="")
    for number in range(20):
        labels = truth(number).astype(np.uint16) * 1_000
        labels[:3] = 65_535
        Image.fromarray(labels).save(raw / "masks" / f"{number:02}.png")
    summary, out = prepared(raw, ignore_index=65_535)
    assert SegmentationSpec.load(out / "assets").classes == ["class 0", "class 1000", "class 2000"]
    assert "10.0% of the pixels ignored" in summary["headline"]
    expected = truth(7)
    expected[:3] = IGNORED
    assert np.array_equal(found(out)["07"], expected)


def test_masks_of_0_and_255_only_have_two_classes(tmp_path):
    raw = masks(tmp_path / "raw", names="")
    for number in range(20):
        labels = np.where(truth(number) > 0, 255, 0).astype(np.uint8)
        Image.fromarray(labels).save(raw / "masks" / f"{number:02}.png")
    summary, out = prepared(raw)
    assert SegmentationSpec.load(out / "assets").classes == ["class 0", "class 255"]
    (note,) = summary["notes"]
    assert "255 is a class, and nothing is ignored" in note
    assert np.array_equal(found(out)["03"], (truth(3) > 0).astype(np.uint8))


def test_small_objects_lie_above_large_ones_and_crowds_below(tmp_path):
    content = outlines(tmp_path / "raw")
    small, large, crowd = ([[left, 2, 30, 2, 30, 20, left, 20]] for left in (20, 5, 1))
    common = {"image_id": 1, "bbox": [0, 0, 1, 1]}
    content["annotations"] = [one for one in content["annotations"] if one["image_id"] != 1] + [
        {**common, "category_id": 20, "segmentation": small},
        {**common, "category_id": 10, "segmentation": large},
        {**common, "category_id": 10, "segmentation": crowd, "iscrowd": 1},
    ]
    (tmp_path / "raw" / "instances.json").write_text(json.dumps(content))
    seen = found(prepared(tmp_path / "raw")[1])["01"]
    assert (seen[2:20, 20:30] == 2).all()
    assert (seen[2:20, 5:20] == 1).all()
    assert (seen[2:20, 1:5] == IGNORED).all()
    assert (seen[20:] == 0).all()


def test_run_lengths_are_those_of_pycocotools():
    r = np.random.default_rng(0)
    for number in range(120):
        mask = r.random(tuple(r.integers(1, 60, 2))) < r.random()
        if number % 3:
            mask = np.kron(mask, np.ones((1, int(r.integers(1, 400))))) > 0
        runs = runs_of(mask)
        theirs = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()
        assert as_text(runs) == theirs
        assert from_text(theirs) == runs.tolist()
        check_runs(runs.tolist(), (mask.shape[1], mask.shape[0]))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_mask_of_the_stored_picture_is_turned_with_it(orientation, tmp_path):
    """What is bright has the class, however the camera was held."""
    raw = masks(tmp_path / "raw")
    labels = truth(3)
    exif = Image.Exif()
    exif[0x0112] = orientation
    bright = np.repeat((labels > 0)[..., None] * np.uint8(255), 3, axis=2)
    file = raw / "images" / "03.png"
    Image.fromarray(bright).save(file, exif=exif)
    from PIL import ImageOps

    shown = np.asarray(ImageOps.exif_transpose(Image.open(file)))[..., 0] > 0
    if orientation in (2, 3, 4):
        labels = shown.astype(np.uint8)  # the sides don't tell: it is the mask of what is shown
    as_palette(labels).save(raw / "masks" / "03.png")
    assert np.array_equal(found(prepared(raw)[1])["03"] > 0, shown)


def test_folders_of_splits_and_endings_of_names_are_understood(tmp_path):
    raw = tmp_path / "raw"
    for split, first, last in (("train", 0, 8), ("val", 8, 14), ("test", 14, 20)):
        for number in range(first, last):
            picture(raw / split / "img" / f"{number:02}.jpg", number, (WIDTH, HEIGHT))
            file = raw / split / "labels" / f"{number:02}_mask.png"
            file.parent.mkdir(exist_ok=True)
            as_palette(truth(number)).save(file)
    picture(raw / "train" / "img" / "stray.png", 99)
    summary, _ = prepared(raw)
    assert summary["rows"] == {"train": 8, "validation": 6, "test": 6}
    assert summary["dropped"] == {"without a mask": 1}


def test_the_folder_of_pascal_voc_itself_is_read_with_its_lists(tmp_path):
    raw = masks(tmp_path / "raw", names="")
    (raw / "images").rename(raw / "JPEGImages")
    (raw / "masks").rename(raw / "SegmentationClass")
    objects = raw / "SegmentationObject"
    objects.mkdir()
    as_palette(truth(0)).save(objects / "00.png")
    for task, first in (("Main", 10), ("Segmentation", 0)):
        lists = raw / "ImageSets" / task
        lists.mkdir(parents=True)
        for name, numbers in (("train", range(8)), ("val", range(8, 14))):
            stems = [f"{(first + number) % 20:02}" for number in numbers]
            (lists / f"{name}.txt").write_text("\n".join(stems))
    summary, out = prepared(raw)
    assert summary["rows"]["validation"] == 6
    assert summary["rows"]["train"] + summary["rows"]["test"] == 8
    assert summary["dropped"] == {"in no list of ImageSets/Segmentation": 6, "without a mask": 1}
    names = json.loads((out / "validation.files.json").read_text())["names"]
    assert {Path(name).stem for name in names} == {f"{number:02}" for number in range(8, 14)}


def test_a_word_in_a_picture_s_own_name_is_no_split(tmp_path):
    raw = masks(tmp_path / "raw")
    for folder in ("images", "masks"):
        (raw / folder / "03.png").rename(raw / folder / "test 03.png")
    assert prepared(raw)[0]["rows"] == {"train": 13, "validation": 3, "test": 4}


def test_copies_stay_out_and_a_class_that_training_lacks_is_ignored_and_counted(tmp_path):
    raw = masks(tmp_path / "raw")
    for folder in ("images", "masks"):
        (raw / folder / "19.png").write_bytes((raw / folder / "05.png").read_bytes())
    summary, out = prepared(raw)
    assert summary["dropped"] == {"same picture as another": 1}

    names = json.loads((out / "test.files.json").read_text())["names"]
    (raw / "classes.txt").write_text("\n".join([*NAMES, "heron"]))
    heron = truth(int(Path(names[0]).stem))
    heron[20:, :5] = 3
    as_palette(heron).save(raw / "masks" / Path(names[0]).name)
    raw.rename(tmp_path / "again")
    summary, out = prepared(tmp_path / "again")
    assert summary["dropped"]["pixels: of a class that training lacks (heron)"] == 50
    assert (found(out)[Path(names[0]).stem][20:, :5] == IGNORED).all()


def test_groups_stay_in_one_split(tmp_path):
    masks(tmp_path / "raw")
    _, out = prepared(tmp_path / "raw", group_pattern=r"\d(\d)\.png", test_share=0.4)
    last = [
        {
            Path(name).stem[1]
            for name in json.loads((out / f"{split}.files.json").read_text())["names"]
        }
        for split in SPLITS
    ]
    assert sum(map(len, last)) == len(set.union(*last)) == 10
    groups = load_groups(out, SPLITS[-1])
    assert groups is not None
    assert len(np.unique(groups)) == len(last[-1])


def _mask(change: Any) -> Any:
    """Writes another mask of the fourth picture: an image, or bytes."""

    def spoil(folder: Path) -> None:
        file = folder / "masks" / "03.png"
        made = change(truth(3))
        if isinstance(made, bytes):
            file.write_bytes(made)
        else:
            made.save(file)

    return spoil


def _coloured(labels: np.ndarray) -> Image.Image:
    pixels = np.repeat(labels[..., None], 3, axis=2)
    pixels[5, 9] = (128, 64, 0)
    return Image.fromarray(pixels)


def _nine(labels: np.ndarray) -> Image.Image:
    labels[12, 7] = 9
    return as_palette(labels)


def _renamed(old: str, new: str) -> Any:
    return lambda folder: (folder / old).rename(folder / new)


def _second(folder: Path) -> None:
    as_palette(truth(3)).save(folder / "masks" / "03_mask.png")


def _write(name: str, text: str) -> Any:
    return lambda folder: (folder / name).write_text(text)


def _entry(value: Any, place: int = 4) -> Any:
    def spoil(folder: Path) -> None:
        content = json.loads((folder / "instances.json").read_text())
        content["annotations"][place]["segmentation"] = value
        (folder / "instances.json").write_text(json.dumps(content))

    return spoil


RUNS = compressed(truth(3) > 0)
BROKEN = {
    "empty mask": (masks, _mask(lambda _: b""), "masks/03.png: is empty"),
    "no mask": (
        masks,
        _mask(lambda _: b"BM no mask"),
        "masks/03.png: is not a picture; read are PNG",
    ),
    "cut mask": (
        masks,
        _mask(lambda labels: _bytes(as_palette(labels))[:-40]),
        "masks/03.png: is a broken picture",
    ),
    "colours": (
        masks,
        _mask(_coloured),
        r"masks/03.png: pixel \(9, 5\) has the colour \(128, 64, 0\); a mask holds class numbers",
    ),
    "number": (
        masks,
        _mask(_nine),
        r"masks/03.png: pixel \(7, 12\) holds 9; allowed are 0 to 2, as named, and 255 to ignore",
    ),
    "size": (
        masks,
        _mask(lambda labels: as_palette(labels[:-1])),
        "masks/03.png: has 40 x 29 pixels, and its picture 40 x 30",
    ),
    "jpeg": (
        masks,
        _renamed("masks/03.png", "masks/03.jpg"),
        "masks/03.jpg: is a .jpg file: such a mask may hold numbers .*Save masks as PNG",
    ),
    "stray": (
        masks,
        _renamed("masks/03.png", "masks/77.png"),
        "masks/77.png: is the mask of no picture. It is called as its picture",
    ),
    "second": (masks, _second, "masks/03_mask.png: is a second mask of images/03.png"),
    "names twice": (
        masks,
        _write("classes.txt", "background\ncat\ncat"),
        "classes.txt, row 3: 'cat' is the name of two classes. Line 1 names class 0",
    ),
    "names json": (
        lambda folder: masks(folder, names="labels.json"),
        _write("labels.json", '{"0": "a",\n"1" "b"}'),
        "labels.json, row 2: is not JSON",
    ),
    "names too deep": (
        lambda folder: masks(folder, names="labels.json"),
        _write("labels.json", "[" * 100_000),
        "labels.json: is not JSON: too deeply nested",
    ),
    "names key": (
        lambda folder: masks(folder, names="labels.json"),
        _write("labels.json", '{"0": "a", "x": "b"}'),
        "labels.json: 'x' is no class number; allowed are",
    ),
    "polygon": (
        outlines,
        _entry([[1, 2, 3, 4]]),
        r"instances.json: annotations\[4\].segmentation: \[1, 2, 3, 4\]; allowed are polygons",
    ),
    "NaN": (
        outlines,
        _entry([[1, 2, 3, 4, 5, float("nan")]]),
        r"annotations\[4\].segmentation: nan is no finite number",
    ),
    "far": (
        outlines,
        _entry([[1, 2, 3, 4, 5, 1e12]]),
        r"annotations\[4\].segmentation: 1e\+12 is far outside of the picture",
    ),
    "missing": (outlines, _entry(None), r"annotations\[4\].segmentation: is missing"),
    "run lengths": (
        outlines,
        _entry({"size": [HEIGHT, WIDTH], "counts": [100, 50]}),
        r"annotations\[4\].segmentation: cover 150 pixels, and the picture has 1,200",
    ),
    "run lengths' size": (
        outlines,
        _entry(RUNS | {"size": [WIDTH, HEIGHT]}),
        r"annotations\[4\].segmentation: size \[40, 30\] is not \[30, 40\]",
    ),
    "run lengths' text": (
        outlines,
        _entry(RUNS | {"counts": RUNS["counts"][:-1]}),
        r"annotations\[4\].segmentation: (ends within a number|cover)",
    ),
}


def _bytes(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_wrong_in_a_file_is_one_line_with_its_place(case, tmp_path):
    write, spoil, says = BROKEN[case]
    raw = tmp_path / "raw"
    write(raw)
    spoil(raw)
    with pytest.raises(BadData, match=says) as seen:
        prepared(raw)
    assert "\n" not in str(seen.value)


def test_a_folder_without_masks_is_refused_with_what_is_read(tmp_path):
    picture(tmp_path / "none" / "a.png", 1)
    with pytest.raises(
        BadData, match="holds no masks. Read are pictures in images/ with PNG masks"
    ):
        prepared(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadData, match="holds no files"):
        prepared(tmp_path / "empty")
    one = masks(tmp_path / "one")
    for number in range(20):
        as_palette(truth(number) * 0).save(one / "masks" / f"{number:02}.png")
    with pytest.raises(
        BadData, match="the training masks hold 1 class.*background.*2 to 255. 255 is ignored"
    ):
        prepared(one)


@pytest.mark.parametrize("folder", ["annotations", "my_labels"])
@pytest.mark.parametrize("written", ["auto", "coco"])
def test_pictures_may_lie_next_to_the_outlines_in_a_folder_called_as_those_of_masks(
    tmp_path: Path, folder: str, written: str
) -> None:
    raw = tmp_path / "raw"
    outlines(raw)
    (raw / "images").rename(raw / folder)
    (raw / "instances.json").rename(raw / folder / "instances.json")
    summary, _ = prepared(raw, format=written)
    assert summary["headline"].startswith("COCO: 20 pictures")
    assert summary["dropped"] == {}
