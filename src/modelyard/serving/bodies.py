"""Bodies: JSON in, JSON out, and what is wrong with either."""

from __future__ import annotations

import re
from typing import Any

from pydantic import BaseModel
from pydantic_core import from_json, to_json
from starlette.requests import Request

from modelyard.errors import BadData, ModelyardError
from modelyard.serving.problems import Refusal, not_finite, refuse

JSON = "application/json"

_MAYBE_NOT_FINITE = re.compile(rb"NaN|Infinity|\d[eE]\+?\d")


async def read_body(request: Request, limit: int) -> bytes:
    """The JSON body as bytes.

    Raises:
        Refusal: 415 for another content type or encoding, 413 for more than `limit` bytes.
    """
    media = request.headers.get("content-type", JSON).split(";")[0].strip().lower()
    if media != JSON and not (media.startswith("application/") and media.endswith("+json")):
        raise refuse(415, f"content type {media!r} is not read here; send content-type: {JSON}")
    if (encoding := request.headers.get("content-encoding", "identity").lower()) != "identity":
        raise refuse(415, f"content encoding {encoding!r} is not read here; send the JSON as it is")
    length = request.headers.get("content-length", "0")
    large = f"the body has more than {limit:,} bytes; send fewer or smaller examples"
    if length.isdecimal() and int(length) > limit:
        raise refuse(413, large)
    chunks, total = [], 0
    async for chunk in request.stream():
        total += len(chunk)
        if total > limit:
            raise refuse(413, large)
        chunks.append(chunk)
    return b"".join(chunks)


def parse(body: bytes) -> Any:
    """JSON to a value.

    Raises:
        Refusal: 400: not JSON, with its place; or a number that is not finite, with its field.
    """
    if not body.strip():
        raise refuse(400, "the body is empty; send one example as a JSON object, or a list of them")
    try:
        value = from_json(body)
    except ValueError as error:
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
    content = answer.model_dump(mode="json", by_alias=True)
    text = to_json(content, inf_nan_mode="constants")
    if _MAYBE_NOT_FINITE.search(text) and next(not_finite(content), None) is not None:
        raise refuse(400, "the model has no finite answer: a number in the example is too large", index=index)
    return text


def unusable(error: Exception, index: int | None) -> Refusal:
    """What a host raised about an example, as a refusal."""
    if isinstance(error, BadData):
        return refuse(400, str(error), field=error.column, index=index)
    said = str(error) if isinstance(error, ModelyardError) else "a number in the example is too large"
    return refuse(400, said, index=index)
