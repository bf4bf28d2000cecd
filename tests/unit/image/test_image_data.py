"""Folders of pictures become splits, whatever their layout; what cannot be used is refused with
its place."""

from __future__ import annotations

import io
import re
import shutil
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from modelyard.errors import BadData, ModelyardError, UsageError
from modelyard.families.image.config import ImageConfig, ImageFeatures
from modelyard.families.image.data import ImageData
from modelyard.families.image.spec import ImageSpec
from modelyard.kit.classifier import store
from modelyard.kit.splits import load_groups
from modelyard.stages import features as features_stage
from modelyard.stages import ingest
from modelyard.stages.run import Run

SPLITS = ("train", "validation", "test")


def picture(seed: int, bright: bool, side: int = 12) -> Image.Image:
    """Noise with a bright or a dark middle."""
    pixels = np.random.default_rng(seed).integers(60, 200, (side, side))
    pixels[side // 3 : -side // 3, side // 3 : -side // 3] = 240 if bright else 15
    return Image.fromarray(pixels.astype(np.uint8))


def save(file: Path, image: Image.Image, **options: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    image.save(file, **options)


def scans(root: Path, counts: dict[str, int] | None = None, first: int = 0) -> Path:
    """A folder of two classes: `dark` and `light`."""
    for label, count in (counts or {"dark": 20, "light": 12}).items():
        for number in range(first, first + count):
            save(
                root / label / f"{number:02}.png",
                picture(1000 * (label == "light") + number, label == "light"),
            )
    return root


def build(raw: Path, out: Path, **settings: Any) -> dict[str, Any]:
    (out / "assets").mkdir(parents=True)
    return ImageData(ImageConfig(features=ImageFeatures(**settings))).features(raw, out)


def names(out: Path, split: str) -> list[str]:
    return [name for name, _ in store.load_files(out, split)]


def refused(
    raw: Path, tmp_path: Path, kind: type[ModelyardError] = BadData, **settings: Any
) -> str:
    with pytest.raises(kind) as caught:
        build(raw, tmp_path / "out", **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value).replace(f"{raw}/", "")


def table(raw: Path, rows: list[str], header: str = "file,label") -> Path:
    (raw / "labels.csv").write_text("\n".join([header, *rows]) + "\n")
    return raw


def test_class_folders_are_divided_with_each_class_in_the_same_shares(tmp_path: Path) -> None:
    summary = build(scans(tmp_path / "raw", {"dark": 60, "light": 40}), tmp_path / "out")
    assert summary["rows"] == {"train": 65, "validation": 15, "test": 20}
    assert summary["classes"] == {
        "dark": {"train": 39, "validation": 9, "test": 12},
        "light": {"train": 26, "validation": 6, "test": 8},
    }
    everything = [name for split in SPLITS for name in names(tmp_path / "out", split)]
    assert len(everything) == len(set(everything)) == 100


def test_stored_pixels_belong_to_the_stored_files_and_labels(tmp_path: Path) -> None:
    build(scans(tmp_path / "raw"), tmp_path / "out")
    spec = ImageSpec.load(tmp_path / "out/assets")
    for split in SPLITS:
        pixels, labels = (
            store.load_arrays(tmp_path / "out", split),
            store.load_labels(tmp_path / "out", split),
        )
        for row, (name, content) in enumerate(store.load_files(tmp_path / "out", split)):
            assert content == (tmp_path / "raw" / name).read_bytes()
            assert np.array_equal(pixels[row], spec.decode(content))
            assert spec.classes[labels[row]] == name.split("/")[0]


def test_mean_and_deviation_are_those_of_the_training_split(tmp_path: Path) -> None:
    build(scans(tmp_path / "raw"), tmp_path / "out")
    spec, pixels = (
        ImageSpec.load(tmp_path / "out/assets"),
        store.load_arrays(tmp_path / "out", "train"),
    )
    assert spec.mean == pytest.approx([float(np.mean(pixels))])
    assert spec.std == pytest.approx([float(np.std(pixels))])


def test_the_data_s_own_splits_are_kept_and_a_missing_one_is_drawn_from_train(
    tmp_path: Path,
) -> None:
    scans(tmp_path / "raw/train", {"dark": 20, "light": 20})
    scans(tmp_path / "raw/test", {"dark": 5, "light": 4}, first=50)
    summary = build(tmp_path / "raw", tmp_path / "out")
    assert summary["rows"] == {"train": 34, "validation": 6, "test": 9}
    assert all(name.startswith("test/") for name in names(tmp_path / "out", "test"))
    assert all(name.startswith("train/") for name in names(tmp_path / "out", "validation"))


def test_a_table_names_labels_splits_and_groups(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    rows = []
    for number in range(30):
        label = "ill" if number % 3 == 0 else "well"
        split = "val" if 20 <= number < 25 else "test" if number >= 25 else "train"
        save(raw / f"pictures/{number}.jpg", picture(number, label == "ill"))
        rows.append(f"pictures\\{number}.jpg; {label};{split};p{number}")
    summary = build(table(raw, rows, "File;Label;split;group"), tmp_path / "out")
    assert summary["rows"] == {"train": 20, "validation": 5, "test": 5}
    assert set(names(tmp_path / "out", "validation")) == {
        f"pictures/{n}.jpg" for n in range(20, 25)
    }
    assert ImageSpec.load(tmp_path / "out/assets").classes == ["well", "ill"]


def test_a_table_of_excel_lists_files_with_blanks_and_umlauts(tmp_path: Path) -> None:
    raw, rows = tmp_path / "raw", []
    for number in range(30):
        label = ("Äpfel", "Birnen")[number % 2]
        save(raw / f"Fotos März/Nr. {number} ü.png", picture(number, number % 2 == 1))
        rows.append(f"Fotos März\\Nr. {number} ü.png;{label}")
    (raw / "labels.csv").write_bytes(("File;Label\r\n" + "\r\n".join(rows)).encode("cp1252"))
    summary = build(raw, tmp_path / "out")
    assert ImageSpec.load(tmp_path / "out/assets").classes == ["Birnen", "Äpfel"]
    assert sum(summary["rows"].values()) == 30
    assert any("labels.csv is not UTF-8" in note for note in summary["notes"])


def test_groups_stay_in_one_split(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    for number in range(120):
        label = ("dark", "light")[number % 2]
        save(
            raw / label / f"patient{number // 6:02}_{number}.png", picture(number, number % 2 == 1)
        )
    summary = build(raw, tmp_path / "out", group_pattern=r"(patient\d+)_")
    groups = {
        s: {name.split("/")[1].split("_")[0] for name in names(tmp_path / "out", s)} for s in SPLITS
    }
    assert sum(len(group) for group in groups.values()) == len(set().union(*groups.values())) == 20
    assert summary["rows"] == {"train": 78, "validation": 18, "test": 24}
    assert "20 groups" in summary["notes"][0]
    for split in SPLITS:
        stored = load_groups(tmp_path / "out", split)
        assert stored is not None
        patients = [name.split("/")[1].split("_")[0] for name in names(tmp_path / "out", split)]
        assert len({*zip(patients, stored.tolist(), strict=True)}) == len({*patients})


def test_a_copy_in_another_format_is_left_out_and_counted(tmp_path: Path) -> None:
    raw = scans(tmp_path / "raw")
    save(raw / "dark/zz.bmp", Image.open(raw / "dark/03.png"))
    save(raw / "dark/zy.webp", Image.open(raw / "dark/03.png").convert("RGB"), lossless=True)
    summary = build(raw, tmp_path / "out")
    assert summary["dropped"] == {"same picture as another": 2}
    assert sum(summary["rows"].values()) == 32
    kept = [name for split in SPLITS for name in names(tmp_path / "out", split)]
    assert "dark/03.png" in kept
    assert not {"dark/zz.bmp", "dark/zy.webp"} & set(kept)


def test_of_a_picture_in_two_splits_the_test_s_is_kept(tmp_path: Path) -> None:
    for split, first in (("train", 0), ("val", 20), ("test", 40)):
        scans(tmp_path / "raw" / split, {"dark": 10, "light": 10}, first)
    save(tmp_path / "raw/train/dark/copy.png", picture(42, False))
    summary = build(tmp_path / "raw", tmp_path / "out")
    assert summary["rows"] == {"train": 20, "validation": 20, "test": 20}
    assert "test/dark/42.png" in names(tmp_path / "out", "test")
    assert "1 of the copies were in another split" in " ".join(summary["notes"])


def test_a_picture_under_two_labels_is_left_out_and_named(tmp_path: Path) -> None:
    raw = scans(tmp_path / "raw")
    save(raw / "light/strange.png", picture(3, False))
    summary = build(raw, tmp_path / "out")
    assert summary["dropped"] == {"same picture under several labels": 2}
    assert "dark/03.png (dark), light/strange.png (light)" in summary["notes"][0]


@pytest.mark.parametrize(("sides", "expected"), [((8, 9), 32), ((40, 200), 48), ((300, 400), 96)])
def test_the_side_follows_the_training_pictures(
    tmp_path: Path, sides: tuple[int, int], expected: int
) -> None:
    for label in ("a", "b"):
        for number in range(8):
            pixels = np.random.default_rng([number, label == "b"]).integers(
                0, 255, (*sides, 3), np.uint8
            )
            save(tmp_path / "raw" / label / f"{number}.png", Image.fromarray(pixels))
    build(tmp_path / "raw", tmp_path / "out")
    assert store.load_arrays(tmp_path / "out", "train").shape[1:] == (3, expected, expected)


def test_gray_pictures_in_colour_files_are_gray(tmp_path: Path) -> None:
    raw = scans(tmp_path / "raw")
    for file in raw.rglob("*.png"):
        Image.open(file).convert("RGB").save(file)
    build(raw, tmp_path / "out")
    assert ImageSpec.load(tmp_path / "out/assets").channels == 1


@pytest.mark.parametrize(
    ("positive", "classes"), [(None, ["dark", "light"]), ("dark", ["light", "dark"])]
)
def test_the_rarer_class_is_positive_unless_named(
    tmp_path: Path, positive: str | None, classes: list[str]
) -> None:
    build(scans(tmp_path / "raw"), tmp_path / "out", positive=positive)
    assert ImageSpec.load(tmp_path / "out/assets").classes == classes


def test_other_files_are_counted(tmp_path: Path) -> None:
    raw = scans(tmp_path / "raw")
    (raw / "dark/Thumbs.db").write_text("x")
    (raw / "readme.txt").write_text("x")
    save(raw / "cover.png", picture(7, True))
    assert build(raw, tmp_path / "out")["dropped"] == {
        "files: not a picture": 1,
        "outside a class folder": 1,
    }


def broken(raw: Path) -> None:
    file = raw / "dark/05.png"
    file.write_bytes(file.read_bytes()[:60])


def two_broken(raw: Path) -> None:
    broken(raw)
    (raw / "light/07.png").write_bytes(b"no picture")


def empty_class(raw: Path) -> None:
    (raw / "none").mkdir()


def other_files_alone(raw: Path) -> None:
    (raw / "none").mkdir()
    (raw / "none/notes.txt").write_text("x")


def one_class(raw: Path) -> None:
    (raw / "light").rename(raw.parent / "elsewhere")


def few(raw: Path) -> None:
    scans(raw, {"rare": 4}, first=200)


def copies_alone(raw: Path) -> None:
    for number in range(9):
        save(raw / "same" / f"{number}.png", picture(77, True))


def mislabelled(raw: Path) -> None:
    scans(raw, {"twin": 12})


def huge(raw: Path) -> None:
    Image.new("1", (6_000, 6_000)).save(raw / "dark/huge.png")


def test_a_small_tail_of_rare_classes_is_left_out_and_counted(tmp_path: Path) -> None:
    raw = scans(tmp_path / "raw")
    copies_alone(raw)
    summary = build(raw, tmp_path / "out")
    assert list(summary["classes"]) == ["dark", "light"]
    assert summary["dropped"] == {"same picture as another": 8, "of rare classes": 1}
    assert "1 class of fewer than 6 pictures left out (same: 1)" in summary["headline"]
    shutil.rmtree(tmp_path / "out")
    named = refused(raw, tmp_path, classes=["dark", "light", "same"])
    assert "class 'same' has 1 different pictures to divide; at least 6" in named


def test_a_class_that_is_rare_in_training_and_frequent_in_the_test_data_is_refused(
    tmp_path: Path,
) -> None:
    raw = tmp_path / "raw"
    scans(raw / "train", {"dark": 40, "light": 40})
    scans(raw / "test", {"dark": 10, "light": 10}, first=50)
    for split, count in (("train", 2), ("test", 12)):
        (raw / split / "odd").mkdir()
        for number in range(count):
            picture = Image.new("L", (16, 16), 100 + number + count)
            picture.save(raw / split / "odd" / f"{number}.png")
    said = refused(raw, tmp_path)
    assert "class 'odd' has 2 different pictures to divide; at least 6" in said


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (broken, "dark/05.png: is a broken picture: .*Fix or remove it"),
        (two_broken, "dark/05.png: is a broken picture.* So are 1 more: light/07.png"),
        (empty_class, "none: an empty class"),
        (other_files_alone, "none: an empty class: no picture in it"),
        (one_class, "has only one class, 'dark'"),
        (few, "class 'rare' has 4 different pictures to divide; at least 6 .*leave it out"),
        (mislabelled, "every picture of class 'twin' is also under another label"),
        (huge, "dark/huge.png: has .*25,000,000"),
    ],
)
def test_a_faulty_folder_is_refused(
    tmp_path: Path, spoil: Callable[[Path], None], said: str
) -> None:
    raw = scans(tmp_path / "raw")
    spoil(raw)
    assert re.search(said, refused(raw, tmp_path))


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("dark/01.png,dark", "row 33, column 'file': 'dark/01.png' is in row 2 already"),
        ("more.png,", "row 33, column 'label': empty"),
        (",dark", "row 33, column 'file': empty"),
        (
            "more.png,purple",
            "row 33, column 'label': class 'purple' is unknown. Allowed: dark, light",
        ),
        ("more.png,ligth", "Did you mean 'light'?"),
        ("../raw/more.png,dark", "row 33, column 'file': '../raw/more.png' lies outside"),
        ("labels.csv,dark", "row 33, column 'file': 'labels.csv' is no picture"),
        ("more.png", "row 33: 1 cell where the header has 2"),
        ("bad.png,dark", "row 33, column 'file': bad.png is not a picture"),
    ],
)
def test_a_faulty_row_is_refused(tmp_path: Path, row: str, said: str) -> None:
    raw = scans(tmp_path / "raw")
    rows = [f"{file.relative_to(raw)},{file.parent.name}" for file in sorted(raw.rglob("*.png"))]
    save(raw / "more.png", picture(900, True))
    (raw / "bad.png").write_text("x")
    assert said in refused(table(raw, [*rows, row]), tmp_path, classes=("dark", "light"))


