"""Questions as SQuAD keeps them (Rajpurkar et al. 2016 and 2018), versions 1.1 and 2.0.

`{"data": [{"title": …, "paragraphs": [{"context": …, "qas": [{"question": …, "answers": [{"text": …,
"answer_start": …}], "is_impossible": …}]}]}]}`
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from modelyard.errors import BadData
from modelyard.kit.json_lines import in_utf8, json_value, read_utf8
from modelyard.store.files import File, files_of


@dataclass(frozen=True)
class Question:
    """One question on a text."""

    file: File
    place: str
    """Where it stands in the file: `data[0].paragraphs[3].qas[1]`."""
    article: str
    """The article that its text is of."""
    question: str
    context: str
    answers: list[tuple[str, int]]
    """Text and first character of each accepted answer; none: the text does not answer it."""


@dataclass
class Asked:
    """The questions of a raw folder, and what the card says of them."""

    questions: list[Question] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read_squad(raw: Path) -> Asked:
    """All questions of the files below `raw`.

    Raises:
        BadData: with the file and the entry in it.
    """
    raw = Path(raw)
    files = [file for file in files_of(raw) if file.suffix == ".json"]
    if not files:
        raise BadData("holds no .json file as of SQuAD", file=raw)
    found = Asked()
    for file in files:
        found.questions += _questions(file)
    if not found.questions:
        raise BadData("has no question", file=files[0].path)
    without = sum(not question.answers for question in found.questions)
    if without == len(found.questions):
        raise BadData("no question has an answer", file=files[0].path)
    # Version 2.0 added questions that the text does not answer.
    version = "2.0" if without else "1.1"
    found.notes.append(
        f"SQuAD {version}: {without:,} of {len(found.questions):,} questions have no answer."
    )
    return found


def read_asked(file: File) -> list[dict[str, Any]]:
    """The questions of one file as bodies of requests, each with its `id` where it has one. Answers
    are not looked at.

    Raises:
        BadData: with the entry in the file.
    """
    bodies = []
    for entry in _entries_asked(file):
        body = {"question": entry.question, "context": entry.context}
        name = entry.holder.get("id")
        if name is not None:
            body = {"id": name, **body}
        bodies.append(body)
    return bodies


def is_squad(file: File) -> bool:
    """Whether a file is as of SQuAD, not a request or a list of them."""
    if file.suffix != ".json":
        return False
    content = json_value(read_utf8(file), file.path)
    return isinstance(content, dict) and "data" in content


def _questions(file: File) -> Iterator[Question]:
    for entry in _entries_asked(file):
        answers = _answers(entry.holder, entry.context, entry.place, file)
        yield Question(file, entry.place, entry.article, entry.question, entry.context, answers)


class _Entry(NamedTuple):
    place: str
    article: str
    question: str
    context: str
    holder: dict[str, Any]
    """The object of the question."""


def _entries_asked(file: File) -> Iterator[_Entry]:
    content = json_value(read_utf8(file), file.path)
    if not isinstance(content, dict) or not isinstance(content.get("data"), list):
        raise BadData("must be an object with a list `data`, as of SQuAD", file=file.path)
    for number, article in enumerate(content["data"]):
        at = f"data[{number}]"
        title = _title(article, at, file)
        for place, paragraph in _entries(article, "paragraphs", at, file):
            context = _text(paragraph, "context", place, file)
            for where, asked in _entries(paragraph, "qas", place, file):
                question = _text(asked, "question", where, file)
                yield _Entry(where, title, question, context, asked)


def _title(article: Any, at: str, file: File) -> str:
    """What an article is called; where it has no title, its place in the file."""
    title = article.get("title") if isinstance(article, dict) else None
    if not isinstance(title, str) or not title:
        return at
    in_utf8(title, file.path, f"{at}.title")
    return title


def _entries(holder: Any, name: str, at: str, file: File) -> Iterator[tuple[str, dict[str, Any]]]:
    """The objects of a list, each with its place."""
    if not isinstance(holder, dict) or not isinstance(holder.get(name), list):
        raise BadData(f"has no list `{name}`", file=file.path, column=at)
    for number, entry in enumerate(holder[name]):
        place = f"{at}.{name}[{number}]"
        if not isinstance(entry, dict):
            raise BadData("must be an object", file=file.path, column=place)
        yield place, entry


def _text(holder: dict[str, Any], name: str, at: str, file: File) -> str:
    text = holder.get(name)
    if not isinstance(text, str) or not text.strip():
        seen = json.dumps(text)[:40]
        raise BadData(f"must be a text, seen {seen}", file=file.path, column=f"{at}.{name}")
    in_utf8(text, file.path, f"{at}.{name}")
    return text


def _answers(asked: dict[str, Any], context: str, at: str, file: File) -> list[tuple[str, int]]:
    """The accepted answers, each once."""
    impossible = asked.get("is_impossible", False)
    found: dict[tuple[str, int], None] = {}
    for place, answer in _entries(asked, "answers", at, file):
        text, start = _text(answer, "text", place, file), answer.get("answer_start")
        # To Python `true` is a whole number.
        if isinstance(start, bool) or not isinstance(start, int):
            problem = f"must be a whole number, seen {json.dumps(start)[:40]}"
            raise BadData(problem, file=file.path, column=f"{place}.answer_start")
        if start < 0 or context[start : start + len(text)] != text:
            problem = f"{text[:40]!r} does not stand at character {start} of the context"
            raise BadData(problem, file=file.path, column=place)
        found[text, start] = None
    if impossible and found:
        raise BadData("is_impossible, and has answers", file=file.path, column=at)
    if not found and impossible is not True:
        hint = "A question without one is marked by is_impossible: true"
        raise BadData("has no answer", file=file.path, column=at, hint=hint)
    return list(found)
