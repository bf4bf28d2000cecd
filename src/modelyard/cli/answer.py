"""Answers examples on the command line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from modelyard.cli.examples import Example, example_of, fields_of, from_text, read_examples
from modelyard.cli.writing import check_out, notes, within, write_answers
from modelyard.errors import BadData, UsageError
from modelyard.host import Explains
from modelyard.packages.package import Package
from modelyard.serving.problems import Reader

CHUNK = 4096
"""Examples that are parsed and answered at a time: what bounds the memory of a file of any length."""
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
    examples: Sequence[Example]
    if text is not None:
        examples = [Example(body) for body in from_text(text)]
    elif file is not None:
        examples = read_examples(file, package)
    else:
        examples = [Example(package.golden()["request"])]
    if not examples:
        raise UsageError(f"{file or '--json'}: there is no example to answer")
    answers = _answered(package, examples, explain, file)
    if answers.lacking:
        notes.print(
            f"{answers.lacking:,} of {len(examples):,} rows have no whole example: no answer"
        )
    write_answers(answers, out, package.host.rows_by)


class Answers(Sequence[dict[str, Any]]):
    """Answers, each next to the other columns of its row, which come first; a column that is named
    as a field of an answer is `input.<name>`.

    Case makes no difference, as in the tables that people load them into. They are kept as JSON,
    which takes a fifth of the memory: a file may have millions of rows.
    """

    def __init__(self) -> None:
        self.lacking = 0
        """Rows without an answer."""
        self._lines: list[bytes] = []
        self._fields: dict[str, None] = {}
        self._columns: dict[str, None] = {}

    def add(self, unused: dict[str, Any], answer: dict[str, Any]) -> None:
        self.lacking += not answer
        # As JSON lines name a field, and as a table does.
        self._fields |= dict.fromkeys([*answer, *within(answer)])
        self._columns |= dict.fromkeys(unused)
        self._lines.append(json.dumps([unused, answer]).encode())

    def __len__(self) -> int:
        return len(self._lines)

    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, slice):
            return [self[place] for place in range(*at.indices(len(self)))]
        unused, answer = json.loads(self._lines[at])
        return {self._called[name]: value for name, value in unused.items()} | answer

    @cached_property
    def _called(self) -> dict[str, str]:
        """What each other column is called, once all rows are there."""
        taken = {name.casefold() for name in self._fields}
        called = {}
        for name in self._columns:
            free = name
            while free.casefold() in taken:
                free = f"input.{free}"
            taken.add(free.casefold())
            called[name] = free
        return called


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
        is_hidden = any(part.startswith(".") for part in name.split("/"))
        if not is_hidden:
            rows = package.host.read_file(path)
        if rows is None:
            others += 1
            continue
        examples = [example_of({FILE: name} | row, fields, True) for row in rows]
        answers += _answered(package, examples, explain, path)
    if not answers:
        raise BadData("holds no file that this model reads", file=folder)
    if others:
        notes.print(f"{others:,} other files of {folder} are not read: no answer")
    return answers


def _answered(
    package: Package, examples: Sequence[Example], explain: bool, file: Path | None
) -> Answers:
    """An answer an example next to its other columns; empty where it is not whole."""
    found, reader = Answers(), Reader(package.host.Request)
    for start in range(0, len(examples), CHUNK):
        chunk = examples[start : start + CHUNK]
        requests, rows = {}, {}
        for number, example in enumerate(chunk, start + 1):
            rows[number] = example.row or number
            if example.whole:
                requests[number] = _parse(reader, example.body, rows[number], file)
        try:
            answers = _answers(package, list(requests.values()), explain)
        except BadData as error:
            raise _placed(error, package, requests, rows, file) from None
        answered = dict(zip(requests, answers, strict=True))
        for number, example in enumerate(chunk, start + 1):
            found.add(example.unused, answered.get(number, {}))
    return found


def _answers(package: Package, requests: list[BaseModel], explain: bool) -> list[dict[str, Any]]:
    answers: list[dict[str, Any]] = []
    for given in package.host.predict(package.run, requests):
        answers.append(given.model_dump(mode="json", by_alias=True))
    if explain:
        assert isinstance(package.host, Explains), "looked at before"
        for request, one in zip(requests, answers, strict=True):
            reasons = package.host.explain(package.run, request)
            one["explanation"] = reasons.model_dump(mode="json") if reasons else None
    return answers


def _placed(
    error: BadData,
    package: Package,
    requests: dict[int, BaseModel],
    rows: dict[int, int],
    file: Path | None,
) -> BadData:
    """The error of a request among several, with its file and, of those, its row."""
    if error.file is not None:
        return error
    row = error.row
    # A family refuses a batch as a whole: the request that is refused on its own too is the one. A
    # single request is named by its file, as a picture has no rows.
    candidates = requests if len(requests) > 1 else {}
    for number, request in candidates.items():
        try:
            package.host.predict(package.run, [request])
        except BadData as own:
            error, row = own, rows[number]
            break
    return BadData(error.problem, file=file, row=row, column=error.column, hint=error.hint)


def _parse(reader: Reader, body: Any, number: int, source: Path | None) -> BaseModel:
    """A body as the service would take it, refused in its words."""
    try:
        return reader.example(body)
    except BadData as error:
        hint = 'In a table, write it as ["a", "b"]' if "must be a list" in error.problem else ""
        raise BadData(
            error.problem, file=source, row=number, column=error.column, hint=hint
        ) from None
