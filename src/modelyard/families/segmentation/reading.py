"""Which pictures a folder holds, and the mask of each: PNG masks, or outlines in COCO's JSON."""

from __future__ import annotations

from collections.abc import Callable, Set
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, Literal, NamedTuple

import numpy as np

from modelyard.errors import BadData
from modelyard.families.segmentation.bilevel import ENDINGS, bilevel, check_bilevel
from modelyard.families.segmentation.colours import Palette, palette_of
from modelyard.families.segmentation.masks import class_names, mask_values
from modelyard.families.segmentation.names import (
    key_of,
    masks_in,
    of_classes,
    pictures_of,
    split_of,
)
from modelyard.kit.boxes.annotated import Look
from modelyard.kit.boxes.coco import documents
from modelyard.kit.boxes.geometry import TURNED
from modelyard.kit.boxes.reading import BOXES_ONLY, readers
from modelyard.kit.boxes.scenes import Scenes
from modelyard.kit.boxes.voc import listed, stems_of
from modelyard.kit.boxes.yolo import label_files
from modelyard.kit.classifier.absent import Absent
from modelyard.kit.classifier.examples import Listed
from modelyard.kit.classifier.kind import read_bytes
from modelyard.kit.pictures.pixels import PICTURES, Limits
from modelyard.store.files import File, FileSet, files_of

Written = Literal["auto", "masks", "coco", "labelme", "cvat", "yolo"]
LOSSLESS = (".png", ".gif", ".bmp", ".tif", ".tiff")
LAYOUTS = (
    "Read are pictures in images/ with PNG masks of the same names in masks/, a folder a picture with a "
    "mask an object (a/images/a.png, a/masks/1.png), and outlines: COCO's "
    "JSON with segmentation, LabelMe's JSON, CVAT for images, YOLO's text files"
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
    format: Written,  # noqa: A002
    background: str,
    ignored: int | None,
    limits: Limits,
    preferred: str = "masks",
) -> Pairs:
    """The pictures of a folder with their masks, in the order of names.

    Args:
        preferred: which of `masks` and `outlines` is read of a folder that holds both.

    Raises:
        BadData: with the file, and what in it is wrong; or the folder has no such files.
    """
    raw = Path(raw)
    if not raw.is_dir() or not any(raw.iterdir()):
        raise BadData("holds no files", file=raw, hint=LAYOUTS)
    files = files_of(raw)
    seen = masks_in(files)
    masks, unread = of_classes(seen if format in ("auto", "masks") else [])
    if unread and not masks:
        hint = "Add Cityscapes' files _gtFine_labelIds.png"
        raise BadData("holds masks of colours or objects only", file=raw, hint=hint)
    # Without a picture of its name a file is none: the picture itself may lie in `annotations/`.
    paired = _paired(files, seen)
    by_file = not paired.isdisjoint(mask.name for mask in masks) and preferred == "masks"
    drawn = _outlined(files, format, background, paired, by_file)
    if not masks and not drawn:
        raise BadData("holds no masks", file=raw, hint=LAYOUTS)
    if not drawn:
        from modelyard.families.segmentation.objects import read_objects

        # Outlines of the same objects may tell their classes.
        objects = read_objects(files, masks, background, limits)
        if objects is not None:
            objects.pairs.sort(key=lambda pair: pair.picture.name)
            return objects
    if by_file or not drawn:
        listing, read = _folders(files, masks, unread, ignored, limits), "masks"
    else:
        read, reads = next(iter(drawn.items()))
        listing = reads()
    if masks and paired and drawn:
        others = ", ".join(name for name in ("masks", *drawn) if name != read)
        said = f"The folder holds masks and outlines: read with features.format={read}. "
        listing.notes.append(f"{said}{others} is the other one.")
    listing.pairs.sort(key=lambda pair: pair.picture.name)
    return listing


def _paired(files: FileSet, masks: list[File]) -> Set[str]:
    """The names of masks that have a picture."""
    names = {mask.name for mask in masks}
    others = [file for file in files if PICTURES.reads(file.name) and file.name not in names]
    return pictures_of(masks, others).keys()


