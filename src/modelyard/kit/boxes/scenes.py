"""What an annotated picture is here, and which files of a folder are meant by annotations."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Set
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from modelyard.errors import BadData
from modelyard.kit.classifier.absent import Absent
from modelyard.kit.classifier.examples import Listed
from modelyard.kit.classifier.kind import FileKind
from modelyard.kit.splits import SPLIT_NAMES
from modelyard.store.files import File, FileSet

USUAL = frozenset({"jpegimages", "images", "image", "imgs", "img", "image_2"})
"""What folders of pictures are usually called, in lower case."""


@dataclass(frozen=True)
class Box:
    """An object as its file says it is."""

    label: str
    left: float
    top: float
    right: float
    bottom: float
    """Pixels; shares of the picture's sides where its scene is `relative`."""
    ignored: bool = False
    """A crowd or a difficult object: neither found nor missed."""
    outline: tuple[tuple[float, ...], ...] = ()
    """The polygons that it was drawn as, each x and y in turn; empty: as a box only."""


@dataclass(frozen=True)
class Scene:
    """An annotated picture."""

    picture: File
    boxes: tuple[Box, ...]
    table: Path
    """The file that holds its boxes."""
    split: str | None = None
    size: tuple[int, int] | None = None
    """Width and height, where the annotations say them."""
    relative: bool = False


@dataclass
class Scenes(Listed):
    """The annotated pictures of a folder."""

    format: str
    """As people call it: COCO, YOLO, Pascal VOC."""
    scenes: list[Scene]

    @property
    def pictures(self) -> set[str]:
        """The names of the annotated pictures."""
        return {scene.picture.name for scene in self.scenes}


def split_in(name: str) -> str | None:
    """The split that a part of a path names: `train/a.json`, `instances_val2017.json`."""
    for part in PurePosixPath(name.lower()).parts:
        words = re.split("[^a-z]+", part)
        found = [SPLIT_NAMES[word] for word in words if word in SPLIT_NAMES]
        if found:
            return found[0]
    return None


class Pictures:
    """The pictures of a folder, by the names that annotations give them."""

    def __init__(self, files: FileSet, kind: FileKind, others: Set[str] = frozenset()) -> None:
        """`others` are the names of files that look like pictures and are none: masks."""
        self.files, self.kind = files, kind
        self.absent = Absent(files.root, kind)
        self.all = [file for file in files if kind.reads(file.name) and file.name not in others]
        self._by_end: dict[str, list[File]] = defaultdict(list)
        self._by_stem: dict[str, list[File]] = defaultdict(list)
        for file in self.all:
            self._by_end[PurePosixPath(file.name).name].append(file)
            self._by_stem[PurePosixPath(file.name).stem].append(file)

    def named(self, name: str, near: File, place: str = "") -> File | None:
        """The picture that the annotation file `near` calls `name`: relative to its own folder or
        to the data's, or the only one with such an end. None: there is none, which is counted.

        Raises:
            BadData: there are several; `place` says where in `near`.
        """
        return self._only(self._called(name, near), name, near, place)

    def _called(self, name: str, near: File) -> list[File]:
        name = name.replace("\\", "/").removeprefix("./")
        for folder in (PurePosixPath(near.name).parent, PurePosixPath()):
            file = self.files.get((folder / name).as_posix())
            if file is not None:
                return [file]
        ends = self._by_end[PurePosixPath(name).name]
        # With its folders if it can be, else by its last part: paths of another machine are common.
        whole = [file for file in ends if f"/{file.name}".endswith(f"/{name}")]
        return self._not_of_another_split(whole or ends, name, near)

    def _not_of_another_split(self, found: list[File], name: str, near: File) -> list[File]:
        """Without those in the folder of another split than that of the annotations: where the folder
        holds a part of `val`, a name that is not there may be one of `train` too. Where no picture is
        in a folder of their split, as of a list of some pictures of `train` for validation, all."""
        split = split_in(near.name)
        if split not in self._splits or split_in(name) is not None:
            return found
        return [file for file in found if split_in(file.name) in (None, split)]

    @cached_property
    def _splits(self) -> Set[str]:
        """Those that the names of pictures say."""
        splits = {split_in(file.name) for file in self.all}
        return {split for split in splits if split is not None}

    def of_stem(self, stem: str, near: File) -> File | None:
        """The picture that is called so but for its ending; None: there is none, which is counted.

        Raises:
            BadData: there are several.
        """
        found = self._not_of_another_split(self._by_stem[stem], stem, near)
        return self._only(found, stem, near, "")

    def annotated_by(self, near: File, name: str, place: str) -> File | None:
        """The picture of an annotation file of its own: called as that file, or `name`, since pictures
        are renamed now and then. None: there is none, which is counted.

        Raises:
            BadData: there are several; `place` says where in `near`.
        """
        split = split_in(near.name)
        alike = []
        for file in self._by_stem[PurePosixPath(near.name).stem]:
            # A test picture of the same number is another one.
            if split is None or split_in(file.name) in (None, split):
                alike.append(file)
        if len(alike) == 1:
            return alike[0]
        return self._only(alike or self._called(name, near), name, near, place)

    def check(self, listing: Listed, listed: Collection[str], reason: str) -> None:
        """Counts the pictures that nothing lists, by this reason, and what is listed and absent.

        Args:
            listed: names of the pictures that are listed and in the folder.

        Raises:
            BadData: too few of the listed pictures are in the folder.
        """
        listing.drop(reason, len(self.all) - len(listed))
        self.absent.leave_out(listing, len(listed), len(self.all))

    def _only(self, found: list[File], name: str, near: File, place: str) -> File | None:
        if not found:
            self.absent.add(name, near.path)
            return None
        # `train/1.jpg` and `val/1.jpg` have the same name: that in the annotations' split is meant.
        split = split_in(near.name)
        alike = [file for file in found if split_in(file.name) == split]
        nearby = [file for file in alike if _folder(file.name) == _folder(near.name)]
        # Exports bring pictures with the boxes drawn on them, and masks, in folders of their own.
        usual = [file for file in alike or found if _folder(file.name).name.lower() in USUAL]
        for some in (found, alike, nearby, usual):
            if len(some) == 1:
                return some[0]
        where = f"{place}: " if place else ""
        several = f"{found[0].name} and {found[1].name}"
        raise BadData(f"{where}{name!r} may be {several}", file=near.path)


def _folder(name: str) -> PurePosixPath:
    return PurePosixPath(name).parent
