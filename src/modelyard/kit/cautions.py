"""What a request holds that training did not: numbers far outside, categories never seen, empty
texts. For hosts: pydantic and the standard library only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelyard.host import Caution

_SHOWN = 60
"""Characters of a value in a message."""


class Ranges:
    """The values that training saw of numbers, and those that are near them."""

    def __init__(self, far: float) -> None:
        """A value is far outside from `far` times the width of the training range beyond it; of a
        constant, `far` times its size."""
        self._far = far
        # Tuples: a request's numbers are compared in a microsecond or two.
        self._known: list[tuple[str, float, float, str, str]] = []

    def add(self, key: str, name: str, low: float, high: float) -> None:
        """A number that is found by `key`, and called `name` by callers."""
        width = self._far * (high - low or abs(high) or 1.0)
        seen = f"is far outside the training data, {low:g} to {high:g}"
        self._known.append((key, low - width, high + width, name, seen))

    def cautions(self, values: Mapping[str, Any]) -> list[Caution]:
        """One for each number that is far outside; None and words are passed over."""
        found = []
        for key, least, most, name, seen in self._known:
            value = values[key]
            if value is None or isinstance(value, str):
                continue
            if not least <= value <= most:
                found.append(Caution(field=name, message=f"{value:g} {seen}"))
        return found


def unseen(name: str, value: str) -> Caution:
    """Says that training had no such category."""
    return Caution(field=name, message=f"{value[:_SHOWN]!r} was not in the training data")


def mostly_unknown(name: str) -> Caution:
    """Says that a text holds hardly anything that training did."""
    message = "is mostly of characters that were not in the training data"
    return Caution(field=name, message=message)


def cut(name: str, tokens: int) -> Caution:
    """Says that a text was not read to its end."""
    return Caution(field=name, message=f"only {tokens} tokens of it were read")


def empty(name: str) -> Caution:
    """Says that a text is empty, where training had none that was."""
    return Caution(field=name, message="is empty, which no training example was")
