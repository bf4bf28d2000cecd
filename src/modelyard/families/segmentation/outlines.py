"""Outlines of COCO's instances, and those that tools draw: polygons and run lengths, flattened to
classes of pixels."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco

from modelyard.errors import BadData
from modelyard.families.segmentation.reading import Drawn, Pair, Pairs, as_shown
from modelyard.families.segmentation.rle import check_runs, from_text
from modelyard.kit.boxes.annotated import Look
from modelyard.kit.boxes.coco import Document, Instances, check_once
from modelyard.kit.boxes.geometry import TURNED
from modelyard.kit.boxes.scenes import Pictures, Scenes, split_in
from modelyard.kit.pictures.pixels import PICTURES, Limits
from modelyard.store.files import File, FileSet

FORMS = "allowed are polygons [[x, y, x, y, x, y, …], …] and run lengths {size, counts}"
Size = tuple[int, int]


@dataclass(frozen=True)
class Outline:
    """An object."""

    place: str
    """In its file."""
    value: int
    """Its class."""
    crowd: bool
    segmentation: Any
    relative: bool = False
    """Whether the numbers of its polygons are shares of the picture's sides."""


def read_outlines(
    files: FileSet, found: list[tuple[File, Document]], background: str, masks: Set[str]
) -> Pairs:
    """The pictures of instances files, each with its objects; a file's split is in its name.

    Args:
        masks: names of files that are no pictures.

    Raises:
        BadData: with the file and the entry in it.
    """
    pictures = Pictures(files, PICTURES, masks)
    documents = [Instances(file, content) for file, content in found]
    labels: set[str] = set()
    for document in documents:
        labels |= set(document.by_id("categories", "name").values())
    names = [background, *sorted(labels - {background})]
    numbers = {name: place for place, name in enumerate(names)}
    listing = Pairs("COCO", [], dict(enumerate(names)))
    for document in documents:
        _read_pairs(document, pictures, numbers, listing)
    check_once((pair.picture, pair.table) for pair in listing.pairs)
    pictures.check(listing, {pair.picture.name for pair in listing.pairs}, "not in the JSON")
    return listing


def _read_pairs(
    document: Instances, pictures: Pictures, numbers: dict[str, int], listing: Pairs
) -> None:
    """Adds the pictures of one file; counts objects that it has boxes of only."""
    labels = document.by_id("categories", "name")
    outlines: dict[Any, list[Outline]] = defaultdict(list)
    for place, entry in document.entries(labels):
        value, crowd = numbers[labels[entry["category_id"]]], bool(entry.get("iscrowd", 0))
        place = f"{place}.segmentation"
        outline = Outline(place, value, crowd, entry.get("segmentation"))
        try:
            _check_form(outline.segmentation)
        except ValueError as error:
            raise document.wrong(place, f"{error}; {FORMS}") from None
        if outline.segmentation:
            outlines[entry["image_id"]].append(outline)
        else:
            listing.drop("objects: without an outline")
    split = split_in(document.file.name)
    for key, picture, size in document.images(pictures):
        drawn = _drawn(document.file.path, picture, outlines[key], size)
        pair = Pair(picture, split, document.file.path, flattened(drawn), drawn)
        listing.pairs.append(pair)


def read_drawn(scenes: Scenes, background: str, raw: Path) -> Pairs:
    """The pictures of a tool that draws outlines, each with its objects; objects that it has boxes
    of only are counted.

    Raises:
        BadData: no object has an outline.
    """
    labels: set[str] = set()
    for scene in scenes.scenes:
        labels.update(box.label for box in scene.boxes if box.outline and not box.ignored)
    if not labels:
        hint = "Boxes are detection's: modelyard run detection"
        raise BadData(f"{scenes.format}: no object has an outline", file=raw, hint=hint)
    names = [background, *sorted(labels - {background})]
    numbers = {name: place for place, name in enumerate(names)}
    listing = Pairs(scenes.format, [], dict(enumerate(names)))
    listing.dropped, listing.notes = scenes.dropped, scenes.notes
    for scene in scenes.scenes:
        outlines = []
        for place, box in enumerate(scene.boxes):
            if not box.outline:
                listing.drop("objects: without an outline")
                continue
            polygons = [list(polygon) for polygon in box.outline]
            value = numbers.get(box.label, 0)
            where = f"object {place + 1}"
            outline = Outline(where, value, box.ignored, polygons, scene.relative)
            outlines.append(outline)
        drawn = _drawn(scene.table, scene.picture, outlines, scene.size)
        pair = Pair(scene.picture, scene.split, scene.table, flattened(drawn), drawn)
        listing.pairs.append(pair)
    return listing