@pytest.mark.parametrize(
    ("header", "cells", "said"),
    [
        ("file", "", "column 'label': the column is missing. Its columns are file"),
        (
            "file,label,split",
            ",tarin",
            "row 1, column 'split': split 'tarin' is unknown. Did you mean 'train'?",
        ),
        ("file,label,group,split", ",p1,{}", "group 'p1' is in the splits"),
    ],
)
def test_a_faulty_table_is_refused(tmp_path: Path, header: str, cells: str, said: str) -> None:
    raw = scans(tmp_path / "raw")
    rows = [
        f"{file.relative_to(raw)},{file.parent.name}"[
            : None if "label" in header else -1 - len(file.parent.name)
        ]
        + cells.format(SPLITS[number % 3])
        for number, file in enumerate(sorted(raw.rglob("*.png")))
    ]
    assert said in refused(table(raw, rows, header), tmp_path)


def test_a_table_of_nothing_but_a_byte_order_mark_is_empty(tmp_path: Path) -> None:
    raw = scans(tmp_path / "raw")
    (raw / "labels.csv").write_bytes("\ufeff".encode())
    assert "labels.csv: is empty. Write a first line: file,label" in refused(raw, tmp_path)


@pytest.mark.parametrize("between", ["\u2028", "\x0b", "\n"])
def test_a_label_may_hold_what_ends_a_line_elsewhere(tmp_path: Path, between: str) -> None:
    raw = scans(tmp_path / "raw")
    rows = []
    for file in sorted(raw.rglob("*.png")):
        rows.append(f'{file.relative_to(raw)},"{file.parent.name}{between}side"')
    summary = build(table(raw, rows), tmp_path / "out")
    assert set(summary["classes"]) == {f"dark{between}side", f"light{between}side"}


