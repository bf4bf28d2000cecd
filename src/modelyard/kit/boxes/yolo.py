"""YOLO's text files: a line an object, `class x y width height`, as shares of the picture
(https://docs.ultralytics.com/datasets/detect)."""

from __future__ import annotations

import math
import re
from collections.abc import Set
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from modelyard.errors import BadData
from modelyard.kit.boxes.scenes import Box, Pictures, Scene, Scenes, split_in
from modelyard.kit.tables import decoded
from modelyard.store.files import File, FileSet

CLASSES = ("classes.txt", "obj.names")
SPLITS = {"train": "train", "val": "validation", "test": "test"}
"""Keys of data.yaml, and what they are here."""
ALLOWED = "allowed are a class number, and x, y, width and height from 0 to 1"
LISTS = {"train.txt": "train", "val.txt": "validation", "valid.txt": "validation"} | {
    "test.txt": "test"
}
"""Darknet's lists of pictures, next to `obj.names`."""
OUTSIDE = 0.01
"""By how much a number may lie beyond 0 and 1: outlines and turned boxes lean over the edge."""
UNLISTED = "in no list of pictures"
_NAMES = re.compile(r"""(?:^|[{,]) {0,2}["']?names["']?\s*:""", re.MULTILINE)
"""The key of a YAML file that describes pictures. Others, as conda's environment.yml, lack it."""


@dataclass(frozen=True)
class _Description:
    """What data.yaml or a file of names says."""

    names: list[str]
    """Of the classes, by number."""
    folders: dict[str, str] = field(default_factory=dict)
    """Splits by folder."""
    lists: dict[str, str] = field(default_factory=dict)
    """Splits by the end of the name of a text file that lists pictures."""
    points: int = 0
    """Numbers of an object's keypoints, behind those of its box."""


def read_yolo(files: FileSet, pictures: Pictures) -> Scenes:
    """All pictures, each with the boxes of the text file that is called as it is.

    A picture without such a file has no boxes.

    Raises:
        BadData: with the file and its line.
    """
    described = _described(files)
    listing = Scenes("YOLO", [])
    listed = _listed(files, described, pictures)
    bare = outlines = 0
    passed = set()
    named = set(listed)
    for picture in pictures.all:
        file = _labels_of(picture, files)
        if file is not None:
            named.add(picture.name)
        if listed and picture.name not in listed:
            listing.drop(UNLISTED)
            passed.add(picture.path if file is None else file.path)
            continue
        boxes: list[Box] = []
        if file is None:
            bare += 1
        else:
            boxes, drawn = _boxes(file, described)
            outlines += drawn
        split = listed.get(picture.name) or _split_of(picture, described.folders)
        table = picture.path if file is None else file.path
        listing.scenes.append(Scene(picture, tuple(boxes), table, split, relative=True))
    lone = _lone(files, {scene.table for scene in listing.scenes} | passed)
    # As many of both are pairs whose names differ: without boxes such a picture would be learnt as empty.
    if lone and bare >= len(lone):
        hint = "It is called as its picture, but for the ending"
        raise BadData("has no picture of its name", file=lone[0].path, hint=hint)
    absent = {PurePosixPath(name).stem for name in pictures.absent.names}
    for file in lone:
        stem = PurePosixPath(file.name).stem
        if stem not in absent:
            pictures.absent.add(stem, file.path)
    pictures.absent.leave_out(listing, len(named), len(pictures.all))
    if described.points:
        listing.notes.append("Keypoints are not read: only the boxes are.")
    if bare:
        listing.notes.append(f"{bare} pictures have no text file, and so no boxes.")
    if outlines:
        listing.notes.append(f"{outlines} objects are outlines: their boxes are those around them.")
    return listing


def label_files(files: FileSet) -> list[File]:
    """The text files that hold boxes."""
    return [file for file in files if file.suffix == ".txt" and "labels" in _folders(file.name)]


