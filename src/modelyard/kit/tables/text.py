"""The text of a file in whatever encoding people saved it, and what separates its cells."""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from dataclasses import dataclass, field
from pathlib import Path

from modelyard.errors import BadData
from modelyard.kit.tables.around import DELIMITERS, sniffed, without_comments
from modelyard.store.files import File

_FOREIGN = {
    b"PK\x03\x04": "a zip or Excel file",
    b"PAR1": "a Parquet file",
    b"\x1f\x8b": "a gzip file",
    b"\xd0\xcf\x11\xe0": "an old Excel file",
    b"%PDF": "a PDF",
    b"SQLite": "an SQLite database",
}
"""How files begin that people rename to .csv by mistake."""
_CONTROLS = (*range(1, 9), *range(14, 32))
"""Characters that text does not hold: all below the space but tab, line ends and form feeds."""
UNREADABLE = "\ufffd"
"""What stands for a character that could not be read."""
_BLANK_START = re.compile(r"\A(?:[ \t]*\r?\n)+")
_EXCEL = re.compile(r'\A"?sep=(?P<delimiter>[^\r\n"])"?(?:\r\n|\r|\n|\Z)', re.IGNORECASE)
_SPACES, _EDGES = re.compile(r"[ \t]+"), re.compile(r"^[ \t]+|[ \t]+$", re.MULTILINE)
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|[nN]a[nN]|NA")
_SNIFFED_CHARACTERS, _SNIFFED_ROWS = 200_000, 200


@dataclass(frozen=True)
class Text:
    """The text of a file, from its header on."""

    file: Path
    content: str
    delimiter: str
    notes: list[str] = field(default_factory=list)
    """What a person should know about its encoding."""

    def header(self) -> list[str]:
        """Cells of the first row, without surrounding blanks."""
        return [cell.strip() for cell in self.first_row()]

    def first_row(self) -> list[str]:
        """Cells of the first row as they are.

        Raises:
            BadData: a cell that goes on and on, as after a quote that nothing closes.
        """
        rows = csv.reader(io.StringIO(self.content, newline=""), delimiter=self.delimiter)
        try:
            return next(rows)
        except csv.Error as error:
            problem = f"the header cannot be read: {error}"
            hint = "Is a quote opened in it and never closed?"
            raise BadData(problem, file=self.file, hint=hint) from None


def read_text(file: File) -> Text:
    """The text of a file; blank lines and comments before the header, Excel's line `sep=;` and
    what stands around the table are left out.

    Raises:
        BadData: the file is empty, damaged, of another format, or not text.
    """
    content, notes = decoded(file)
    content, remarks = without_comments(_BLANK_START.sub("", content))
    notes = [*notes, *remarks]
    told = _EXCEL.match(content)
    if told:
        content = content[told.end() :]
        delimiter = told["delimiter"]
    elif _is_aligned(content):
        content, delimiter = _SPACES.sub(",", _EDGES.sub("", content)), ","
        notes = [*notes, f"{file.name} is separated by spaces"]
    else:
        found = sniffed(content)
        content, delimiter = found.content, found.delimiter
        notes = [*notes, *found.notes]
    if not content.strip():
        raise BadData("the file is empty", file=file.path)
    return Text(file.path, content, delimiter, notes)


def decoded(file: File, most_unreadable: float = 0.0) -> tuple[str, list[str]]:
    """What a file says in whatever encoding it is, and notes on that.

    Args:
        most_unreadable: share of its characters that may be none of its encoding, as in mails. They
            become U+FFFD, or stay where they control something, and a note counts them.

    Raises:
        BadData: the file is empty, damaged, of another format, or not text.
    """
    return _decode(_bytes(file), file.path, most_unreadable)


def _bytes(source: File) -> bytes:
    data, file = source.read(), source.path
    if source.suffix == ".gz":
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise BadData(f"is not a complete gzip file: {error}", file=file) from None
    for magic, what in _FOREIGN.items():
        if data.startswith(magic):
            hint = "Name a workbook .xlsx or .xls, Parquet .parquet; else save it as CSV"
            raise BadData(f"is {what}, not CSV text", file=file, hint=hint)
    # Programs of DOS end a text with Ctrl-Z.
    data = data.removesuffix(b"\x1a")
    if not data.strip():
        raise BadData("the file is empty", file=file)
    return data


def _decode(data: bytes, file: Path, most_unreadable: float) -> tuple[str, list[str]]:
    """UTF-8, UTF-16 with its mark, or else Windows-1252 with a note, if it looks like text. UTF-8 with a
    few broken characters stays UTF-8 where some may be."""
    # What Excel writes as "Unicode text".
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        try:
            return data.decode("utf-16"), [f"{file.name} was read as UTF-16"]
        except UnicodeDecodeError:
            raise BadData("is neither UTF-8 nor UTF-16 text", file=file) from None
    if b"\0" in data:
        problem = "is binary, not text: it holds zero bytes"
        raise BadData(problem, file=file, hint="Save it as CSV in UTF-8")
    try:
        return data.decode("utf-8-sig"), []
    except UnicodeDecodeError as error:
        row = data.count(b"\n", 0, error.start)
    if row:
        seen = f"first seen in row {row}"
    else:
        seen = "first seen in the header"
    text = data.decode("utf-8-sig", errors="replace")
    broken = text.count(UNREADABLE)
    letters = sum(not letter.isascii() for letter in text) - broken
    # As Windows-1252 each of its letters would become two or three others.
    if letters > broken and broken <= most_unreadable * len(data):
        notes = [f"{file.name} is UTF-8 with errors ({seen})"]
        return text, [*notes, _unread(broken, file)]
    # Any bytes but five decode as Windows-1252, so control characters tell a picture from a letter.
    text = data.decode("cp1252", errors="replace")
    controls = sum(data.count(bytes([code])) for code in _CONTROLS)
    unreadable = controls + text.count(UNREADABLE)
    if unreadable > most_unreadable * len(data):
        problem = "is not text in UTF-8 or Windows-1252"
        raise BadData(problem, file=file, row=row or None, hint="Save it in UTF-8")
    note = f"{file.name} is not UTF-8 ({seen}) and was read as Windows-1252"
    notes = [f"{note}; if letters look wrong, save it in UTF-8"]
    if unreadable:
        notes.append(_unread(unreadable, file))
    return text, notes


def _unread(characters: int, file: Path) -> str:
    many = "" if characters == 1 else "s"
    return f"{characters:,} character{many} of {file.name} could not be read"


def _is_aligned(text: str) -> bool:
    """Whether runs of spaces separate the cells, as tools of science and `print` write tables.

    Two words in each of some lines make no table of a list of names: most cells are numbers.
    """
    if any(mark in text[:_SNIFFED_CHARACTERS] for mark in (*DELIMITERS, '"')):
        return False
    rows = []
    for line in text[:_SNIFFED_CHARACTERS].splitlines()[: _SNIFFED_ROWS + 1]:
        if cells := line.split():
            rows.append(cells)
    if len(rows) < 2 or len(rows[0]) < 2:
        return False
    # The last of the lines that were looked at may be cut.
    below = rows[1:-1] or rows[1:]
    if any(len(row) != len(rows[0]) for row in below):
        return False
    numbers = 0
    for row in below:
        numbers += sum(_NUMBER.fullmatch(cell) is not None for cell in row)
    return numbers > len(below) * len(rows[0]) / 2
