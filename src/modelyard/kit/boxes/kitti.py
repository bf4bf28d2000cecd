"""KITTI: a text file a picture, a line an object: class, truncated, occluded, alpha, left, top, right,
bottom, and seven numbers of its place in space (https://www.cvlibs.net/datasets/kitti, devkit_object)."""

from __future__ import annotations

import math
from pathlib import PurePosixPath

from modelyard.errors import BadData
from modelyard.kit.boxes.scenes import Box, Pictures, Scene, Scenes, split_in
from modelyard.kit.boxes.yolo import CLASSES
from modelyard.kit.tables import decoded
from modelyard.store.files import File, FileSet

CELLS = (15, 16)
"""Of a line; the last one of 16 is a detector's score."""
EDGES = slice(4, 8)
DONT_CARE = "DontCare"
"""A region whose objects nobody labelled: what is found there is neither right nor wrong."""
LOOKED_AT = 500
"""Bytes that tell the format."""


def kitti_files(files: FileSet) -> list[File]:
    """The text files that hold boxes of KITTI, in folders that are called `label_2`, `labels`, … Of a
    folder that has one all are: some hold nothing."""
    candidates = []
    for file in files:
        names_classes = PurePosixPath(file.name).name in CLASSES
        if file.suffix == ".txt" and _folder_of(file) is not None and not names_classes:
            candidates.append(file)
    folders = {_folder_of(file) for file in candidates if _is_kitti(file)}
    return [file for file in candidates if _folder_of(file) in folders]


def read_kitti(found: list[File], pictures: Pictures) -> Scenes:
    """The pictures of KITTI's files, each with its boxes.

    Raises:
        BadData: with the file and its line.
    """
    listing = Scenes("KITTI", [])
    for file in found:
        text = decoded(file)[0] if file.read().strip() else ""
        boxes = []
        for row, line in enumerate(text.splitlines(), start=1):
            if line.strip():
                boxes.append(_box(file, row, line))
        picture = pictures.annotated_by(file, PurePosixPath(file.name).stem, "")
        if picture is not None:
            listing.scenes.append(Scene(picture, tuple(boxes), file.path, split_in(file.name)))
    pictures.check(listing, listing.pictures, "without a text file")
    return listing


def _folder_of(file: File) -> str | None:
    """The innermost folder of labels that a file lies in."""
    for folder in PurePosixPath(file.name).parents:
        if folder.name.lower().startswith("label"):
            return folder.as_posix()
    return None


def _is_kitti(file: File) -> bool:
    lines = file.read(LOOKED_AT).decode("utf-8-sig", "replace").splitlines()
    cells = next((line.split() for line in lines if line.strip()), [])
    # YOLO's lines begin with a number.
    return len(cells) in CELLS and not cells[0].isdecimal()


def _box(file: File, row: int, line: str) -> Box:
    cells = line.split()
    if len(cells) not in CELLS:
        problem = f"{len(cells)} cells; allowed are {CELLS[0]}: the class and 14 numbers"
        raise BadData(problem, file=file.path, row=row)
    edges = []
    for cell in cells[EDGES]:
        try:
            edge = float(cell)
        except ValueError:
            edge = math.nan
        if not math.isfinite(edge):
            raise BadData(f"{cell!r} is no number of pixels", file=file.path, row=row)
        edges.append(edge)
    left, top, right, bottom = edges
    label = cells[0]
    return Box(label, left, top, right, bottom, ignored=label == DONT_CARE)
