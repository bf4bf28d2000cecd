"""Text as a table: cells are text or null, and each fault is named with its row."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from modelyard.errors import BadData
from modelyard.kit.tables.around import AROUND, DELIMITERS, WHOLE_LINES
from modelyard.kit.tables.further import further_lines, with_further
from modelyard.kit.tables.header import distinct_names, holds_numbers, is_data, with_names
from modelyard.kit.tables.notation import MISSING
from modelyard.kit.tables.table import TWICE, Table, TableFile, cells_of, without_blanks
from modelyard.kit.tables.text import Text
from modelyard.kit.tables.totals import without_totals

OPEN_QUOTE = "a quote is opened and never closed"
NAMELESS = "(column without a name)"
"""What such a column is called among the dropped."""

_BLANK_LINE = re.compile(r"(?:\n|\r)[ \t]*(?:\r?\n|\r)")
_BLOCK = 1 << 26
_QUOTED_CELL = re.compile(r'(^|\t)"[^"]*(?:""[^"]*)*"(?=[\t\r\n]|\Z)', re.MULTILINE)
_BEGINS_WITH_A_QUOTE = re.compile(r'(?:^|\t)"', re.MULTILINE)


def parse_text(text: Text, *, has_header: bool | None = None) -> Table:
    """The rows below the header; columns without a name are dropped. Where the first row is data, the
    columns are called c1, c2, …, with a note.

    Args:
        has_header: whether the first row names the columns; None: as it looks.

    Raises:
        BadData: a row has more or fewer cells than the header, or a quote stays open.
    """
    if has_header is False or holds_numbers(text.header()):
        return _below_header(with_names(text), is_own=False)
    return _below_header(text)


def _below_header(text: Text, *, is_own: bool = True) -> Table:
    """`is_own` says whether the header is the file's own."""
    quoted, numbers = _is_quoted(text), None
    if _BLANK_LINE.search(text.content):
        # A spreadsheet counts blank lines, which pyarrow passes over.
        numbers = _row_numbers(text.content, text.delimiter, quoted=quoted)
    first = text.header()
    rows = _parse(text, len(first), numbers, quoted=quoted)
    rows, numbers, unfilled = _without_unfilled(rows, numbers)
    further = further_lines(first, rows) if is_own else []
    if not further and is_data(first, rows, text, numbers):
        return _below_header(with_names(text), is_own=False)
    header, notes = without_blanks(text.first_row(), text.file)
    if further:
        header, more = with_further(header, further)
        notes += more
        numbers = (numbers or [*range(1, rows.num_rows + 1)])[len(further) :]
        rows = rows.slice(len(further))
    header, renamed = distinct_names(header)
    for name in dict.fromkeys(renamed.values()):
        others = [own for own, given in renamed.items() if given == name]
        notes.append(f"{1 + len(others)} {TWICE} {name!r}: the later are {', '.join(others)}")
    table, words, dropped = _trimmed(rows, header)
    notes = [*text.notes, *notes]
    if unfilled:
        rows_are = "1 row is" if unfilled == 1 else f"{unfilled:,} rows are"
        notes.append(f"{rows_are} blank in {text.file.name} and{AROUND}")
    notes += _found_out(text, quoted=quoted)
    # Of one column it may be meant as an empty cell.
    if numbers is not None and len(header) == 1:
        blank = numbers[-1] - len(numbers)
        lines = "1 blank line is" if blank == 1 else f"{blank:,} blank lines are"
        notes.append(f"{lines} no row of {text.file.name}")
    if words:
        notes.append(f"cells such as NA or null were read as empty: {', '.join(words)}")
    file = TableFile(text.file, rows.num_rows, numbers)
    found = Table(table, [file], notes, dropped, text.delimiter, renamed=renamed)
    return without_totals(found)


def _trimmed(rows: pa.Table, header: Sequence[str]) -> tuple[pa.Table, list[str], dict[str, str]]:
    """The columns that have a name, null where a cell is missing; how many words for that each holds;
    and why others are dropped."""
    columns, names, words = [], [], []
    dropped = {}
    for name, cells in zip(header, rows.columns, strict=True):
        if not name:
            dropped[NAMELESS] = "no name in the header"
            continue
        trimmed = pc.utf8_trim_whitespace(cells)
        empty = pc.is_in(trimmed, value_set=pa.array(MISSING))
        columns.append(pc.if_else(empty, pa.scalar(None, pa.string()), trimmed))
        names.append(name)
        count = pc.sum(pc.and_(empty, pc.not_equal(trimmed, ""))).as_py()
        if count:
            words.append(f"{count} in {name}")
    return pa.table(columns, names=names), words, dropped


def _found_out(text: Text, *, quoted: bool) -> list[str]:
    """Notes on what separates and encloses cells, where it is unusual."""
    notes = []
    if text.delimiter == WHOLE_LINES:
        notes.append(f"{text.file.name} has one column: commas in its lines separate nothing")
    elif text.delimiter != ",":
        notes.append(f"{text.file.name} is separated by {_called(text.delimiter)}s")
    if not quoted:
        notes.append(f"quotes in {text.file.name} enclose no cells: they are read as they stand")
    return notes