def _outlined(
    files: FileSet,
    format: Written,  # noqa: A002
    background: str,
    masks: Set[str],
    by_file: bool,
) -> dict[str, Callable[[], Pairs]]:
    """What reads the outlines of a folder, by the name of their format.

    Args:
        masks: names of files that are no pictures.
        by_file: these masks are read, and outlines only mentioned.

    Raises:
        BadData: outlines of two formats.
    """
    from modelyard.families.segmentation.outlines import read_outlines

    if format == "masks":
        return {}
    tables = [file for file in files if file.suffix == ".json" and file.name != "labels.json"]
    instances = documents(tables) if tables and format in ("auto", "coco") else []
    if instances:
        return {"coco": lambda: read_outlines(files, instances, background, masks)}
    # The tools' files are many: they are not read only to be mentioned.
    if by_file or format == "coco":
        return {}
    found = readers(files, PICTURES, format, masks)
    # Boxes have no outlines, and classes.txt may name the classes of masks.
    for name in BOXES_ONLY:
        found.pop(name, None)
    if not label_files(files):
        found.pop("yolo", None)
    if len(found) > 1:
        hint = f"Type: --set features.format={next(iter(found))}"
        raise BadData(f"holds outlines of {' and '.join(found)}", file=files.root, hint=hint)
    return {name: partial(_read, reads, background, files) for name, reads in found.items()}


def _read(reads: Callable[[], Scenes], background: str, files: FileSet) -> Pairs:
    from modelyard.families.segmentation.outlines import read_drawn

    return read_drawn(reads(), background, files.root)


def _folders(
    files: FileSet, masks: list[File], unread: set[str], ignored: int | None, limits: Limits
) -> Pairs:
    check_bilevel(masks, limits)
    palette = palette_of(masks, files, limits)
    named = class_names(files) if palette is None else (palette.names, None)
    names = None if named is None else named[0]
    known = {file.name for file in masks} | unread
    pictures: dict[tuple[str, ...], File] = {}
    for file in files:
        if not PICTURES.reads(file.name) or file.name in known:
            continue
        if other := pictures.get(key_of(file.name)):
            problem = f"has the same mask as {other.name}: their names differ by the ending"
            raise BadData(problem, file=file.path)
        pictures[key_of(file.name)] = file
    listing = Pairs("masks", [], names)
    if masks[0].suffix in ENDINGS:
        listing.notes.append("The masks are JPEG files of black and white: gray is the nearer one.")
    if palette is not None:
        said = palette.source or "called as they are"
        listing.notes.append(f"The masks hold colours, and each is a class: {said}.")
    if unread:
        said = f"{len(unread)} files of Cityscapes are no masks of classes (colours, objects)"
        listing.notes.append(f"{said}: read is {PurePosixPath(masks[0].name).name} and its like.")
    # Pascal VOC has other lists for other tasks.
    lists = [file for file in files if "segmentation" in file.name.lower()]
    splits = listed(lists, stems_of(files))
    paired = pictures_of(masks, pictures.values())
    taken: dict[str, File] = {}
    absent = Absent(files.root, PICTURES)
    lone = [mask for mask in masks if mask.name not in paired]
    # As many pictures without a mask are pairs whose names differ.
    if lone and (not paired or len(pictures) - len(paired) >= len(lone)):
        hint = "It is called as its picture, in a folder of its own: images/a.jpg, masks/a.png"
        raise BadData("is the mask of no picture", file=lone[0].path, hint=hint)
    for mask in lone:
        absent.add(mask.name, mask.path)
    for mask in masks:
        if mask.name not in paired:
            continue
        picture = paired[mask.name]
        if picture.name in taken:
            raise BadData(f"is a second mask of {picture.name}", file=mask.path)
        taken[picture.name] = mask
        if mask.suffix not in (*LOSSLESS, *ENDINGS):
            problem = f"is a {mask.suffix} file, which is not read as a mask"
            raise BadData(problem, file=mask.path, hint="Save masks as PNG")
        split = split_of(picture.name)
        if splits:
            split = splits.get(PurePosixPath(picture.name).stem)
            if split is None:
                listing.drop("in no list of ImageSets/Segmentation")
                continue
        values = _of_file(mask, names, ignored, palette)
        listing.pairs.append(Pair(picture, split, mask.path, values))
    listing.drop("without a mask", len(pictures) - len(taken))
    absent.leave_out(listing, len(taken), len(pictures))
    return listing


def _of_file(
    mask: File, names: dict[int, str] | None, ignored: int | None, palette: Palette | None
) -> Callable[[Look, Limits], np.ndarray]:
    def values(look: Look, limits: Limits) -> np.ndarray:
        try:
            if palette is not None:
                return as_shown(palette.values(mask, limits), look)
            if mask.suffix in ENDINGS:
                found = as_shown(bilevel(mask, limits), look)
            else:
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
