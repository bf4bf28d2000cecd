"""Answers examples on the command line."""

from __future__ import annotations

import json
import math
import sys
from datetime import date, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from rich.console import Console

from modelyard.errors import BadData, UsageError
from modelyard.host import Explains
from modelyard.packages.package import Package

CHUNK = 4096
TABLES = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet")
notes = Console(stderr=True, highlight=False, style="dim")


def answer(
    reference: str, text: str | None, file: Path | None, out: Path | None, explain: bool
) -> None:
    """Opens the package and answers; JSON lines on standard output, or a file."""
    from modelyard.registry.versions import resolve

    package = Package(resolve(reference))
    if text is not None and file is not None:
        raise UsageError("give --json or --file, not both")
    bodies = (
        _from_text(text)
        if text is not None
        else read_examples(file, package)
        if file
        else [package.golden()["request"]]
    )
    requests = [_parse(package, body, number) for number, body in enumerate(bodies, 1)]
    answers: list[dict[str, Any]] = []
    for start in range(0, len(requests), CHUNK):
        batch = requests[start : start + CHUNK]
        answers += [
            one.model_dump(mode="json", by_alias=True)
            for one in package.host.predict(package.run, batch)
        ]
    if explain:
        for request, one in zip(requests, answers, strict=True):
            reasons = (
                package.host.explain(package.run, request)
                if isinstance(package.host, Explains)
                else None
            )
            one["explanation"] = reasons.model_dump(mode="json") if reasons else None
    _write(answers, out)


def read_examples(file: Path, package: Package) -> list[dict[str, Any]]:
    """Rows of a CSV, Parquet, JSON or JSON-lines file as request bodies; columns the model
    doesn't know are named."""
    if not file.is_file():
        raise BadData("no such file", file=file)
    name = file.name.lower()
    if name.endswith((".json", ".jsonl")):
        return _from_text(file.read_text(encoding="utf-8"), lines=name.endswith(".jsonl"))
    rows = package.host.read_file(file)
    if rows is None and not name.endswith(TABLES):
        allowed = ", ".join((*TABLES, ".jsonl", ".json"))
        raise BadData(
            f"cannot read {file.suffix or 'this'} files", file=file, hint=f"Allowed: {allowed}"
        )
    if rows is None:
        rows = _read_table(file, "read_parquet" if name.endswith(".parquet") else "read_csv")
    fields = {
        field.alias or name: field.annotation
        for name, field in package.host.Request.model_fields.items()
    }
    names = list(rows[0]) if rows else []
    extra = [name for name in names if name not in fields]
    if names and len(extra) == len(names):
        problem = f"no column is one that the model takes; seen: {', '.join(names[:20])}"
        raise BadData(problem, file=file, hint=f"Allowed: {', '.join(fields)}")
    if extra:
        notes.print(f"not used: column{'s' * (len(extra) > 1)} {', '.join(extra)}")
    return [
        {name: _plain(row[name], fields[name]) for name in row if name in fields} for row in rows
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


def _from_text(text: str, lines: bool = False) -> list[Any]:
    try:
        if lines:
            return [json.loads(line) for line in text.splitlines() if line.strip()]
        body = json.loads(text)
    except json.JSONDecodeError as error:
        raise UsageError(f"not JSON: {error}") from None
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
    lines = "".join(json.dumps(one) + "\n" for one in answers)
    if out is None:
        sys.stdout.write(lines)
        return
    from modelyard.store.artifact import write_text
    from modelyard.store.tables import write_parquet

    if out.suffix == ".parquet":
        write_parquet([_flat(one) for one in answers], out)
    elif out.suffix == ".csv":
        write_text(out, _csv([_flat(one) for one in answers]))
    elif out.suffix == ".jsonl":
        write_text(out, lines)
    else:
        raise UsageError(
            f"--out {out}: cannot write {out.suffix or 'this'}. Allowed: .jsonl, .csv, .parquet"
        )
    notes.print(f"wrote {len(answers):,} answers to {out}")


def _flat(answer: dict[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in answer.items():
        flat |= (
            {f"{name}.{key}": inner for key, inner in value.items()}
            if isinstance(value, dict)
            else {name: value}
        )
    return {
        name: json.dumps(value) if isinstance(value, list | dict) else value
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
