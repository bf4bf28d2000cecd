"""Files of examples for the command line, as bodies of requests."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, time
from decimal import Decimal
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_origin

from pydantic.fields import FieldInfo

from modelyard.cli.writing import notes
from modelyard.errors import BadData, UsageError
from modelyard.kit.json_lines import HALF, ROWS, flattened, is_broken, json_rows, read_utf8
from modelyard.packages.package import Package
from modelyard.store.files import WORKBOOKS, File

TABLES = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet", ".pq", *WORKBOOKS)


@dataclass(frozen=True)
class Example:
    """A request body, and what stands next to it in its file."""

    body: Any
    whole: bool = True
    """Whether there is a request at all: the first rows of a series have no whole window."""
    unused: dict[str, Any] = field(default_factory=dict)
    """Columns of a file that the model does not use."""
    row: int | None = None
    """Its number in a table, where blank lines and others that are no rows count too."""


class _Examples(Sequence[Example]):
    """Examples of rows, each made when it is looked at: a file may have millions of them."""

    def __init__(
        self,
        rows: Sequence[Any],
        fields: dict[str, FieldInfo],
        read_by_host: bool,
        numbers: Sequence[int] | None,
    ) -> None:
        self._rows, self._fields, self._read_by_host = rows, fields, read_by_host
        self._numbers = numbers

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, at: Any) -> Any:
        if not isinstance(at, slice):
            # A range counts from the end and raises IndexError as a list does.
            place = range(len(self))[at]
            return self[place : place + 1][0]
        examples = [example_of(row, self._fields, self._read_by_host) for row in self._rows[at]]
        if self._numbers is None:
            return examples
        numbered = zip(examples, self._numbers[at], strict=True)
        return [replace(example, row=int(number)) for example, number in numbered]


def read_examples(file: Path, package: Package) -> Sequence[Example]:
    """Rows of a CSV, Parquet, JSON or JSON-lines file, in its order; columns that the model does
    not use go along, and are named."""
    if not file.is_file():
        raise BadData("no such file", file=file)
    fields = fields_of(package)
    rows, read_by_host, numbers = _rows(file, package)
    columns: dict[str, None] = {}
    # Rows that are no list are those of a table, which all have the same columns.
    samples = rows if isinstance(rows, list) else rows[:1]
    for row in samples:
        if isinstance(row, dict):
            columns |= dict.fromkeys(row)
    others = [name for name in columns if name not in fields]
    if columns and len(others) == len(columns):
        problem = f"no column is one that the model takes; seen: {', '.join(others[:20])}"
        raise BadData(problem, file=file, hint=f"Allowed: {', '.join(fields)}")
    if others:
        plural = "s" if len(others) > 1 else ""
        notes.print(f"not used, next to the answers: column{plural} {', '.join(others)}")
    return _Examples(rows, fields, read_by_host, numbers)


def fields_of(package: Package) -> dict[str, FieldInfo]:
    """What a request holds."""
    return {field.alias or name: field for name, field in package.host.Request.model_fields.items()}


def _rows(file: Path, package: Package) -> tuple[Sequence[Any], bool, Sequence[int] | None]:
    """The rows, whether the package's family read them, and their numbers in a table."""
    name = file.name.lower()
    if name.endswith((".json", *ROWS)):
        return *_json_rows(file, package), None
    rows = package.host.read_file(file)
    if rows is not None:
        for note in getattr(rows, "notes", ()):
            notes.print(note)
        if name.endswith(".txt") and len(rows) == 1:
            _note_lines(file, rows[0])
        return rows, True, getattr(rows, "numbers", None)
    if not name.endswith(TABLES):
        allowed = ", ".join((*sorted(package.host.reads), *TABLES, *sorted(ROWS), ".json"))
        raise BadData(
            f"cannot read {file.suffix or 'this'} files", file=file, hint=f"Allowed: {allowed}"
        )
    rows, numbers = _read_table(file, fields_of(package))
    return rows, False, numbers


def _note_lines(file: Path, body: dict[str, Any]) -> None:
    """Says that a text of several lines is one example: a person may have meant one a line."""
    for name, value in body.items():
        lines = [line for line in str(value).splitlines() if line.strip()]
        if len(lines) > 1:
            way = f"for one a line, name it .csv, and write {name} above them"
            notes.print(f"{file.name} is one example of {len(lines):,} lines; {way}")


def _json_rows(file: Path, package: Package) -> tuple[Sequence[Any], bool]:
    """JSON rows, and the list or object of a .json file, are bodies of requests; else, where none
    has a field of one, as in training."""
    fields = fields_of(package)
    rows = [_named_as(fields, row) for row in _from_json(File(file.parent, file.name))]
    is_request = any(isinstance(row, dict) and fields.keys() & row.keys() for row in rows)
    if is_request:
        return rows, False
    try:
        found = package.host.read_file(file)
    except BadData as error:
        if error.row is not None or error.column is not None:
            raise
        # Of a family whose data are tables only: it reads no such file.
        found = None
    if found is None:
        return rows, False
    return found, True


def _named_as(fields: Mapping[str, FieldInfo], row: Any) -> Any:
    """A row with the fields of its objects by both names (`user.age`), where the request has them so."""
    if not isinstance(row, dict):
        return row
    named: dict[str, Any] = {}
    for name, value in row.items():
        inner = dict(flattened({name: value}))
        named |= inner if fields.keys() & inner.keys() else {name: value}
    return named


