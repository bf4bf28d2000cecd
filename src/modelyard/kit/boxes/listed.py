"""Tables with a row an object: `filename,class,xmin,ymin,xmax,ymax`, as TensorFlow's tutorials,
VoTT, Roboflow and competitions have them."""

from __future__ import annotations

import csv
import math
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import PurePosixPath

from modelyard.errors import BadData, choices, first_of
from modelyard.kit.boxes.scenes import Box, Pictures, Scene, Scenes, split_in
from modelyard.kit.classifier.listed import DELIMITERS, Row, rows_of
from modelyard.kit.splits import SPLIT_NAMES
from modelyard.kit.tables import decoded
from modelyard.store.files import File

FILES = (
    "filename",
    "image",
    "imageid",
    "imagepath",
    "imagename",
    "file",
    "filepath",
    "path",
    "img",
)
LABELS = ("classname", "labelname", "categoryname", "class", "label", "category", "name")
"""Usual names of the columns, the likeliest first, without case and signs."""
EDGES = (
    ("xmin", "ymin", "xmax", "ymax"),
    ("x1", "y1", "x2", "y2"),
    ("left", "top", "right", "bottom"),
)
BBOX = "bbox"
"""A column that holds `[left, top, width, height]`."""
GROUP = "isgroupof"
"""Open Images' column of 1 where a box is around a crowd."""
SPLIT = "split"
"""A column of the splits of pictures."""
YES = frozenset({"1", "true", "yes"})
"""Cells of `GROUP`, in lower case."""
OUTSIDE = 0.01
"""By how much a share of a side may lie beyond 1."""
ONLY = "object"
"""The class of all boxes of a table that names none."""
SHOWN = 6
"""Names of columns in a message."""


@dataclass(frozen=True)
class Roles:
    """What the columns of a table are."""

    file: str
    label: str | None
    edges: tuple[str, ...]
    """Of left, top, right and bottom, or the one of all four."""
    size: tuple[str, str] | None
    """Of the picture's width and height."""
    group: str | None = None
    """Of whether the box is around many objects."""
    split: str | None = None


def box_tables(files: list[File]) -> list[File]:
    """The tables whose header names a picture and the edges of a box."""
    found = []
    for file in files:
        if file.suffix == ".csv" and file.read(1_000).strip():
            header = decoded(file)[0].lstrip().partition("\n")[0]
            # As `rows_of` cuts it.
            delimiter = max(DELIMITERS, key=header.count)
            if roles_of(next(csv.reader([header], delimiter=delimiter))) is not None:
                found.append(file)
    return found


def roles_of(names: list[str]) -> Roles | None:
    """What the columns are by their names; None: no boxes of pictures."""
    own = {re.sub("[^a-z0-9]", "", name.lower()): name.strip() for name in names}
    file = next((own[name] for name in FILES if name in own), None)
    edges = next((four for four in (*EDGES, (BBOX,)) if own.keys() >= set(four)), None)
    if file is None or edges is None:
        return None
    label = next((own[name] for name in LABELS if name in own), None)
    size = (own["width"], own["height"]) if {"width", "height"} <= own.keys() else None
    places = tuple(own[name] for name in edges)
    return Roles(file, label, places, size, own.get(GROUP), own.get(SPLIT))


def read_listed_boxes(tables: list[File], pictures: Pictures) -> Scenes:
    """The pictures that tables name, each with the boxes of its rows. Where the names of some tables say
    their split, only those are read: another one holds the rows of all.

    Raises:
        BadData: with the table, the row and the column.
    """
    listing = Scenes("CSV", [])
    seen: dict[str, File] = {}
    chosen = [table for table in tables if split_in(table.name)] or tables
    unread = [table.path.name for table in tables if table not in chosen]
    if unread:
        said = f"Not read: {first_of(unread, SHOWN)}"
        listing.notes.append(f"{said}, since the names of other tables say their splits.")
    for table in chosen:
        names, rows, notes = rows_of(table)
        listing.notes += notes
        # The header was read as one before, and columns keep their names but for their case.
        roles = roles_of(names)
        assert roles is not None
        reading = _Table(table, roles)
        if roles.label is None:
            shown = first_of(names, SHOWN)
            said = f"{table.path.name}: no column is the class by its name (of {shown})"
            listing.notes.append(f"{said}: all boxes are of the class {ONLY!r}.")
        for scene in reading.scenes(rows, pictures):
            other = seen.setdefault(scene.picture.name, table)
            if other is not table:
                problem = f"picture {scene.picture.name!r} is already in {other.path.name}"
                raise BadData(problem, file=table.path, hint="List each picture in one table")
            listing.scenes.append(scene)
    pictures.check(listing, listing.pictures, "in no row of the CSV")
    return listing


