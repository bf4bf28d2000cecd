"""Texts of a form of their own as CSV: MovieLens' double colons, RecBole's typed headers, lists of a
user's items."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace

from modelyard.kit import tables
from modelyard.kit.tables import Text
from modelyard.store.files import File

_TYPED = re.compile(r"(?P<name>.+):(?:token|float)(?:_seq)?")
"""A name in RecBole's header: https://recbole.io/docs/user_guide/data/atomic_files.html."""
_NUMBERS = re.compile(r"\d+(?: \d+)* *")
LISTED = "each line is a user, followed by their items"


def read_form(file: File) -> Text:
    """The text of a file, as CSV with a header where its form has one.

    Raises:
        BadData: the file cannot be read.
    """
    text = tables.read_text(file)
    if "::" in text.content.partition("\n")[0]:
        return _from_double_colons(text)
    if _holds_lists(text):
        return _from_lists(text)
    types = _types(text)
    if not types:
        return text
    rows = text.content.partition("\n")[2]
    return replace(text, content=text.delimiter.join(types) + "\n" + rows)


def spaced(text: Text) -> Text:
    """A log whose cells spaces separate, as CSV. Where most cells are numbers the kit sees it; ids
    such as USER_894 are none, but one column alone is no log."""
    lines = text.content.splitlines()
    if len(text.header()) > 1 or any(mark in text.content for mark in (text.delimiter, '"')):
        return text
    lengths = {len(line.split()) for line in lines if line.strip()}
    if len(lengths) > 1 or lengths == {1}:
        return text
    content = "\n".join(",".join(line.split()) for line in lines) + "\n"
    notes = [*text.notes, f"{text.file.name} is separated by spaces"]
    return replace(text, content=content, delimiter=",", notes=notes)


def is_typed(file: File) -> bool:
    """Whether each name in a file's header has a type, as RecBole writes them: MovieLens' u.item has none."""
    return bool(_types(tables.read_text(file)))


def categories_of(file: File) -> list[str]:
    """Columns that a header of RecBole's calls tokens: names, whatever their cells look like."""
    types = _types(tables.read_text(file))
    return [name for name, kind in types.items() if kind == "token"]


def _from_double_colons(text: Text) -> Text:
    """MovieLens' .dat files as CSV: their quotes and commas are letters like others."""
    rows = io.StringIO()
    writer = csv.writer(rows, lineterminator="\n")
    for line in text.content.splitlines():
        # An empty line stays one, so that rows keep their numbers.
        cells = line.split("::") if line.strip() else []
        writer.writerow(cells)
    return replace(text, content=rows.getvalue(), delimiter=",")


def _types(text: Text) -> dict[str, str]:
    """The columns of a header in which each has a type, `user_id:token`, with their types; none of another."""
    found = {}
    for cell in text.header():
        match = _TYPED.fullmatch(cell)
        if match is None:
            return {}
        # Words in a row, `token_seq`, are a text, as its cells show.
        found[match["name"]] = cell.rpartition(":")[2]
    return found


def _holds_lists(text: Text) -> bool:
    """Whether lines are of whole numbers, and not of equally many: those of a table are."""
    lines = text.content.splitlines()
    if not _NUMBERS.fullmatch(lines[0]):
        return False
    lengths = {line.count(" ") for line in lines}
    return len(lengths) > 2 and all(map(_NUMBERS.fullmatch, lines))


def _from_lists(text: Text) -> Text:
    """A row for each item of a user, whose line LightGCN's and NGCF's files begin with."""
    rows, without = ["user,item"], 0
    for line in text.content.splitlines():
        user, *items = line.split()
        rows += [f"{user},{item}" for item in items]
        without += not items
    note = f"{text.file.name}: {LISTED}"
    if without:
        note += f"; {without:,} have none, and are left out"
    notes = [*text.notes, note]
    return replace(text, content="\n".join(rows) + "\n", delimiter=",", notes=notes)
