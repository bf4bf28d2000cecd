"""YOLO's text files: a line an object, `class x y width height`, as shares of the picture
(https://docs.ultralytics.com/datasets/detect)."""

from __future__ import annotations

import math
from pathlib import PurePosixPath
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


def read_yolo(files: FileSet, pictures: Pictures) -> Scenes:
    """All pictures, each with the boxes of the text file that is called as it is.

    A picture without such a file has no boxes.

    Raises:
        BadData: with the file and its line.
    """
    names, folders = _described(files)
    listing = Scenes("YOLO", [])
    bare = outlines = 0
    for picture in pictures.all:
        file = _labels_of(picture, files)
        boxes: list[Box] = []
        if file is None:
            bare += 1
        else:
            boxes, drawn = _boxes(file, names)
            outlines += drawn
        split = _split_of(picture, folders)
        table = picture.path if file is None else file.path
        listing.scenes.append(Scene(picture, tuple(boxes), table, split, relative=True))
    _check_pictures(files, listing)
    if bare:
        listing.notes.append(f"{bare} pictures have no text file, and so no boxes.")
    if outlines:
        listing.notes.append(f"{outlines} outlines of objects became the boxes around them.")
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
    return [file for file in files if file.suffix in (".yaml", ".yml")]


def _described(files: FileSet) -> tuple[list[str], dict[str, str]]:
    """Class names by number, and splits by folder where data.yaml names them."""
    for file in _yamls(files):
        content = _yaml(file)
        if content is None:
            content = {}
        elif not isinstance(content, dict) or "names" not in content:
            continue
        return _names(file, content.get("names")), _split_folders(content)
    for file in files:
        if PurePosixPath(file.name).name in CLASSES:
            lines = decoded(file)[0].splitlines() if file.read().strip() else []
            names = [line.strip() for line in lines]
            return _names(file, [name for name in names if name]), {}
    hint = "List the names of the classes there, in the order of their numbers"
    raise BadData("has neither data.yaml nor classes.txt", file=files.root, hint=hint)


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


def _check_pictures(files: FileSet, listing: Scenes) -> None:
    """Every file of boxes has its picture."""
    used = {scene.table for scene in listing.scenes}
    for file in label_files(files):
        if file.path not in used and PurePosixPath(file.name).name not in CLASSES:
            raise BadData("has no picture of its name", file=file.path)


def _boxes(file: File, names: list[str]) -> tuple[list[Box], int]:
    """The boxes of a text file, and how many of them were drawn as outlines."""
    found: list[Box] = []
    outlines = 0
    # Only digits count here: a byte that is not UTF-8 is refused as no number, with its row.
    lines = file.read().decode("utf-8-sig", "replace").splitlines()
    for row, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        label, numbers = _line(file, row, line, names)
        if len(numbers) == 4:
            x, y, width, height = numbers
            edges = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
        else:
            outlines += 1
            right, down = numbers[::2], numbers[1::2]
            edges = (min(right), min(down), max(right), max(down))
        found.append(Box(label, *edges))
    return found, outlines


def _line(file: File, row: int, line: str, names: list[str]) -> tuple[str, list[float]]:
    """The class of a line, and its numbers: four, or the corners of an outline."""
    cells = line.split()
    count = len(cells) - 1
    # An outline has three corners or more, of two numbers each.
    is_outline = count >= 6 and count % 2 == 0
    if count != 4 and not is_outline:
        raise BadData(f"{len(cells)} cells; {ALLOWED}", file=file.path, row=row)
    if not cells[0].isdecimal() or int(cells[0]) >= len(names):
        problem = f"class {cells[0]!r}; allowed are the numbers 0 to {len(names) - 1}"
        raise BadData(problem, file=file.path, row=row)
    numbers = []
    for cell in cells[1:]:
        try:
            value = float(cell)
        except ValueError:
            value = math.nan
        if not 0 <= value <= 1:
            raise BadData(f"{cell!r}; {ALLOWED}", file=file.path, row=row)
        numbers.append(value)
    return names[int(cells[0])], numbers
