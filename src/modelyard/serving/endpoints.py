"""The endpoints of a service, over one opened package."""

from __future__ import annotations

import html
import json
import logging
import random
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import anyio
import anyio.to_thread
from pydantic import BaseModel
from pydantic_core import from_json, to_json
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from modelyard.errors import BadData, ModelyardError
from modelyard.family import Host
from modelyard.package import Package
from modelyard.runtimes.onnx import available_cores
from modelyard.serving import openapi, page
from modelyard.serving.metrics import Metrics, exposition
from modelyard.serving.prediction_log import PredictionLog
from modelyard.serving.problems import Reader, Refusal, not_finite, refuse

log = logging.getLogger("modelyard.serving")

DIRECT_MS = 2.0
"""A model that answers faster than this, by the package's measured p50, runs on the event loop: handing the work
to a thread and back costs more than the others wait."""
DIRECT_BYTES = 16_384
"""A larger body goes to a thread whatever the model: reading it takes time too."""

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_MAYBE_NOT_FINITE = re.compile(rb"NaN|Infinity|\d[eE]\+?\d")
_JSON = "application/json"

Endpoint = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True)
class Limits:
    """What one request may ask for."""

    body_bytes: int = 16 * 2**20
    examples: int = 1_000


@dataclass(frozen=True)
class _Call:
    id: str
    received: datetime
    started: float


class Endpoints:
    """Each public method answers one route."""

    def __init__(self, package: Package, log: PredictionLog | None, limits: Limits) -> None:
        self._package, self._log, self._limits = package, log, limits
        self._metrics = Metrics(package.info.version)
        if log is not None:
            log.observe = self._metrics.log_rows
        self._read = Reader(package.host.Request)
        self._cores = anyio.CapacityLimiter(available_cores())
        self._fast = package.info.chosen.p50_ms <= DIRECT_MS
        self._explains = type(package.host).explain is not Host.explain
        self._summary = openapi.summary(package.info)
        self._document = openapi.document(package, explains=self._explains)
        self._page, self._policy = page.render(package, explains=self._explains)

    async def predict(self, request: Request, call: _Call) -> Response:
        """One example or a list of them to one answer or a list."""
        body = await read_body(request, self._limits.body_bytes)
        return Response(await self._run(body, self._predict, body, call), media_type=_JSON)

    async def explain(self, request: Request, call: _Call) -> Response:
        """One example to the reasons of its answer."""
        if not self._explains:
            raise refuse(404, f"family {self._package.info.family!r} gives no reasons; POST /predict answers")
        body = await read_body(request, self._limits.body_bytes)
        return Response(await self._run(body, self._explain, body), media_type=_JSON)

    async def package(self, request: Request, call: _Call) -> Response:
        """What is served."""
        return Response(to_json(self._summary), media_type=_JSON)

    async def openapi(self, request: Request, call: _Call) -> Response:
        """The OpenAPI document."""
        return Response(to_json(self._document), media_type=_JSON)

    async def metrics(self, request: Request, call: _Call) -> Response:
        """Counters for Prometheus."""
        content, media = await anyio.to_thread.run_sync(exposition)
        return Response(content, headers={"content-type": media})

    async def page(self, request: Request, call: _Call) -> Response:
        """The page for people."""
        address = html.escape(f"{request.base_url}predict")
        headers = {"content-security-policy": self._policy, "x-content-type-options": "nosniff"}
        return Response(self._page.replace(page.ADDRESS, address), media_type="text/html", headers=headers)

    async def unknown(self, request: Request, call: _Call) -> Response:
        """Any other path."""
        raise refuse(404, f"{request.url.path} is not here. There are POST /predict, POST /explain, GET /package, "
                          "GET /openapi.json, GET /metrics, GET /")  # fmt: skip

    def route(self, name: str, answer: Callable[[Request, _Call], Awaitable[Response]], *methods: str) -> Endpoint:
        """An endpoint that has an id, is counted, and turns refusals into JSON."""

        async def endpoint(request: Request) -> Response:
            call = _Call(_request_id(request), datetime.now(UTC), time.perf_counter())
            if methods and request.method not in methods:
                response = _error(refuse(405, f"{request.method} {request.url.path}: allowed is {methods[0]}"))
                response.headers["allow"] = ", ".join(methods)
            else:
                response = await _answered(answer, request, call)
            response.headers["x-request-id"] = call.id
            response.headers["x-modelyard-package"] = self._package.info.version
            self._metrics.request(name, response.status_code, time.perf_counter() - call.started)
            return response

        return endpoint

    async def _run(self, body: bytes, work: Callable[..., bytes], *arguments: Any) -> bytes:
        if self._fast and len(body) <= DIRECT_BYTES:
            return work(*arguments)
        return await anyio.to_thread.run_sync(work, *arguments, limiter=self._cores)

    def _predict(self, body: bytes, call: _Call) -> bytes:
        value = parse(body)
        many = isinstance(value, list)
        values = value if many else [value]
        self._check_number(values)
        examples = self._read(values, many)
        answers = self._answers(examples, many)
        content = [_rendered(answer, number if many else None) for number, answer in enumerate(answers)]
        if self._log is not None:
            taken = (time.perf_counter() - call.started) * 1e3
            self._log.add(call.id, call.received, taken, examples, answers, size=len(body))
        self._metrics.predictions(len(answers))
        return b"[" + b",".join(content) + b"]" if many else content[0]

    def _explain(self, body: bytes) -> bytes:
        value = parse(body)
        if isinstance(value, list):
            raise refuse(400, "one example is explained at a time: send an object, not a list")
        example = self._read([value], many=False)[0]
        try:
            explanation = self._package.host.explain(self._package.run, example)
        except (ModelyardError, OverflowError) as error:
            raise _unusable(error, None) from None
        if explanation is None:
            raise refuse(404, "the family gives no reasons for this example")
        return _rendered(explanation, None)

    def _check_number(self, values: Sequence[Any]) -> None:
        if not values:
            raise refuse(400, f"the list is empty; send 1 to {self._limits.examples} examples")
        if len(values) > self._limits.examples:
            raise refuse(400, f"{len(values)} examples in one request; allowed are 1 to {self._limits.examples}")

    def _answers(self, examples: list[BaseModel], many: bool) -> list[BaseModel]:
        host, run = self._package.host, self._package.run
        try:
            answers = host.predict(run, examples)
        except (ModelyardError, OverflowError) as error:
            if len(examples) > 1:  # which one it is, only asking one by one tells
                for number, example in enumerate(examples):
                    try:
                        host.predict(run, [example])
                    except (ModelyardError, OverflowError) as own:
                        raise _unusable(own, number) from None
            raise _unusable(error, 0 if many else None) from None
        assert len(answers) == len(examples), f"{type(host).__name__}.predict must answer each example"
        return answers


