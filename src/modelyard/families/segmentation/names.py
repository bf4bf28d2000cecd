"""Which files of a folder are masks, and of which picture, by their names and folders only."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import PurePosixPath
from typing import Literal

from modelyard.kit.boxes.scenes import split_in
from modelyard.kit.pictures.pixels import PICTURES
from modelyard.kit.splits import SPLIT_NAMES
from modelyard.store.files import File

IMAGE_FOLDERS = frozenset({"image", "images", "img", "imgs", "jpegimages", "pictures"}) | {
    "leftimg8bit"
}
MASK_FOLDERS = frozenset(
    {"mask", "masks", "label", "labels", "annotation", "annotations", "ann", "gt", "seg"}
) | {"ground_truth", "groundtruth", "segmentation", "segmentationclass", "segmentations"}
MASK_FOLDERS |= {"gtfine", "gtcoarse", "semantic", "segmentationclassaug", "segmentationclasspng"}
IMAGE_WORDS = frozenset({"image", "images", "img", "imgs"})
MASK_WORDS = frozenset({"mask", "masks", "label", "labels", "annot", "annotation", "annotations"})
"""Words of a folder's name that say what it holds: `train_masks`, `trainannot`."""
ENDS = ("_mask", "_masks", "_label", "_labels", "_seg", "_gt", "_segmentation")
"""What a mask's name may have after that of its picture."""
OBJECT_WORDS = frozenset({"instance", "instances", "panoptic"})
"""Words of folders whose masks hold numbers or colours of objects."""
SAID = IMAGE_WORDS | MASK_WORDS | {"gt", "seg", "segmentation", "sat"}
"""Words of a file's name that say whether it is a picture or a mask."""
CITYSCAPES = re.compile("_gt(fine|coarse)_([a-z]+)$")
"""End of the name of each file that Cityscapes has next to a picture, which ends in `_leftImg8bit`."""
CITY_MASKS = ("labeltrainids", "labelids")
"""What such an end calls the masks of classes, the better first: others are of objects, or for eyes."""
Role = Literal["image", "mask"]
Key = tuple[str, ...]


def masks_in(files: Iterable[File]) -> list[File]:
    """The masks among the files: by folders that are called as such, or by words in the names of
    folders, whichever gives more pictures a mask: `my labels/` may hold pictures too, and `masks_color/`
    masks to look at."""
    readable = [file for file in files if PICTURES.reads(file.name)]
    found: list[File] = []
    most = -1
    for is_mask in (_is_mask, _is_mask_by_words):
        masks = [file for file in readable if is_mask(file)]
        names = {mask.name for mask in masks}
        pictures = [file for file in readable if file.name not in names]
        masked = {picture.name for picture in pictures_of(masks, pictures).values()}
        if len(masked) > most:
            found, most = masks, len(masked)
    return found


def pictures_of(masks: Iterable[File], pictures: Iterable[File]) -> dict[str, File]:
    """The picture of each mask, by the mask's name; masks without one are left out."""
    found: dict[str, File] = {}
    left = list(masks)
    # Folders may be called anything, and names may say which of both they are of.
    for key in (key_of, _key_by_words, _stem_key, _bare_key):
        # Most data need the first key only, and have many files.
        if left:
            known = _by_key(pictures, key)
            found |= {mask.name: known[key(mask.name)] for mask in left if key(mask.name) in known}
            left = [mask for mask in left if mask.name not in found]
    return found


def _is_mask(file: File) -> bool:
    path = PurePosixPath(file.name.lower())
    if not IMAGE_FOLDERS.isdisjoint(path.parts[:-1]):
        return False
    return not MASK_FOLDERS.isdisjoint(path.parts[:-1]) or path.stem.endswith(ENDS)


def _is_mask_by_words(file: File) -> bool:
    """The innermost folder that says something counts."""
    path = PurePosixPath(file.name)
    for folder in reversed(path.parts[:-1]):
        if not OBJECT_WORDS.isdisjoint(_words(folder)):
            return False
        role = _role(folder)[0]
        if role is not None:
            return role == "mask"
    return path.stem.lower().endswith(ENDS)


