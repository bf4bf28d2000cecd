"""CVAT for images: an XML file with an element a picture, which holds its boxes
(https://docs.cvat.ai/docs/manual/advanced/xml_format/)."""

from __future__ import annotations

import math
from collections import Counter
from xml.etree.ElementTree import Element

from modelyard.errors import BadData
from modelyard.kit.boxes.coco import check_once
from modelyard.kit.boxes.scenes import Box, Pictures, Scene, Scenes, split_in
from modelyard.kit.boxes.voc import root_of
from modelyard.store.files import File, FileSet

ROOT = "annotations"
LEAST_CORNERS = 3
"""Of a polygon."""
EDGES = ("xtl", "ytl", "xbr", "ybr")


def cvat_files(files: FileSet) -> list[tuple[File, Element]]:
    """The XML files that are CVAT's, with their root: they begin otherwise than Pascal VOC's."""
    found = []
    for file in files:
        # Those of Pascal VOC are many and small: only what names the root is read.
        if file.suffix == ".xml" and f"<{ROOT}>".encode() in file.read(1_000):
            root = root_of(file)
            if root.tag == ROOT:
                found.append((file, root))
    return found


def read_cvat(found: list[tuple[File, Element]], pictures: Pictures) -> Scenes:
    """The pictures of CVAT's files, each with its boxes, and those around its polygons.

    Raises:
        BadData: with the file and the element in it.
    """
    listing = Scenes("CVAT", [])
    others: Counter[str] = Counter()
    for file, root in found:
        if root.find("track") is not None:
            hint = "Export it as 'CVAT for images 1.1'"
            raise BadData("<track>: holds tracks of a video", file=file.path, hint=hint)
        for number, image in enumerate(root.findall("image")):
            place = f"image[{number}]"
            boxes = []
            for shape in image:
                if shape.tag in ("box", "polygon"):
                    boxes.append(_box(file, shape, f"{place}/{shape.tag}"))
                # Points, lines, masks, and tags of the whole picture.
                elif shape.get("label"):
                    others[shape.tag] += 1
            picture = pictures.named(image.get("name", ""), file, place)
            size = _size(file, image, place)
            if picture is None:
                continue
            split = (image.get("subset") or "").lower()
            named = split_in(split) or split_in(file.name) or split_in(picture.name)
            listing.scenes.append(Scene(picture, tuple(boxes), file.path, named, size))
    check_once((scene.picture, scene.table) for scene in listing.scenes)
    for kind, count in others.items():
        listing.notes.append(f"{count} elements <{kind}> are neither boxes nor polygons: left out.")
    pictures.check(listing, listing.pictures, "not in the XML")
    return listing


def _size(file: File, image: Element, place: str) -> tuple[int, int] | None:
    if image.get("width") is None or image.get("height") is None:
        return None
    width = _number(file, image.get("width"), f"{place}/width")
    height = _number(file, image.get("height"), f"{place}/height")
    return (int(width), int(height))


def _box(file: File, shape: Element, place: str) -> Box:
    label = (shape.get("label") or "").strip()
    if not label:
        raise BadData(f"<{place}/label>: is missing or empty", file=file.path)
    if shape.tag == "box":
        edges = [_number(file, shape.get(name), f"{place}/{name}") for name in EDGES]
        left, top, right, bottom = edges
        if _number(file, shape.get("rotation") or "0", f"{place}/rotation"):
            problem = f"<{place}/rotation>: a box that is turned is not read"
            raise BadData(problem, file=file.path, hint="Export it as a polygon")
        corners = (left, top, right, top, right, bottom, left, bottom)
        return Box(label, left, top, right, bottom, outline=(corners,))
    across, down = [], []
    for point in (shape.get("points") or "").split(";"):
        x, _, y = point.partition(",")
        across.append(_number(file, x, f"{place}/points"))
        down.append(_number(file, y, f"{place}/points"))
    outline: tuple[tuple[float, ...], ...] = ()
    # With fewer corners it is a line, which encloses nothing.
    if len(across) >= LEAST_CORNERS:
        outline = (tuple(number for corner in zip(across, down, strict=True) for number in corner),)
    return Box(label, min(across), min(down), max(across), max(down), outline=outline)


def _number(file: File, text: str | None, place: str) -> float:
    try:
        value = float(text or "")
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise BadData(f"<{place}>: must be a number of pixels, seen {text!r}", file=file.path)
    return value
