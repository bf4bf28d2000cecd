"""Answers examples on the command line."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from modelyard.cli.writing import flat, notes, write_answers
from modelyard.errors import BadData, UsageError
from modelyard.host import Explains
from modelyard.kit.json_lines import HALF, ROWS, is_broken, json_rows, read_utf8
from modelyard.packages.package import Package
from modelyard.store.files import File

CHUNK = 4096
FILE = "file"
"""The column that names the file of an answer, where a folder was answered."""
TABLES = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet")


@dataclass(frozen=True)
class Example:
    """A request body, and what stands next to it in its file."""

    body: Any
    whole: bool = True
    """Whether there is a request at all: the first rows of a series have no whole window."""
    unused: dict[str, Any] = field(default_factory=dict)
    """Columns of a file that the model does not use."""


def answer(
    reference: str, text: str | None, file: Path | None, out: Path | None, explain: bool
) -> None:
    """Opens the package and answers; JSON lines on standard output, or a file."""
    from modelyard.registry.versions import resolve

    package = Package(resolve(reference))
    if explain and not isinstance(package.host, Explains):
        family = package.info.family
        raise UsageError(f"family {family!r} gives no reasons for this model: leave out --explain")
    if text is not None and file is not None:
        raise UsageError("give --json or --file, not both")
    if file is not None and file.is_dir():
        write_answers(answers_of_folder(file, package, explain), out, package.host.rows_by)
        return
    if text is not None:
        examples = [Example(body) for body in _from_text(text)]
    elif file is not None:
        examples = read_examples(file, package)
    else:
        examples = [Example(package.golden()["request"])]
    if lacking := sum(not example.whole for example in examples):
        notes.print(f"{lacking:,} of {len(examples):,} rows have no whole example: no answer")
    write_answers(_answered(package, examples, explain, file), out, package.host.rows_by)


def answers_of_folder(folder: Path, package: Package, explain: bool) -> list[dict[str, Any]]:
    """Answers to the files of a folder that the family reads, each with its `file`, in the order of
    their names; others are counted.

    Raises:
        BadData: none is read, or the file that cannot be answered.
    """
    fields = _fields(package)
    answers: list[dict[str, Any]] = []
    others = 0
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        rows = None if name.startswith(".") else package.host.read_file(path)
        if rows is None:
            others += 1
            continue
        examples = [_example({FILE: name} | row, fields, True) for row in rows]
        try:
            answers += _answered(package, examples, explain, path)
        except BadData as error:
            if error.file is not None:
                raise
            raise BadData(
                error.problem, file=path, row=error.row, column=error.column, hint=error.hint
            ) from None
    if not answers:
        raise BadData("holds no file that this model reads", file=folder)
    if others:
        notes.print(f"{others:,} other files of {folder} are not read: no answer")
    return answers


def _answered(
    package: Package, examples: list[Example], explain: bool, file: Path | None
) -> list[dict[str, Any]]:
    """An answer an example next to its other columns; empty where it is not whole."""
    requests = [
        _parse(package, example.body, number, file)
        for number, example in enumerate(examples, 1)
        if example.whole
    ]
    answers = iter(_answers(package, requests, explain))
    found = [next(answers) if example.whole else {} for example in examples]
    return _with_columns(found, [example.unused for example in examples])


def read_examples(file: Path, package: Package) -> list[Example]:
    """Rows of a CSV, Parquet, JSON or JSON-lines file, in its order; columns that the model does
    not use go along, and are named."""
    if not file.is_file():
        raise BadData("no such file", file=file)
    fields = _fields(package)
    rows, read_by_host = _rows(file, package)
    columns = list(dict.fromkeys(name for row in rows if isinstance(row, dict) for name in row))
    others = [name for name in columns if name not in fields]
    if columns and len(others) == len(columns):
        problem = f"no column is one that the model takes; seen: {', '.join(columns[:20])}"
        raise BadData(problem, file=file, hint=f"Allowed: {', '.join(fields)}")
    if others:
        plural = "s" if len(others) > 1 else ""
        notes.print(f"not used, next to the answers: column{plural} {', '.join(others)}")
    return [_example(row, fields, read_by_host) for row in rows]


def _fields(package: Package) -> dict[str, Any]:
    """What a request holds: the type of each field."""
    return {
        field.alias or name: field.annotation
        for name, field in package.host.Request.model_fields.items()
    }


def _rows(file: Path, package: Package) -> tuple[list[Any], bool]:
    """The rows, and whether the package's family read them."""
    name = file.name.lower()
    if name.endswith((".json", *ROWS)):
        return _json_rows(file, package)
    rows = package.host.read_file(file)
    if rows is not None:
        return rows, True
    if not name.endswith(TABLES):
        allowed = ", ".join((*TABLES, *sorted(ROWS), ".json"))
        raise BadData(
            f"cannot read {file.suffix or 'this'} files", file=file, hint=f"Allowed: {allowed}"
        )
    reader = "read_parquet" if name.endswith(".parquet") else "read_csv"
    return _read_table(file, reader), False


