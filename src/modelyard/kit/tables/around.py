"""Lines above and below a table in its file: comments, titles, the names of sources."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
WHOLE_LINES = "\x1f"
"""What separates cells where each line is one: a character for separators that no text holds."""
AROUND = " no part of the table"
"""Words of the note on lines that were left out."""

_SNIFFED_CHARACTERS, _SNIFFED_ROWS = 200_000, 200
_COMMENTS = re.compile(r"\A#[^\r\n]*(?:\r?\n|\r)(?:#[^\r\n]*(?:\r?\n|\r)|[ \t]*(?:\r?\n|\r))*")
_NUMBER = re.compile(r"[-+]?(?:\d+[.,]?\d*|[.,]\d+)(?:[eE][-+]?\d+)?")
_YEAR = re.compile(r"(?:1[5-9]|2[01])\d\d")
_LEAST_ROWS = 3
"""Rows of one width below a header, which make a table of it."""
_NARROWEST = 3
"""Columns of the narrowest table above which a title is recognised without a blank line below it, and a
source below the table."""
_STEADY = 0.95
"""Share of the rows that have a table's width; the others are errors to name."""
_LONGEST_FOOTER = 5
"""Lines."""
_SHOWN = 60
"""Characters of a line in a note."""


@dataclass(frozen=True)
class Found:
    """A table's own lines."""

    content: str
    delimiter: str
    notes: list[str]


def sniffed(content: str, delimiters: Iterable[str] = DELIMITERS) -> Found:
    """The table in a text, which of the delimiters separates its cells, and notes on the lines around it."""
    notes = []
    delimiter, share = _sniff(content, delimiters)
    # Of a title that stands above the table, the delimiter is chance.
    others = [] if share >= _STEADY else list(delimiters)
    for candidate in (delimiter, *others):
        lines = _lines_above(content, candidate)
        if lines:
            above, content = _parted(content, lines, candidate)
            notes.append(left_out(above, "above"))
            delimiter = candidate
            break
    if not share and not notes and _has_loose_commas(content):
        return Found(content, WHOLE_LINES, [])
    content, below = _without_footer(content, delimiter)
    if below:
        notes.append(left_out(below, "below"))
    return Found(content, delimiter, notes)


def without_comments(content: str) -> tuple[str, list[str]]:
    """Without lines above the header that begin with `#`, as archives of science write them, and a note.

    The last one of several is the header where it has as many cells as the row below it, as numpy
    writes it. Where the first one has more than half as many, all stay: `#` may be the name of a column, or
    begin a tweet.
    """
    found = _COMMENTS.match(content)
    if found is None or found.end() == len(content):
        return content, []
    comments = [line.strip() for line in found[0].splitlines() if line.strip()]
    below = content[found.end() :]
    header = comments[-1].lstrip("#").strip()
    if any(first > row / 2 for first, row in _widths(comments[0], below)):
        return content, []
    widths = _widths(header, below)
    if not widths:
        # Blanks part the cells.
        first_row = below.splitlines()[0].split()
        if len(first_row) == 1:
            # `#id` above a single column may be its name.
            return content, []
        widths = [(len(header.split()), len(first_row))]
    if any(last == row for last, row in widths):
        comments = comments[:-1]
        below = f"{header}\n{below}"
    if not comments:
        return below, []
    return below, [left_out(comments, "above")]


def _widths(header: str, below: str) -> list[tuple[int, int]]:
    """Cells of a line and of the row below it under each delimiter that parts the row."""
    found = []
    for delimiter in DELIMITERS:
        width = _first_width(below, delimiter)
        if width > 1:
            found.append((_first_width(header, delimiter), width))
    return found


def _has_loose_commas(content: str) -> bool:
    """Whether lines below a header of one name hold commas, some more than others: a text a line. Most
    lines as wide as a table are one with a fault, which is refused."""
    rows, _ = _rows(content, ",")
    widths = Counter(len(row) for row in rows[1:] if row)
    if len(widths) < 2:
        return False
    width, count = widths.most_common(1)[0]
    return width < _NARROWEST or count <= widths.total() / 2


def _lines_above(content: str, delimiter: str) -> int:
    """How many lines stand above the header: as spreadsheets and the World Bank write a title, a date
    or a source. Each fills at most half of the columns. Nearly all rows below the header have one
    width and most fill more than half of it, and the header names them in words."""
    rows, ends = _rows(content, delimiter)
    widths = Counter(len(row) for row in rows if row)
    if not widths:
        return 0
    width = widths.most_common(1)[0][0]
    if width < 2:
        return 0
    place = 0
    while place < len(rows) and _filled(rows[place]) <= width / 2:
        place += 1
    if place in (0, len(rows)) or len(rows[place]) != width:
        return 0
    if width < _NARROWEST and _filled(rows[place - 1]):
        # A header may lack one of two names. It has no blank line below it.
        return 0
    below = [row for row in rows[place + 1 :] if row]
    steady = sum(len(row) == width for row in below)
    if steady < max(_LEAST_ROWS, _STEADY * len(below)):
        return 0
    full = sum(_filled(row) > width / 2 for row in below)
    if full <= len(below) / 2:
        # They are as the lines above: rows of a table with columns that are nearly empty.
        return 0
    if not _is_header(rows[place], below):
        return 0
    return ends[place - 1]


