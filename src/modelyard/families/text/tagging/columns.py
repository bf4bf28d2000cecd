"""Files with a word and its tags a line: CoNLL-2003 and what followed it, CoNLL-U too."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from modelyard.errors import BadData
from modelyard.families.text.tagging.schemes import OUTSIDE, is_tag
from modelyard.kit.json_lines import read_utf8
from modelyard.kit.splits import split_of
from modelyard.store.files import File, FileSet

TEXTS_TOO = frozenset({".txt", ".tsv"})
"""Endings of files with a word and its tags a line that may also be a text, or a table of texts."""
UNIVERSAL = ".conllu"
"""Ending of files of Universal Dependencies: their second column is the word, the fourth its part of
speech (universaldependencies.org/format.html)."""
COLUMNS = TEXTS_TOO | {
    UNIVERSAL,
    ".conll",
    ".conll03",
    ".bio",
    ".iob",
    ".iob2",
    ".bioes",
    ".col",
    ".ner",
    # CoNLL-2003 comes as eng.train, eng.testa and eng.testb; others as corpus.dev and corpus.test.
    ".train",
    ".testa",
    ".testb",
    ".dev",
    ".valid",
    ".val",
    ".test",
}
"""All endings of files with a word and its tags a line."""
ONLY_TAGS = frozenset(
    {UNIVERSAL, ".conll", ".conll03", ".bio", ".iob", ".iob2", ".bioes", ".testa"}
)
"""Endings of files that hold nothing but words and tags."""
DOCUMENT = "-DOCSTART-"
MOST_WORDS = 5_000
"""A longer sentence is a file without blank lines between its sentences."""
LOOKED_AT = 50
"""Sentences that show whether the first column counts words."""
MARK = "\ufeff"
"""Byte order mark, which stands inside a file where several were joined."""
_NO_WORD = re.compile(r"\d+[-.]\d+")
"""In CoNLL-U the number of a range of words, as of `zum` before `zu` and `dem`, or of an empty node."""
_LANGUAGE = re.compile(r"[a-z-]{2,12}:(?=.)")
"""What WikiANN writes before every word: `de:`."""


class Lines(NamedTuple):
    """The lines of one sentence."""

    rows: list[int]
    """Number of each."""
    cells: list[list[str]]
    """The cells of each."""
    document: int | None
    """Number of its document in the file, where documents are told apart."""


class Layout(NamedTuple):
    """Which column holds what."""

    word: int = 0
    tag: int = -1
    comments: bool = False
    """Whether lines that begin with # are none of a sentence."""


class Words(NamedTuple):
    """A sentence with its tags as they stand."""

    rows: list[int]
    words: list[str]
    tags: list[str]
    document: int | None


def column_files(files: FileSet) -> list[File]:
    """The files of a folder with a word and its tags a line; without an ending where they are called as
    splits, or where there is only one."""
    found = [file for file in files if file.suffix in COLUMNS]
    if found:
        return found
    bare = [file for file in files if not file.suffix]
    return [file for file in bare if len(files) == 1 or split_of(file)]


def from_columns(file: File) -> tuple[list[Words], list[str]]:
    """The sentences of a file, and notes on how its columns are read.

    Raises:
        BadData: with the row.
    """
    layout = layout_of(file)
    notes = []
    if layout.word:
        place = f"{layout.word + 1}, the tag column {layout.tag + 1}"
        notes.append(f"{file.name}: its first column counts, so the word is column {place}.")
    found = []
    blank = 0
    for some in sentences_of(file, layout):
        words, tags, rows = [], [], []
        for row, cells in zip(some.rows, some.cells, strict=True):
            tag = _tag(file, row, cells, layout)
            word = cells[layout.word]
            # Characters that nobody sees, as tweets hold them, leave an empty word.
            if not word and tag == OUTSIDE:
                blank += 1
                continue
            if not word:
                raise BadData("the word is empty", file=file.path, row=row)
            words.append(word)
            tags.append(tag)
            rows.append(row)
        if words:
            found.append(Words(rows, words, tags, some.document))
    if blank:
        notes.append(f"{file.name}: lines without a word are left out ({blank}).")
    return _without_language(found, file, notes), notes


