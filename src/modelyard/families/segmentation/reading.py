"""Which pictures a folder holds, and the mask of each: PNG masks, or outlines in COCO's JSON."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from modelyard.errors import BadData
from modelyard.families.segmentation.masks import class_names, mask_values
from modelyard.kit.boxes.annotated import Look
from modelyard.kit.boxes.geometry import TURNED
from modelyard.kit.boxes.scenes import split_in
from modelyard.kit.boxes.voc import listed, stems_of
from modelyard.kit.classifier.examples import Listed
from modelyard.kit.classifier.kind import read_bytes
from modelyard.kit.pictures.pixels import PICTURES, Limits
from modelyard.store.files import File, FileSet, files_of

IMAGE_FOLDERS = frozenset({"image", "images", "img", "imgs", "jpegimages", "pictures"}) | {
    "leftimg8bit"
}
MASK_FOLDERS = frozenset(
    {"mask", "masks", "label", "labels", "annotation", "annotations", "ann", "gt", "seg"}
) | {"ground_truth", "groundtruth", "segmentation", "segmentationclass", "segmentations"}
MASK_FOLDERS |= {"gtfine", "gtcoarse"}
ENDS = ("_mask", "_masks", "_label", "_labels", "_seg", "_gt", "_segmentation")
"""What a mask's name may have after that of its picture."""
CITYSCAPES = re.compile("_gt(fine|coarse)_([a-z]+)$")
"""End of the name of each file that Cityscapes has next to a picture, which ends in `_leftImg8bit`."""
CITY_MASKS = ("labeltrainids", "labelids")
"""What such an end calls the masks of classes, the better first: others are of objects, or for eyes."""
LOSSLESS = (".png", ".gif")
LAYOUTS = (
    "Read are pictures in images/ with PNG masks of the same names in masks/, and COCO's JSON with "
    "segmentation; export outlines of LabelMe, CVAT and others as COCO"
)


class Drawn(NamedTuple):
    """An object on the picture as it is shown."""

    value: int
    """Its class."""
    crowd: bool
    """Whether it is several that nobody told apart."""
    mask: dict[str, Any]
    """Its pixels, as pycocotools encodes them."""


@dataclass(frozen=True)
class Pair:
    """A picture and its mask."""

    picture: File
    split: str | None
    table: Path
    """The file that holds its mask."""
    values: Callable[[Look, Limits], np.ndarray]
    """The mask of a picture that looks so: class numbers int32 (height, width) of the picture as it
    is shown, -1 where they are ignored. Raises BadData."""
    objects: Callable[[Look], list[Drawn]] | None = None
    """Its objects, crowds first and then the largest first. None: its mask tells none apart."""


@dataclass
class Pairs(Listed):
    """The pictures of a folder that have a mask."""

    format: str
    """As people call it."""
    pairs: list[Pair]
    names: dict[int, str] | None = None
    """Of the classes by number, where the data says them."""


def read_pairs(
    raw: Path,
    format: str,  # noqa: A002
    background: str,
    ignored: int | None,
    preferred: str = "masks",
) -> Pairs:
    """The pictures of a folder with their masks, in the order of names.

    Args:
        preferred: which of `masks` and `COCO` is read of a folder that holds both.

    Raises:
        BadData: with the file, and what in it is wrong; or the folder has no such files.
    """
    from modelyard.families.segmentation.outlines import read_outlines
    from modelyard.kit.boxes.coco import documents

    raw = Path(raw)
    if not raw.is_dir() or not any(raw.iterdir()):
        raise BadData("holds no files", file=raw, hint=LAYOUTS)
    files = files_of(raw)
    masks = [file for file in files if format != "coco" and _is_mask(file)]
    masks, unread = _of_classes(masks)
    tables = [file for file in files if file.suffix == ".json" and file.name != "labels.json"]
    instances = []
    if format != "masks" and tables:
        instances = documents(tables)
    if unread and not masks:
        hint = "Add Cityscapes' files _gtFine_labelIds.png"
        raise BadData("holds masks of colours or objects only", file=raw, hint=hint)
    if not masks and not instances:
        raise BadData("holds no masks", file=raw, hint=LAYOUTS)
    are_preferred = preferred == "masks" or not instances
    by_file = bool(masks) and are_preferred
    if by_file:
        listing = _folders(files, masks, unread, ignored)
    else:
        listing = read_outlines(files, instances, background, {mask.name for mask in masks})
    if masks and instances:
        read, other = ("masks", "coco") if by_file else ("coco", "masks")
        said = f"The folder holds masks and COCO's outlines: read with features.format={read}. "
        listing.notes.append(f"{said}{other} is the other one.")
    listing.pairs.sort(key=lambda pair: pair.picture.name)
    return listing


def _is_mask(file: File) -> bool:
    path = PurePosixPath(file.name.lower())
    if not PICTURES.reads(file.name) or not IMAGE_FOLDERS.isdisjoint(path.parts[:-1]):
        return False
    return not MASK_FOLDERS.isdisjoint(path.parts[:-1]) or path.stem.endswith(ENDS)


def _of_classes(masks: list[File]) -> tuple[list[File], set[str]]:
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


