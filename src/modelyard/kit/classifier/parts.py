"""The rows of one file: of a table, or of JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass
from io import BufferedIOBase, BytesIO
from pathlib import Path
from typing import Any

import pyarrow as pa

from modelyard.errors import BadData
from modelyard.kit.classifier.fasttext import fasttext_columns, is_fasttext
from modelyard.kit.json_lines import JSON, LIST, ROWS, json_rows, read_utf8
from modelyard.kit.splits import SPLIT_NAMES
from modelyard.kit.tables import (
    SUFFIXES,
    as_texts,
    is_plain,
    is_workbook,
    read_file,
    texts,
)
from modelyard.store.files import File, FileSet, is_about

TRANSLATION = "translation"
"""Field of JSON rows that hold the same text in several languages, by the language's code: as the
library datasets has them."""
Columns = dict[str, list[str | None]]
"""Cells by column; None is an empty one."""


class Content(File):
    """A text that stands in a file, as a file by itself."""

    __slots__ = ("data",)

    def __init__(self, file: File, data: bytes) -> None:
        super().__init__(file.root, file.name)
        self.data = data

    @property
    def size(self) -> int:
        return len(self.data)

    def open(self) -> BufferedIOBase:
        return BytesIO(self.data)


@dataclass(frozen=True)
class Rows:
    """Rows of one file."""

    file: File
    columns: Columns
    numbers: list[int]
    """Of each row, in the file."""
    notes: list[str]
    lists: frozenset[str] = frozenset()
    """Columns of JSON rows in which a cell is a list or an object."""
    split: str | None = None
    """Of all rows, where the names of parallel files say it."""
    ordered: bool = True
    """Whether the order of its columns means something."""


def tables_of(files: FileSet, *, documents: bool) -> list[File]:
    """The files that hold rows.

    Args:
        documents: whether each `.json` in a class folder is an example by itself.
    """
    tables = [file for file in files if is_rows(file.name)]
    if tables:
        return tables
    rest = [file for file in files if file.suffix not in (".md", ".dvc")]
    # Where all are called so, they are the data.
    rest = [file for file in rest if not is_about(file)] or rest
    if rest and all(is_workbook(file.name) for file in rest):
        return rest
    # A .json or .txt next to other files describes them, or is a text; by itself it may hold the rows, and
    # so may files that are called as splits.
    plain = [file for file in rest if is_plain(file.name)]
    if len(rest) == 1:
        return [file for file in rest if file.suffix == LIST] or plain
    # Nothing but lists in JSON: they are the rows themselves, in parts.
    lists = [file for file in rest if file.suffix == LIST]
    in_folders = any("/" in file.name for file in lists)
    if lists and len(lists) == len(rest) and not (documents and in_folders):
        return lists
    at_top = all("/" not in file.name and _split_of(file.path) for file in plain)
    return plain if at_top and len(plain) == len(rest) else []


def is_rows(name: str) -> bool:
    """Whether a file of this name is a table or holds JSON rows."""
    return name.lower().endswith((*SUFFIXES, *ROWS))


def rows_in(file: File, *, has_header: bool | None = None) -> Rows:
    """The rows of one table or file of JSON; `has_header` as in `read_file`."""
    if file.suffix not in JSON and is_fasttext(file):
        columns, numbers, notes = fasttext_columns(file)
        return Rows(file, columns, numbers, notes, split=_split_of(file.path))
    if file.suffix not in JSON:
        table = read_file(file, has_header=has_header)
        columns = {name: texts(table, name) for name in table.names}
        numbers = table.row_numbers().tolist()
        return Rows(file, columns, numbers, table.notes, split=_split_of(file.path))
    columns, numbers, lists = {}, [], set()
    for number, value in json_rows(read_utf8(file), file.path, splits=True):
        value = flat(value)
        if not isinstance(value, dict):
            raise BadData("must be a JSON object", file=file.path, row=number)
        # A field that is new has been empty in all rows before.
        for name in value.keys() - columns.keys():
            columns[name] = [None] * len(numbers)
        for name, cells in columns.items():
            cell = value.get(name)
            cells.append(_cell(cell))
            if isinstance(cell, dict | list):
                lists.add(name)
        numbers.append(number)
    columns = dict(sorted(columns.items()))
    split = _split_of(file.path)
    return Rows(file, columns, numbers, [], frozenset(lists), split, ordered=False)


def flat(value: Any) -> Any:
    """The object of a row; what `{"translation": {…}}` holds stands next to its other fields."""
    if isinstance(value, dict) and isinstance(inner := value.get(TRANSLATION), dict):
        return {name: cell for name, cell in value.items() if name != TRANSLATION} | inner
    return value


def _cell(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return (value or "").strip() or None
    if isinstance(value, dict | list):
        return json.dumps(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)  # of any size, where Arrow's have 64 bits
    return as_texts(pa.array([value]))[0]


def _split_of(file: Path) -> str | None:
    """The split that a file's name says: `train.csv`."""
    return SPLIT_NAMES.get(file.name.split(".")[0].lower())