def _drawn(
    table: Path, picture: File, outlines: list[Outline], said: Size | None
) -> Callable[[Look], list[Drawn]]:
    def objects(look: Look) -> list[Drawn]:
        size = said or look.size
        # Checked before anything is drawn: a wrong size may be a huge one.
        if size not in (look.size, look.stored):
            seen = f"says that {picture.name} has {size[0]} x {size[1]} pixels, and it has"
            problem = f"{seen} {look.size[0]} x {look.size[1]}"
            raise BadData(problem, file=table, hint="It is another picture")
        found = []
        for outline in outlines:
            segmentation = outline.segmentation
            if outline.relative:
                segmentation = [_scaled(polygon, size) for polygon in segmentation]
            try:
                mask = encoded(segmentation, size)
            except ValueError as error:
                raise BadData(f"{outline.place}: {error}; {FORMS}", file=table) from None
            if look.orientation in TURNED:
                shown = as_shown(coco.decode(mask), look)
                # pycocotools reads masks column by column.
                mask = dict(coco.encode(np.asfortranarray(shown)))
            found.append(Drawn(outline.value, outline.crowd, mask))
        # Crowds lie below objects, large objects below small ones: each stays visible.
        found.sort(key=lambda one: (not one.crowd, -int(coco.area(one.mask))))
        return found

    return objects


def flattened(
    objects: Callable[[Look], list[Drawn]],
) -> Callable[[Look, Limits], np.ndarray]:
    """The class of each pixel of a picture's objects, the last one's where they lie over each other."""

    def values(look: Look, limits: Limits) -> np.ndarray:
        flat = np.zeros((look.size[1], look.size[0]), np.int32)
        for one in objects(look):
            flat[coco.decode(one.mask) > 0] = -1 if one.crowd else one.value
        return flat

    return values


def _scaled(polygon: list[float], size: Size) -> list[float]:
    """In pixels of a picture of this width and height."""
    return [number * size[place % 2] for place, number in enumerate(polygon)]


def encoded(segmentation: Any, size: Size) -> dict[str, Any]:
    """The pixels of an object whose form was checked, as pycocotools encodes them; `size` is width
    and height.

    Raises:
        ValueError: run lengths that do not fit, or a point far away.
    """
    width, height = size
    if isinstance(segmentation, list):
        # pycocotools walks along every side of a polygon, however long it is.
        most = max(size)
        polygons = []
        for polygon in segmentation:
            for number in polygon:
                if not -most <= number <= 2 * most:
                    raise ValueError(f"{number:g} is far outside of the picture")
            polygons.append([float(number) for number in polygon])
        return dict(coco.merge(coco.frPyObjects(polygons, height, width)))
    if segmentation["size"] != [height, width]:
        seen = segmentation["size"]
        raise ValueError(f"size {seen} is not [{height}, {width}], the picture's [height, width]")
    counts = segmentation["counts"]
    runs = from_text(counts) if isinstance(counts, str) else counts
    check_runs(runs, size)
    plain = {"size": [height, width], "counts": runs}
    return dict(coco.frPyObjects(plain, height, width))


def _check_form(segmentation: Any) -> None:
    if isinstance(segmentation, dict):
        counts = segmentation.get("counts")
        if not isinstance(segmentation.get("size"), list) or not isinstance(counts, list | str):
            raise ValueError(f"{_short(segmentation)} lacks size or counts")
        if isinstance(counts, list) and not all(type(run) is int for run in counts):
            raise ValueError("counts holds what is no whole number")
        return
    if segmentation is None:
        raise ValueError("is missing")
    if not isinstance(segmentation, list):
        raise ValueError(_short(segmentation))
    for polygon in segmentation:
        # Three points at least, two numbers each.
        has_points = isinstance(polygon, list) and len(polygon) >= 6 and len(polygon) % 2 == 0
        if not has_points:
            raise ValueError(_short(polygon))
        for number in polygon:
            if type(number) not in (int, float) or not math.isfinite(number):
                raise ValueError(f"{_short(number)} is no finite number")


def _short(value: Any) -> str:
    return repr(value)[:60]
