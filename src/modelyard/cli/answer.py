"""Answers examples on the command line."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from rich.console import Console

from modelyard.errors import BadData, UsageError
from modelyard.host import Explains
from modelyard.kit.json_lines import ROWS, json_rows, read_utf8
from modelyard.packages.package import Package
from modelyard.store.files import File

CHUNK = 4096
TABLES = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet")
notes = Console(stderr=True, highlight=False, style="dim")


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
    if text is not None:
        examples = [Example(body) for body in _from_text(text)]
    elif file is not None:
        examples = read_examples(file, package)
    else:
        examples = [Example(package.golden()["request"])]
    requests = [
        _parse(package, example.body, number)
        for number, example in enumerate(examples, 1)
        if example.whole
    ]
    answers = iter(_answers(package, requests, explain))
    found = [next(answers) if example.whole else {} for example in examples]
    if lacking := len(examples) - len(requests):
        notes.print(f"{lacking:,} of {len(examples):,} rows have no whole example: no answer")
    _write(_with_columns(found, [example.unused for example in examples]), out)


def read_examples(file: Path, package: Package) -> list[Example]:
    """Rows of a CSV, Parquet, JSON or JSON-lines file, in its order; columns that the model does
    not use go along, and are named."""
    if not file.is_file():
        raise BadData("no such file", file=file)
    fields = {
        field.alias or name: field.annotation
        for name, field in package.host.Request.model_fields.items()
    }
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


def _rows(file: Path, package: Package) -> tuple[list[Any], bool]:
    """The rows, and whether the package's family read them."""
    name, source = file.name.lower(), File(file.parent, file.name)
    if source.suffix in ROWS:
        return _json_rows([value for _, value in json_rows(read_utf8(source), file)], file, package)
    if source.suffix == ".json":
        return _from_text(read_utf8(source), f"{file.name} is "), False
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


def _json_rows(rows: list[Any], file: Path, package: Package) -> tuple[list[Any], bool]:
    """JSON rows are bodies of requests; else, where none has a field of one, as in training."""
    fields = {field.alias or name for name, field in package.host.Request.model_fields.items()}
    if any(isinstance(row, dict) and fields & row.keys() for row in rows):
        return rows, False
    try:
        found = package.host.read_file(file)
    except BadData:  # of a family whose data are tables only
        found = None
    return (rows, False) if found is None else (found, True)


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
    taken = {name.casefold() for answer in answers for name in (*answer, *_flat(answer))}
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
    if (
        value is not None
        and not isinstance(value, str)
        and str in (annotation, *getattr(annotation, "__args__", ()))
    ):
        return str(value)
    return value


def _from_text(text: str, what: str = "") -> list[Any]:
    try:
        body = json.loads(text)
    except json.JSONDecodeError as error:
        raise UsageError(f"{what}not JSON: {error}") from None
    return body if isinstance(body, list) else [body]


def _parse(package: Package, body: Any, number: int) -> BaseModel:
    try:
        return package.parse(body)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or None
        raise BadData(
            f"{first['msg']}, seen {str(first['input'])[:80]!r}", row=number, column=field
        ) from None


def _write(answers: list[dict[str, Any]], out: Path | None) -> None:
    # A person reads 猫, not its escapes, where the terminal can write it.
    escaped = out is None and "utf" not in (sys.stdout.encoding or "").lower()
    lines = "".join(json.dumps(one, ensure_ascii=escaped) + "\n" for one in answers)
    if out is None:
        sys.stdout.write(lines)
        return
    from modelyard.store.artifact import write_text
    from modelyard.store.tables import write_parquet

    if out.suffix == ".parquet":
        write_parquet(_flat_rows(answers), out)
    elif out.suffix == ".csv":
        write_text(out, _csv(_flat_rows(answers)))
    elif out.suffix == ".jsonl":
        write_text(out, lines)
    else:
        raise UsageError(
            f"--out {out}: cannot write {out.suffix or 'this'}. Allowed: .jsonl, .csv, .parquet"
        )
    notes.print(f"wrote {len(answers):,} answers to {out}")


def _flat_rows(answers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """All rows with the same columns, None where one has no such value."""
    rows = [_flat(answer) for answer in answers]
    names = list(dict.fromkeys(name for row in rows for name in row))
    return [{name: row.get(name) for name in names} for row in rows]


def _flat(answer: dict[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in answer.items():
        flat |= (
            {f"{name}.{key}": inner for key, inner in value.items()}
            if isinstance(value, dict)
            else {name: value}
        )
    return {
        name: json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value
        for name, value in flat.items()
    }


def _csv(rows: list[dict[str, Any]]) -> str:
    import csv
    import io

    stream = io.StringIO()
    writer = csv.DictWriter(stream, rows[0] if rows else [])
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()
