"""Masks in PNG, GIF, BMP and TIFF files: class numbers of one channel or of a palette, 1 to 16 bits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from modelyard.errors import BadData
from modelyard.kit.json_lines import json_value
from modelyard.kit.pictures.pixels import Limits, checked
from modelyard.kit.tables import decoded
from modelyard.store.files import File, FileSet

if TYPE_CHECKING:
    from PIL.Image import Image

NAMES = ("classes.txt", "labels.json")
"""Files that name the classes."""
LARGEST = 65_535
PNG = b"\x89PNG"
DEPTH, COLOUR, GRAY = 24, 25, 0
"""Places in a PNG file of its bits a channel and of its colour type; the type without colour."""


def mask_values(data: bytes, limits: Limits) -> np.ndarray:
    """The numbers that a mask holds, int32 (height, width).

    Raises:
        BadData: no such file within the limits, or one that holds colours.
    """

    is_png = data.startswith(PNG)

    def values(picture: Image) -> np.ndarray:
        found = _numbers(picture)
        # Pillow spreads few bits over 0 to 255.
        is_spread = is_png and data[COLOUR] == GRAY and data[DEPTH] in (2, 4)
        if is_spread:
            found = found // (255 // (2 ** data[DEPTH] - 1))
        return found

    return checked(data, limits, values, ("PNG", "GIF", "BMP", "TIFF"))


def _numbers(picture: Image) -> np.ndarray:
    allowed = "a mask holds class numbers: one channel, or a palette"
    array = np.asarray(picture)
    if picture.mode == "RGB":
        # Tools that know nothing else write a gray mask so.
        coloured = np.argwhere((array[..., :1] != array[..., 1:]).any(axis=2))
        if len(coloured):
            row, column = coloured[0]
            seen = tuple(array[row, column].tolist())
            raise BadData(f"pixel ({column}, {row}) has the colour {seen}; {allowed}")
        array = array[..., 0]
    elif picture.mode not in ("1", "L", "P", "I", "I;16", "I;16B"):
        raise BadData(f"has the mode {picture.mode}; {allowed}")
    return array.astype(np.int32)


def class_names(files: FileSet) -> tuple[dict[int, str], File] | None:
    """The names of classes by their numbers, and the file that holds them; None where there is no
    such file.

    Raises:
        BadData: with the line or entry.
    """
    for name in NAMES:
        file = files.get(name)
        if file is None:
            continue
        if not file.read().strip():
            raise BadData("is empty; it names the classes", file=file.path)
        text, _ = decoded(file)
        if name.endswith(".txt"):
            names = _lines(text, file)
        else:
            names = _entries(text, file)
        return names, file
    return None


def _lines(text: str, file: File) -> dict[int, str]:
    """A name a line; the first is class 0."""
    names: dict[int, str] = {}
    for row, line in enumerate(text.rstrip().splitlines(), start=1):
        name = line.strip()
        if not name or name in names.values():
            if name:
                problem = f"{name!r} is the name of two classes"
            else:
                problem = "holds no name"
            raise BadData(problem, file=file.path, row=row, hint="Line 1 names class 0")
        names[row - 1] = name
    return names


def _entries(text: str, file: File) -> dict[int, str]:
    """A list of names, or names by number."""
    content = json_value(text, file.path)
    if isinstance(content, list):
        content = {str(number): name for number, name in enumerate(content)}
    allowed = 'allowed are ["name of class 0", …] and {"0": "name", …}'
    if not isinstance(content, dict) or not content:
        raise BadData(f"holds {str(content)[:40]!r}; {allowed}", file=file.path)
    names: dict[int, str] = {}
    for key, name in content.items():
        number = int(key) if key.isdecimal() else -1
        if not 0 <= number <= LARGEST:
            raise BadData(f"{key!r} is no class number; {allowed}", file=file.path)
        if not isinstance(name, str) or not name.strip():
            raise BadData(f"class {number}: {str(name)[:40]!r}; {allowed}", file=file.path)
        if name.strip() in names.values():
            raise BadData(f"{name.strip()!r} is the name of two classes", file=file.path)
        names[number] = name.strip()
    return names
