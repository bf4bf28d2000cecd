"""Answers examples on the command line."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from modelyard.cli.examples import Example, example_of, fields_of, from_text, read_examples
from modelyard.cli.writing import check_out, notes, within, write_answers
from modelyard.errors import BadData, UsageError
from modelyard.host import Explains
from modelyard.packages.package import Package

CHUNK = 4096
FILE = "file"
"""The column that names the file of an answer, where a folder was answered."""


def answer(
    reference: str, text: str | None, file: Path | None, out: Path | None, explain: bool
) -> None:
    """Opens the package and answers; JSON lines on standard output, or a file."""
    from modelyard.registry.versions import resolve

    check_out(out)
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
        examples = [Example(body) for body in from_text(text)]
    elif file is not None:
        examples = read_examples(file, package)
    else:
        examples = [Example(package.golden()["request"])]
    if not examples:
        raise UsageError(f"{file or '--json'}: there is no example to answer")
    lacking = [example.whole for example in examples].count(False)
    if lacking:
        notes.print(f"{lacking:,} of {len(examples):,} rows have no whole example: no answer")
    write_answers(_answered(package, examples, explain, file), out, package.host.rows_by)


def answers_of_folder(folder: Path, package: Package, explain: bool) -> list[dict[str, Any]]:
    """Answers to the files of a folder that the family reads, each with its `file`, in the order of
    their names; others are counted.

    Raises:
        BadData: none is read, or the file that cannot be answered.
    """
    fields = fields_of(package)
    answers: list[dict[str, Any]] = []
    others = 0
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        name = path.relative_to(folder).as_posix()
        rows = None
        # What tools leave in hidden folders (`.ipynb_checkpoints`) is no example.
        if not any(part.startswith(".") for part in name.split("/")):
            rows = package.host.read_file(path)
        if rows is None:
            others += 1
            continue
        examples = [example_of({FILE: name} | row, fields, True) for row in rows]
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
    requests = {}
    for number, example in enumerate(examples, 1):
        if example.whole:
            requests[number] = _parse(package, example.body, number, file)
    answers = _answers(package, list(requests.values()), explain)
    answered = dict(zip(requests, answers, strict=True))
    found = [answered.get(number, {}) for number in range(1, len(examples) + 1)]
    return _with_columns(found, [example.unused for example in examples])


def _answers(package: Package, requests: list[BaseModel], explain: bool) -> list[dict[str, Any]]:
    answers: list[dict[str, Any]] = []
    for start in range(0, len(requests), CHUNK):
        for given in package.host.predict(package.run, requests[start : start + CHUNK]):
            answers.append(given.model_dump(mode="json", by_alias=True))
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
    taken: set[str] = set()
    for answer in answers:
        # As JSON lines name a field, and as a table does.
        for name in (*answer, *within(answer)):
            taken.add(name.casefold())
    called: dict[str, str] = {}
    for name in chain.from_iterable(columns):
        if name in called:
            continue
        free = name
        while free.casefold() in taken:
            free = f"input.{free}"
        taken.add(free.casefold())
        called[name] = free
    rows = []
    for row, answer in zip(columns, answers, strict=True):
        rows.append({called[name]: value for name, value in row.items()} | answer)
    return rows


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