def _without_unfilled(
    rows: pa.Table, numbers: list[int] | None
) -> tuple[pa.Table, list[int] | None, int]:
    """Without the rows in which no cell is filled, which are a spreadsheet's blank lines; the numbers
    of the others, and how many there were. A single column may have empty cells."""
    if rows.num_columns < 2:
        return rows, numbers, 0
    blank = pa.array(np.ones(rows.num_rows, bool))
    for cells in rows.columns:
        blank = pc.and_(blank, pc.equal(pc.utf8_trim_whitespace(cells), ""))
        if not pc.any(blank).as_py():
            return rows, numbers, 0
    filled = ~np.asarray(blank)
    places = np.arange(1, rows.num_rows + 1)
    if numbers is not None:
        places = np.array(numbers)
    kept = places[filled].tolist()
    return rows.filter(pa.array(filled)), kept, int((~filled).sum())


def _is_quoted(text: Text) -> bool:
    """Whether quotes enclose cells. Sentences between tabs, or one a line, are rarely written so:
    one that begins `"No," she said` would lose its quotes, or swallow the next ones."""
    if text.delimiter not in ("\t", WHOLE_LINES) or '"' not in text.content:
        return True
    return _BEGINS_WITH_A_QUOTE.search(_QUOTED_CELL.sub(r"\1", text.content)) is None


def _parse(text: Text, width: int, numbers: list[int] | None, *, quoted: bool) -> pa.Table:
    ragged: list[Any] = []

    # pyarrow's own error ends at the first ragged row, and does not say how many there are.
    def note(row: Any) -> str:
        ragged.append(row)
        return "skip"

    places = [str(place) for place in range(width)]
    data = text.content.encode()
    if not data.endswith(b"\n"):
        # pyarrow cannot skip a header that no line end follows.
        data += b"\n"
    is_open = quoted and data.count(b'"') % 2 == 1
    try:
        rows = pyarrow.csv.read_csv(
            io.BytesIO(data),
            # By place, since names may be empty or stand twice. Without threads, with which
            # pyarrow does not number ragged rows. In large blocks: a row has to fit into one.
            read_options=pyarrow.csv.ReadOptions(
                column_names=places, skip_rows_after_names=1, use_threads=False, block_size=_BLOCK
            ),
            parse_options=pyarrow.csv.ParseOptions(
                delimiter=text.delimiter,
                quote_char='"' if quoted else False,
                newlines_in_values=quoted,
                invalid_row_handler=note,
            ),
            # All as text: pyarrow guesses from the first block, and 007 would become 7.
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(places, pa.string()), strings_can_be_null=False
            ),
        )
    except pa.ArrowInvalid as error:
        if is_open:
            # In the header, so that all of the file is one cell of it.
            raise BadData(OPEN_QUOTE, file=text.file) from None
        raise BadData(f"cannot be read as CSV: {str(error)[:200]}", file=text.file) from None
    if ragged:
        raise _ragged(ragged, text, numbers, quoted=quoted, others=rows.num_rows)
    # A quote inside of a word makes the number odd too, and swallows no line.
    if is_open and len(rows) and any("\n" in str(cells[-1]) for cells in rows.columns):
        # The last cell holds all that follows the quote.
        last = len(rows)
        if numbers is not None:
            last = numbers[-1]
        raise BadData(OPEN_QUOTE, file=text.file, row=last)
    return rows


def _ragged(
    found: Sequence[Any], text: Text, numbers: Sequence[int] | None, *, quoted: bool, others: int
) -> BadData:
    """What is wrong with rows that have more or fewer cells than the header, by the first of them; next
    to `others`."""
    first = found[0]
    # pyarrow counts the header, and passes over blank lines.
    row = first.number - 1
    if numbers is not None:
        row = numbers[row - 1]
    if quoted and str(first.text).count('"') % 2:
        return BadData(OPEN_QUOTE, file=text.file, row=row)
    seen = f"{cells_of(first.actual_columns)} where the header has {first.expected_columns}"
    if len(found) > 1:
        seen += f" ({len(found)} such rows)"
    hint = f"Quote cells that hold a {_called(text.delimiter)}, or fix the row"
    if not others and len({row.actual_columns for row in found}) == 1:
        # As R writes the names of rows, for which the header has no name.
        hint = (
            f"Every row has as many: name each of the {first.actual_columns} columns in the header"
        )
    return BadData(seen, file=text.file, row=row, hint=hint)


def _row_numbers(content: str, delimiter: str, *, quoted: bool) -> list[int] | None:
    """The number in the file of each row that is not blank, from 1 below the header.

    None where only blank lines at the end, or none at all, stand in the file.
    """
    rows = csv.reader(
        io.StringIO(content, newline=""),
        delimiter=delimiter,
        quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE,
    )
    next(rows)
    try:
        found = [number for number, row in enumerate(rows, 1) if row]
    except csv.Error:
        # A cell of more than 131,072 characters, the most that the module reads.
        return None
    if found and found[-1] != len(found):
        return found
    return None


def _called(delimiter: str) -> str:
    return DELIMITERS.get(delimiter, delimiter)
