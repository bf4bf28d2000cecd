"""Masks whose colours are the classes: as CVAT and datumaro export them, and many data sets come."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from modelyard.errors import BadData
from modelyard.families.segmentation.masks import COLOUR, PNG
from modelyard.kit.classifier.kind import read_bytes
from modelyard.kit.pictures.pixels import Limits, checked
from modelyard.kit.tables import decoded
from modelyard.store.files import File, FileSet

if TYPE_CHECKING:
    from PIL.Image import Image

MOST = 255
"""Classes that a network here tells apart."""
TRUE_COLOUR = (2, 6)
"""PNG's colour types of three channels, without and with a fourth for transparency."""
LABELMAPS = ("labelmap.txt", "label_colors.txt")
"""CVAT's `name:r,g,b::`, and CamVid's `r g b name`."""
CVAT_LINE = re.compile(r"(?P<name>[^:]+):(?P<rgb>\d+,\d+,\d+)(:.*)?")
CAMVID_LINE = re.compile(r"(?P<rgb>\d+\s+\d+\s+\d+)\s+(?P<name>.+)")
RGB = ("r", "g", "b")


@dataclass(frozen=True)
class Palette:
    """The colours of the classes."""

    colours: np.ndarray
    """Of each class, as one number, int32 (classes,), rising."""
    names: dict[int, str]
    """Of the classes by number: their places in `colours`."""
    source: str
    """The file that names them; empty: they are called as their colours."""

    def values(self, mask: File, limits: Limits) -> np.ndarray:
        """The class of each pixel of a mask, int32 (height, width).

        Raises:
            BadData: a colour that is no class.
        """
        packed = _packed_of(mask, limits)
        places = np.searchsorted(self.colours, packed).clip(max=len(self.colours) - 1)
        strange = np.argwhere(self.colours[places] != packed)
        if len(strange):
            row, column = strange[0]
            problem = f"pixel ({column}, {row}) has the colour {_rgb(int(packed[row, column]))}"
            raise BadData(f"{problem}, which {self.source} does not name", file=mask.path)
        return places.astype(np.int32)


def palette_of(masks: Sequence[File], files: FileSet, limits: Limits) -> Palette | None:
    """The colours of masks that all have three channels; None where these hold numbers.

    Raises:
        BadData: a broken mask, or more colours than classes may be.
    """
    if not masks or not all(map(_has_channels, masks)):
        return None
    with ThreadPoolExecutor() as pool:
        found = list(pool.map(partial(_colours_of, limits=limits), masks))
    seen = np.unique(np.concatenate(found))
    red, green, blue = seen >> 16, seen >> 8 & 255, seen & 255
    if ((red == green) & (green == blue)).all():
        # Gray ones, of a tool that writes nothing else.
        return None
    named = _named(files)
    if named is not None:
        source, names = named
        colours = np.array(sorted(names), np.int32)
        return Palette(
            colours, {place: names[one] for place, one in enumerate(sorted(names))}, source
        )
    if len(seen) > MOST:
        most = max(range(len(masks)), key=lambda place: len(found[place]))
        problem = (
            f"has {len(found[most]):,} colours, and all masks {len(seen):,}; allowed are {MOST}"
        )
        hint = "Colours that blend at edges come from smoothing or JPEG: save masks without, or "
        hint += "name the colours in labelmap.txt (name:r,g,b a line)"
        raise BadData(problem, file=masks[most].path, hint=hint)
    names = {
        place: "#{:02x}{:02x}{:02x}".format(*_rgb(one)) for place, one in enumerate(seen.tolist())
    }
    return Palette(seen, names, "")


def _has_channels(mask: File) -> bool:
    head = mask.read(COLOUR + 1)
    return head.startswith(PNG) and len(head) > COLOUR and head[COLOUR] in TRUE_COLOUR


def _packed_of(mask: File, limits: Limits) -> np.ndarray:
    """The colours of a mask's pixels, each as one number, int32 (height, width)."""
    try:
        return checked(read_bytes(mask, limits), limits, _packed, ("PNG",))
    except BadData as problem:
        raise BadData(problem.problem, file=mask.path, hint=problem.hint) from None


def _packed(picture: Image) -> np.ndarray:
    # What a transparent pixel hides is its colour still.
    channels = np.asarray(picture)[..., :3].astype(np.int32)
    packed: np.ndarray = channels[..., 0] << 16 | channels[..., 1] << 8 | channels[..., 2]
    return packed


def _colours_of(mask: File, limits: Limits) -> np.ndarray:
    return np.unique(_packed_of(mask, limits))


def _rgb(packed: int) -> tuple[int, int, int]:
    return packed >> 16, packed >> 8 & 255, packed & 255


def _named(files: FileSet) -> tuple[str, dict[int, str]] | None:
    """The names of colours, and the file that holds them: a label map, or a table with columns
    `name,r,g,b`."""
    for file in files:
        base = PurePosixPath(file.name).name.lower()
        names: dict[int, str] = {}
        if base in LABELMAPS:
            names = _of_lines(file)
        elif file.suffix == ".csv":
            names = _of_table(file)
        if names:
            return PurePosixPath(file.name).name, names
    return None


def _of_lines(file: File) -> dict[int, str]:
    found: dict[int, str] = {}
    for row, line in enumerate(decoded(file)[0].splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        match = CVAT_LINE.fullmatch(line.strip()) or CAMVID_LINE.fullmatch(line.strip())
        if match is None:
            allowed = "allowed are name:r,g,b and r g b name"
            raise BadData(f"{line.strip()[:40]!r}; {allowed}", file=file.path, row=row)
        cells = re.split(r"[\s,]+", match["rgb"])
        _add(found, file, row, cells, match["name"])
    return found


def _of_table(file: File) -> dict[int, str]:
    """Of a table with these columns; none of another one."""
    lines = csv.reader(decoded(file)[0].splitlines())
    header = [cell.strip().lower() for cell in next(lines, [])]
    if not set(RGB) <= set(header) or len(header) != len(RGB) + 1:
        return {}
    name = next(place for place, cell in enumerate(header) if cell not in RGB)
    found: dict[int, str] = {}
    for row, line in enumerate(lines, start=1):
        if not line:
            continue
        if len(line) != len(header):
            problem = f"{len(line)} cells where the header has {len(header)}"
            raise BadData(problem, file=file.path, row=row)
        cells = [line[header.index(channel)].strip() for channel in RGB]
        _add(found, file, row, cells, line[name])
    return found


def _add(found: dict[int, str], file: File, row: int, cells: list[str], name: str) -> None:
    if not all(cell.isdecimal() and int(cell) <= 255 for cell in cells):
        problem = f"colour {' '.join(cells)}: each number must be 0 to 255"
        raise BadData(problem, file=file.path, row=row)
    red, green, blue = map(int, cells)
    packed = red << 16 | green << 8 | blue
    name = name.strip()
    if packed in found or name in found.values() or not name:
        problem = f"{name!r} or its colour stands twice, or is empty"
        raise BadData(problem, file=file.path, row=row)
    found[packed] = name
