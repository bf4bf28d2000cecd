"""Bodies: JSON in, JSON out, and what is wrong with either."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel
from pydantic_core import from_json, to_json

from modelyard.errors import BadData, ModelyardError
from modelyard.serving.problems import Reader, Refusal, not_finite, refuse

_EXPONENT = re.compile(rb"[eE][+0-9]|[0-9]{300}")
"""No match: no number in the body is so large that it is read as infinite."""


class Parsed:
    """A JSON body: one example, or a list of them."""

    __slots__ = ("_reader", "many", "values")

    def __init__(self, body: bytes, reader: Reader) -> None:
        value = parse(body, within=not reader.flat)
        self._reader = reader
        self.many = isinstance(value, list)
        self.values: Sequence[Any] = value if self.many else [value]

    def examples(self) -> list[BaseModel]:
        """The examples as the reader's requests; raises Refusal with all that is wrong with them."""
        return self._reader(self.values, self.many)

    def joined(self, answers: list[bytes]) -> bytes:
        """The answers as they were asked for: one, or a list."""
        return b"[" + b",".join(answers) + b"]" if self.many else answers[0]


def parse(body: bytes, *, within: bool = True) -> Any:
    """JSON to a value; `within` asks for a look at numbers too large to be finite, where no reader will look.

    Raises:
        Refusal: 400: not JSON, with its place; or a number that is not finite, with its field.
    """
    try:
        value = from_json(body, allow_inf_nan=False)
    except ValueError:
        value = _not_json(body)
    else:
        if not within or _EXPONENT.search(body) is None:
            return value
    if (path := next(not_finite(value), None)) is not None:
        index = path[0] if path and isinstance(path[0], int) else None
        field = ".".join(str(part) for part in (path if index is None else path[1:]))
        where = f"field {field!r}" if field else "an example"
        raise refuse(400, f"{where} must be a finite number", field=field or None, index=index)
    return value


def _not_json(body: bytes) -> Any:
    """What is wrong with a body that strict JSON is not; the value where it is NaN or an infinity alone."""
    if not body.strip():
        raise refuse(400, "the body is empty; send one example as a JSON object, or a list of them")
    try:
        return from_json(body)
    except ValueError as error:
        raise refuse(400, f"the body is not JSON: {error}") from None


def rendered(answer: BaseModel, index: int | None) -> bytes:
    """An answer as JSON.

    Raises:
        Refusal: 400: it holds a number that is not finite.
    """
    text = to_json(answer, by_alias=True)
    # A number that is not finite is written so: only where there is one is the long way gone.
    hidden = b"null" in text or b"NaN" in text or b"Infinity" in text
    if hidden and next(not_finite(answer.model_dump(mode="json", by_alias=True)), None) is not None:
        raise refuse(400, "the model has no finite answer: a number in the example is too large", index=index)
    return text


def unusable(error: Exception, index: int | None) -> Refusal:
    """What a host raised about an example, as a refusal."""
    if isinstance(error, BadData):
        return refuse(400, str(error), field=error.column, index=index)
    said = str(error) if isinstance(error, ModelyardError) else "a number in the example is too large"
    return refuse(400, said, index=index)
