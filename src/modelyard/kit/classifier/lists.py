"""Tables of any name that list labelled files, as competitions and archives bring them: `train.csv`
with `image_id,label` next to a folder of pictures."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from modelyard.errors import BadData, first_of
from modelyard.kit.classifier.absent import Absent, complete
from modelyard.kit.classifier.examples import Example, Listing, usual_name
from modelyard.kit.classifier.kind import FileKind
from modelyard.kit.classifier.listed import (
    FLAGS,
    LABEL_NAMES,
    OTHERS,
    SHOWN,
    Roles,
    Row,
    example_of,
    rows_of,
)
from modelyard.kit.splits import SPLIT_NAMES
from modelyard.store.files import File, FileSet

NAMES_OF_LABELS = (
    *LABEL_NAMES,
    *("dx", "diagnosis", "target", "category", "breed", "species", "variety", "disease"),
)
"""Usual names of the column with the label, the likeliest first, in lower case."""
NAMES_OF_GROUPS = ("group", "patient_id", "patientid", "patient", "lesion_id")
"""Columns whose equal values are of one patient or thing: its files stay in one split."""
OF_SPLITS = re.compile(
    r"(train|test|val)[a-z]*([ _-]?(images?|imgs?|pictures?|set|data))?[ _-]?\d*"
)
OF_PARTS = re.compile(r"(part|images?|imgs?|batch)[ _-]?\d+$")
"""Names of folders that hold a split, or a part, of a collection."""
FOR_ALL = frozenset({"image", "images", "img", "imgs", "picture", "pictures", "photos", "data"})
"""Names of folders that hold files of every class."""
LOOKED_AT = 50
"""Rows that tell which column names the files."""


@dataclass(frozen=True)
class LabelTable:
    """A table that lists files with their labels."""

    table: File
    roles: Roles
    group: str | None
    """The column of groups."""
    rows: list[Row]
    notes: list[str]


class FilesByName:
    """Files by their path, their own name, or their name without its ending."""

    def __init__(self, files: FileSet, kind: FileKind) -> None:
        self._found: dict[str, list[File]] = {}
        self.count = 0
        """Files."""
        for file in files:
            if kind.reads(file.name):
                self.count += 1
                path = PurePosixPath(file.name)
                # A set: the path of a file at the top is its own name too.
                for name in {file.name, path.name, path.stem}:
                    self._found.setdefault(name, []).append(file)

    def __bool__(self) -> bool:
        return bool(self._found)

    def named(self, cell: str) -> list[File]:
        """The files that a cell may mean."""
        return self._found.get(cell.replace("\\", "/").removeprefix("./"), [])


def tables_in(files: FileSet, kind: FileKind, allowed: Sequence[str]) -> list[LabelTable]:
    """The tables, at the top or a folder below, that list files with labels. `allowed` names labels;
    empty: any.

    Raises:
        BadData: a table lists files, and none says their labels.
    """
    names = FilesByName(files, kind)
    if not names:
        return []
    in_classes = _in_class_folders(files, kind)
    found = []
    bare: list[tuple[File, list[str]]] = []
    for file in files:
        if file.suffix != ".csv" or file.name.count("/") > 1:
            continue
        # A sample of a submission has made-up labels of the test pictures.
        if "submission" in file.name.lower():
            continue
        try:
            columns, rows, notes = rows_of(file)
        except BadData:
            continue  # a table of something else
        column = _of_files(columns, rows, names)
        # Where folders are the classes, numbers of something else may be names of files.
        if column is None and not in_classes:
            column = _of_a_part(columns, rows, names)
        if column is None:
            continue
        roles = _roles(columns, rows, column, allowed)
        if roles is None:
            bare.append((file, columns))
        else:
            group = usual_name(NAMES_OF_GROUPS, columns, {roles.file, roles.label})
            found.append(LabelTable(file, roles, group, rows, notes))
    has_no_labels = bool(bare) and not found
    if has_no_labels and not in_classes:
        file, columns = bare[0]
        problem = f"lists {kind.many}, and no column is the label by its name; seen: {first_of(columns, SHOWN)}"
        hint = "Call that column label, or move the table away where folders are the classes"
        raise BadData(problem, file=file.path, hint=hint)
    return found


def _in_class_folders(files: FileSet, kind: FileKind) -> bool:
    """Whether the files lie in two folders or more that may be classes: a table next to them may tell
    their sizes or where they are from."""
    folders = set()
    for file in files:
        folder = PurePosixPath(file.name.lower()).parent.name
        if kind.reads(file.name) and folder:
            folders.add(folder)
    classes = 0
    for name in folders - FOR_ALL:
        if not (OF_SPLITS.fullmatch(name) or OF_PARTS.search(name)):
            classes += 1
    return classes > 1


def read_tables(tables: Sequence[LabelTable], files: FileSet, kind: FileKind) -> Listing:
    """The files that tables list: one, or one for each split (`train.csv`, `val.csv`).

    Raises:
        BadData: with the row.
    """
    table_names = [listed.table.name for listed in tables]
    splits = [SPLIT_NAMES.get(PurePosixPath(name).stem.lower()) for name in table_names]
    are_splits = None not in splits and len(set(splits)) == len(splits)
    if len(tables) > 1 and not are_splits:
        hint = "Keep one of them in the folder, or call them train.csv, val.csv and test.csv"
        problem = f"several tables list {kind.many}: {', '.join(table_names)}"
        raise BadData(problem, file=files.root, hint=hint)
    names = FilesByName(files, kind)
    absent = Absent(files.root, kind)
    has_flags = any(listed.roles.flags for listed in tables)
    listing = Listing(files.root, kind, [], several=has_flags)
    for listed, split in zip(tables, splits, strict=True):
        # A single train.csv lists all there is: the other splits are taken from it.
        own = split if len(tables) > 1 else None
        listing.examples += _examples(listed, names, absent, own)
        roles = listed.roles
        read = roles.label or f"{len(roles.flags)} columns of 0 and 1"
        note = f"{listed.table.name} lists the {kind.many}: {roles.file} is the {kind.one}, "
        note += f"{read} the label"
        if listed.group is not None:
            note += f"; those with the same {listed.group} stay in one split"
        listing.notes += [f"{note}.", *listed.notes]
    complete(listing, files, " or ".join(table_names), absent)
    if len(tables) == 1 and all(example.split is None for example in listing.examples):
        listing.examples = _by_folder_of_split(listing.examples)
    return listing


def _of_files(columns: Sequence[str], rows: Sequence[Row], names: FilesByName) -> str | None:
    """The column whose cells name files, for most of the first rows."""
    first = [cells for _, cells in rows[:LOOKED_AT]]
    for column in columns:
        found = sum(bool(names.named(cells[column])) for cells in first)
        if 2 * found > len(first):
            return column
    return None


def _of_a_part(columns: Sequence[str], rows: Sequence[Row], names: FilesByName) -> str | None:
    """The column whose cells name most of the files, and others: a folder may hold a part of what is
    listed."""
    for column in columns:
        listed: set[str] = set()
        for _, cells in rows:
            listed.update(file.name for file in names.named(cells[column]))
        if 2 * len(listed) > names.count:
            return column
    return None


def _roles(
    columns: Sequence[str], rows: Sequence[Row], file: str, allowed: Sequence[str]
) -> Roles | None:
    label = usual_name(NAMES_OF_LABELS, columns, {file})
    if label is not None:
        return Roles(file, label)
    aside = (*OTHERS, *NAMES_OF_GROUPS)
    others = [name for name in columns if name != file and name.lower() not in aside]
    first = [cells for _, cells in rows[:LOOKED_AT]]
    flags = []
    for name in others:
        if all(cells[name].lower() in FLAGS for cells in first):
            flags.append(name)
    if len(flags) > 1:
        chosen = tuple(name for name in flags if not allowed or name in allowed)
        return Roles(file, "", chosen)
    if len(others) == 1:
        return Roles(file, others[0])
    return None


def _examples(
    listed: LabelTable, names: FilesByName, absent: Absent, split: str | None
) -> list[Example]:
    table, column = listed.table.path, listed.roles.file
    group = listed.group or ""
    found = []
    for row, cells in listed.rows:
        files = names.named(cells[column])
        if not files:
            absent.add(cells[column], table)
            continue
        if len(files) > 1:
            problem = f"{cells[column]!r} may be {files[0].name} or {files[1].name}"
            hint = "Write the path of the file, or remove the other one"
            raise BadData(problem, file=table, row=row, column=column, hint=hint)
        example = example_of(
            listed.table, row, cells, listed.roles, files[0], group=group, split=split
        )
        found.append(example)
    return found


def _by_folder_of_split(examples: list[Example]) -> list[Example]:
    """The examples in the splits that their folders are called as, where each lies in one."""
    splits = []
    for example in examples:
        folders = PurePosixPath(example.name.lower()).parts[:-1]
        named = [SPLIT_NAMES[folder] for folder in folders if folder in SPLIT_NAMES]
        splits.append(named[0] if named else None)
    are_splits = None not in splits and "train" in splits and len(set(splits)) > 1
    if not are_splits:
        return examples
    pairs = zip(examples, splits, strict=True)
    return [replace(example, split=split) for example, split in pairs]