def _folders(name: str) -> tuple[str, ...]:
    return PurePosixPath(name).parts[:-1]


def is_yolo(files: FileSet) -> bool:
    """Whether a folder looks like it."""
    named = any(PurePosixPath(file.name).name in CLASSES for file in files)
    return named or bool(label_files(files)) or bool(_yamls(files))


def _yamls(files: FileSet) -> list[File]:
    """The YAML files that describe pictures."""
    found = []
    for file in files:
        if file.suffix not in (".yaml", ".yml"):
            continue
        is_named = PurePosixPath(file.name).stem == "data"
        if is_named or _NAMES.search(file.read().decode("utf-8-sig", "replace")):
            found.append(file)
    return found


def _described(files: FileSet) -> _Description:
    """Class names by number, and splits where data.yaml names them."""
    for file in _yamls(files):
        content = _yaml(file)
        if content is None:
            content = {}
        elif not isinstance(content, dict) or "names" not in content:
            continue
        names = _names(file, content.get("names"))
        folders = _split_folders(content)
        lists = {name: split for name, split in folders.items() if name.endswith(".txt")}
        return _Description(names, folders, lists, _points(file, content.get("kpt_shape")))
    for file in files:
        if PurePosixPath(file.name).name in CLASSES:
            lines = decoded(file)[0].splitlines() if file.read().strip() else []
            names = [line.strip() for line in lines]
            lists = LISTS if file.name.endswith("obj.names") else {}
            return _Description(_names(file, [name for name in names if name]), lists=lists)
    hint = "List the names of the classes there, in the order of their numbers"
    raise BadData("has neither data.yaml nor classes.txt", file=files.root, hint=hint)


def _points(file: File, shape: Any) -> int:
    """How many numbers the keypoints of an object are; 0 where there are none."""
    if shape is None:
        return 0
    # The number of points, and 2 or 3 of each: x, y and whether it is seen.
    if not isinstance(shape, list) or not all(str(side).isdecimal() for side in shape):
        raise BadData(f"kpt_shape: {shape!r}; allowed is [points, 2 or 3]", file=file.path)
    return math.prod(int(side) for side in shape)


def _listed(files: FileSet, described: _Description, pictures: Pictures) -> dict[str, str]:
    """Splits by the name of the picture, by text files that list the pictures of a split."""
    found: dict[str, str] = {}
    for name, split in described.lists.items():
        for file in files:
            if not f"/{file.name}".endswith(f"/{name}") or not file.read().strip():
                continue
            for line in decoded(file)[0].splitlines():
                # The boxes of a picture that is called train.jpg are no list.
                if not pictures.kind.reads(line.strip()):
                    continue
                picture = pictures.named(line.strip(), file)
                if picture is not None:
                    found.setdefault(picture.name, split)
    return found


def _yaml(file: File) -> Any:
    """What a YAML file holds, every value as the text that stands there; None of an empty one."""
    if not file.read().strip():
        return None
    try:
        # The base loader makes texts only: to the others a class called `no` is False.
        return yaml.load(decoded(file)[0], Loader=yaml.BaseLoader)  # noqa: S506 makes no objects
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        row = mark.line + 1 if mark else None
        raise BadData("is not YAML", file=file.path, row=row) from None


def _names(file: File, names: Any) -> list[str]:
    if isinstance(names, dict):
        numbers = [str(number) for number in range(len(names))]
        if names.keys() != set(numbers):
            raise BadData(f"names: numbers must be 0 to {len(names) - 1}", file=file.path)
        names = [names[number] for number in numbers]
    if not isinstance(names, list) or not names:
        raise BadData("holds no names of classes", file=file.path)
    found = [str(name).strip() for name in names]
    for row, name in enumerate(found, start=1):
        if not name or found.index(name) != row - 1:
            raise BadData(f"names: {name!r} stands twice or is empty", file=file.path, row=row)
    return found


