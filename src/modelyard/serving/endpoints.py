"""The endpoints of a service, over one opened package."""

from __future__ import annotations

import functools
import html
import json
import logging
import random
import re
import time
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import anyio
import anyio.to_thread
from pydantic import BaseModel
from pydantic_core import to_json
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse

from modelyard.errors import ModelyardError
from modelyard.family import Host
from modelyard.package import Package
from modelyard.runtimes.onnx import available_cores
from modelyard.serving import openapi, page, stream
from modelyard.serving.bodies import JSON, parse, read_body, rendered, unusable
from modelyard.serving.metrics import Metrics, exposition
from modelyard.serving.openai import Completions
from modelyard.serving.prediction_log import PredictionLog
from modelyard.serving.problems import Reader, Refusal, refuse

log = logging.getLogger("modelyard.serving")

DIRECT_MS = 2.0
"""A model that answers faster than this, by the package's measured p50, runs on the event loop: handing the work
to a thread and back costs more than the others wait."""
DIRECT_BYTES = 16_384
"""A larger body goes to a thread whatever the model: reading it takes time too."""

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")

Endpoint = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True)
class Limits:
    """What one request may ask for."""

    body_bytes: int = 16 * 2**20
    examples: int = 1_000


@dataclass(frozen=True)
class Call:
    """One HTTP request."""

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
        self.read = Reader(package.host.Request)
        self._cores = anyio.CapacityLimiter(available_cores())
        self._fast = package.info.chosen.p50_ms <= DIRECT_MS
        self._explains = type(package.host).explain is not Host.explain
        self._summary = openapi.summary(package.info)
        self._page, self._policy = page.render(package, explains=self._explains)
        self.completions = Completions(self)
        self._document = openapi.document(
            package, explains=self._explains, completes=self.completions.offered,
            streams=type(package.host).stream is not Host.stream,
        )  # fmt: skip

    async def predict(self, request: Request, call: Call) -> Response:
        """One example or a list of them to one answer or a list."""
        body = await self.body(request)
        if stream.wanted(request):
            return await self._stream(body, call)
        return Response(await self._run(body, self._predict, body, call), media_type=JSON)

    async def explain(self, request: Request, call: Call) -> Response:
        """One example to the reasons of its answer."""
        if not self._explains:
            raise refuse(404, f"family {self._package.info.family!r} gives no reasons; POST /predict answers")
        body = await self.body(request)
        return Response(await self._run(body, self._explain, body), media_type=JSON)

    async def package(self, request: Request, call: Call) -> Response:
        """What is served."""
        return Response(to_json(self._summary), media_type=JSON)

    async def openapi(self, request: Request, call: Call) -> Response:
        """The OpenAPI document."""
        return Response(to_json(self._document), media_type=JSON)

    async def metrics(self, request: Request, call: Call) -> Response:
        """Counters for Prometheus."""
        content, media = await anyio.to_thread.run_sync(exposition)
        return Response(content, headers={"content-type": media})

    async def page(self, request: Request, call: Call) -> Response:
        """The page for people."""
        address = html.escape(f"{request.base_url}predict")
        headers = {"content-security-policy": self._policy, "x-content-type-options": "nosniff"}
        return Response(self._page.replace(page.ADDRESS, address), media_type="text/html", headers=headers)

    async def unknown(self, request: Request, call: Call) -> Response:
        """Any other path."""
        raise refuse(404, f"{request.url.path} is not here. There are POST /predict, POST /explain, GET /package, "
                          "GET /openapi.json, GET /metrics, GET /")  # fmt: skip

    def route(self, name: str, answer: Callable[[Request, Call], Awaitable[Response]], *methods: str) -> Endpoint:
        """An endpoint that has an id, is counted, and turns refusals into JSON."""

        async def endpoint(request: Request) -> Response:
            call = Call(_request_id(request), datetime.now(UTC), time.perf_counter())
            if methods and request.method not in methods:
                response = _error(refuse(405, f"{request.method} {request.url.path}: allowed is {methods[0]}"))
                response.headers["allow"] = ", ".join(methods)
            else:
                response = await _answered(answer, request, call)
            response.headers["x-request-id"] = call.id
            response.headers["x-modelyard-package"] = self._package.info.version
            if isinstance(response, StreamingResponse):
                response.body_iterator = self._counted(name, response.body_iterator, call)
            else:
                self._metrics.request(name, response.status_code, time.perf_counter() - call.started)
            return response

        return endpoint

    async def _run(self, body: bytes, work: Callable[..., bytes], *arguments: Any) -> bytes:
        if self._fast and len(body) <= DIRECT_BYTES:
            return work(*arguments)
        return await anyio.to_thread.run_sync(work, *arguments, limiter=self._cores)

    @property
    def opened(self) -> Package:
        """The package that answers."""
        return self._package

    async def body(self, request: Request) -> bytes:
        """The request's JSON as bytes, within the limit."""
        return await read_body(request, self._limits.body_bytes)

    async def predicted(self, examples: list[BaseModel]) -> list[BaseModel]:
        """Answers to examples that were read, made in a thread; not recorded yet."""
        work = functools.partial(self._answers, examples, many=len(examples) > 1)
        return await anyio.to_thread.run_sync(work, limiter=self._cores)

    def parts(self, example: BaseModel) -> stream.Parts | None:
        """The answer to an example in parts; None where the family does not stream.

        Raises:
            Refusal: 400: the family cannot use the example.
        """
        try:
            parts = self._package.host.stream(self._package.run, example)
        except (ModelyardError, OverflowError) as error:
            raise unusable(error, None) from None
        return None if parts is None else stream.Parts(parts, self._cores)

    async def begin(self, parts: stream.Parts) -> None:
        """Takes the first part.

        Raises:
            Refusal: 400: the family cannot use the example.
        """
        try:
            await parts.begin()
        except (ModelyardError, OverflowError) as error:
            raise unusable(error, None) from None

    def record(self, call: Call, examples: Sequence[BaseModel], answers: Sequence[BaseModel], size: int) -> None:
        """Logs and counts answered examples, once."""
        if self._log is not None:
            taken = (time.perf_counter() - call.started) * 1e3
            self._log.add(call.id, call.received, taken, examples, answers, size=size)
        self._metrics.predictions(len(answers))

    async def _stream(self, body: bytes, call: Call) -> Response:
        example = self._single(body, "one example is streamed at a time: send an object, not a list")
        parts = self.parts(example)
        if parts is None:
            family = self._package.info.family
            raise refuse(406, f"family {family!r} answers at once; send accept: {JSON}")
        await self.begin(parts)
        return stream.response(self._events(example, parts, call, len(body)))

    async def _events(self, example: BaseModel, parts: stream.Parts, call: Call, size: int) -> AsyncIterator[bytes]:
        """A `data` event for each part, then the whole answer as event `answer`; or an event `error`."""
        try:
            async for part in parts:
                if isinstance(part, self._package.host.Response):
                    yield stream.event(rendered(part, None), "answer")
                    self.record(call, [example], [part], size)
                else:
                    yield stream.event(rendered(part, None))
        except Refusal as refused:
            yield stream.event(to_json(refused.body()), "error")
        except Exception:
            log.exception("request %s failed while its answer was streamed", call.id)
            yield stream.event(to_json(refuse(500, f"the model failed on this request: {call.id}").body()), "error")
        finally:
            parts.close()

    async def _counted(self, name: str, chunks: AsyncIterable[Any], call: Call) -> AsyncIterator[Any]:
        """The body of a streamed response; counted when it ends, as 499 when the client left before."""
        code = 499
        try:
            async for chunk in chunks:
                yield chunk
            code = 200
        finally:
            self._metrics.request(name, code, time.perf_counter() - call.started)

    def _predict(self, body: bytes, call: Call) -> bytes:
        value = parse(body)
        many = isinstance(value, list)
        values = value if many else [value]
        self.check_number(values)
        examples = self.read(values, many)
        answers = self._answers(examples, many)
        content = [rendered(answer, number if many else None) for number, answer in enumerate(answers)]
        self.record(call, examples, answers, len(body))
        return b"[" + b",".join(content) + b"]" if many else content[0]

    def _single(self, body: bytes, otherwise: str) -> BaseModel:
        value = parse(body)
        if isinstance(value, list):
            raise refuse(400, otherwise)
        return self.read([value], many=False)[0]

    def _explain(self, body: bytes) -> bytes:
        example = self._single(body, "one example is explained at a time: send an object, not a list")
        try:
            explanation = self._package.host.explain(self._package.run, example)
        except (ModelyardError, OverflowError) as error:
            raise unusable(error, None) from None
        if explanation is None:
            raise refuse(404, "the family gives no reasons for this example")
        return rendered(explanation, None)

    def check_number(self, values: Sequence[Any]) -> None:
        """Raises Refusal for no example, or too many."""
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
                        raise unusable(own, number) from None
            raise unusable(error, 0 if many else None) from None
        assert len(answers) == len(examples), f"{type(host).__name__}.predict must answer each example"
        return answers


async def _answered(answer: Callable[[Request, Call], Awaitable[Response]], request: Request, call: Call) -> Response:
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
    return Response(json.dumps(refused.body()), status_code=refused.status, media_type=JSON)


def _request_id(request: Request) -> str:
    given = request.headers.get("x-request-id", "")
    if _REQUEST_ID.fullmatch(given):
        return given
    return f"{random.getrandbits(128):032x}"  # told apart, not kept secret; uuid4 would ask the kernel each time
