"""Which files a raw folder holds, and their labels: class folders, split folders, or labels.csv."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from modelyard.errors import BadData, UsageError, choices
from modelyard.kit.classifier.config import FileFeatures
from modelyard.kit.classifier.kind import FileKind
from modelyard.store.files import File, FileSet, files_of

LABELS = "labels.csv"
SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
}
"""Names of split folders, and what they are here."""


@dataclass(frozen=True)
class Example:
    """One labelled file."""

    name: str
    """Relative to the raw folder; of a row its file and number."""
    file: File
    label: str
    split: str | None = None
    """Where the data says so itself."""
    group: str | None = None
    row: int | None = None
    """Of the table that lists it."""
    table: Path | None = None
    """That table: labels.csv, or where its content stands."""
    columns: tuple[str, str] = ("file", "label")
    """Of the table: that of the example, and that of its label."""


@dataclass
class Listing:
    """The labelled files of a raw folder, by name, and what was passed over."""

    raw: Path
    kind: FileKind
    examples: list[Example]
    dropped: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    """Sentences for the card."""


def read_folder(raw: Path, kind: FileKind, settings: FileFeatures) -> Listing:
    """The labelled files: by `labels.csv`, or by class folders, in split folders or not.

    Raises:
        BadData: with file, and row of labels.csv.
        UsageError: `features.group_pattern` does not fit the data.
    """
    raw = Path(raw)
    if not raw.is_dir() or not any(raw.iterdir()):
        raise BadData("holds no files", file=raw)
    files = files_of(raw)
    table = files.get(LABELS)
    listing = _by_folder(files, kind) if table is None else _by_table(table, files, kind)
    if settings.group_pattern is not None:
        pattern = settings.group_pattern
        listing.examples = [grouped(example, pattern) for example in listing.examples]
    return listing


def _by_table(table: File, files: FileSet, kind: FileKind) -> Listing:
    seen: dict[str, int] = {}
    examples = []
    for row, cells in _rows(table):
        example = _from_row(table, files, kind, row, cells)
        if example.name in seen:
            problem = f"{example.name!r} is in row {seen[example.name]} already"
            raise BadData(problem, file=table.path, row=row, column="file")
        seen[example.name] = row
        examples.append(example)
    if not examples:
        raise BadData("has no rows below its header", file=table.path)
    check_splits(examples)
    listed = {example.file.name for example in examples}
    others = [file for file in files if kind.reads(file.name) and file.name not in listed]
    dropped: dict[str, int] = {}
    _count(dropped, f"not in {LABELS}", len(others))
    return Listing(files.root, kind, sorted(examples, key=_name), dropped)


def check_splits(examples: Sequence[Example]) -> None:
    """Refuses rows of which some name their split and others don't."""
    bare = [example for example in examples if example.split is None]
    if 0 < len(bare) < len(examples):
        problem = "empty, where other rows name a split"
        raise BadData(problem, file=bare[0].table, row=bare[0].row, column="split")


def _rows(table: File) -> Iterator[tuple[int, dict[str, str]]]:
    """Number and cells of each row, by lower-case column name."""
    content, file = table.read(), table.path
    try:
        lines = content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        row = content[: error.start].count(b"\n") or None
        raise BadData("is not UTF-8 text", file=file, row=row) from None
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
                many = "" if len(cells) == 1 else "s"
                problem = f"{len(cells)} cell{many} where the header has {len(names)}"
                raise BadData(problem, file=file, row=row)
            elif cells:
                yield row, {name: cell.strip() for name, cell in zip(names, cells, strict=True)}
    except csv.Error as error:
        raise BadData(f"is not CSV: {error}", file=file, row=reader.line_num - 1) from None


def _header(file: Path, cells: list[str]) -> list[str]:
    names = [name.strip().lower() for name in cells]
    for column in ("file", "label"):
        if names.count(column) != 1:
            hint = f"Its columns are {', '.join(names)}; "
            hint += "file and label are needed, split and group are allowed"
            times = names.count(column)
            problem = (
                f"stands {times} times in the first line" if times else "the column is missing"
            )
            raise BadData(problem, file=file, column=column, hint=hint)
    return names


def _from_row(
    listed_in: File, files: FileSet, kind: FileKind, row: int, cells: dict[str, str]
) -> Example:
    table = listed_in.path
    for column in ("file", "label"):
        if not cells[column]:
            raise BadData("empty", file=table, row=row, column=column)
    name = cells["file"].replace("\\", "/")
    pure = PurePosixPath(name)
    if pure.is_absolute() or ".." in pure.parts:
        problem = f"{name!r} lies outside of the data folder"
        raise BadData(problem, file=table, row=row, column="file")
    file = files.get(pure.as_posix())
    if file is None:
        hint = f"Names are relative to the folder that holds {LABELS}"
        raise BadData(f"no such file: {name!r}", file=table, row=row, column="file", hint=hint)
    if not kind.reads(file.name):
        raise BadData(
            f"{name!r} is no {kind.one}; read are {kind.readable}",
            file=table,
            row=row,
            column="file",
        )
    split = cells.get("split", "").lower()
    if split and split not in SPLIT_NAMES:
        raise BadData(choices("split", split, SPLIT_NAMES), file=table, row=row, column="split")
    group = cells.get("group") or None
    known = SPLIT_NAMES.get(split)
    return Example(pure.as_posix(), file, cells["label"], known, group, row, table)


