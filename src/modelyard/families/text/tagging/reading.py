"""Tagged sentences as people keep them: columns as of CoNLL-2003, JSON lines, and tables."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from modelyard.errors import BadData
from modelyard.families.text.tagging.schemes import (
    OUTSIDE,
    Scheme,
    broken_in,
    is_tag,
    scheme_of,
    spans_of,
    to_bio,
)
from modelyard.families.text.tagging.table import from_table
from modelyard.kit.classifier.examples import Listed
from modelyard.kit.json_lines import JSON, LIST, ROWS, in_utf8, json_rows, read_utf8
from modelyard.store.files import File, files_of

TEXTS_TOO = frozenset({".txt", ".tsv"})
"""Endings of files with a word and its tags a line that may also be a text, or a table of texts."""
COLUMNS = TEXTS_TOO | {
    ".conll",
    ".conll03",
    ".bio",
    ".iob",
    ".iob2",
    ".bioes",
    ".col",
    ".ner",
    # CoNLL-2003 comes as eng.train, eng.testa and eng.testb.
    ".train",
    ".testa",
    ".testb",
}
"""All endings of files with a word and its tags a line."""
TABLES = frozenset({".csv"})
"""Endings of tables with a header."""
DOCUMENT = "-DOCSTART-"
WORDS, TAGS = ("tokens", "words"), ("tags", "ner_tags", "labels")
"""Fields of JSON lines, the likeliest first."""
MOST_WORDS = 5_000
"""A longer sentence is a file without blank lines between its sentences."""


@dataclass(frozen=True)
class Sentence:
    """Words and their tags, in BIO once all files are read."""

    file: File
    row: int
    """Line of the first word."""
    words: list[str]
    tags: list[str]
    document: int | None
    """Number of its document in the file, where documents are told apart."""


@dataclass
class Tagged(Listed):
    """The sentences of a raw folder."""

    sentences: list[Sentence] = field(default_factory=list)


def read_tagged(raw: Path) -> Tagged:
    """All sentences of the files below `raw`, their tags in BIO.

    Raises:
        BadData: with file and row.
    """
    raw = Path(raw)
    found = Tagged()
    files = [file for file in files_of(raw) if file.suffix in COLUMNS | ROWS | TABLES]
    if not files:
        files = [file for file in files_of(raw) if file.suffix == LIST]
    if not files:
        allowed = ", ".join(sorted(COLUMNS | JSON | TABLES))
        raise BadData("holds no file of tagged sentences", file=raw, hint=f"Allowed: {allowed}")
    for file in files:
        if file.suffix in JSON:
            found.sentences += _from_json(file, found)
        elif file.suffix in TABLES:
            found.sentences += _from_table(file)
        else:
            found.sentences += _from_columns(file)
    if not found.sentences:
        raise BadData("no sentence has a word", file=files[0].path)
    if all(set(sentence.tags) == {OUTSIDE} for sentence in found.sentences):
        raise BadData(f"every tag is {OUTSIDE}: there is no span to learn", file=files[0].path)
    # One scheme for all files: a single one may be too short to show which it is.
    scheme = scheme_of([sentence.tags for sentence in found.sentences])
    _to_bio(found, scheme)
    return found


def _to_bio(found: Tagged, scheme: Scheme) -> None:
    broken = 0
    for place, one in enumerate(found.sentences):
        broken += broken_in(one.tags, scheme)
        tags = to_bio(spans_of(one.tags), len(one.words))
        found.sentences[place] = replace(one, tags=tags)
    read_as = "" if scheme == "BIO" else ", read as BIO"
    found.notes.append(f"The tags are {scheme}{read_as}.")
    if broken:
        found.notes.append(
            f"{broken} tags are not allowed where they stand in {scheme}: read as conlleval does, one "
            "that continues nothing begins a span."
        )


def read_untagged(file: File) -> list[dict[str, Any]] | None:
    """The sentences of one file as bodies of requests: words with a blank between them. Tags are
    not looked at. A JSON row keeps its other fields. None: the file holds texts, or something else.

    Raises:
        BadData: with file and row.
    """
    if file.suffix in JSON:
        return [_body(value, file, row) for row, value in json_rows(read_utf8(file), file.path)]
    if file.suffix not in COLUMNS:
        return None
    if file.suffix in TEXTS_TOO and not _has_tags(file):
        return None
    bodies = []
    for some in _sentences(file):
        words = [cells[0] for cells in some.rows]
        bodies.append({"text": " ".join(words)})
    return bodies


def _body(value: Any, file: File, row: int) -> dict[str, Any]:
    """A JSON row as the body of a request."""
    if not isinstance(value, dict):
        raise BadData("must be a JSON object", file=file.path, row=row)
    others = {name: cell for name, cell in value.items() if name not in (*WORDS, *TAGS)}
    return {"text": " ".join(_list(value, WORDS, file, row)), **others}


def _has_tags(file: File) -> bool:
    """Whether each line of a file ends with a tag behind a word: else it is a text or a table."""
    seen = False
    for some in _sentences(file, strict=False):
        for cells in some.rows:
            if len(cells) < 2 or not is_tag(cells[-1]):
                return False
            seen = True
    return seen


def _from_columns(file: File) -> Iterator[Sentence]:
    """The first column is the word, the last its tag."""
    for some in _sentences(file):
        words = [cells[0] for cells in some.rows]
        tags = [_tag(file, row, cells) for row, cells in enumerate(some.rows, some.start)]
        yield Sentence(file, some.start, words, tags, some.document)


class _Lines(NamedTuple):
    """The lines of one sentence."""

    start: int
    """Number of the first."""
    rows: list[list[str]]
    """The cells of each."""
    document: int | None


def _sentences(file: File, *, strict: bool = True) -> Iterator[_Lines]:
    """Lines between blank ones. `strict`: as many cells in each, the first of which is not empty,
    and not too many lines.

    Raises:
        BadData: with the row.
    """
    lines = read_utf8(file).split("\n")
    tabs = any("\t" in line for line in lines)
    wide = 0
    rows: list[list[str]] = []
    start, document, documents = 1, 0, False
    # A blank line more, so that the last sentence ends too.
    for row, line in enumerate([*lines, ""], 1):
        # Where tabs part the columns, a word may hold blanks.
        if tabs:
            cells = [cell.strip() for cell in line.split("\t")]
        else:
            cells = line.split()
        if line.startswith(DOCUMENT):
            documents, document = True, document + 1
            cells = []
        if not any(cells):
            if rows:
                yield _Lines(start, rows, document if documents else None)
            rows, start = [], row + 1
            continue
        wide = wide or len(cells)
        rows.append(cells)
        if strict:
            _check_line(file, row, cells, wide)
        if strict and len(rows) > MOST_WORDS:
            problem = f"a sentence of more than {MOST_WORDS:,} words"
            hint = "A blank line ends a sentence"
            raise BadData(problem, file=file.path, row=start, hint=hint)


def _check_line(file: File, row: int, cells: list[str], wide: int) -> None:
    if len(cells) != wide:
        if len(cells) > 1:
            seen = f"{len(cells)} columns"
        else:
            seen = f"one column, {cells[0][:40]!r}"
        problem = f"has {seen}; the lines above have {wide}"
        raise BadData(problem, file=file.path, row=row)
    if not cells[0]:
        raise BadData("the word is empty", file=file.path, row=row)


def _tag(file: File, row: int, cells: list[str]) -> str:
    """The tag of a line with a word."""
    if len(cells) < 2:
        problem = f"has one column, {cells[0][:40]!r}; a word and a tag are needed"
        raise BadData(problem, file=file.path, row=row)
    _check_tag(cells[-1], file, row)
    return cells[-1]


def _check_tag(tag: str, file: File, row: int, column: str | None = None) -> None:
    if not is_tag(tag):
        problem = f"{tag[:40]!r} is no tag: O, or B-, I-, E-, S- (L-, U-) and a label are"
        raise BadData(problem, file=file.path, row=row, column=column)


def _from_json(file: File, found: Tagged) -> Iterator[Sentence]:
    """One object a line, with lists of words and tags of one length."""
    for row, value in json_rows(read_utf8(file), file.path):
        if not isinstance(value, dict):
            raise BadData("must be a JSON object", file=file.path, row=row)
        words, tags = _list(value, WORDS, file, row), _list(value, TAGS, file, row)
        if len(words) != len(tags):
            problem = f"has {len(words)} tokens and {len(tags)} tags"
            raise BadData(problem, file=file.path, row=row)
        if not words:
            found.drop("sentences: without a word")
            continue
        for tag in tags:
            _check_tag(tag, file, row, "tags")
        for word in words:
            if not word.strip() or "\n" in word:
                problem = f"holds the token {json.dumps(word)[:40]}; a token is a word"
                raise BadData(problem, file=file.path, row=row, column="tokens")
        yield Sentence(file, row, words, tags, None)


def _from_table(file: File) -> Iterator[Sentence]:
    def check(tag: str, row: int, column: str) -> None:
        _check_tag(tag, file, row, column)

    for tokens in from_table(file, check):
        yield Sentence(file, tokens.row, tokens.words, tokens.tags, None)


def _list(value: dict[str, Any], names: tuple[str, ...], file: File, row: int) -> list[str]:
    """The list of texts in the first of these fields."""
    named = [name for name in names if name in value]
    if not named:
        seen = ", ".join(list(value)[:8]) or "none"
        problem = f"the field is missing; seen: {seen}"
        raise BadData(problem, file=file.path, row=row, column=names[0])
    name = named[0]
    cells = value[name]
    if not isinstance(cells, list) or not all(isinstance(cell, str) for cell in cells):
        problem = f"must be a list of texts, seen {json.dumps(cells)[:40]}"
        raise BadData(problem, file=file.path, row=row, column=name)
    for cell in cells:
        in_utf8(cell, file.path, name, row)
    return cells