def words_in(file: File) -> list[list[str]]:
    """The words of each sentence of a file, as `from_columns` reads them; tags are not looked at.

    Raises:
        BadData: with the row.
    """
    layout = layout_of(file)
    found = []
    for some in sentences_of(file, layout):
        words = [cells[layout.word] for cells in some.cells if cells[layout.word]]
        if words:
            found.append(Words(some.rows, words, [], some.document))
    return [one.words for one in _without_language(found, file, [])]


def layout_of(file: File) -> Layout:
    """Which columns hold words and tags: the first and the last, unless the first one counts words."""
    if file.suffix == UNIVERSAL:
        return Layout(1, 3, True)
    some = []
    for lines in sentences_of(file, Layout(comments=True), strict=False):
        some.append(lines.cells)
        if len(some) == LOOKED_AT:
            break
    rows = [cells for sentence in some for cells in sentence]
    width = min((len(cells) for cells in rows), default=0)
    if width < 3 or not all(_counts(sentence) for sentence in some):
        return Layout()
    for place in range(2, width):
        # Of several levels of tags, as of GermEval, the first is the outer one.
        if all(is_tag(cells[place]) for cells in rows):
            return Layout(1, place, True)
    return Layout(1, -1, True)


def _counts(sentence: list[list[str]]) -> bool:
    """Whether the first cells are 1, 2, 3, …"""
    return [cells[0] for cells in sentence] == [str(n) for n in range(1, len(sentence) + 1)]


def sentences_of(file: File, layout: Layout, *, strict: bool = True) -> Iterator[Lines]:
    """Lines between blank ones. `strict`: as many cells in each, and not too many lines.

    Raises:
        BadData: with the row.
    """
    lines = read_utf8(file).split("\n")
    tabs = any("\t" in line for line in lines)
    wide = 0
    found = Lines([], [], None)
    document, documents = 0, False
    # A blank line more, so that the last sentence ends too.
    for row, marked in enumerate([*lines, ""], 1):
        line = marked.replace(MARK, "")
        if layout.comments and line.startswith("#"):
            continue
        # Where tabs part the columns, a word may hold blanks.
        if tabs:
            cells = [cell.strip() for cell in line.split("\t")]
        else:
            cells = line.split()
        if line.startswith(DOCUMENT):
            documents, document = True, document + 1
            cells = []
        if not any(cells):
            if found.rows:
                yield found
            found = Lines([], [], document if documents else None)
            continue
        if layout.word and _NO_WORD.fullmatch(cells[0]):
            continue
        wide = wide or len(cells)
        found.rows.append(row)
        found.cells.append(cells)
        if strict:
            _check_line(file, row, cells, wide)
        if strict and len(found.rows) > MOST_WORDS:
            problem = f"a sentence of more than {MOST_WORDS:,} words"
            hint = "A blank line ends a sentence"
            raise BadData(problem, file=file.path, row=found.rows[0], hint=hint)


def _check_line(file: File, row: int, cells: list[str], wide: int) -> None:
    if len(cells) == wide:
        return
    if len(cells) > 1:
        seen = f"{len(cells)} columns"
    else:
        seen = f"one column, {cells[0][:40]!r}"
    raise BadData(f"has {seen}; the lines above have {wide}", file=file.path, row=row)


def _tag(file: File, row: int, cells: list[str], layout: Layout) -> str:
    """The tag of a line with a word."""
    if len(cells) < 2 or len(cells) <= max(layout.word, layout.tag):
        problem = f"has one column, {cells[0][:40]!r}; a word and a tag are needed"
        if len(cells) > 1:
            problem = f"has {len(cells)} columns; the tag is column {layout.tag + 1}"
        hint = "Leave files without tags out of the folder"
        raise BadData(problem, file=file.path, row=row, hint=hint)
    return cells[layout.tag]


def _without_language(found: list[Words], file: File, notes: list[str]) -> list[Words]:
    """Without the `de:` that every word of WikiANN begins with."""
    if not found:
        return found
    begins = _LANGUAGE.match(found[0].words[0])
    if begins is None:
        return found
    language = begins[0]
    if not all(word.startswith(language) for one in found for word in one.words):
        return found
    notes.append(f"{file.name}: {language} before every word is left out.")
    shorter = []
    for one in found:
        words = [word.removeprefix(language) or ":" for word in one.words]
        shorter.append(one._replace(words=words))
    return shorter
