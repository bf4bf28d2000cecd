"""Pascal VOC: an XML file a picture, and ImageSets/Main/train.txt, …
(http://host.robots.ox.ac.uk/pascal/VOC/voc2012/devkit_doc.pdf, section 10.1)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Set
from pathlib import PurePosixPath
from typing import Any
from xml.etree.ElementTree import Element, ParseError

from modelyard.errors import BadData
from modelyard.kit.boxes.scenes import Box, Pictures, Scene, Scenes, split_in
from modelyard.kit.tables import decoded
from modelyard.store.files import File, FileSet

LISTS = {
    "train.txt": "train",
    "val.txt": "validation",
    "test.txt": "test",
    "trainval.txt": "train",
}
"""Files of ImageSets/Main. Others list the pictures of a class."""
LISTED_IN = "ImageSets/Main"


def read_voc(files: FileSet, pictures: Pictures) -> Scenes:
    """The pictures of annotation files, each with its boxes.

    Raises:
        BadData: with the file and the element in it.
    """
    stems = stems_of(files)
    splits = listed(files, stems)
    for stem in splits:
        if stem not in stems:
            pictures.absent.add(stem, files.root / LISTED_IN)
    listing = Scenes("Pascal VOC", [])
    unlisted = set()
    for file in files:
        if file.suffix != ".xml":
            continue
        annotation = _Annotation(file)
        stem = PurePosixPath(file.name).stem
        picture = annotation.picture(pictures, stem)
        if picture is None:
            continue
        if splits and stem not in splits:
            unlisted.add(picture.name)
            continue
        split = splits.get(stem) or split_in(file.name)
        listing.scenes.append(annotation.scene(picture, split))
    listing.drop("in no list of ImageSets/Main", len(unlisted))
    pictures.check(listing, listing.pictures | unlisted, "without an XML file")
    return listing


def stems_of(files: Iterable[File]) -> set[str]:
    """The names of files without folder and ending."""
    return {PurePosixPath(file.name).stem for file in files}


def listed(files: Iterable[File], stems: Set[str]) -> dict[str, str]:
    """The split of each picture's stem, by the lists among the files; none where there are no
    lists. `stems` are of all pictures."""
    found: dict[str, str] = {}
    lists = [file for file in files if _is_list(file.name)]
    # Those of train and val are all in trainval, which therefore counts where they are not.
    for file in sorted(lists, key=lambda file: file.name.endswith("trainval.txt")):
        split = LISTS[PurePosixPath(file.name).name]
        if not file.read().strip():
            continue
        for line in decoded(file)[0].splitlines():
            if line.strip() and not line.startswith("#"):
                found.setdefault(_stem(line.strip(), stems), split)
    return found


def _stem(line: str, stems: Set[str]) -> str:
    """The picture of a line, whose name may hold blanks; lists of a class have -1, 0 or 1 behind it."""
    for name in (line, line.rsplit(maxsplit=1)[0]):
        if name in stems:
            return name
    return line.split()[0]


def _is_list(name: str) -> bool:
    path = PurePosixPath(name)
    return path.name in LISTS and "imagesets" in [part.lower() for part in path.parts]


def root_of(file: File) -> Element:
    """The root of an XML file.

    Raises:
        BadData: it is not XML, or defines entities.
    """
    from defusedxml.common import DefusedXmlException
    from defusedxml.ElementTree import fromstring

    # The standard library's parser expands entities: a file of a kilobyte can fill the memory.
    try:
        root: Element = fromstring(file.read())
    except ParseError as error:
        row, column = error.position
        problem = f"is not XML: {str(error).partition(':')[0]}, at column {column + 1}"
        raise BadData(problem, file=file.path, row=row) from None
    except DefusedXmlException:
        raise BadData("defines entities, which are not read", file=file.path) from None
    return root


class _Annotation:
    """One annotation file."""

    def __init__(self, file: File) -> None:
        self.file = file
        self.root = root_of(file)
        if self.root.tag != "annotation":
            raise self.wrong(self.root.tag, "the first element must be <annotation>")

    def wrong(self, place: str, problem: str) -> BadData:
        """An error that names an element."""
        return BadData(f"<{place}>: {problem}", file=self.file.path)

    def scene(self, picture: File, split: str | None) -> Scene:
        """The picture with its boxes."""
        boxes = []
        for place, element in enumerate(self.root.findall("object")):
            boxes.append(self.box(element, f"object[{place}]"))
        return Scene(picture, tuple(boxes), self.file.path, split, self.size())

    def picture(self, pictures: Pictures, stem: str) -> File | None:
        """Called as this file, or by the element `filename`."""
        name = (self.root.findtext("filename") or "").strip()
        return pictures.annotated_by(self.file, name or stem, "<filename>")

    def size(self) -> tuple[int, int] | None:
        """Width and height; None where they are not given, or are 0 as some tools write them."""
        size = self.root.find("size")
        if size is None:
            return None
        width = self.number(size, "width", "size")
        height = self.number(size, "height", "size")
        if width > 0 and height > 0:
            return (int(width), int(height))
        return None

    def box(self, element: Element, place: str) -> Box:
        """The box of an object."""
        label = (element.findtext("name") or "").strip()
        if not label:
            raise self.wrong(f"{place}/name", "is missing or empty")
        inside = element.find("bndbox")
        if inside is None:
            raise self.wrong(f"{place}/bndbox", "is missing")
        edges: Any = {}
        for name in ("xmin", "ymin", "xmax", "ymax"):
            edges[name] = self.number(inside, name, f"{place}/bndbox")
        difficult = (element.findtext("difficult") or "0").strip()
        if difficult not in ("0", "1"):
            raise self.wrong(f"{place}/difficult", f"must be 0 or 1, seen {difficult!r}")
        # VOC's pixels count from 1, and the last one belongs to the object.
        left, top = edges["xmin"] - 1, edges["ymin"] - 1
        return Box(label, left, top, edges["xmax"], edges["ymax"], ignored=difficult == "1")

    def number(self, inside: Element, name: str, place: str) -> float:
        """The number that an element holds."""
        text = inside.findtext(name)
        if text is None:
            raise self.wrong(f"{place}/{name}", "is missing")
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise self.wrong(f"{place}/{name}", f"must be a number of pixels, seen {text[:40]!r}")
        return value
