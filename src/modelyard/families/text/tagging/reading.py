"""Tagged sentences as people keep them: columns as of CoNLL-2003, JSON lines, and tables."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from modelyard.errors import BadData
from modelyard.families.text.tagging.columns import (
    COLUMNS,
    TEXTS_TOO,
    column_files,
    from_columns,
    layout_of,
    sentences_of,
    words_in,
)
from modelyard.families.text.tagging.schemes import (
    OUTSIDE,
    broken_in,
    has_prefix,
    is_tag,
    scheme_of,
    spans_of,
    to_bio,
    with_prefixes,
)
from modelyard.families.text.tagging.table import from_table
from modelyard.kit.classifier.examples import Listed
from modelyard.kit.classifier.parallel import TAG_LINES, TEXT, Parallel, labelled
from modelyard.kit.json_lines import JSON, LIST, ROWS, in_utf8, json_rows, read_utf8
from modelyard.store.files import File, FileSet, files_of

TABLES = frozenset({".csv"})
"""Endings of tables with a header."""
WORDS, TAGS = ("tokens", "words"), ("tags", "ner_tags", "labels")
"""Fields of JSON lines, the likeliest first."""
MOST_LABELS = 200
"""A column with more different cells, none of which is a tag by its beginning, holds no tags."""


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
    rows: list[int] | None = None
    """Lines of the words; None: all are of the first one's row."""
    column: str | None = None
    """Of the tags, where it has a name."""


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
    inside = files_of(raw)
    together = labelled(inside, (TEXT, TAG_LINES))
    if together:
        files = list(together[0].files.values())
        for group in together:
            found.sentences += _from_parallel(group)
    else:
        files = _files(inside, raw)
        for file in files:
            found.sentences += _from_file(file, found)
    if not found.sentences:
        raise BadData("no sentence has a word", file=files[0].path)
    if all(set(sentence.tags) == {OUTSIDE} for sentence in found.sentences):
        raise BadData(f"every tag is {OUTSIDE}: there is no span to learn", file=files[0].path)
    _to_bio(found)
    return found


def _files(inside: FileSet, raw: Path) -> list[File]:
    """Those of a folder that hold tagged sentences."""
    columns = column_files(inside)
    files = [file for file in inside if file in columns or file.suffix in ROWS | TABLES]
    if not files:
        files = [file for file in inside if file.suffix == LIST]
    if not files:
        allowed = ", ".join(sorted(COLUMNS | JSON | TABLES))
        raise BadData("holds no file of tagged sentences", file=raw, hint=f"Allowed: {allowed}")
    return files


def _from_file(file: File, found: Tagged) -> Iterator[Sentence]:
    if file.suffix in JSON:
        yield from _from_json(file, found)
    elif file.suffix in TABLES:
        yield from _from_table(file)
    else:
        yield from _from_columns(file, found)


def _to_bio(found: Tagged) -> None:
    """Puts the tags of all files into BIO: one scheme, since a single file may be too short to show
    which it is."""
    labels = {tag for sentence in found.sentences for tag in sentence.tags}
    read_as = ", read as BIO"
    if _are_plain(labels):
        for place, one in enumerate(found.sentences):
            tags = with_prefixes(one.tags, joined=OUTSIDE in labels)
            found.sentences[place] = replace(one, tags=tags)
        if OUTSIDE in labels:
            said = f"labels or {OUTSIDE}{read_as}: neighbouring words of one label are one span"
        else:
            said = "labels of words, such as parts of speech: each word is a span"
        found.notes.append(f"The tags are {said}.")
        return
    _check_tags(found)
    scheme = scheme_of([sentence.tags for sentence in found.sentences])
    broken = 0
    for place, one in enumerate(found.sentences):
        broken += broken_in(one.tags, scheme)
        tags = to_bio(spans_of(one.tags), len(one.words))
        found.sentences[place] = replace(one, tags=tags)
    found.notes.append(f"The tags are {scheme}{'' if scheme == 'BIO' else read_as}.")
    if broken:
        found.notes.append(
            f"{broken} tags are not allowed where they stand in {scheme}: read as conlleval does, one "
            "that continues nothing begins a span."
        )


def _are_plain(labels: set[str]) -> bool:
    """Whether no tag says where a span begins: `PER`, `O`, `NOUN`."""
    if len(labels) > MOST_LABELS:
        return False
    return all(len(label.split()) == 1 and not has_prefix(label) for label in labels)


def _check_tags(found: Tagged) -> None:
    for sentence in found.sentences:
        for place, tag in enumerate(sentence.tags):
            if is_tag(tag):
                continue
            problem = f"{tag[:40]!r} is no tag: O, or B-, I-, E-, S- (L-, U-) and a label are"
            row = sentence.rows[place] if sentence.rows else sentence.row
            raise BadData(problem, file=sentence.file.path, row=row, column=sentence.column)


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
    return [{"text": " ".join(words)} for words in words_in(file)]


def _body(value: Any, file: File, row: int) -> dict[str, Any]:
    """A JSON row as the body of a request."""
    if not isinstance(value, dict):
        raise BadData("must be a JSON object", file=file.path, row=row)
    others = {name: cell for name, cell in value.items() if name not in (*WORDS, *TAGS)}
    return {"text": " ".join(_list(value, WORDS, file, row)), **others}


def _has_tags(file: File) -> bool:
    """Whether each line of a file ends with a tag behind a word: else it is a text or a table."""
    layout = layout_of(file)
    seen = False
    for some in sentences_of(file, layout, strict=False):
        for cells in some.cells:
            if len(cells) < 2 or not is_tag(cells[-1]):
                return False
            seen = True
    return seen


def _from_columns(file: File, found: Tagged) -> Iterator[Sentence]:
    sentences, notes = from_columns(file)
    found.notes += notes
    for one in sentences:
        yield Sentence(file, one.rows[0], one.words, one.tags, one.document, one.rows)


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
        for word in words:
            if not word.strip() or "\n" in word:
                problem = f"holds the token {json.dumps(word)[:40]}; a token is a word"
                raise BadData(problem, file=file.path, row=row, column="tokens")
        yield Sentence(file, row, words, tags, None, column="tags")


def _from_table(file: File) -> Iterator[Sentence]:
    for tokens in from_table(file):
        yield Sentence(file, tokens.row, tokens.words, tokens.tags, None, column=tokens.column)


def _from_parallel(group: Parallel) -> Iterator[Sentence]:
    """A line of words, and one of as many tags in the file next to it."""
    text, tags = group.files[TEXT], group.files[TAG_LINES]
    lines = group.lines()
    for row, pair in enumerate(zip(lines[TEXT], lines[TAG_LINES], strict=True), 1):
        words, own = pair[0].split(), pair[1].split()
        if len(words) != len(own):
            problem = f"has {len(own)} tags, the same line of {text.path.name} {len(words)} words"
            raise BadData(problem, file=tags.path, row=row)
        if words:
            yield Sentence(text, row, words, own, None)


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
