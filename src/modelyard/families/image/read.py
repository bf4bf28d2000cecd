"""Which picture files a raw folder holds, and what they show."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from modelyard.errors import BadData, UsageError, choices
from modelyard.families.image.config import ImageFeatures
from modelyard.families.image.pixels import SUFFIXES

LABELS = "labels.csv"
SPLIT_NAMES = {"train": "train", "training": "train", "validation": "validation", "valid": "validation",
               "val": "validation", "test": "test"}  # fmt: skip
"""Names of split folders, and what they are here."""
READABLE = ", ".join(sorted(SUFFIXES))
OTHER = frozenset({".gif", ".tif", ".tiff", ".heic", ".avif", ".jp2", ".dcm", ".ppm", ".pgm"})
"""Endings of pictures that are not read."""


@dataclass(frozen=True)
class Example:
    """One labelled picture file."""

    name: str
    """Relative to the raw folder."""
    path: Path
    label: str
    split: str | None = None
    """Where the data says so itself."""
    group: str | None = None
    row: int | None = None
    """Of labels.csv."""


@dataclass
class Listing:
    """The labelled pictures of a raw folder, by name, and what was passed over."""

    raw: Path
    examples: list[Example]
    dropped: dict[str, int] = field(default_factory=dict)


def read_folder(raw: Path, settings: ImageFeatures, earlier: Sequence[str] = ()) -> Listing:
    """The labelled pictures: by `labels.csv`, or by class folders, in split folders or not.

    `earlier` names classes that an earlier model knows: the data need not have them.

    Raises:
        BadData: with file, and row of labels.csv.
    """
    raw = Path(raw)
    if not raw.is_dir() or not any(raw.iterdir()):
        raise BadData("holds no files", file=raw)
    listing = _by_table(raw) if (raw / LABELS).is_file() else _by_folder(raw)
    _check_classes(listing, settings, earlier)
    if settings.group_pattern is not None:
        listing.examples = [_grouped(example, settings.group_pattern) for example in listing.examples]
    return listing


def _by_table(raw: Path) -> Listing:
    file = raw / LABELS
    seen: dict[str, int] = {}
    examples = []
    for row, cells in _rows(file):
        example = _from_row(raw, row, cells)
        if example.name in seen:
            raise BadData(f"{example.name!r} is in row {seen[example.name]} already", file=file, row=row, column="file")
        seen[example.name] = row
        examples.append(example)
    if not examples:
        raise BadData("has no rows below its header", file=file)
    given = {example.split is None for example in examples}
    if len(given) > 1:
        bare = next(example.row for example in examples if example.split is None)
        raise BadData("empty, where other rows name a split", file=file, row=bare, column="split")
    listed = {example.path for example in examples}
    others = sum(1 for path in _files(raw) if path.suffix.lower() in SUFFIXES and path not in listed)
    return Listing(raw, sorted(examples, key=_name), {"not in labels.csv": others} if others else {})


def _rows(file: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Number and cells of each row, by lower-case column name."""
    content = file.read_bytes()
    try:
        lines = content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise BadData("is not UTF-8 text", file=file, row=content[: error.start].count(b"\n") or None) from None
    if not any(lines):
        raise BadData("is empty", file=file, hint="Write a first line: file,label")
    reader = csv.reader(lines, delimiter=";" if lines[0].count(";") > lines[0].count(",") else ",")
    names: list[str] = []
    try:
        for cells in reader:
            row = reader.line_num - 1
            if not names:
                names = _header(file, cells)
            elif len(cells) != len(names) and cells:
                raise BadData(f"{len(cells)} cells where the header has {len(names)}", file=file, row=row)
            elif cells:
                yield row, {name: cell.strip() for name, cell in zip(names, cells, strict=True)}
    except csv.Error as error:
        raise BadData(f"is not CSV: {error}", file=file, row=reader.line_num - 1) from None


def _header(file: Path, cells: list[str]) -> list[str]:
    names = [name.strip().lower() for name in cells]
    for column in ("file", "label"):
        if names.count(column) != 1:
            hint = f"Its columns are {', '.join(names)}; file and label are needed, split and group are allowed"
            times = names.count(column)
            problem = f"stands {times} times in the first line" if times else "the column is missing"
            raise BadData(problem, file=file, column=column, hint=hint)
    return names


def _from_row(raw: Path, row: int, cells: dict[str, str]) -> Example:
    table = raw / LABELS
    name, label = cells["file"].replace("\\", "/"), cells["label"]
    for column in ("file", "label"):
        if not cells[column]:
            raise BadData("empty", file=table, row=row, column=column)
    pure = PurePosixPath(name)
    if pure.is_absolute() or ".." in pure.parts:
        raise BadData(f"{name!r} lies outside of the data folder", file=table, row=row, column="file")
    path = raw / pure
    if not path.is_file():
        hint = "Names are relative to the folder that holds labels.csv"
        raise BadData(f"no such file: {name!r}", file=table, row=row, column="file", hint=hint)
    if path.suffix.lower() not in SUFFIXES:
        raise BadData(f"{name!r} is no picture; read are {READABLE}", file=table, row=row, column="file")
    split = cells.get("split", "").lower() or None
    if split is not None and split not in SPLIT_NAMES:
        raise BadData(choices("split", split, SPLIT_NAMES), file=table, row=row, column="split")
    return Example(pure.as_posix(), path, label, SPLIT_NAMES[split] if split else None, cells.get("group") or None, row)