def _by_folder(files: FileSet, kind: FileKind) -> Listing:
    raw = files.root
    folders = files.folders()
    dropped: dict[str, int] = {}
    # Each class folder with the split that it lies in, if any.
    classes: list[tuple[str | None, str]]
    outside = _directly_in(files, "", kind)
    if folders and all(folder.lower() in SPLIT_NAMES for folder in folders):
        splits = [SPLIT_NAMES[folder.lower()] for folder in folders]
        if "train" not in splits:
            raise BadData("has no folder 'train' next to the other splits", file=raw)
        classes = []
        for name, folder in zip(splits, folders, strict=True):
            outside += _directly_in(files, folder, kind)
            classes += [(name, inner) for inner in files.folders(folder)]
    else:
        classes = [(None, folder) for folder in folders]
    _count(dropped, "outside a class folder", len(outside))
    if not classes:
        hint = f"Lay {kind.many} out as <class>/<file>, or list them in {LABELS}"
        hint += " with the columns file,label"
        if found := _directly_in(files, "", kind):
            raise BadData("lies outside of a class folder", file=found[0].path, hint=hint)
        raise BadData(f"holds no class folders and no {LABELS}", file=raw, hint=hint)
    examples = []
    for split, folder in classes:
        examples += _of_class(files, kind, split, folder, dropped)
    return Listing(raw, kind, sorted(examples, key=_name), dropped)


def _of_class(
    files: FileSet, kind: FileKind, split: str | None, folder: str, dropped: dict[str, int]
) -> list[Example]:
    """The examples of a class folder, at any depth. Adds to `dropped` what is not read."""
    label = folder.rpartition("/")[2]
    examples = []
    for file in files.below(folder):
        if kind.reads(file.name):
            examples.append(Example(file.name, file, label, split))
        elif file.suffix in kind.unread:
            _count(dropped, f"{file.suffix} is not read: save it as {kind.save_as}", 1)
        else:
            _count(dropped, f"files: not a {kind.one}", 1)
    if not examples:
        problem = f"an empty class: no {kind.one} in it (read are {kind.readable})"
        raise BadData(problem, file=files.root / folder)
    return examples


def check_labels(listing: Listing, settings: FileFeatures, earlier: Sequence[str]) -> None:
    """At least two classes, and none that is not allowed or that the training examples lack.
    `earlier` names classes that an earlier model knows: the data need not have them.

    Raises:
        BadData: with file, and row of a table.
        UsageError: `features.positive` does not fit the data.
    """
    kind = listing.kind
    for example in listing.examples:
        if settings.classes and example.label not in settings.classes:
            allowed = choices("class", example.label, settings.classes)
            raise wrong_label(example, f"{allowed} (features.classes)")
    labels = {example.label for example in listing.examples} | set(earlier)
    for name in settings.classes:
        if name not in labels:
            raise BadData(
                f"has no {kind.one} of class {name!r}, which features.classes names",
                file=listing.raw,
            )
    if len(labels) < 2:
        raise _one_class(listing, labels.pop())
    _check_positive(settings.positive, labels)
    known = {example.label for example in listing.examples if example.split in (None, "train")}
    for example in listing.examples:
        if example.label not in known:
            problem = f"class {example.label!r} has no training {kind.one}"
            raise wrong_label(example, problem)


def _check_positive(positive: str | None, labels: set[str]) -> None:
    if positive is None or (len(labels) == 2 and positive in labels):
        return
    allowed = f"it is for two, not {len(labels)}"
    if len(labels) == 2:
        allowed = choices("class", positive, labels)
    raise UsageError(f"setting 'features.positive': {allowed}")


def _one_class(listing: Listing, name: str) -> BadData:
    """Says that there is one class; where that folder holds folders, they may be the classes."""
    paths = [PurePosixPath(example.name).parent for example in listing.examples]
    inside = sorted(
        {path.parts[1] for path in paths if len(path.parts) > 1 and path.parts[0] == name}
    )
    hint = ""
    if inside:
        hint = f"If {', '.join(inside[:3])} are the classes, give the folder {name!r} as the data"
    problem = f"has only one class, {name!r}; a classifier needs at least two"
    return BadData(problem, file=listing.raw, hint=hint)


def wrong_label(example: Example, problem: str) -> BadData:
    """The fault of an example's label, with its file and row."""
    if example.table is not None:
        column = example.columns[1]
        return BadData(problem, file=example.table, row=example.row, column=column)
    return BadData(problem, file=example.file.path)


def grouped(example: Example, pattern: str) -> Example:
    """An example with the group that the pattern finds in its name.

    Raises:
        UsageError: the pattern finds none.
    """
    try:
        match = re.search(pattern, example.name)
    except re.error as error:
        raise UsageError(f"setting 'features.group_pattern' = {pattern!r}: {error}") from None
    if match is None:
        problem = f"is not found in the name {example.name!r}"
        raise UsageError(f"setting 'features.group_pattern' = {pattern!r} {problem}")
    if not match.groups():
        problem = "has no group: put one part in parentheses"
        raise UsageError(f"setting 'features.group_pattern' = {pattern!r} {problem}")
    return replace(example, group=match.group(1))


def _directly_in(files: FileSet, folder: str, kind: FileKind) -> list[File]:
    return [file for file in files.directly_in(folder) if kind.reads(file.name)]


def _count(counts: dict[str, int], reason: str, number: int) -> None:
    if number:
        counts[reason] = counts.get(reason, 0) + number


def _name(example: Example) -> str:
    return example.name