def _json_rows(file: Path, package: Package) -> tuple[list[Any], bool]:
    """JSON rows, and the list or object of a .json file, are bodies of requests; else, where none
    has a field of one, as in training."""
    rows = _from_json(File(file.parent, file.name))
    fields = _fields(package)
    if any(isinstance(row, dict) and fields.keys() & row.keys() for row in rows):
        return rows, False
    try:
        found = package.host.read_file(file)
    except BadData as error:
        if error.row is not None or error.column is not None:
            raise
        # Of a family whose data are tables only: it reads no such file.
        found = None
    return (rows, False) if found is None else (found, True)


def _from_json(source: File) -> list[Any]:
    text, rows = read_utf8(source), []
    if source.suffix not in ROWS:
        return _from_text(text, f"{source.path.name} is ")
    for number, value in json_rows(text, source.path):
        if is_broken(text, value):
            raise BadData(HALF, file=source.path, row=number)
        rows.append(value)
    return rows


def _example(row: Any, fields: dict[str, Any], read_by_host: bool) -> Example:
    """A row's fields of the request, and its other columns; what is no object of a request is
    refused when it is parsed."""
    if not isinstance(row, dict) or not (read_by_host or fields.keys() & row.keys()):
        return Example(row)
    body = {name: _plain(row[name], fields[name]) for name in row if name in fields}
    unused = {name: _plain(row[name], None) for name in row if name not in fields}
    return Example(body, bool(body), unused)


def _answers(package: Package, requests: list[BaseModel], explain: bool) -> list[dict[str, Any]]:
    answers: list[dict[str, Any]] = []
    for start in range(0, len(requests), CHUNK):
        batch = requests[start : start + CHUNK]
        answers += [
            one.model_dump(mode="json", by_alias=True)
            for one in package.host.predict(package.run, batch)
        ]
    if explain:
        assert isinstance(package.host, Explains), "looked at before"
        for request, one in zip(requests, answers, strict=True):
            reasons = package.host.explain(package.run, request)
            one["explanation"] = reasons.model_dump(mode="json") if reasons else None
    return answers


def _with_columns(
    answers: list[dict[str, Any]], columns: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """The file's own columns, then the answer; one named as a field of an answer is `input.<name>`.

    Case makes no difference, as in the tables that people load them into.
    """
    taken = {name.casefold() for answer in answers for name in (*answer, *flat(answer))}
    called = {}
    for name in dict.fromkeys(name for row in columns for name in row):
        free = name
        while free.casefold() in taken:
            free = f"input.{free}"
        taken.add(free.casefold())
        called[name] = free
    return [
        {called[name]: value for name, value in row.items()} | answer
        for row, answer in zip(columns, answers, strict=True)
    ]


def _read_table(file: Path, reader: str) -> list[dict[str, Any]]:
    from modelyard.store.tables import connect

    try:
        cursor = connect().execute(f"SELECT * FROM {reader}($file)", {"file": str(file)})  # noqa: S608
    except Exception as error:
        raise BadData(str(error).splitlines()[0], file=file) from None
    names = [column[0] for column in cursor.description or []]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _plain(value: Any, annotation: Any) -> Any:
    """A table's cell as JSON: times as ISO text, numbers as text where the field is text, NaN as
    missing."""
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, datetime | date):
        return value.isoformat()
    takes_list = _takes_list(annotation)
    # Of `list[str]` the text is what the list holds.
    if (
        value is not None
        and not isinstance(value, str | list | dict)
        and not takes_list
        and str in (annotation, *get_args(annotation))
    ):
        return str(value)
    if isinstance(value, str) and value.lstrip().startswith("[") and takes_list:
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def _takes_list(annotation: Any) -> bool:
    """Whether a field holds a list, or may."""
    kinds = (annotation, *get_args(annotation))
    return any(get_origin(kind) in (list, tuple) or kind in (list, tuple) for kind in kinds)


def _from_text(text: str, what: str = "") -> list[Any]:
    try:
        body = json.loads(text)
    except json.JSONDecodeError as error:
        raise UsageError(f"{what}not JSON: {error}") from None
    if is_broken(text, body):
        raise UsageError(f"{what}not JSON: it {HALF}")
    return body if isinstance(body, list) else [body]


def _parse(package: Package, body: Any, number: int, source: Path | None) -> BaseModel:
    try:
        return package.parse(body)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or None
        raise BadData(
            f"{first['msg']}, seen {str(first['input'])[:80]!r}",
            file=source,
            row=number,
            column=field,
            hint='In a table, write it as ["a", "b"]' if first["type"] == "list_type" else "",
        ) from None
