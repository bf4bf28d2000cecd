"""Bodies of requests from files of rows, read as in training."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from modelyard.errors import BadData
from modelyard.kit.classifier.kind import FileKind
from modelyard.kit.classifier.parts import Rows, flat, rows_in
from modelyard.kit.classifier.rows import MOST_UNREADABLE
from modelyard.kit.json_lines import JSON, json_rows, read_utf8
from modelyard.kit.tables import SUFFIXES, decoded
from modelyard.store.files import WORKBOOKS, File

_NUMBERED = re.compile(r"c[1-9]\d*")
"""Names of columns that a file without a header has."""


def read_bodies(file: Path, kind: FileKind, column: str) -> list[dict[str, Any]] | None:
    """Rows of a table as bodies of requests, with their other columns: the content is in `column`,
    as in training, or is called as the request's field. JSON rows too, where they hold `column`,
    and a text as one request. None for any other file."""
    source = File(file.parent, file.name)
    if kind.reads(file.name):
        return [{kind.field: decoded(source, MOST_UNREADABLE)[0]}]
    if source.suffix in JSON:
        return _renamed(source, kind.field, column)
    if not file.name.lower().endswith((*SUFFIXES, *WORKBOOKS)):
        return None
    if _NUMBERED.fullmatch(column):
        rows = _without_header(source, {column, kind.field})
    else:
        rows = rows_in(source)
    name = kind.field
    if column in rows.columns:
        name = column
    elif [*rows.columns] == ["c1"]:
        # Texts without the labels that stood next to them in training.
        name = "c1"
    # A row without a content is sent as it is: the refusal names what it lacks.
    contents = rows.columns.pop(name, [None] * len(rows.numbers))
    bodies = []
    for place, content in enumerate(contents):
        body: dict[str, Any] = {}
        if content is not None:
            body[kind.field] = content
        for key, cells in rows.columns.items():
            body[key] = cells[place]
        bodies.append(body)
    return bodies


def _without_header(source: File, known: set[str]) -> Rows:
    """The rows for a model that was trained on a table without a header."""
    try:
        rows = rows_in(source)
    except BadData:
        # A single row that looks like names has none below it.
        return rows_in(source, has_header=False)
    names = [*rows.columns]
    # One column of texts looks as if its first one named it.
    if len(names) == 1 and names[0] not in known and " " in names[0]:
        return rows_in(source, has_header=False)
    return rows


def _renamed(source: File, field: str, column: str) -> list[dict[str, Any]] | None:
    """JSON rows with the content of `column` as `field`; None: no row needs it."""
    values = [flat(value) for _, value in json_rows(read_utf8(source), source.path)]
    with_column = [value for value in values if isinstance(value, dict) and column in value]
    if column == field or not with_column:
        return None
    for value in with_column:
        if field not in value:
            value[field] = value.pop(column)
    return values