def _split_folders(content: dict[str, Any]) -> dict[str, str]:
    """Folders that data.yaml calls train, val and test; the same one twice is the first."""
    found: dict[str, str] = {}
    for key, split in SPLITS.items():
        given = content.get(key)
        folders = given if isinstance(given, list) else [given]
        for folder in folders:
            if isinstance(folder, str) and folder.strip():
                path = PurePosixPath(folder)
                # Exports write `../train/images`, relative to a place that nobody else has.
                parts = [part for part in path.parts if part not in (".", "..")]
                found.setdefault("/".join(parts), split)
    return found


def _split_of(picture: File, folders: dict[str, str]) -> str | None:
    """By data.yaml, else by the names of folders."""
    inside = f"/{PurePosixPath(picture.name).parent}/"
    # The folder that is named most fully: `images` is in `second/images` too.
    for folder in sorted(folders, key=len, reverse=True):
        if f"/{folder}/" in inside:
            return folders[folder]
    return split_in(str(PurePosixPath(picture.name).parent))


def _labels_of(picture: File, files: FileSet) -> File | None:
    """In the folder `labels` next to that of `images`, or next to the picture."""
    path = PurePosixPath(picture.name)
    parts = list(path.parts)
    places = [place for place, part in enumerate(parts[:-1]) if part == "images"]
    # The last one, as YOLO's own loader replaces it.
    if places:
        parts[places[-1]] = "labels"
    for way in (PurePosixPath(*parts), path):
        file = files.get(way.with_suffix(".txt").as_posix())
        if file is not None:
            return file
    return None


def _lone(files: FileSet, used: Set[Path]) -> list[File]:
    """Files of boxes without a picture: those of pictures are `used`."""
    found = []
    for file in label_files(files):
        if file.path not in used and PurePosixPath(file.name).name not in CLASSES:
            found.append(file)
    return found


def _boxes(file: File, described: _Description) -> tuple[list[Box], int]:
    """The boxes of a text file, and how many of them were drawn as outlines."""
    found: list[Box] = []
    outlines = 0
    # Only digits count here: a byte that is not UTF-8 is refused as no number, with its row.
    lines = file.read().decode("utf-8-sig", "replace").splitlines()
    for row, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        label, numbers = _line(file, row, line, described)
        if len(numbers) == 4:
            x, y, width, height = numbers
            edges = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
            found.append(Box(label, *edges))
        else:
            outlines += 1
            right, down = numbers[::2], numbers[1::2]
            edges = (min(right), min(down), max(right), max(down))
            found.append(Box(label, *edges, outline=(tuple(numbers),)))
    return found, outlines


def _line(file: File, row: int, line: str, described: _Description) -> tuple[str, list[float]]:
    """The class of a line, and its numbers: four, or the corners of an outline."""
    names = described.names
    cells = line.split()
    count = len(cells) - 1
    # Keypoints of three corners would pass for an outline: only data.yaml tells them apart.
    if described.points and count == 4 + described.points:
        cells, count = cells[:5], 4
    # An outline has three corners or more, of two numbers each.
    is_outline = count >= 6 and count % 2 == 0 and not described.points
    if count != 4 and not is_outline:
        allowed = ALLOWED
        if described.points:
            allowed += f", and {described.points} numbers of keypoints (kpt_shape)"
        raise BadData(f"{len(cells)} cells; {allowed}", file=file.path, row=row)
    if not cells[0].isdecimal() or int(cells[0]) >= len(names):
        problem = f"class {cells[0]!r}; allowed are the numbers 0 to {len(names) - 1}"
        raise BadData(problem, file=file.path, row=row)
    numbers = []
    for cell in cells[1:]:
        try:
            value = float(cell)
        except ValueError:
            value = math.nan
        if not -OUTSIDE <= value <= 1 + OUTSIDE:
            raise BadData(f"{cell!r}; {ALLOWED}", file=file.path, row=row)
        numbers.append(value)
    return names[int(cells[0])], numbers
