"""Bodies: JSON in, JSON out, and what is wrong with either."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel
from pydantic_core import from_json, to_json

from modelyard.errors import BadData, ModelyardError
from modelyard.serving.problems import Reader, Refusal, not_finite, refuse

_MAYBE_NOT_FINITE = re.compile(rb"[nN][aA][nN]|[iI][nN][fF]|\d[eE]\+?\d")
"""No match: no number in the body is NaN or infinite, nor a text that is read as one."""
_MAYBE_HIDDEN = re.compile(rb"null|NaN|Infinity")


class Parsed:
    """A JSON body: one example, or a list of them."""

    __slots__ = ("finite", "many", "values")

    def __init__(self, body: bytes) -> None:
        value = parse(body)
        self.many = isinstance(value, list)
        self.values: Sequence[Any] = value if self.many else [value]
        self.finite = _MAYBE_NOT_FINITE.search(body) is None

    def examples(self, reader: Reader) -> list[BaseModel]:
        """The examples as requests of one family; raises Refusal with all that is wrong with them."""
        return reader(self.values, self.many, finite=self.finite)

    def joined(self, answers: list[bytes]) -> bytes:
        """The answers as they were asked for: one, or a list."""
        return b"[" + b",".join(answers) + b"]" if self.many else answers[0]


def parse(body: bytes) -> Any:
    """JSON to a value.

    Raises:
        Refusal: 400: not JSON, with its place; or a number that is not finite, with its field.
    """
    try:
        value = from_json(body)
    except ValueError as error:
        if not body.strip():
            raise refuse(400, "the body is empty; send one example as a JSON object, or a list of them") from None
        raise refuse(400, f"the body is not JSON: {error}") from None
    if _MAYBE_NOT_FINITE.search(body) and (path := next(not_finite(value), None)) is not None:
        index = path[0] if path and isinstance(path[0], int) else None
        field = ".".join(str(part) for part in (path if index is None else path[1:]))
        where = f"field {field!r}" if field else "an example"
        raise refuse(400, f"{where} must be a finite number", field=field or None, index=index)
    return value


def rendered(answer: BaseModel, index: int | None) -> bytes:
    """An answer as JSON.

    Raises:
        Refusal: 400: it holds a number that is not finite.
    """
    text = to_json(answer, by_alias=True)
    # A number that is not finite is written so: only where there is one is the long way gone.
    if _MAYBE_HIDDEN.search(text) and next(not_finite(answer.model_dump(mode="json", by_alias=True)), None) is not None:
        raise refuse(400, "the model has no finite answer: a number in the example is too large", index=index)
    return text


def unusable(error: Exception, index: int | None) -> Refusal:
    """What a host raised about an example, as a refusal."""
    if isinstance(error, BadData):
        return refuse(400, str(error), field=error.column, index=index)
    said = str(error) if isinstance(error, ModelyardError) else "a number in the example is too large"
    return refuse(400, said, index=index)
