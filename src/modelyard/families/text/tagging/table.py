"""Tagged sentences in a table: a row a word, with a column that says which sentence it is of, or a row a
sentence, with its tags as a list."""

from __future__ import annotations

import ast
import csv
import io
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from modelyard.errors import BadData
from modelyard.kit.tables import read_text
from modelyard.kit.tables.delimited import OPEN_QUOTE
from modelyard.store.files import File

WORDS = ("word", "token", "tokens", "words", "form")
TAGS = ("tag", "tags", "ner_tag", "ner_tags", "ner", "entity", "label", "labels")
SENTENCES = (
    *("sentence #", "sentence_id", "sentence_idx", "sentence_number", "sentence", "sent_id"),
    *("sentence_no", "sid"),
)
"""Usual names of the columns, the likeliest first, in lower case."""
TEXTS = ("sentence", "text", *WORDS)
"""Those of a row a sentence."""


class Tokens(NamedTuple):
    """A sentence of a table."""

    row: int
    """Of its first word, from 1 below the header."""
    words: list[str]
    tags: list[str]
    column: str
    """Of the tags."""


def from_table(file: File) -> Iterator[Tokens]:
    """The sentences of a table. Cells are taken as they stand: `NA` and `null` are words.

    Raises:
        BadData: with row and column.
    """
    text = read_text(file)
    # Not as other tables are read: there NA and null are empty cells, and here they are words.
    reader = csv.reader(io.StringIO(text.content, newline=""), delimiter=text.delimiter)
    header = [name.strip() for name in next(reader)]
    rows = []
    try:
        for row, cells in enumerate(reader, 1):
            if not any(cells):
                continue
            if len(cells) != len(header):
                problem = f"has {len(cells)} cells where the header has {len(header)}"
                raise BadData(problem, file=file.path, row=row)
            rows.append((row, cells))
    except csv.Error:
        # A cell beyond the module's limit, which is what follows such a quote.
        row = rows[-1][0] + 1 if rows else 1
        raise BadData(OPEN_QUOTE, file=file.path, row=row) from None
    tag = _place(header, TAGS, file, "tag")
    # A list of tags in the first row is one of a whole sentence.
    if rows and rows[0][1][tag].lstrip().startswith("["):
        word = _place(header, TEXTS, file, "text")
        yield from _rows_of_sentences(file, rows, header, word, tag)
    else:
        word = _place(header, WORDS, file, "word")
        sentence = _place(header, SENTENCES, file, "sentence")
        yield from _rows_of_words(file, rows, header, word, tag, sentence)


def _rows_of_words(
    file: File,
    rows: Sequence[tuple[int, list[str]]],
    header: list[str],
    word: int,
    tag: int,
    sentence: int,
) -> Iterator[Tokens]:
    """A new sentence begins where the cell of its column changes; an empty one repeats the one above."""
    current: Tokens | None = None
    number = ""
    for row, cells in rows:
        if not cells[word].strip():
            raise BadData("the word is empty", file=file.path, row=row, column=header[word])
        begins = cells[sentence].strip() not in ("", number)
        if current is None or begins:
            if current is not None:
                yield current
            current = Tokens(row, [], [], header[tag])
        number = cells[sentence].strip() or number
        current.words.append(cells[word].strip())
        current.tags.append(cells[tag].strip())
    if current is not None:
        yield current


def _rows_of_sentences(
    file: File, rows: Sequence[tuple[int, list[str]]], header: list[str], word: int, tag: int
) -> Iterator[Tokens]:
    """Words between blanks, or as a list too."""
    for row, cells in rows:
        tags = _listed(cells[tag], file, row, header[tag])
        text = cells[word].strip()
        if text.startswith("["):
            words = _listed(text, file, row, header[word])
        else:
            words = text.split()
        if len(words) != len(tags):
            problem = f"has {len(words)} words and {len(tags)} tags"
            raise BadData(problem, file=file.path, row=row, column=header[tag])
        if words:
            yield Tokens(row, words, tags, header[tag])


def _listed(cell: str, file: File, row: int, column: str) -> list[str]:
    """The texts of a list, as JSON or Python writes it."""
    try:
        # pandas writes a list as Python does; only literals are read, nothing is run.
        found = ast.literal_eval(cell)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        found = None
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise BadData("is no list of texts", file=file.path, row=row, column=column)
    return found


def _place(header: list[str], usual: Sequence[str], file: File, what: str) -> int:
    known = [name.casefold() for name in header]
    for name in usual:
        if name in known:
            return known.index(name)
    problem = f"no column is the {what} by its name; seen: {', '.join(header)}"
    hint = f"Known by themselves, in any case: {', '.join(usual)}"
    raise BadData(problem, file=file.path, hint=hint)
