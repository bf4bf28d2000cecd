"""Bodies: JSON in, JSON out, and what is wrong with either."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from jiter import from_json
from pydantic import BaseModel
from pydantic_core import to_json

from modelyard.errors import BadData, ModelyardError
from modelyard.serving.problems import Reader, Refusal, not_finite, refuse
from modelyard.serving.work import Wanted

VALUES, FIELDS, CONTAINERS = 1_000_000, 250_000, 100_000
"""Most values, named fields, and lists or objects of a JSON body, counted by their commas,
colons and brackets before it is parsed: each of them costs time and memory that its bytes do not
tell. Depth (200) and digits of a whole number (4,300) are the parser's own limits."""
_LARGE_BYTES = 65_536
"""A smaller body cannot hold more than is quickly parsed."""
_EXPONENT = re.compile(rb"[eE][+0-9]")
_DIGITS = bytes.maketrans(b"123456789", b"000000000")
_LONG = b"0" * 300
"""A number with fewer digits and no exponent is finite."""


class Parsed:
    """A JSON body: one example, or a list of them."""

    __slots__ = ("_reader", "many", "values")

    def __init__(self, body: bytes, reader: Reader) -> None:
        value = parse(body, within=not reader.flat)
        self._reader = reader
        self.many = isinstance(value, list)
        self.values: Sequence[Any] = value if self.many else [value]

    def examples(self, wanted: Wanted | None = None) -> list[BaseModel]:
        """The examples as the reader's requests; raises Refusal with all that is wrong with
        them."""
        return self._reader(self.values, self.many, wanted)

    def joined(self, answers: list[bytes]) -> bytes:
        """The answers in the request's form: one, or a list."""
        if self.many:
            return b"[" + b",".join(answers) + b"]"
        return answers[0]


def parse(body: bytes, *, within: bool = True) -> Any:
    """JSON to a value; `within` looks for numbers too large to be finite, where no reader will
    look.

    Raises:
        Refusal: 400: not JSON, with its place; a name that stands twice in an object; or a number
            that is not finite, with its field; 413: more values than are read at once.
    """
    if len(body) > _LARGE_BYTES:
        _check_bounds(body)
    try:
        value = from_json(body, allow_inf_nan=False)
        # Looking for names that stand twice makes the parser four times slower. There are none
        # where each colon of the body belongs to a name that was found.
        if body.count(b":") != _names(value):
            from_json(body, allow_inf_nan=False, catch_duplicate_keys=True)
    except ValueError:
        value = _not_json(body)
    else:
        if not within or not _may_overflow(body):
            return value
    path = next(not_finite(value), None)
    if path is not None:
        raise _infinite(path)
    return value


def _infinite(path: tuple[str | int, ...]) -> Refusal:
    """400 for the number at a place in a body."""
    index = None
    # Of a list of examples the first step is which one.
    if path and isinstance(path[0], int):
        index, path = path[0], path[1:]
    field = ".".join(map(str, path))
    where = f"field {field!r}" if field else "an example"
    return refuse(400, f"{where} must be a finite number", field=field or None, index=index)


def _names(value: Any) -> int:
    """Names in an object, or in a list of them; those of inner objects are not counted."""
    if isinstance(value, dict):
        return len(value)
    if isinstance(value, list):
        return sum(len(example) for example in value if isinstance(example, dict))
    return 0


def _check_bounds(body: bytes) -> None:
    seen = {
        "values": (body.count(b",") + 1, VALUES),
        "named fields": (body.count(b":"), FIELDS),
        "lists and objects": (body.count(b"{") + body.count(b"["), CONTAINERS),
    }
    for what, (number, most) in seen.items():
        if number > most:
            hint = "send fewer or smaller examples, and large tensors in binary"
            raise refuse(
                413,
                f"the body has about {number:,} {what}; at most {most:,} are read at once: {hint}",
            )


def _may_overflow(body: bytes) -> bool:
    # Counting digits with an expression takes seconds on a body of many long numbers; this takes
    # one pass.
    return _EXPONENT.search(body) is not None or _LONG in body.translate(_DIGITS)


def _not_json(body: bytes) -> Any:
    """What is wrong with a body that strict JSON is not; the value where it is only NaN or an
    infinity."""
    if not body.strip():
        raise refuse(400, "the body is empty; send one example as a JSON object, or a list of them")
    # Read again with NaN allowed: then the refusal can name the field that holds it.
    try:
        return from_json(body, catch_duplicate_keys=True)
    except ValueError as error:
        raise refuse(400, f"the body is not JSON: {error}") from None


def rendered(answer: BaseModel, index: int | None) -> bytes:
    """An answer as JSON.

    Raises:
        Refusal: 400: it holds a number that is not finite.
    """
    text = to_json(answer, by_alias=True)
    # A number that is not finite is written so: only where there is one is the long way gone.
    if b"null" in text or b"NaN" in text or b"Infinity" in text:
        path = next(not_finite(answer.model_dump(mode="json", by_alias=True)), None)
        if path is not None:
            said = "the model has no finite answer: a number in the example is too large"
            raise refuse(400, said, index=index)
    return text


def unusable(error: Exception, index: int | None) -> Exception:
    """What a host raised about an example, as a refusal; a bug as it is."""
    if not isinstance(error, ModelyardError | OverflowError):
        return error
    if isinstance(error, BadData):
        # A request has fields, where a table has columns.
        said = str(error).replace(f"column {error.column!r}", f"field {error.column!r}", 1)
        return refuse(400, said, field=error.column, index=index)
    if isinstance(error, ModelyardError):
        said = str(error)
    else:
        said = "a number in the example is too large"
    return refuse(400, said, index=index)
