"""LabelMe: a JSON file a picture, with `shapes` of points in pixels
(https://github.com/wkentaro/labelme)."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from typing import Any

from modelyard.errors import BadData
from modelyard.kit.boxes.coco import Document
from modelyard.kit.boxes.scenes import Box, Pictures, Scene, Scenes, split_in
from modelyard.kit.json_lines import json_value
from modelyard.store.files import File

LEAST_POINTS = {"rectangle": 2, "polygon": 3, "circle": 2, "mask": 2}
"""Types of shapes that are read, and the least number of their points."""
IGNORED = "__ignore__"
"""What LabelMe calls what is neither learnt nor judged."""
CORNERS = 36
"""Of the polygon that stands for a circle."""


def labelme_documents(files: list[File]) -> list[tuple[File, Document]]:
    """Those of the JSON files that are LabelMe's, with their content.

    Raises:
        BadData: a file is not JSON.
    """
    found = []
    for file in files:
        content = json_value(file.read(), file.path)
        if isinstance(content, dict) and {"shapes", "imagePath"} <= content.keys():
            # The picture itself, as text: of some thousand files more than memory holds.
            content.pop("imageData", None)
            found.append((file, content))
    return found


def read_labelme(found: list[tuple[File, Document]], pictures: Pictures) -> Scenes:
    """The pictures of LabelMe's files, each with the boxes around its shapes.

    Raises:
        BadData: with the file and the shape in it.
    """
    listing = Scenes("LabelMe", [])
    others: Counter[str] = Counter()
    joined = groups = 0
    for file, content in found:
        parts: dict[Any, list[Box]] = {}
        for number, shape in enumerate(_shapes(file, content)):
            kind = shape.get("shape_type", "polygon")
            if kind in LEAST_POINTS:
                box = _box(file, shape, kind, f"shapes[{number}]")
                group = shape.get("group_id")
                # Parts of an object that something hides have the same number.
                key = number if group in (None, "") else (box.label, str(group))
                parts.setdefault(key, []).append(box)
            else:
                others[str(kind)] += 1
        boxes = [_joined(some) for some in parts.values()]
        joined += sum(len(some) for some in parts.values() if len(some) > 1)
        groups += sum(len(some) > 1 for some in parts.values())
        picture = pictures.annotated_by(file, str(content["imagePath"]), "imagePath")
        if picture is None:
            continue
        split = split_in(file.name)
        listing.scenes.append(Scene(picture, tuple(boxes), file.path, split, _size(content)))
    for kind, count in others.items():
        listing.notes.append(f"{count} shapes of the type {kind!r} are not read: left out.")
    if groups:
        listing.notes.append(
            f"{joined} shapes are parts of {groups} objects: they share label and group_id."
        )
    pictures.check(listing, listing.pictures, "without a JSON file")
    return listing


def _shapes(file: File, content: Document) -> list[dict[str, Any]]:
    shapes = content["shapes"]
    if not isinstance(shapes, list) or not all(isinstance(shape, dict) for shape in shapes):
        raise BadData("shapes: must be a list of objects", file=file.path)
    return shapes


def _size(content: Document) -> tuple[int, int] | None:
    width, height = content.get("imageWidth"), content.get("imageHeight")
    if isinstance(width, int) and isinstance(height, int):
        return (width, height)
    return None


def _box(file: File, shape: dict[str, Any], kind: str, place: str) -> Box:
    """The box around a shape."""
    label = shape.get("label")
    if not isinstance(label, str) or not label.strip():
        raise BadData(f"{place}.label: must be a text, seen {label!r}", file=file.path)
    points = shape.get("points")
    if not isinstance(points, list) or len(points) < LEAST_POINTS[kind]:
        problem = f"{place}.points: a {kind} has {LEAST_POINTS[kind]} or more"
        raise BadData(problem, file=file.path)
    for point in points:
        if not _is_point(point):
            problem = f"{place}.points: {str(point)[:40]} is not [x, y] in pixels"
            raise BadData(problem, file=file.path)
    corners = _corners(points, kind)
    across, down = zip(*corners, strict=True)
    # Of a mask only the box is read: its pixels are a picture within the file.
    outline: tuple[tuple[float, ...], ...] = ()
    if kind != "mask":
        outline = (tuple(float(number) for corner in corners for number in corner),)
    edges = (float(min(across)), float(min(down)), float(max(across)), float(max(down)))
    label = label.strip()
    return Box(label, *edges, ignored=label == IGNORED, outline=outline)


def _corners(points: list[list[float]], kind: str) -> list[list[float]]:
    """The corners of a shape."""
    if kind == "circle":
        # Its middle, and a point on it.
        (x, y), radius = points[0], math.dist(points[0], points[1])
        turns = [2 * math.pi * corner / CORNERS for corner in range(CORNERS)]
        return [[x + radius * math.cos(turn), y + radius * math.sin(turn)] for turn in turns]
    if kind in ("rectangle", "mask"):
        # Drawn from any corner to the opposite one.
        left, top = (min(some) for some in zip(*points, strict=True))
        right, bottom = (max(some) for some in zip(*points, strict=True))
        if kind == "mask":
            # Its points are the first and the last pixel.
            right, bottom = right + 1, bottom + 1
        return [[left, top], [right, top], [right, bottom], [left, bottom]]
    return points


def _joined(parts: list[Box]) -> Box:
    """The box around the parts of an object."""
    if len(parts) == 1:
        return parts[0]
    return replace(
        parts[0],
        left=min(part.left for part in parts),
        top=min(part.top for part in parts),
        right=max(part.right for part in parts),
        bottom=max(part.bottom for part in parts),
        outline=tuple(polygon for part in parts for polygon in part.outline),
    )


def _is_point(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_is_number, value))


def _is_number(value: Any) -> bool:
    # JSON's true is an int to Python, and its NaN, which json.loads takes, a float.
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
