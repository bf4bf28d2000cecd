"""The endpoints of one opened package. A swap puts another set in their place; an answer comes from one set whole."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import anyio
import anyio.to_thread
from pydantic import BaseModel
from pydantic_core import to_json

from modelyard.errors import ModelyardError
from modelyard.family import Host
from modelyard.package import Package
from modelyard.runtimes.onnx import available_cores
from modelyard.serving import openapi, page, stream
from modelyard.serving.aside import Aside
from modelyard.serving.batching import Batcher, measure
from modelyard.serving.bodies import Parsed, rendered, unusable
from modelyard.serving.cache import Cache, Cached
from modelyard.serving.calls import Answer, Call, Reply, Route
from modelyard.serving.metrics import Metrics
from modelyard.serving.openai import Completions
from modelyard.serving.page import Page
from modelyard.serving.prediction_log import PredictionLog
from modelyard.serving.problems import Reader, Refusal, refuse
from modelyard.serving.settings import Limits
from modelyard.serving.tensors import V2

log = logging.getLogger("modelyard.serving")

DIRECT_BYTES = 16_384
"""A larger body is read in a thread: that takes time too."""


class Endpoints:
    """All that answers for a package: opened, warm, with a queue of its own.

    Raises:
        ModelyardError: the package does not answer its own example.
    """

    def __init__(self, package: Package, log: PredictionLog | None, limits: Limits) -> None:
        self.opened, self.log, self.limits = package, log, limits
        self.version = package.info.version.encode()
        self.metrics = Metrics(package.info.version)
        self.read = Reader(package.host.Request)
        self.explains = type(package.host).explain is not Host.explain
        self.streams = type(package.host).stream is not Host.stream
        self.cores = anyio.CapacityLimiter(available_cores())
        self.aside = Aside(available_cores(), limits.queue)
        self._cache = Cache(limits.cache_bytes)
        self.batcher = self._batcher()
        self.completions, self.v2 = Completions(self), V2(self)
        self.routes = {
            "/predict": Route("predict", self.predict, ("POST",)),
            "/explain": Route("explain", self.explain, ("POST",)),
            "/v1/completions": Route("completions", self.completions.completions, ("POST",)),
            "/v1/models": Route("models", self.completions.models),
            "/package": Route("package", self.package),
            "/openapi.json": Route("openapi", self.openapi),
            "/": Route("page", self.page),
        }

    def route(self, path: str) -> Route | None:
        """What answers a path, if it is the package's."""
        found = self.routes.get(path)
        if found is None and path.startswith("/v1/models/"):
            return Route("models", self.completions.models)
        if found is None and (path == "/v2" or path.startswith("/v2/")):
            return self.v2.route(path)
        return found

    async def predict(self, call: Call) -> Answer:
        """One example or a list of them to one answer or a list."""
        body = await call.json(self.limits)
        if self.streams and stream.wanted(call):
            return await self._stream(body, call)
        if stream.wanted(call):
            raise refuse(406, f"family {self.opened.info.family!r} answers at once; send accept: application/json")
        if (kept := self._cache.get(body)) is not None:
            self.record(call, kept.examples, kept.answers)
            return Reply(kept.content, headers=((b"x-cache", b"hit"),))
        self.admit(call)
        asked, examples = await self.parsed(body)
        answers = await self.answers(examples, call, many=asked.many)
        content = asked.joined([rendered(one, at if asked.many else None) for at, one in enumerate(answers)])
        self._cache.put(body, Cached(content, examples, answers))
        self.record(call, examples, answers)
        return Reply(content)

    async def explain(self, call: Call) -> Reply:
        """One example to the reasons of its answer."""
        if not self.explains:
            raise refuse(404, f"family {self.opened.info.family!r} gives no reasons; POST /predict answers")
        body = await call.json(self.limits)
        work = functools.partial(self._explained, body)
        return Reply(await self.aside.run(work, call.expires(self.limits.deadline)))

    async def package(self, call: Call) -> Reply:
        """What is served."""
        return Reply(to_json(openapi.summary(self.opened.info)))

    async def openapi(self, call: Call) -> Reply:
        """The OpenAPI document."""
        return Reply(self._document)

    async def page(self, call: Call) -> Reply:
        """The page for people."""
        shown = self._page
        host, scheme = call.header(b"host", "localhost"), call.scope.get("scheme", "http")
        headers = ((b"content-security-policy", shown.policy.encode()), (b"referrer-policy", b"no-referrer"))
        return Reply(
            shown.at(f"{scheme}://{host}/predict").encode(), media=b"text/html; charset=utf-8", headers=headers
        )

    def admit(self, call: Call) -> None:
        """Raises Refusal, 503, where there is no time for one more example."""
        self.batcher.admit(1, call.expires(self.limits.deadline))

    async def parsed(self, body: bytes) -> tuple[Parsed, list[BaseModel]]:
        """A JSON body, and the examples in it.

        Raises:
            Refusal: 400: what is wrong with it.
        """
        if len(body) > DIRECT_BYTES:
            return await anyio.to_thread.run_sync(self._parsed, body, limiter=self.cores)
        return self._parsed(body)

    async def answers(self, examples: list[BaseModel], call: Call, *, many: bool) -> list[BaseModel]:
        """Answers to examples that were read; not recorded yet.

        Raises:
            Refusal: 400: the family cannot use an example; 503, 504: there is no time for it.
        """
        try:
            caller = call.scope.get("client")
            return await self.batcher.submit(examples, call.expires(self.limits.deadline), caller)
        except (ModelyardError, OverflowError) as error:
            if len(examples) == 1:
                raise unusable(error, 0 if many else None) from None
            find = functools.partial(self._which, examples, error)
            raise await anyio.to_thread.run_sync(find, limiter=self.cores) from None

    def parts(self, example: BaseModel) -> stream.Parts | None:
        """The answer to an example in parts; None where the family does not stream.

        Raises:
            Refusal: 400: the family cannot use the example.
        """
        try:
            parts = self.opened.host.stream(self.opened.run, example)
        except (ModelyardError, OverflowError) as error:
            raise unusable(error, None) from None
        return None if parts is None else stream.Parts(parts, self.cores)

    async def begin(self, parts: stream.Parts) -> None:
        """Takes the first part.

        Raises:
            Refusal: 400: the family cannot use the example.
        """
        try:
            await parts.begin()
        except (ModelyardError, OverflowError) as error:
            raise unusable(error, None) from None

    def record(self, call: Call, examples: Sequence[BaseModel], answers: Sequence[BaseModel]) -> None:
        """Logs and counts answered examples, once."""
        if self.log is not None:
            taken = (time.perf_counter() - call.started) * 1e3
            size = len(call.content)
            self.log.add(call.id, call.time, taken, examples, answers, size=size, package=self.opened)
        self.metrics.predictions(len(answers))

    def check_number(self, values: Sequence[Any]) -> None:
        """Raises Refusal for no example, or too many."""
        if not values:
            raise refuse(400, f"the list is empty; send 1 to {self.limits.examples} examples")
        if len(values) > self.limits.examples:
            raise refuse(400, f"{len(values)} examples in one request; allowed are 1 to {self.limits.examples}")

    @functools.cached_property
    def _document(self) -> bytes:
        offered = self.completions.offered
        return to_json(openapi.document(self.opened, explains=self.explains, streams=self.streams, completes=offered))

    @functools.cached_property
    def _page(self) -> Page:
        return page.render(self.opened, explains=self.explains, streams=self.streams)

    def _batcher(self) -> Batcher:
        package, limits = self.opened, self.limits
        example = package.parse(package.golden()["request"])
        pace = measure(self._predict, example, largest=limits.batch_rows, longest=limits.batch_seconds)
        batcher = Batcher(self._predict, pace, capacity=limits.queue, wait=limits.batch_wait)
        batcher.observe = self.metrics.batch
        self.metrics.watch(batcher)
        return batcher

    def _predict(self, examples: list[BaseModel]) -> list[BaseModel]:
        answers = self.opened.host.predict(self.opened.run, examples)
        assert len(answers) == len(examples), f"{type(self.opened.host).__name__}.predict must answer each example"
        return answers

    def _which(self, examples: list[BaseModel], error: Exception) -> Refusal:
        """Which example a host raised about, only asking one by one tells."""
        for number, example in enumerate(examples):
            try:
                self._predict([example])
            except (ModelyardError, OverflowError) as own:
                return unusable(own, number)
        return unusable(error, 0)

    def _parsed(self, body: bytes) -> tuple[Parsed, list[BaseModel]]:
        asked = Parsed(body, self.read)
        self.check_number(asked.values)
        return asked, asked.examples()

    def _single(self, body: bytes, otherwise: str) -> BaseModel:
        asked = Parsed(body, self.read)
        if asked.many:
            raise refuse(400, otherwise)
        return asked.examples()[0]

    def _explained(self, body: bytes) -> bytes:
        example = self._single(body, "one example is explained at a time: send an object, not a list")
        try:
            explanation = self.opened.host.explain(self.opened.run, example)
        except (ModelyardError, OverflowError) as error:
            raise unusable(error, None) from None
        if explanation is None:
            raise refuse(404, "the family gives no reasons for this example")
        return rendered(explanation, None)

    async def _stream(self, body: bytes, call: Call) -> Answer:
        example = self._single(body, "one example is streamed at a time: send an object, not a list")
        parts = self.parts(example)
        if parts is None:
            family = self.opened.info.family
            raise refuse(406, f"family {family!r} answers at once; send accept: application/json")
        await self.begin(parts)
        return stream.response(self._events(example, parts, call))

    async def _events(self, example: BaseModel, parts: stream.Parts, call: Call) -> AsyncIterator[bytes]:
        """A `data` event for each part, then the whole answer as event `answer`; or an event `error`."""
        try:
            async for part in parts:
                if isinstance(part, self.opened.host.Response):
                    yield stream.event(rendered(part, None), "answer")
                    self.record(call, [example], [part])
                else:
                    yield stream.event(rendered(part, None))
        except Refusal as refused:
            yield stream.event(refused.json(), "error")
        except Exception:
            log.exception("request %s failed while its answer was streamed", call.id)
            yield stream.event(refuse(500, f"the model failed on this request: {call.id}").json(), "error")
        finally:
            parts.close()
