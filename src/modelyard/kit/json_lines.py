"""Text files in UTF-8, and files with one JSON object a line or a list of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from modelyard.errors import BadData
from modelyard.kit.splits import split_in
from modelyard.store.files import File

ROWS = frozenset({".jsonl", ".ndjson"})
"""Endings of files with one JSON object a line."""
LIST = ".json"
"""Ending of a file that may hold a list of objects, one object a line, or something else."""
JSON = ROWS | {LIST}
"""Endings of files that hold JSON."""
ENVELOPES = ("data", "rows", "records", "items", "examples")
"""Fields of one object that is mostly the rows below it, as services and pandas write them."""
HALF = "holds half of a surrogate pair"


def read_utf8(source: File) -> str:
    """The file's text without byte order mark, lines ended by a line feed.

    Raises:
        BadData: it is empty, or not UTF-8: the row.
    """
    content, file = source.read(), source.path
    if not content.strip():
        raise BadData("the file is empty", file=file)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = content[: error.start].count(b"\n") + 1
        byte = content[error.start]
        raise BadData(
            f"byte 0x{byte:02x} is not UTF-8",
            file=file,
            row=row,
            hint="Save the file as UTF-8, or leave it out",
        ) from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def json_value(text: str | bytes, file: Path, row: int | None = None) -> Any:
    """What the JSON of a file says, or of one row of it. Of bytes it finds the encoding.

    Raises:
        BadData: it is not JSON: the row.
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        problem = f"is not JSON: {error.msg}, at column {error.colno}"
        raise BadData(problem, file=file, row=row or error.lineno) from None
    except UnicodeDecodeError:
        raise BadData("is not UTF-8 text", file=file, row=row) from None
    except RecursionError:
        raise BadData("is not JSON: too deeply nested", file=file, row=row) from None
    # Python refuses whole numbers of more than 4,300 digits, since reading them takes long.
    except ValueError:
        raise BadData("is not JSON: a number has too many digits", file=file, row=row) from None


def json_rows(text: str, file: Path, *, splits: bool = False) -> Iterator[tuple[int, Any]]:
    """Number, from 1, and value of each line that is not blank; of a `.json` with a list, of each of
    its members, and so of one object whose field `data` is that list.

    Args:
        splits: whether the list may be divided: `{"train": […], "test": […]}`. Each row says its own
            in a field `split` then; of rows that are lists the cells are called c1, c2, …

    Raises:
        BadData: a line that is not JSON; a `.json` that holds neither rows nor lines.
    """
    if file.suffix.lower() == LIST and (members := _members(text, file, splits)) is not None:
        yield from enumerate(members, 1)
        return
    for row, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        yield row, json_value(line, file, row)


def flattened(row: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Names and values of a row's fields; those of an object in it are called by both: `user.age`."""
    for name, value in row.items():
        if isinstance(value, dict):
            yield from flattened(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _members(text: str, file: Path, splits: bool) -> list[Any] | None:
    """The list that a file holds; None where it has one value a line."""
    try:
        value = json_value(text, file)
    except BadData:
        if text.lstrip().startswith("["):
            raise
        return None
    if isinstance(value, list):
        return value
    if isinstance(value, dict):
        if splits and (rows := _of_splits(value)):
            return rows
        for name in ENVELOPES:
            if _is_objects(value.get(name)) and _is_most(value[name], value):
                return list(value[name])
    if "\n" not in text.strip():
        return None  # one line
    hint = "Write a list of objects, [{…}, {…}], or one object a line"
    raise BadData("holds one value, not rows", file=file, hint=hint)


def _is_objects(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)


def _is_most(part: Any, value: Any) -> bool:
    """Whether a field is most of an object: a row may hold a list of items next to its text."""
    return len(json.dumps(part)) > len(json.dumps(value)) / 2


def _of_splits(value: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of an object whose fields are called as splits; none where they are not."""
    found = []
    for name, rows in value.items():
        split = split_in(name)
        if split is None or not isinstance(rows, list):
            return []
        for row in rows:
            if isinstance(row, list):
                row = {f"c{place}": cell for place, cell in enumerate(row, 1)}
            if not isinstance(row, dict):
                return []
            found.append({**row, "split": split})
    return found


def is_broken(text: str, value: Any) -> bool:
    """Whether a value that JSON `text` says holds half of a surrogate pair, which is no text and
    which nothing can write: only an escape such as `\\ud83d` can say it."""
    if "\\ud" not in text.lower():
        return False
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False


def in_utf8(text: str, file: Path, column: str, row: int | None = None) -> bytes:
    """A text as it can be written.

    Raises:
        BadData: half of a surrogate pair cannot, which only an escape of JSON says.
    """
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise BadData(HALF, file=file, row=row, column=column) from None


def text_of(value: Any, field: str, file: Path, row: int, hint: str) -> str:
    """The text in a field of a row, lines ended by a line feed.

    Raises:
        BadData: the row is no object, the field is missing (then with `hint`), or it is no text.
    """
    if not isinstance(value, dict):
        raise BadData(f"must be a JSON object with a field {field!r}", file=file, row=row)
    if field not in value:
        fields = ", ".join(list(value)[:8]) or "none"
        problem = f"the field is missing; seen: {fields}"
        raise BadData(problem, file=file, row=row, column=field, hint=hint)
    text = value[field]
    if not isinstance(text, str):
        problem = f"must be a text, seen {json.dumps(text)[:40]}"
        raise BadData(problem, file=file, row=row, column=field)
    in_utf8(text, file=file, row=row, column=field)
    return text.replace("\r\n", "\n").replace("\r", "\n")