class _Table:
    """One table."""

    def __init__(self, file: File, roles: Roles) -> None:
        self.file, self.roles = file, roles

    def wrong(self, row: int, column: str, problem: str) -> BadData:
        """An error that names a cell."""
        return BadData(problem, file=self.file.path, row=row, column=column)

    def scenes(self, rows: list[Row], pictures: Pictures) -> list[Scene]:
        """The pictures, in the order of their first rows."""
        found: dict[str, File] = {}
        called: dict[str, File | None] = {}
        splits: dict[str, str | None] = {}
        sizes: dict[str, tuple[int, int] | None] = {}
        boxes: dict[str, list[Box]] = defaultdict(list)
        largest = 0.0
        for row, cells in rows:
            given = cells[self.roles.file]
            if given not in called:
                called[given] = self.picture(row, given, pictures)
            box = self.box(row, cells)
            picture = called[given]
            if picture is None:
                continue
            # Rows may call a picture with its folder and without.
            name = picture.name
            if name not in found:
                found[name] = picture
                sizes[name] = self.size(row, cells)
                splits[name] = self.split(row, cells)
            # Tables may list pictures without a box, their cells empty.
            if box is not None:
                boxes[name].append(box)
                largest = max(largest, box.right, box.bottom)
        # Shares of the sides, as in Open Images: in pixels no box of a whole table is so small.
        relative = 0 < largest <= 1 + OUTSIDE
        scenes = []
        for name, picture in found.items():
            size = None if relative else sizes[name]
            inside = tuple(boxes[name])
            scenes.append(Scene(picture, inside, self.file.path, splits[name], size, relative))
        return scenes

    def picture(self, row: int, name: str, pictures: Pictures) -> File | None:
        """By its name, with or without the ending."""
        if not name:
            raise self.wrong(row, self.roles.file, "empty")
        try:
            if PurePosixPath(name).suffix:
                return pictures.named(name, self.file)
            return pictures.of_stem(name, self.file)
        except BadData as problem:
            raise self.wrong(row, self.roles.file, problem.problem) from None

    def split(self, row: int, cells: dict[str, str]) -> str | None:
        """As the row says, else the name of the table."""
        column = self.roles.split
        if column is None or not cells[column]:
            return split_in(self.file.name)
        given = cells[column].lower()
        if given not in SPLIT_NAMES:
            raise self.wrong(row, column, choices("split", given, SPLIT_NAMES))
        return SPLIT_NAMES[given]

    def size(self, row: int, cells: dict[str, str]) -> tuple[int, int] | None:
        """Width and height of the picture; None where they are not given, empty or 0."""
        if self.roles.size is None or not all(cells[name] for name in self.roles.size):
            return None
        width, height = (self.number(row, cells[name], name) for name in self.roles.size)
        # Shares come with the size of a box in columns that are called so.
        is_size = width >= 1 and height >= 1
        return (int(width), int(height)) if is_size else None

    def box(self, row: int, cells: dict[str, str]) -> Box | None:
        """The box of a row; None where its cells are empty."""
        given = [cells[name] for name in self.roles.edges]
        if not any(given):
            return None
        if len(given) == 1:
            column = self.roles.edges[0]
            parts = given[0].strip("[]() ").replace(",", " ").split()
            if len(parts) != 4:
                problem = f"{given[0][:40]!r}; allowed is [left, top, width, height]"
                raise self.wrong(row, column, problem)
            left, top, width, height = (self.number(row, part, column) for part in parts)
            right, bottom = left + width, top + height
        else:
            numbers = zip(given, self.roles.edges, strict=True)
            left, top, right, bottom = (self.number(row, cell, name) for cell, name in numbers)
        label = ONLY
        if self.roles.label is not None:
            label = cells[self.roles.label]
        if not label:
            raise self.wrong(row, str(self.roles.label), "empty")
        crowd = self.roles.group is not None and cells[self.roles.group].lower() in YES
        return Box(label, left, top, right, bottom, ignored=crowd)

    def number(self, row: int, cell: str, column: str) -> float:
        """A cell as a number."""
        try:
            value = float(cell)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise self.wrong(row, column, f"{cell!r} is no number of pixels")
        return value