async def read_body(request: Request, limit: int) -> bytes:
    """The JSON body as bytes.

    Raises:
        Refusal: 415 for another content type or encoding, 413 for more than `limit` bytes.
    """
    media = request.headers.get("content-type", _JSON).split(";")[0].strip().lower()
    if media != _JSON and not (media.startswith("application/") and media.endswith("+json")):
        raise refuse(415, f"content type {media!r} is not read here; send content-type: {_JSON}")
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


async def _answered(answer: Callable[[Request, _Call], Awaitable[Response]], request: Request, call: _Call) -> Response:
    try:
        return await answer(request, call)
    except Refusal as refused:
        return _error(refused)
    except ClientDisconnect:
        return _error(refuse(499, "the client went away before its request was complete"))
    except Exception:
        log.exception("request %s failed", call.id)
        return _error(refuse(500, f"the model failed on this request; the log of the service says why: {call.id}"))


def _error(refused: Refusal) -> Response:
    return Response(json.dumps(refused.body()), status_code=refused.status, media_type=_JSON)


def _rendered(answer: BaseModel, index: int | None) -> bytes:
    content = answer.model_dump(mode="json", by_alias=True)
    rendered = to_json(content, inf_nan_mode="constants")
    if _MAYBE_NOT_FINITE.search(rendered) and next(not_finite(content), None) is not None:
        raise refuse(400, "the model has no finite answer: a number in the example is too large", index=index)
    return rendered


def _unusable(error: Exception, index: int | None) -> Refusal:
    if isinstance(error, BadData):
        return refuse(400, str(error), field=error.column, index=index)
    text = str(error) if isinstance(error, ModelyardError) else "a number in the example is too large"
    return refuse(400, text, index=index)


def _request_id(request: Request) -> str:
    given = request.headers.get("x-request-id", "")
    if _REQUEST_ID.fullmatch(given):
        return given
    return f"{random.getrandbits(128):032x}"  # told apart, not kept secret; uuid4 would ask the kernel each time