def _by_folder(raw: Path) -> Listing:
    folders = sorted(path for path in raw.iterdir() if path.is_dir() and not path.name.startswith("."))
    dropped: dict[str, int] = {}
    classes: list[tuple[str | None, Path]]
    if folders and all(folder.name.lower() in SPLIT_NAMES for folder in folders):
        roots = [(SPLIT_NAMES[folder.name.lower()], folder) for folder in folders]
        if "train" not in dict(roots):
            raise BadData("has no folder 'train' beside the other splits", file=raw)
        _count(dropped, "outside a class folder", sum(1 for root in (raw, *folders) for _ in _pictures_in(root)))
        classes = [(split, path) for split, folder in roots for path in _folders(folder)]
    else:
        _count(dropped, "outside a class folder", sum(1 for _ in _pictures_in(raw)))
        classes = [(None, path) for path in folders]
    if not classes:
        pictures = sorted(_pictures_in(raw))
        raise BadData(
            "lies outside of a class folder" if pictures else "holds no class folders and no labels.csv",
            file=pictures[0] if pictures else raw,
            hint="Lay pictures out as <class>/<file>, or list them in labels.csv with the columns file,label",
        )
    examples = [example for split, folder in classes for example in _of_class(raw, split, folder, dropped)]
    return Listing(raw, sorted(examples, key=_name), dropped)


def _of_class(raw: Path, split: str | None, folder: Path, dropped: dict[str, int]) -> list[Example]:
    files = list(_files(folder))
    pictures = [path for path in files if path.suffix.lower() in SUFFIXES]
    if not pictures:
        raise BadData(f"an empty class: no picture in it (read are {READABLE})", file=folder)
    for path in files:
        if (kind := path.suffix.lower()) not in SUFFIXES:
            _count(dropped, f"{kind} is not read: save it as .png" if kind in OTHER else "not a picture file", 1)
    return [Example(path.relative_to(raw).as_posix(), path, folder.name, split) for path in pictures]


def _check_classes(listing: Listing, settings: ImageFeatures, earlier: Sequence[str]) -> None:
    """At least two classes, and none that is not allowed or that training pictures lack."""
    for example in listing.examples:
        if settings.classes and example.label not in settings.classes:
            _wrong_label(listing, example, choices("class", example.label, settings.classes) + " (features.classes)")
    labels = {example.label for example in listing.examples} | set(earlier)
    for name in settings.classes:
        if name not in labels:
            raise BadData(f"has no picture of class {name!r}, which features.classes names", file=listing.raw)
    if len(labels) < 2:
        name = labels.pop()
        inside = [folder.name for folder in _folders(listing.raw / name)] if (listing.raw / name).is_dir() else []
        hint = f"If {', '.join(inside[:3])} are the classes, give the folder {name!r} as the data" if inside else ""
        raise BadData(f"has one class alone, {name!r}; two at least are told apart", file=listing.raw, hint=hint)
    if settings.positive is not None and (len(labels) != 2 or settings.positive not in labels):
        allowed = (
            choices("class", settings.positive, labels) if len(labels) == 2 else f"it is for two, not {len(labels)}"
        )
        raise UsageError(f"setting 'features.positive': {allowed}")
    known = {example.label for example in listing.examples if example.split in (None, "train")}
    for example in listing.examples:
        if example.label not in known:
            _wrong_label(listing, example, f"class {example.label!r} has no training picture")


def _wrong_label(listing: Listing, example: Example, problem: str) -> None:
    if example.row is not None:
        raise BadData(problem, file=listing.raw / LABELS, row=example.row, column="label")
    raise BadData(problem, file=example.path)


def _grouped(example: Example, pattern: str) -> Example:
    try:
        match = re.search(pattern, example.name)
    except re.error as error:
        raise UsageError(f"setting 'features.group_pattern' = {pattern!r}: {error}") from None
    if match is None or not match.groups():
        what = "has no group: put one part in parentheses" if match else f"is not found in the name {example.name!r}"
        raise UsageError(f"setting 'features.group_pattern' = {pattern!r} {what}")
    return Example(example.name, example.path, example.label, example.split, match.group(1), example.row)


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts):
            yield path


def _pictures_in(folder: Path) -> Iterator[Path]:
    return (path for path in folder.iterdir() if path.is_file() and path.suffix.lower() in SUFFIXES)


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _count(counts: dict[str, int], reason: str, number: int) -> None:
    if number:
        counts[reason] = counts.get(reason, 0) + number


def _name(example: Example) -> str:
    return example.name