def _from_json(source: File) -> list[Any]:
    text, rows = read_utf8(source), []
    if source.suffix not in ROWS:
        return from_text(text, f"{source.path.name} is ")
    for number, value in json_rows(text, source.path):
        if is_broken(text, value):
            raise BadData(HALF, file=source.path, row=number)
        rows.append(value)
    return rows


def example_of(row: Any, fields: dict[str, FieldInfo], read_by_host: bool) -> Example:
    """A row's fields of the request, and its other columns; what is no object of a request is
    refused when it is parsed."""
    is_of_request = isinstance(row, dict) and (read_by_host or bool(fields.keys() & row.keys()))
    if not is_of_request:
        return Example(row)
    body, unused = {}, {}
    for name, cell in row.items():
        if name not in fields:
            unused[name] = _plain(cell, None)
            continue
        field = fields[name]
        value = _plain(cell, field.annotation)
        # An empty cell is a field that is left out, where it may be.
        may_be_left_out = not field.is_required() and not _takes(field.annotation, NoneType)
        if value is not None or not may_be_left_out:
            body[name] = value
    return Example(body, bool(body), unused)


def _read_table(
    file: Path, fields: dict[str, FieldInfo]
) -> tuple[list[dict[str, Any]], Sequence[int] | None]:
    # Only a table's reader pays for these: a server that is asked for one answer may lack Arrow.
    from modelyard.kit.tables import is_parquet
    from modelyard.store.tables import connect

    if not is_parquet(file.name):
        return _read_text(file, fields)
    try:
        cursor = connect().execute("SELECT * FROM read_parquet($file)", {"file": str(file)})
    except Exception as error:
        raise BadData(str(error).splitlines()[0], file=file) from None
    names = [column[0] for column in cursor.description or []]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()], None


def _read_text(
    file: Path, fields: dict[str, FieldInfo]
) -> tuple[list[dict[str, Any]], Sequence[int]]:
    """The rows of a workbook, or of a CSV in any usual encoding and with any usual separator. Its cells are
    text where the request's field takes text: a user `007` is not the user `7`."""
    from modelyard.kit.tables import read_file

    table = read_file(File(file.parent, file.name))
    for note in table.notes:
        notes.print(note)
    columns: dict[str, list[Any]] = {}
    for name in table.names:
        cells = table.column(name).to_pylist()
        takes_text = name in fields and _takes(fields[name].annotation, str)
        columns[name] = cells if takes_text else [_number_or_text(cell) for cell in cells]
    rows = zip(*columns.values(), strict=True)
    return [dict(zip(columns, row, strict=True)) for row in rows], table.row_numbers().tolist()


def _number_or_text(cell: str | None) -> Any:
    """The number, true or false that a cell is, where it is written as JSON writes it."""
    if cell is None:
        return None
    if cell.lower() in ("true", "false"):
        return cell.lower() == "true"
    try:
        value = json.loads(cell)
    except (ValueError, RecursionError):  # a cell of a thousand open brackets
        return cell
    # Lists and objects are read where the field takes some.
    return value if isinstance(value, int | float) else cell


def _plain(value: Any, annotation: Any) -> Any:
    """A table's cell as a field of this type takes it: numbers as text where the field is text,
    lists that are written as JSON."""
    value = _json_of(value)
    if value is None or isinstance(value, list | dict):
        return value
    takes_list = _takes_list(annotation)
    if not isinstance(value, str):
        # Of `list[str]` the text is what the list holds.
        takes_text = not takes_list and str in (annotation, *get_args(annotation))
        return str(value) if takes_text else value
    if takes_list and value.lstrip().startswith("["):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def _json_of(value: Any) -> Any:
    """A table's cell as JSON: times as ISO text, bytes as base64, NaN as missing."""
    if isinstance(value, float):
        return None if math.isnan(value) else value
    if isinstance(value, Decimal):
        # As in training: a float would change the last digits of a long number.
        return float(value) if abs(value) <= 2**53 else str(value)
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, date | time):  # a datetime is a date
        return value.isoformat()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, Mapping):
        return {str(name): _json_of(inner) for name, inner in value.items()}
    if isinstance(value, Sequence):
        return [_json_of(inner) for inner in value]
    return str(value)


def _takes_list(annotation: Any) -> bool:
    """Whether a field holds a list, or may."""
    kinds = (annotation, *get_args(annotation))
    # `list[str]` has the origin `list`, a plain `list` has none.
    origins = [get_origin(kind) or kind for kind in kinds]
    return list in origins or tuple in origins


def _takes(annotation: Any, kind: type) -> bool:
    """Whether a field holds a `kind`, or may, or a list of some."""
    return annotation is kind or any(_takes(part, kind) for part in get_args(annotation))


def from_text(text: str, what: str = "") -> list[Any]:
    try:
        body = json.loads(text)
    except json.JSONDecodeError as error:
        raise UsageError(f"{what}not JSON: {error}") from None
    if is_broken(text, body):
        raise UsageError(f"{what}not JSON: it {HALF}")
    if isinstance(body, list):
        return body
    return [body]
