"""Rows as fastText has them: `__label__spam __label__urgent the text`, one a line."""

from __future__ import annotations

import json

from modelyard.errors import BadData
from modelyard.kit.tables import decoded
from modelyard.store.files import File

PREFIX = "__label__"


def is_fasttext(file: File) -> bool:
    """Whether a file begins with such a label."""
    return file.read().startswith(PREFIX.encode())


def fasttext_columns(file: File) -> tuple[dict[str, list[str | None]], list[int], list[str]]:
    """Texts and labels by column, the numbers of their lines, and notes on the encoding. Several labels
    are a list of JSON.

    Raises:
        BadData: a line without a label.
    """
    content, notes = decoded(file)
    texts: list[str | None] = []
    labels: list[str | None] = []
    numbers = []
    for number, line in enumerate(content.splitlines(), 1):
        words = line.split()
        if not words:
            continue
        own = []
        for word in words:
            if not word.startswith(PREFIX):
                break
            own.append(word.removeprefix(PREFIX))
        if not own:
            problem = f"begins with {words[0][:40]!r}, where other lines have {PREFIX}…"
            hint = "Write its label in front of the text, or remove the line"
            raise BadData(problem, file=file.path, row=number, hint=hint)
        texts.append(" ".join(words[len(own) :]) or None)
        labels.append(own[0] if len(own) == 1 else json.dumps(own))
        numbers.append(number)
    return {"text": texts, "label": labels}, numbers, notes