def _key(name: str) -> tuple[str, ...]:
    """The same of a picture and its mask: folders but for those of pictures and of masks, and the
    name without endings."""
    path = PurePosixPath(name.lower())
    folders = [part for part in path.parts[:-1] if part not in IMAGE_FOLDERS | MASK_FOLDERS]
    return *folders, _stem(name)


def _stem(name: str) -> str:
    """A name without folders and endings."""
    stem = CITYSCAPES.sub("", PurePosixPath(name.lower()).stem).removesuffix("_leftimg8bit")
    for end in ENDS:
        stem = stem.removesuffix(end)
    return stem


def _of_stems(pictures: dict[tuple[str, ...], File]) -> dict[tuple[str | None, str], File]:
    """Pictures by split and name, where no other one of the split is called so: folders of masks
    and of pictures may be called anything."""
    found: dict[tuple[str | None, str], list[File]] = {}
    for file in pictures.values():
        found.setdefault((split_in(file.name), _stem(file.name)), []).append(file)
    return {key: some[0] for key, some in found.items() if len(some) == 1}


def _folders(files: FileSet, masks: list[File], unread: set[str], ignored: int | None) -> Pairs:
    named = class_names(files)
    names = None if named is None else named[0]
    known = {file.name for file in masks} | unread
    pictures: dict[tuple[str, ...], File] = {}
    for file in files:
        if not PICTURES.reads(file.name) or file.name in known:
            continue
        if other := pictures.get(_key(file.name)):
            problem = f"has the same mask as {other.name}: their names differ by the ending"
            raise BadData(problem, file=file.path)
        pictures[_key(file.name)] = file
    listing = Pairs("masks", [], names)
    if unread:
        said = f"{len(unread)} files of Cityscapes are no masks of classes (colours, objects)"
        listing.notes.append(f"{said}: read is {PurePosixPath(masks[0].name).name} and its like.")
    # Pascal VOC has other lists for other tasks.
    lists = [file for file in files if "segmentation" in file.name.lower()]
    splits = listed(lists, stems_of(files))
    by_stem = _of_stems(pictures)
    taken: dict[str, File] = {}
    for mask in masks:
        picture = pictures.get(_key(mask.name))
        if picture is None:
            picture = by_stem.get((split_in(mask.name), _stem(mask.name)))
        if picture is None:
            hint = "It is called as its picture, in a folder of its own: images/a.jpg, masks/a.png"
            raise BadData("is the mask of no picture", file=mask.path, hint=hint)
        if picture.name in taken:
            raise BadData(f"is a second mask of {picture.name}", file=mask.path)
        taken[picture.name] = mask
        if mask.suffix not in LOSSLESS:
            problem = f"is a {mask.suffix} file: such a mask may hold numbers that nobody wrote"
            raise BadData(problem, file=mask.path, hint="Save masks as PNG")
        path = PurePosixPath(picture.name)
        split = split_in(path.parent.as_posix())
        if splits:
            split = splits.get(path.stem)
            if split is None:
                listing.drop("in no list of ImageSets/Segmentation")
                continue
        values = _of_file(mask, names, ignored)
        listing.pairs.append(Pair(picture, split, mask.path, values))
    listing.drop("without a mask", len(pictures) - len(taken))
    return listing


def _of_file(
    mask: File, names: dict[int, str] | None, ignored: int | None
) -> Callable[[Look, Limits], np.ndarray]:
    def values(look: Look, limits: Limits) -> np.ndarray:
        try:
            found = as_shown(mask_values(read_bytes(mask, limits), limits), look)
        except BadData as problem:
            raise BadData(problem.problem, file=mask.path, hint=problem.hint) from None
        if names is not None:
            _check_known(found, mask, names, ignored)
        return found

    return values


def _check_known(
    values: np.ndarray, mask: File, names: dict[int, str], ignored: int | None
) -> None:
    strange = set(np.unique(values).tolist()) - names.keys() - {ignored}
    if strange:
        number = min(strange)
        row, column = np.argwhere(values == number)[0]
        allowed = f"{min(names)} to {max(names)}, as named"
        if ignored is not None:
            allowed += f", and {ignored} to ignore (features.ignore_index)"
        problem = f"pixel ({column}, {row}) holds {number}; allowed are {allowed}"
        raise BadData(problem, file=mask.path)


def as_shown(values: np.ndarray, look: Look) -> np.ndarray:
    """A mask (height, width) on the picture as it is shown: turned with it, where it has the size of
    the picture as it is stored.

    Raises:
        BadData: it has neither size.
    """
    size = (values.shape[1], values.shape[0])
    if size == look.size:
        return values
    if size == look.stored and look.orientation in TURNED:
        # EXIF's orientations that swap width and height: mirrored, a quarter right, both, a quarter
        # left.
        turned = {
            5: values.T,
            6: np.rot90(values, -1),
            7: np.rot90(values, 2).T,
            8: np.rot90(values),
        }
        return turned[look.orientation]
    width, height = look.size
    problem = f"has {size[0]} x {size[1]} pixels, and its picture {width} x {height}"
    raise BadData(problem, hint="The mask belongs to another picture, or to one of another size")
