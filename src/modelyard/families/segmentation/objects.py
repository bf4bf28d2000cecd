"""A folder a picture, with a mask an object: `a1/images/a1.png`, `a1/masks/*.png`, as the nuclei of the
Data Science Bowl 2018 come (https://bbbc.broadinstitute.org/BBBC038)."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath

import numpy as np
from pycocotools import mask as coco

from modelyard.errors import BadData
from modelyard.families.segmentation.masks import mask_values
from modelyard.families.segmentation.names import IMAGE_FOLDERS, split_of
from modelyard.families.segmentation.outlines import flattened
from modelyard.families.segmentation.reading import Drawn, Pair, Pairs, as_shown
from modelyard.kit.boxes.annotated import Look
from modelyard.kit.classifier.absent import Absent
from modelyard.kit.classifier.kind import read_bytes
from modelyard.kit.pictures.pixels import PICTURES, Limits
from modelyard.store.files import File, FileSet

FORMAT = "a mask an object"
OBJECT = "object"
"""The class of all of them: the layout names none."""


def read_objects(
    files: FileSet, masks: Sequence[File], background: str, limits: Limits
) -> Pairs | None:
    """The pictures of such folders, each with its objects; None where the masks lie otherwise.

    Raises:
        BadData: too few of the pictures are there.
    """
    pictures, objects = _by_folder(files, masks)
    if not _are_objects(pictures, objects):
        return None
    listing = Pairs(FORMAT, [], {0: background, 1: OBJECT})
    absent = Absent(files.root, PICTURES)
    for folder, some in objects.items():
        if folder not in pictures:
            absent.add(folder, some[0].path)
            continue
        (picture,) = pictures[folder]
        drawn = _drawn(some, limits)
        pair = Pair(picture, split_of(picture.name), some[0].path, flattened(drawn), drawn)
        listing.pairs.append(pair)
    there = sum(map(len, pictures.values()))
    listing.drop("without a mask", there - len(listing.pairs))
    absent.leave_out(listing, len(listing.pairs), there)
    return listing


def _by_folder(
    files: FileSet, masks: Sequence[File]
) -> tuple[dict[str, list[File]], dict[str, list[File]]]:
    """The pictures and the masks, by the folder that holds those of both."""
    pictures: dict[str, list[File]] = defaultdict(list)
    objects: dict[str, list[File]] = defaultdict(list)
    names = set()
    for mask in masks:
        names.add(mask.name)
        objects[PurePosixPath(mask.name).parent.parent.as_posix()].append(mask)
    for file in files:
        if file.name not in names and PICTURES.reads(file.name):
            folder = PurePosixPath(file.name).parent
            if folder.name.lower() in IMAGE_FOLDERS:
                folder = folder.parent
            pictures[folder.as_posix()].append(file)
    return dict(pictures), dict(objects)


def _are_objects(pictures: dict[str, list[File]], objects: dict[str, list[File]]) -> bool:
    """Whether several folders have one picture each, and some of them several masks."""
    both = pictures.keys() & objects.keys()
    if len(both) < 2 or all(len(some) == 1 for some in objects.values()):
        return False
    stems: Counter[str] = Counter()
    for folder, some in objects.items():
        own = {PurePosixPath(mask.name).stem for mask in some}
        stems.update(own)
        there = pictures.get(folder, [])
        if len(there) > 1 or any(PurePosixPath(file.name).stem in own for file in there):
            return False
    # `left_lung.png` in each folder is the mask of a class, `cell_1.png` that of an object.
    repeated = [stem for stem, count in stems.items() if count > 1]
    return all(re.search(r"\d", stem) for stem in repeated)


def _drawn(masks: Sequence[File], limits: Limits) -> Callable[[Look], list[Drawn]]:
    def objects(look: Look) -> list[Drawn]:
        found = []
        for mask in masks:
            try:
                shown = as_shown(mask_values(read_bytes(mask, limits), limits), look)
            except BadData as error:
                raise BadData(error.problem, file=mask.path, hint=error.hint) from None
            numbers = np.unique(shown)
            if len(numbers[numbers != 0]) > 1:
                row, column = np.argwhere(shown == numbers[-2])[0]
                problem = f"pixel ({column}, {row}) holds {numbers[-2]}, another one {numbers[-1]}"
                hint = "The mask of one object holds 0 and one other number"
                raise BadData(problem, file=mask.path, hint=hint)
            pixels = np.asfortranarray(shown > 0, np.uint8)
            found.append(Drawn(1, False, dict(coco.encode(pixels))))
        # Large objects lie below small ones: each stays visible.
        found.sort(key=lambda one: -int(coco.area(one.mask)))
        return found

    return objects
