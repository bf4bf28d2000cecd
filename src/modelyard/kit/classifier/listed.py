"""Labelled files that a table lists: labels.csv, with a column of labels or one for each of them."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from modelyard.errors import BadData, choices, first_of
from modelyard.kit.classifier.absent import Absent, complete
from modelyard.kit.classifier.examples import (
    Example,
    Listing,
    check_splits,
    usual_name,
)
from modelyard.kit.classifier.kind import FileKind
from modelyard.kit.splits import SPLIT_NAMES
from modelyard.kit.tables import decoded
from modelyard.store.files import File, FileSet

LABELS = "labels.csv"
FILE_NAMES = ("file", "path", "filename", "file_name", "filepath")
LABEL_NAMES = ("label", "labels", "class", "classes", "tags")
OTHERS = ("split", "group")
"""Names of columns, in lower case; the first that is there counts."""
DELIMITERS = (",", ";", "\t")
FLAGS = {"0": False, "1": True, "0.0": False, "1.0": True, "false": False, "true": True}
"""Cells of a column that is a label by itself, in lower case."""
SHOWN = 6
"""Names of columns in a message."""
Row = tuple[int, dict[str, str]]
"""Its number, from 1 below the header, and its cells by column."""


@dataclass(frozen=True)
class Roles:
    """What the columns of a table are."""

    file: str
    label: str = ""
    """The column of the labels; empty: each of `flags` is a label."""
    flags: tuple[str, ...] = ()
    """Columns of 0 and 1, called as their label."""
    unused: tuple[str, ...] = ()
    """Columns that could be flags and are not among the allowed labels."""


def read_listed(table: File, files: FileSet, kind: FileKind, allowed: Sequence[str]) -> Listing:
    """The files that a table lists. `allowed` names labels; empty: any.

    Raises:
        BadData: with the row.
    """
    names, rows, notes = rows_of(table)
    if not rows:
        raise BadData("has no rows below its header", file=table.path)
    roles = _roles(table, names, rows[0][1], kind, allowed)
    absent = Absent(files.root, kind)
    examples = []
    for row, cells in rows:
        example = _example(table, files, kind, row, cells, roles)
        if example is None:
            absent.add(cells[roles.file], table.path)
        else:
            examples.append(example)
    check_splits(examples)
    listing = Listing(files.root, kind, examples, several=bool(roles.flags))
    complete(listing, files, table.name, absent)
    listing.notes += notes
    if roles.unused:
        listing.notes.append(
            f"No labels are, by features.classes: {first_of(roles.unused, SHOWN)}."
        )
    return listing


def is_listed(table: File) -> bool:
    """Whether a table has a column that is called as that of the files is."""
    # An empty one is meant for it: `rows_of` says what is wrong.
    if not table.read().strip():
        return True
    content, _ = decoded(table)
    first = content.lstrip().partition("\n")[0].lower()
    cells = re.split("[,;\t]", first)
    return any(cell.strip().strip('"') in FILE_NAMES for cell in cells)


def rows_of(table: File) -> tuple[list[str], list[Row], list[str]]:
    """The names of the columns, those with a meaning in lower case, and the rows; notes on the file's
    encoding."""
    file = table.path
    content, notes = "", list[str]()
    if table.read().strip():
        content, notes = decoded(table)
    if not content.strip():
        raise BadData("is empty", file=file, hint="Write a first line: file,label")
    first = content.lstrip().partition("\n")[0]
    # Not by `splitlines`: it cuts at characters that end no row of a table.
    lines = io.StringIO(content, newline="")
    reader = csv.reader(lines, delimiter=max(DELIMITERS, key=first.count))
    names: list[str] = []
    rows: list[Row] = []
    try:
        for cells in reader:
            number = reader.line_num - 1
            # The module gives a blank line as a row without cells.
            if not cells:
                continue
            if not names:
                names = [_name(cell) for cell in cells]
                continue
            if len(cells) != len(names):
                many = "" if len(cells) == 1 else "s"
                problem = f"{len(cells)} cell{many} where the header has {len(names)}"
                raise BadData(problem, file=file, row=number)
            stripped = [cell.strip() for cell in cells]
            rows.append((number, dict(zip(names, stripped, strict=True))))
    except csv.Error as error:
        raise BadData(f"is not CSV: {error}", file=file, row=reader.line_num - 1) from None
    for name in names:
        if names.count(name) > 1:
            problem = f"stands {names.count(name)} times in the first line"
            raise BadData(problem, file=file, column=name)
    return names, rows, notes


def _name(cell: str) -> str:
    """A column's name: in lower case, where it means something else than a label."""
    name = cell.strip()
    if name.lower() in (*FILE_NAMES, *LABEL_NAMES, *OTHERS):
        return name.lower()
    return name


