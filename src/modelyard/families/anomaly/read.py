"""Files of measurements as text columns, and each fault named with its place."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelyard.errors import BadData

SUFFIXES = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet", ".pq")
DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab"}
MISSING = ("", "NA", "N/A", "n/a", "NaN", "nan", "null", "NULL", "None")
"""Cells that are read as empty, beside blanks."""


@dataclass(frozen=True)
class Table:
    """One file: columns of text (or of what Parquet holds) with None for an empty cell."""

    file: str
    """Path below the raw folder."""
    columns: dict[str, Any]
    """pyarrow arrays by name, all of `rows` cells."""
    rows: int
    decimal_comma: bool = False
    """Numbers may have a comma for the decimal point."""


def read_tables(raw: Path) -> list[Table]:
    """Every CSV and Parquet file in `raw`, sorted by name, all with the same columns.

    Raises:
        BadData: nothing to read, or a file that is empty, damaged, ragged, or has other columns than the first.
    """
    raw = Path(raw)
    files = [raw] if raw.is_file() else sorted(file for file in raw.rglob("*") if _is_data(file, raw))
    if not files:
        raise BadData(f"holds no table. Allowed: {', '.join(SUFFIXES)}", file=raw)
    return [_read(file, file.name if raw.is_file() else file.relative_to(raw).as_posix()) for file in files]


def _is_data(file: Path, raw: Path) -> bool:
    hidden = any(part.startswith(".") for part in file.relative_to(raw).parts)
    return file.is_file() and not hidden and file.name.lower().endswith(SUFFIXES)


def _read(path: Path, name: str) -> Table:
    if not path.name.lower().endswith(SUFFIXES):
        raise BadData(f"is none of {', '.join(SUFFIXES)}", file=name)
    if path.stat().st_size == 0:
        raise BadData("the file is empty", file=name)
    table = _read_parquet(path, name) if path.suffix.lower() in (".parquet", ".pq") else _read_csv(path, name)
    if not table.rows:
        raise BadData("there is a header but no row below it", file=name)
    return table


def _read_parquet(path: Path, name: str) -> Table:
    import pyarrow as pa
    import pyarrow.parquet

    try:
        arrow = pyarrow.parquet.ParquetFile(path).read()
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:160]
        raise BadData(f"is not a complete Parquet file: {reason}", file=name) from None
    kept = [column for column in arrow.column_names if not column.startswith("__index_level_")]
    _check_names(kept, name)
    return Table(name, {column: arrow[column].combine_chunks() for column in kept}, arrow.num_rows)


def _read_csv(path: Path, name: str) -> Table:
    import pyarrow as pa
    import pyarrow.compute as pc

    text = _text(path, name)
    delimiter = _delimiter(text, name)
    header = [cell.strip() for cell in next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))]
    _check_names(header, name)
    arrow = _parse(text, delimiter, header, name)
    columns = {}
    for number, column in enumerate(header):
        trimmed = pc.utf8_trim_whitespace(arrow[str(number)].combine_chunks())
        empty = pc.is_in(trimmed, value_set=pa.array(MISSING))
        columns[column] = pc.if_else(empty, pa.scalar(None, pa.string()), trimmed)
    return Table(name, columns, arrow.num_rows, decimal_comma=delimiter != ",")


def _parse(text: str, delimiter: str, header: list[str], name: str) -> Any:
    import pyarrow as pa
    import pyarrow.csv

    ragged: list[Any] = []
    places = [str(number) for number in range(len(header))]

    def note(row: Any) -> str:
        ragged.append(row)
        return "skip"

    try:
        arrow = pyarrow.csv.read_csv(
            io.BytesIO(text.encode()),
            read_options=pyarrow.csv.ReadOptions(
                column_names=places, skip_rows_after_names=1, use_threads=False, block_size=1 << 26
            ),
            parse_options=pyarrow.csv.ParseOptions(
                delimiter=delimiter, newlines_in_values=True, invalid_row_handler=note
            ),
            convert_options=pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(places, pa.string())),
        )
    except pa.ArrowInvalid as error:
        raise BadData(f"cannot be read as CSV: {str(error)[:200]}", file=name) from None
    if ragged:
        first = ragged[0]
        seen = f"{first.actual_columns} cells where the header has {first.expected_columns}"
        raise BadData(seen, file=name, row=first.number - 1, hint="Mend the row")
    return arrow


def _text(path: Path, name: str) -> str:
    data = path.read_bytes()
    if path.suffix.lower() == ".gz":
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise BadData(f"is not a complete gzip file: {error}", file=name) from None
    if b"\0" in data:
        raise BadData("is binary, not text: it holds zero bytes", file=name, hint="Save it as CSV in UTF-8")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = data.count(b"\n", 0, error.start)
        raise BadData("is not text in UTF-8", file=name, row=row or None, hint="Save it as CSV in UTF-8") from None
    if not text.strip():
        raise BadData("the file is empty", file=name)
    return text


def _delimiter(text: str, name: str) -> str:
    """The separator that the header holds most of; the first rows decide nothing, they may be ragged."""
    header = text.lstrip("\r\n").splitlines()[0]
    counts = {delimiter: header.count(delimiter) for delimiter in DELIMITERS}
    best = max(counts, key=lambda delimiter: counts[delimiter])
    return best if counts[best] else ","


def _check_names(header: list[str], name: str) -> None:
    for column, count in Counter(header).items():
        if not column:
            raise BadData("a column has no name in the header", file=name, hint="Name it, or remove it")
        if count > 1:
            raise BadData(f"{count} columns have this name", file=name, column=column, hint="Rename all but one")
    if all(_is_number(column) for column in header):
        raise BadData("the first row holds numbers, not column names", file=name, hint="Add a header row")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
