"""Reads documents from text files, rows of JSON and tables, and says exactly where it cannot."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from modelyard.errors import BadData
from modelyard.families.language.chat import Message, whole_text
from modelyard.families.language.dialogues import (
    ABOUT_OTHERS,
    MARKED_BAD,
    TOOLS_CALLED,
    dialogue_of,
    has_preference,
    not_for_learning,
)
from modelyard.kit.json_lines import JSON, LIST, ROWS, json_rows, read_utf8, text_of
from modelyard.store.files import WORKBOOKS, File, files_of, is_about

_ENDINGS = (
    "c cfg cpp cs css go h html ini java js kt lua md php pl py r rb rs rst scala sh sql swift tex"
    " toml ts txt xml yaml yml"
)
TEXT = frozenset(f".{ending}" for ending in _ENDINGS.split())
"""Endings of files that are read as text."""
REJECTED = "answers: another one was preferred"
"""What is left out of rows for DPO."""
TABLES = frozenset({LIST, ".parquet", ".pq", ".csv", ".csv.gz", ".tsv", ".tsv.gz", *WORKBOOKS})
"""Endings of files that hold rows and may lie next to texts."""


@dataclass(frozen=True)
class Document:
    """A text and where it stands: `notes.txt`, `reviews.jsonl row 7`."""

    text: str
    source: str
    messages: list[dict[str, str]] | None = None
    """Of a dialogue: `role` and `content` of each message; `text` is all of them."""

    @property
    def dialogue(self) -> list[Message] | None:
        """The messages of a dialogue."""
        if self.messages is None:
            return None
        return [Message.model_validate(message) for message in self.messages]


def read_documents(
    raw: Path, text_field: str, separator: str | None
) -> tuple[list[Document], dict[str, int]]:
    """All different documents below `raw`, in the order of file names, and how many were left out,
    by reason.

    Raises:
        BadData: no file of a known kind; an empty file; bytes that are no UTF-8; a row that is not
            JSON or has no text: file and row.
    """
    files, others = _files(Path(raw))
    # One file after the other, so that no more than the different documents is in memory.
    dropped: Counter[str] = Counter()
    found = chain.from_iterable(_read(file, text_field, separator, dropped) for file in files)
    documents = _different(found, dropped)
    if dropped[TOOLS_CALLED] and not documents:
        problem = "in every dialogue the assistant calls tools, which is not learnt here"
        raise BadData(problem, file=raw, hint="Add dialogues without tool_calls")
    unfit = [reason for reason in (MARKED_BAD, ABOUT_OTHERS) if dropped[reason]]
    if unfit and not documents:
        raise BadData(f"holds no dialogue to learn from: each is left out, {unfit[0]}", file=raw)
    if others:
        dropped["files: of another kind"] = others
    plain = [document.source for document in documents if document.messages is None]
    if 0 < len(plain) < len(documents):
        problem = f"holds dialogues and plain texts ({plain[0]}); a model learns one of them"
        raise BadData(problem, file=raw, hint="Keep the others elsewhere")
    return documents, {reason: count for reason, count in dropped.items() if count}


def in_parts(documents: list[Document], parts: int = 20, shortest: int = 200) -> list[Document]:
    """The documents cut into some `parts` of nearly one length, `shortest` characters or more.

    Each ends where a line does; in a text without line ends where a sentence does, else at a blank.
    """
    total = sum(len(document.text) for document in documents)
    length = max(shortest, math.ceil(total / parts))
    found: dict[str, Document] = {}
    for document in documents:
        start, number = 0, 1
        while start < len(document.text):
            end = _end(document.text, start + length, length // 2)
            if len(document.text) - end < shortest:
                end = len(document.text)
            part = document.text[start:end]
            found.setdefault(part.strip(), Document(part, f"{document.source} part {number}"))
            start, number = end, number + 1
    return list(found.values())


def _end(text: str, wanted: int, far: int) -> int:
    """Where to cut near `wanted`: behind the next line end, sentence or blank that is less than
    `far` characters on."""
    near = text[wanted : wanted + far]
    for mark in ("\n\n", "\n", ". ", " "):
        if (place := near.find(mark)) >= 0:
            return wanted + place + len(mark)
    return min(wanted, len(text))


def _files(raw: Path) -> tuple[list[File], int]:
    """The files that are read, and how many are not. Tables and lists in JSON lie next to texts that
    are none of theirs: they are read where nothing else is but a README."""
    files = list(files_of(raw))
    texts = [file for file in files if file.name.lower().endswith(tuple(TEXT | ROWS))]
    tables = [file for file in files if file.name.lower().endswith(tuple(TABLES))]
    others = [file for file in texts if not is_about(file)]
    # Next to rows, a README or what else a hub lays there is not the text to learn.
    rows_only = all(file.suffix in ROWS for file in others)
    for known in (others, tables) if rows_only else ():
        if known:
            return known, len(files) - len(known)
    if texts:
        return texts, len(files) - len(texts)
    allowed = ", ".join(sorted(TEXT | ROWS | TABLES))
    seen = f"; seen: {files[0].name}" if files else ""
    raise BadData(f"holds no text files{seen}. Allowed: {allowed}", file=raw)


def _read(
    file: File, text_field: str, separator: str | None, dropped: Counter[str]
) -> Iterator[Document]:
    """Its documents; rows that are left out are counted in `dropped`."""
    if file.name.lower().endswith(tuple(ROWS | TABLES)):
        yield from _rows(_values(file), file, text_field, dropped)
        return
    text = read_utf8(file)
    parts = text.split(separator) if separator else [text]
    if len(parts) == 1:
        yield Document(text, file.name)
        return
    for number, part in enumerate(parts, 1):
        yield Document(part, f"{file.name} part {number}")


def _values(file: File) -> Iterator[tuple[int, Any]]:
    """Number and value of each row."""
    if file.suffix in JSON:
        yield from json_rows(read_utf8(file), file.path)
        return
    # Only tables need Arrow.
    from modelyard.families.language.table_rows import objects_of

    yield from objects_of(file)


def _rows(
    values: Iterable[tuple[int, Any]], file: File, text_field: str, dropped: Counter[str]
) -> Iterator[Document]:
    hint = "Name the field that holds the text: --set features.text_field=NAME"
    for row, value in values:
        source = f"{file.name} row {row}"
        messages = None
        if not (isinstance(value, dict) and text_field in value):
            reason = not_for_learning(value)
            if reason:
                dropped[reason] += 1
                continue
            messages = dialogue_of(value, file.path, row)
            dropped[REJECTED] += messages is not None and has_preference(value)
        if messages is None:
            yield Document(text_of(value, text_field, file.path, row, hint), source)
        else:
            plain = [message.model_dump() for message in messages]
            yield Document(whole_text(messages), source, plain)


def _different(found: Iterable[Document], dropped: Counter[str]) -> list[Document]:
    documents, seen = [], set()
    for document in found:
        digest = hashlib.sha256(document.text.strip().encode()).digest()
        if not document.text.strip():
            dropped["empty"] += 1
        elif digest in seen:
            dropped["identical"] += 1
        else:
            seen.add(digest)
            documents.append(document)
    return documents