def _roles(
    table: File, names: list[str], first: dict[str, str], kind: FileKind, allowed: Sequence[str]
) -> Roles:
    """What the columns are, by their names and the cells of the `first` row."""
    file, label = usual_name(FILE_NAMES, names), usual_name(LABEL_NAMES, names)
    if file is None:
        own = {name.lower(): name for name in names}
        file = own.get(kind.field, own.get(kind.one))
    if file is not None and label is not None:
        return Roles(file, label)
    flags = [name for name in names if name not in (file, *OTHERS)]
    if file is not None and any(first[name].lower() in FLAGS for name in flags):
        chosen = [name for name in flags if not allowed or name in allowed]
        unused = [name for name in flags if name not in chosen]
        return Roles(file, "", tuple(chosen), tuple(unused))
    hint = f"Its columns are {first_of(names, SHOWN)}; file and label are needed, or file and a column of"
    hint += " 0 and 1 for each label; split and group are allowed"
    missing = "file" if file is None else "label"
    raise BadData("the column is missing", file=table.path, column=missing, hint=hint)


def _example(
    listed_in: File, files: FileSet, kind: FileKind, row: int, cells: dict[str, str], roles: Roles
) -> Example | None:
    """The file of a row, relative to the folder that holds the table; None where there is none."""
    table, column = listed_in.path, roles.file
    name = cells[column].replace("\\", "/")
    if not name:
        raise BadData("empty", file=table, row=row, column=column)
    pure = PurePosixPath(name)
    # A table from elsewhere must not make a run read, and a package hold, other files of the machine.
    if pure.is_absolute() or ".." in pure.parts:
        problem = f"{name!r} lies outside of the data folder"
        raise BadData(problem, file=table, row=row, column=column)
    if not kind.reads(name):
        problem = f"{name!r} is no {kind.one}; read are {kind.readable}"
        raise BadData(problem, file=table, row=row, column=column)
    file = files.get(pure.as_posix())
    if file is None:
        return None
    return example_of(listed_in, row, cells, roles, file)


def example_of(
    table: File,
    row: int,
    cells: dict[str, str],
    roles: Roles,
    file: File,
    *,
    group: str = "group",
    split: str | None = None,
) -> Example:
    """The file that a row lists. `group` is the column of groups, where there is one; `split` that of
    all rows, where the table says it.

    Raises:
        BadData: a cell is no split, or none of 0 and 1.
    """
    if roles.label:
        label = cells[roles.label]
    else:
        label = _flagged(table, row, cells, roles)
    return Example(
        name=file.name,
        file=file,
        label=label,
        split=split or _split_of(cells, table.path, row),
        group=cells.get(group) or None,
        row=row,
        table=table.path,
        columns=(roles.file, roles.label),
    )


def _split_of(cells: dict[str, str], table: Path, row: int) -> str | None:
    split = cells.get("split", "").lower()
    if split and split not in SPLIT_NAMES:
        raise BadData(choices("split", split, SPLIT_NAMES), file=table, row=row, column="split")
    return SPLIT_NAMES.get(split)


def _flagged(table: File, row: int, cells: dict[str, str], roles: Roles) -> str:
    """The labels whose column holds 1, as a JSON list."""
    found = []
    for name in roles.flags:
        flag = FLAGS.get(cells[name].lower())
        if flag is None:
            hint = "Each column but file, split and group is a label. Others are left out where"
            hint += " features.classes names the labels"
            if cells[name]:
                problem = f"{cells[name]!r} is neither 0 nor 1"
            else:
                problem = "empty"
            raise BadData(problem, file=table.path, row=row, column=name, hint=hint)
        if flag:
            found.append(name)
    return json.dumps(sorted(found))
