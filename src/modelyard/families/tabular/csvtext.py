"""CSV as people save it: separator and encoding found out, and each fault named with its row.

Cells arrive as text or None.
"""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelyard.errors import BadData

if TYPE_CHECKING:
    import pandas as pd

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
MISSING = ("", "NA", "N/A", "n/a", "NaN", "nan", "null", "NULL", "#N/A", "<NA>")
"""Cells of a CSV that are read as empty, beside blanks."""

_FOREIGN = {
    b"PK\x03\x04": "a zip or Excel file",
    b"PAR1": "a Parquet file",
    b"\x1f\x8b": "a gzip file",
    b"\xd0\xcf\x11\xe0": "an old Excel file",
    b"%PDF": "a PDF",
    b"SQLite": "an SQLite database",
}


@dataclass
class Table:
    """Rows as they came, with the place of each."""

    frame: pd.DataFrame
    files: list[tuple[Path, int]]
    """Each file with its number of rows, in the order of the frame."""
    notes: list[str] = field(default_factory=list)
    """What a person should know about how the file was read."""
    dropped: dict[str, str] = field(default_factory=dict)
    """Columns left out while reading, and why."""
    delimiter: str = ","
    """What separates the cells of a CSV."""

    def place(self, row: int) -> dict[str, Any]:
        """File and row (from 1, below the header) of a row of the frame, for `BadData`."""
        for file, rows in self.files:
            if row < rows:
                return {"file": file, "row": row + 1}
            row -= rows
        raise AssertionError("row beyond the table")

    @property
    def file(self) -> Path:
        """The file to name when a problem has no row."""
        return self.files[0][0]


def read_csv(file: Path) -> Table:
    import pyarrow as pa
    import pyarrow.compute as pc

    text, notes = _decode(_bytes(file), file)
    delimiter = _delimiter(text, file)
    header = [name.strip() for name in next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))]
    _check_header(header, file)
    places = [f"{index}" for index in range(len(header))]
    arrow = _parse(text, delimiter, places, file)
    columns = {}
    for place in places:
        trimmed = pc.utf8_trim_whitespace(arrow[place])
        empty = pc.is_in(trimmed, value_set=pa.array(MISSING))
        columns[place] = pc.if_else(empty, pa.scalar(None, pa.string()), trimmed)
    frame = pa.table(columns).to_pandas()
    frame.columns = header
    dropped = {}
    if "" in header:
        frame = frame.loc[:, [name != "" for name in header]]
        dropped["(column without a name)"] = "no name in the header"
    if delimiter != ",":
        notes.append(f"{file.name} is separated by {DELIMITERS[delimiter]}s")
    return Table(frame, [(file, len(frame))], notes, dropped, delimiter)


def _parse(text: str, delimiter: str, places: list[str], file: Path) -> Any:
    import pyarrow as pa
    import pyarrow.csv

    ragged: list[Any] = []

    def note(row: Any) -> str:
        ragged.append(row)
        return "skip"

    data = text.encode()
    try:
        arrow = pyarrow.csv.read_csv(
            io.BytesIO(data),
            read_options=pyarrow.csv.ReadOptions(
                column_names=places, skip_rows_after_names=1, use_threads=False, block_size=1 << 26
            ),
            parse_options=pyarrow.csv.ParseOptions(
                delimiter=delimiter, newlines_in_values=True, invalid_row_handler=note
            ),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(places, pa.string()), strings_can_be_null=False
            ),
        )
    except pa.ArrowInvalid as error:
        raise BadData(f"cannot be read as CSV: {str(error)[:200]}", file=file) from None
    if ragged:
        first = ragged[0]
        raise BadData(
            f"{first.actual_columns} cells where the header has {first.expected_columns}"
            + (f" ({len(ragged)} such rows)" if len(ragged) > 1 else ""),
            file=file,
            row=first.number - 1,
            hint=f"Quote cells that hold a {DELIMITERS[delimiter]}, or mend the row",
        )
    if data.count(b'"') % 2 and any("\n" in str(arrow[p][-1]) for p in places if len(arrow)):
        raise BadData("a quote is opened and never closed", file=file, row=len(arrow))
    return arrow


def _bytes(file: Path) -> bytes:
    if file.suffix.lower() != ".gz":
        data = file.read_bytes()
    else:
        try:
            data = gzip.decompress(file.read_bytes())
        except (OSError, EOFError, zlib.error) as error:
            raise BadData(f"is not a complete gzip file: {error}", file=file) from None
    for magic, what in _FOREIGN.items():
        if data.startswith(magic):
            raise BadData(f"is {what}, not CSV text", file=file, hint="Save it as CSV or Parquet")
    if not data.strip():
        raise BadData("the file is empty", file=file)
    return data


def _decode(data: bytes, file: Path) -> tuple[str, list[str]]:
    """UTF-8 (or UTF-16 with its mark); else Windows-1252, with a note, if the bytes look like text at all."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        try:
            return data.decode("utf-16"), [f"{file.name} was read as UTF-16"]
        except UnicodeDecodeError:
            raise BadData("is neither UTF-8 nor UTF-16 text", file=file) from None
    if b"\0" in data:
        raise BadData("is binary, not text: it holds zero bytes", file=file, hint="Save it as CSV in UTF-8")
    try:
        return data.decode("utf-8-sig"), []
    except UnicodeDecodeError as error:
        row = data.count(b"\n", 0, error.start)
    controls = sum(data.count(bytes([code])) for code in (*range(1, 9), *range(14, 32)))
    try:
        text = data.decode("cp1252")
    except UnicodeDecodeError:
        controls, text = len(data), ""
    if controls:
        raise BadData("is not text in UTF-8 or Windows-1252", file=file, row=row or None, hint="Save it in UTF-8")
    return text, [
        f"{file.name} is not UTF-8 (first seen in row {row}) and was read as Windows-1252; "
        "if letters look wrong, save it in UTF-8"
    ]


def _delimiter(text: str, file: Path) -> str:
    """The delimiter under which most of the first rows have as many cells as the header, at least two."""
    best, score = "", (0.0, 0)
    for delimiter in DELIMITERS:
        rows = []
        try:
            for row in csv.reader(io.StringIO(text[:200_000], newline=""), delimiter=delimiter):
                rows.append(row)
                if len(rows) > 200:
                    break
        except csv.Error:
            continue
        widths = [len(row) for row in rows if row]
        if widths and widths[0] > 1:
            share = sum(width == widths[0] for width in widths) / len(widths)
            score, best = max((score, best), ((round(share, 1), widths[0]), delimiter))
    if not best:
        names = ", ".join(DELIMITERS.values())
        raise BadData(
            f"only one column was found with any of the separators {names}",
            file=file,
            hint="Is it a CSV file?",
        )
    return best


def _check_header(header: list[str], file: Path) -> None:
    def number(name: str) -> bool:
        try:
            float(name)
        except ValueError:
            return False
        return True

    if all(number(name) for name in header):
        raise BadData("the first row holds numbers, not column names", file=file, hint="Add a header row")