def of_classes(masks: list[File]) -> tuple[list[File], set[str]]:
    """The masks that hold classes, and the names of others: Cityscapes has one with colours and one
    with objects next to each."""
    kinds = {}
    for mask in masks:
        match = CITYSCAPES.search(PurePosixPath(mask.name.lower()).stem)
        kinds[mask.name] = match.group(2) if match else ""
    seen = set(kinds.values())
    best = next((kind for kind in CITY_MASKS if kind in seen), "")
    chosen = [mask for mask in masks if kinds[mask.name] in ("", best)]
    return chosen, kinds.keys() - {mask.name for mask in chosen}


def key_of(name: str) -> Key:
    """The same of a picture and its mask: folders but for those that are called as such of pictures or of
    masks, and the name without endings."""
    folders = PurePosixPath(name.lower()).parts[:-1]
    return *(part for part in folders if part not in IMAGE_FOLDERS | MASK_FOLDERS), _stem(name)


def _key_by_words(name: str) -> Key:
    """The same: folders without words that say which of both they hold."""
    folders = [_role(folder)[1] for folder in PurePosixPath(name).parts[:-1]]
    return *filter(None, folders), _stem(name)


def split_of(name: str) -> str | None:
    """The split that the folders of a picture or mask name, the innermost that does:
    `trainannot/1.png`."""
    for folder in reversed(_key_by_words(name)[:-1]):
        split = split_in(folder)
        if split is not None:
            return split
    return None


def _stem_key(name: str) -> Key:
    """The same of a picture and its mask whatever their folders are called: their split, and the
    name without endings."""
    return split_of(name) or "", _stem(name)


def _bare_key(name: str) -> Key:
    """The same without words such as `image` and `mask`."""
    split, stem = _stem_key(name)
    words = [word for word in re.split(r"[\W_]+", stem) if word not in SAID]
    return split, "_".join(words) or stem


def _by_key(pictures: Iterable[File], key: Callable[[str], Key]) -> dict[Key, File]:
    """Pictures by their keys, where no other one has the same; of several the one in a folder of
    pictures."""
    found: dict[Key, list[File]] = {}
    for file in pictures:
        found.setdefault(key(file.name), []).append(file)
    chosen = {}
    for own, files in found.items():
        if len(files) > 1:
            files = [file for file in files if _is_image(file.name)]
        if len(files) == 1:
            chosen[own] = files[0]
    return chosen


def _is_image(name: str) -> bool:
    return any(_role(folder)[0] == "image" for folder in PurePosixPath(name).parts[:-1])


def _stem(name: str) -> str:
    """A name without folders and endings."""
    stem = CITYSCAPES.sub("", PurePosixPath(name.lower()).stem).removesuffix("_leftimg8bit")
    for end in ENDS:
        stem = stem.removesuffix(end)
    return stem


@cache
def _role(folder: str) -> tuple[Role | None, str]:
    """What a folder holds by its name, and the rest of the name."""
    lower = folder.lower()
    if lower in IMAGE_FOLDERS:
        return "image", ""
    if lower in MASK_FOLDERS:
        return "mask", ""
    words = _words(folder)
    rest = "_".join(word for word in words if word not in IMAGE_WORDS | MASK_WORDS)
    if not MASK_WORDS.isdisjoint(words):
        return "mask", rest
    if not IMAGE_WORDS.isdisjoint(words):
        return "image", rest
    return None, lower


@cache
def _words(folder: str) -> list[str]:
    """The words of a name, in lower case: `imagesTr` is two, as `images_tr` is."""
    words: list[str] = []
    for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", folder):
        words += _parted(word.lower())
    return words


def _parted(word: str) -> list[str]:
    """`trainannot` as two words."""
    for split in sorted(SPLIT_NAMES, key=len, reverse=True):
        rest = word.removeprefix(split)
        if rest != word and rest in IMAGE_WORDS | MASK_WORDS:
            return [split, rest]
    return [word]
