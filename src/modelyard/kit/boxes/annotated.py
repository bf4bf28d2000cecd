"""Boxes in pixels of their pictures as they are shown: scaled, turned, and cut at the edges."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from modelyard.errors import BadData
from modelyard.kit.boxes.geometry import TURNED, areas, clipped, turned
from modelyard.kit.boxes.scenes import Scene
from modelyard.kit.pictures.pixels import Limits, as_stored, has_pages, open_picture

OUTSIDE = 0.5
"""Pixels by which a box may reach over the edge without being counted: roundings."""


@dataclass(frozen=True)
class Look:
    """What one look at a picture's file tells."""

    digest: str
    size: tuple[int, int]
    """Width and height as it is shown."""
    stored: tuple[int, int]
    orientation: int
    pages: bool = False
    """Whether it has several, of which the first is read."""


@dataclass(frozen=True)
class Annotated:
    """A picture with its boxes in pixels of the picture as it is shown."""

    size: tuple[int, int]
    labels: list[str]
    boxes: np.ndarray
    """(boxes, 4): left, top, right, bottom."""
    ignored: np.ndarray
    cut: int
    """Boxes that reached over the picture's edge."""
    empty: int
    """Boxes without area in the picture, which are left out."""
    was_turned: bool
    pages: bool = False
    """Whether the picture has several, of which the first is read."""

    @property
    def words(self) -> str:
        """Different for different boxes."""
        seen = f"{self.labels} {self.boxes.round(2).tolist()} {self.ignored.tolist()}"
        return f"{len(self.labels)} boxes, {hashlib.sha256(seen.encode()).hexdigest()[:6]}"


def look(data: bytes, limits: Limits) -> Look:
    """What a picture's bytes tell.

    Raises:
        BadData: not a picture within the limits.
    """
    picture = open_picture(data, limits)
    # Of the pixels, so that a copy in another format is a copy too; with the size, since the same
    # pixels may lie in rows of another length.
    content = hashlib.sha256(f"{picture.size}".encode() + picture.convert("RGB").tobytes())
    return Look(content.hexdigest(), picture.size, *as_stored(data), has_pages(data))


def annotated(scene: Scene, look: Look) -> Annotated:
    """A scene's boxes on the picture as it is shown.

    Tools that honour EXIF draw boxes on the turned picture, others on the stored one: the size that
    the annotations say tells which.
    """
    edges = [(box.left, box.top, box.right, box.bottom) for box in scene.boxes]
    boxes = np.array(edges, np.float64).reshape(-1, 4)
    # Of a square picture both sizes are the same, and nothing tells: taken as it is shown.
    turns = look.orientation in TURNED and scene.size == look.stored != look.size
    if scene.relative:
        boxes = boxes * np.array([*look.size, *look.size])
    elif turns:
        boxes = turned(boxes, look.stored, look.orientation)
    elif scene.size is not None and scene.size != look.size:
        said, seen = scene.size, look.size
        problem = f"says that {scene.picture.name} has {said[0]} x {said[1]} pixels, and it has"
        problem += f" {seen[0]} x {seen[1]}"
        raise BadData(problem, file=scene.table, hint="The boxes belong to another picture")
    inside = clipped(boxes, look.size)
    some = areas(inside) > 0
    cut = some & (np.abs(inside - boxes) > OUTSIDE).any(axis=1)
    rows = np.flatnonzero(some)
    kept = [scene.boxes[row] for row in rows]
    return Annotated(
        size=look.size,
        labels=[box.label for box in kept],
        boxes=inside[rows],
        ignored=np.array([box.ignored for box in kept], bool),
        cut=int(cut.sum()),
        empty=len(boxes) - len(rows),
        was_turned=turns,
        pages=look.pages,
    )