def test_a_label_that_training_lacks_is_refused(tmp_path: Path) -> None:
    for split in ("train", "val", "test"):
        scans(tmp_path / "raw" / split, first=30 * len(split))
    scans(tmp_path / "raw/test", {"strange": 9})
    assert "test/strange/00.png: class 'strange' has no training picture" in refused(
        tmp_path / "raw", tmp_path
    )


def test_pictures_without_class_folders_are_refused(tmp_path: Path) -> None:
    save(tmp_path / "raw/1.png", picture(1, True))
    assert "1.png: lies outside of a class folder. Lay pictures out as" in refused(
        tmp_path / "raw", tmp_path
    )


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"positive": "blue"}, "'features.positive': class 'blue' is unknown"),
        ({"group_pattern": "("}, "'features.group_pattern' = '('"),
        ({"group_pattern": "[a-z]+"}, "has no group: put one part in parentheses"),
        ({"group_pattern": "(p9)"}, "is not found in the name 'dark/00.png'"),
    ],
)
def test_a_setting_that_does_not_fit_is_refused(
    tmp_path: Path, settings: dict[str, str], said: str
) -> None:
    assert said in refused(scans(tmp_path / "raw"), tmp_path, UsageError, **settings)


def test_the_stages_read_a_folder_of_one_s_own(tmp_path: Path) -> None:
    scans(tmp_path / "mine")
    run = Run.of("image", {"data": {"uri": str(tmp_path / "mine")}})
    ingest(run, dataset=tmp_path / "dataset")
    headline = features_stage(run, dataset=tmp_path / "dataset", features=tmp_path / "features")
    assert headline == (
        "32 pictures of 2 classes, 32 px gray; positive class: light (the rarer one, 8 of 21)"
    )
    drawn = Counter(name.split("/")[0] for s in SPLITS for name in names(tmp_path / "features", s))
    assert drawn == {"dark": 20, "light": 12}


def test_a_bomb_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    raw = scans(tmp_path / "raw")
    stream = io.BytesIO()
    Image.new("1", (100, 100)).save(stream, "PNG")
    header = bytearray(stream.getvalue())
    header[16:24] = (60_000).to_bytes(4, "big") * 2
    header[29:33] = zlib.crc32(bytes(header[12:29])).to_bytes(4, "big")
    (raw / "dark/bomb.png").write_bytes(bytes(header))
    assert "dark/bomb.png: has more than the 25,000,000 pixels allowed" in refused(raw, tmp_path)
