"""COCO's instances files: `images`, `annotations` with `bbox`, `categories`
(https://cocodataset.org/#format-data)."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from modelyard.errors import BadData
from modelyard.kit.boxes.scenes import Box, Pictures, Scene, Scenes, split_in
from modelyard.kit.json_lines import json_value
from modelyard.store.files import File

Document = dict[str, Any]
SECTIONS = ("images", "annotations", "categories")


def documents(files: list[File]) -> list[tuple[File, Document]]:
    """Those of the JSON files that hold instances, with their content.

    Raises:
        BadData: a file is not JSON.
    """
    found = []
    for file in files:
        content = json_value(file.read(), file.path)
        if isinstance(content, dict) and {"images", "annotations"} <= content.keys():
            found.append((file, content))
    # The folder of COCO itself holds key points and captions of the same pictures too.
    instances = [(file, content) for file, content in found if "instances" in file.name.lower()]
    return instances or found


def read_coco(found: list[tuple[File, Document]], pictures: Pictures) -> Scenes:
    """The pictures of instances files, each with its boxes; a file's split is in its name.

    Raises:
        BadData: with the file and the entry in it.
    """
    scenes: list[Scene] = []
    for file, content in found:
        scenes += Instances(file, content).scenes(pictures)
    check_once((scene.picture, scene.table) for scene in scenes)
    listing = Scenes("COCO", scenes)
    pictures.check(listing, listing.pictures, "not in the JSON")
    return listing


def check_once(listed: Iterable[tuple[File, Path]]) -> None:
    """Refuses a picture that two entries list; pairs of a picture and the file that lists it.

    Raises:
        BadData: with the second file.
    """
    seen: dict[str, Path] = {}
    for picture, table in listed:
        if picture.name in seen:
            problem = f"picture {picture.name!r} is already in {seen[picture.name].name}"
            raise BadData(problem, file=table, hint="List each picture once")
        seen[picture.name] = table


class Instances:
    """One instances file."""

    def __init__(self, file: File, content: Document) -> None:
        self.file, self.content = file, content
        for section in SECTIONS:
            if not isinstance(content.get(section), list):
                seen = ", ".join(content)
                raise self.wrong(section, f"must be a list; the file holds {seen}")

    def wrong(self, place: str, problem: str) -> BadData:
        """An error that names an entry."""
        return BadData(f"{place}: {problem}", file=self.file.path)

    def scenes(self, pictures: Pictures) -> list[Scene]:
        """The pictures, with or without boxes."""
        labels = self.by_id("categories", "name")
        boxes = self.boxes(labels)
        split = split_in(self.file.name)
        found = []
        for image, picture, size in self.images(pictures):
            inside = tuple(boxes[image])
            found.append(Scene(picture, inside, self.file.path, split, size))
        return found

    def images(self, pictures: Pictures) -> Iterator[tuple[Any, File, tuple[int, int] | None]]:
        """The pictures that are there: id, file, and width and height where they are given."""
        self.by_id("images", "file_name")
        for number, image in enumerate(self.content["images"]):
            place = f"images[{number}]"
            picture = pictures.named(image["file_name"], self.file, f"{place}.file_name")
            width = self.side(image, "width", place)
            height = self.side(image, "height", place)
            # Tools that do not know the size leave it out, or write 0.
            size = (width, height) if width and height else None
            if picture is not None:
                yield image["id"], picture, size

    def side(self, image: dict[str, Any], name: str, place: str) -> int:
        """Width or height of an entry of a picture; 0 where it is not given."""
        value = image.get(name)
        if value is None:
            return 0
        # 640.0 is whole too, as tools in JavaScript and pandas write it.
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or value != value // 1:
            raise self.wrong(f"{place}.{name}", f"must be a number of pixels, seen {value!r}")
        return int(value)

    def by_id(self, section: str, name: str) -> dict[Any, str]:
        """The names of a section's entries by id."""
        found: dict[Any, str] = {}
        for number, entry in enumerate(self.content[section]):
            place = f"{section}[{number}]"
            if not isinstance(entry, dict):
                raise self.wrong(place, f"must be an object, seen {entry!r}")
            key, value = entry.get("id"), entry.get(name)
            if not isinstance(key, int | str):
                raise self.wrong(f"{place}.id", f"must be a number or a text, seen {key!r}")
            if key in found:
                raise self.wrong(f"{place}.id", f"{key!r} is that of {found[key]!r} already")
            if not isinstance(value, str) or not value.strip():
                raise self.wrong(f"{place}.{name}", f"must be a text, seen {value!r}")
            found[key] = value.strip()
        return found

    def entries(self, labels: dict[Any, str]) -> Iterator[tuple[str, dict[str, Any]]]:
        """The annotations, each with its place in the file; picture, category and crowd hold what
        is allowed."""
        names = self.by_id("images", "file_name")
        for number, entry in enumerate(self.content["annotations"]):
            place = f"annotations[{number}]"
            if not isinstance(entry, dict):
                raise self.wrong(place, f"must be an object, seen {entry!r}")
            self._check_known(entry, "image_id", names, "images", place)
            self._check_known(entry, "category_id", labels, "categories", place)
            crowd = entry.get("iscrowd", 0)
            if crowd not in (0, 1):
                raise self.wrong(f"{place}.iscrowd", f"must be 0 or 1, seen {crowd!r}")
            yield place, entry

    def _check_known(
        self, entry: dict[str, Any], key: str, known: dict[Any, str], section: str, place: str
    ) -> None:
        value = entry.get(key)
        if not isinstance(value, int | str) or value not in known:
            raise self.wrong(f"{place}.{key}", f"{value!r} is no id of {section}")

    def boxes(self, labels: dict[Any, str]) -> dict[Any, list[Box]]:
        """Boxes by the picture's id."""
        found: dict[Any, list[Box]] = defaultdict(list)
        for place, entry in self.entries(labels):
            left, top, width, height = self.bbox(entry.get("bbox"), f"{place}.bbox")
            label, crowd = labels[entry["category_id"]], bool(entry.get("iscrowd", 0))
            # A crowd is one box around many objects: an answer inside of it is neither right nor
            # wrong.
            box = Box(label, left, top, left + width, top + height, ignored=crowd)
            found[entry["image_id"]].append(box)
        return found

    def bbox(self, value: Any, place: str) -> tuple[float, float, float, float]:
        """The four numbers of a box."""
        allowed = "allowed are [left, top, width, height] in pixels"
        if not isinstance(value, list) or len(value) != 4:
            raise self.wrong(place, f"{_short(value)}; {allowed}")
        for edge in value:
            is_number = isinstance(edge, int | float) and not isinstance(edge, bool)
            if not is_number or not math.isfinite(edge):
                raise self.wrong(place, f"{_short(edge)} is no finite number; {allowed}")
        left, top, width, height = map(float, value)
        return left, top, width, height


def _short(value: Any) -> str:
    return repr(value)[:60]