def _is_header(row: Sequence[str], below: Sequence[Sequence[str]]) -> bool:
    """Whether a row names all columns that are filled below it, in words and years of which none stands
    in its own column again: else it is data below a header with names for some columns."""
    if _filled(row) < max(_filled(other) for other in below):
        return False
    words = []
    for place, name in enumerate(cell.strip() for cell in row):
        if _NUMBER.fullmatch(name) and not _YEAR.fullmatch(name):
            return False
        if name and not _YEAR.fullmatch(name):
            words.append(name)
            if any(place < len(other) and other[place].strip() == name for other in below):
                return False
    return bool(words)


def _without_footer(content: str, delimiter: str) -> tuple[str, list[str]]:
    """Without the lines below the last blank one where each is a single cell, as a source is.
    Spreadsheets fill both up with delimiters: such a line may be a row too, of a key without values, and is
    none where it has several words and no row above it is filled so."""
    if _first_width(content, delimiter) < _NARROWEST:
        return content, []
    blanks = f" \t\r\n{delimiter}"
    tail = content[-_SNIFFED_CHARACTERS:]
    lines = io.StringIO(tail, newline="").readlines()
    while lines and not lines[-1].strip(blanks):
        lines.pop()
    below: list[str] = []
    while lines and lines[-1].strip(blanks) and len(below) <= _LONGEST_FOOTER:
        below.insert(0, lines.pop())
    if not lines or not below or len(below) > _LONGEST_FOOTER:
        return content, []
    cells, _ = _rows("".join(below), delimiter)
    if not cells or any(_filled(row) > 1 for row in cells):
        return content, []
    is_filled_up = any(len(row) > 1 for row in cells)
    if is_filled_up and not all(_has_words(row[0]) for row in cells):
        return content, []
    while lines and not lines[-1].strip(blanks):
        lines.pop()
    end = len(content) - len(tail) + len("".join(lines))
    above, _ = _rows(content[:end], delimiter)
    if is_filled_up and any(_filled(row) == 1 for row in above):
        return content, []
    if content.count('"', 0, end) % 2:
        # The end of a cell with paragraphs.
        return content, []
    return content[:end], [line.strip(blanks) for line in below]


def _has_words(cell: str) -> bool:
    """Whether it is more than a key: at least two words, not numbers or a date."""
    return len(cell.split()) > 1 and any(letter.isalpha() for letter in cell)


def _sniff(text: str, delimiters: Iterable[str]) -> tuple[str, float]:
    """The delimiter under which most first rows have as many cells as the header, at least two; and
    that share.

    A comma where there is none: a file may have one column.
    """
    best, score = ",", (0.0, 0, False)
    for delimiter in delimiters:
        widths = [len(row) for row in _rows(text, delimiter)[0] if row]
        if widths and widths[0] > 1:
            share = sum(width == widths[0] for width in widths) / len(widths)
            # Rounded, so that one ragged row does not decide against more cells in each.
            # Sentences hold commas, and no tabs.
            own = round(share, 1), widths[0], delimiter == "\t"
            score, best = max((score, best), (own, delimiter))
    return best, score[0]


def _rows(text: str, delimiter: str) -> tuple[list[list[str]], list[int]]:
    """The first rows, and the line after which each ends: a quoted cell may have several. No rows
    where a cell goes on and on, as after a quote that nothing closes."""
    reader = csv.reader(io.StringIO(text[:_SNIFFED_CHARACTERS], newline=""), delimiter=delimiter)
    rows, ends = [], []
    try:
        for row in reader:
            rows.append(row)
            ends.append(reader.line_num)
            if len(rows) > _SNIFFED_ROWS:
                break
    except csv.Error:
        return [], []
    if len(text) > _SNIFFED_CHARACTERS and len(rows) <= _SNIFFED_ROWS:
        # The last one may be cut.
        return rows[:-1], ends[:-1]
    return rows, ends


def _first_width(text: str, delimiter: str) -> int:
    """Cells of the first row; 0 where there is none."""
    rows, _ = _rows(text, delimiter)
    return len(rows[0]) if rows else 0


def _filled(row: Sequence[str]) -> int:
    """Cells up to the last one that is not blank."""
    filled = len(row)
    while filled and not row[filled - 1].strip():
        filled -= 1
    return filled


def _parted(content: str, lines: int, delimiter: str) -> tuple[list[str], str]:
    """The first lines without delimiters that fill them up, and what stands below them."""
    # As csv counts lines: str.splitlines knows further ends of them.
    stream = io.StringIO(content, newline="")
    above = [stream.readline().strip(f" \t\r\n{delimiter}") for _ in range(lines)]
    return [line for line in above if line], stream.read()


def left_out(lines: Sequence[str], where: str) -> str:
    """The note on lines that are no part of a table; `where` they stand."""
    shown = lines[0][:_SHOWN]
    if len(lines) == 1:
        return f"1 line {where} is{AROUND}: {shown!r}"
    return f"{len(lines)} lines {where} are{AROUND}, the first {shown!r}"
