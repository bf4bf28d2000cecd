"""The endpoints of one opened package. A swap puts another set in their place; an answer comes
from one set whole."""

from __future__ import annotations

import asyncio
import functools
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import anyio
from pydantic import BaseModel
from pydantic_core import to_json

from modelyard.errors import ModelyardError, Unavailable, UsageError
from modelyard.host import Explains, Streams, cautions_of
from modelyard.packages.package import Package
from modelyard.predictions.log import PredictionLog
from modelyard.runtimes.cores import available_cores
from modelyard.runtimes.devices import CPU
from modelyard.serving import openapi, page, stream, takeover
from modelyard.serving.aside import Aside
from modelyard.serving.bodies import Parsed, rendered, unusable
from modelyard.serving.cache import Cache, Cached
from modelyard.serving.calls import Answer, Call, Message, Reply, Route
from modelyard.serving.chat import Chats
from modelyard.serving.lanes import Lanes
from modelyard.serving.metrics import Metrics
from modelyard.serving.openai import Completions
from modelyard.serving.pace import measure, warm
from modelyard.serving.page import Page
from modelyard.serving.problems import Reader, Refusal, late, refuse
from modelyard.serving.settings import Limits
from modelyard.serving.tensors import V2
from modelyard.serving.work import Fault, Scale, Wanted, Watched, always

log = logging.getLogger("modelyard.serving")

T = TypeVar("T")

DIRECT_BYTES = 16_384
"""A larger body is read in a thread: that takes time too."""


async def _nothing() -> Message:
    """What a caller in this process sends: it does not leave."""
    await asyncio.Event().wait()
    return {}


class Read(NamedTuple):
    """A body that was read."""

    parsed: Parsed
    examples: list[BaseModel]
    weights: list[float] | None
    """What each example costs; None where all cost the same."""


class Endpoints:
    """All that answers for a package: opened, warm, with a queue of its own.

    Raises:
        ModelyardError: the package does not answer its own example.
    """

    def __init__(self, package: Package, log: PredictionLog | None, limits: Limits) -> None:
        self.opened, self.log, self.limits = package, log, limits
        self.version = package.info.version.encode()
        self.metrics = Metrics(package.info.version)
        self.metrics.variant(package.variant.name, instead=bool(package.passed_over))
        self.metrics.computes_on(package.place)
        self.read = Reader(package.host.Request)
        self.explainer = package.host if isinstance(package.host, Explains) else None
        self.streamer = package.host if isinstance(package.host, Streams) else None
        self.explains, self.streams = self.explainer is not None, self.streamer is not None
        self.cores = anyio.CapacityLimiter(available_cores())
        self.aside = Aside(available_cores(), limits.queue)
        self.reading = Aside(min(2, available_cores()), limits.queue)
        self._cache = Cache(limits.cache_bytes)
        self.keeps_bodies = limits.cache_bytes > 0
        """Whether a body is still needed once it was read: for the cache, or to be shown to a
        shadow."""
        self.lanes = self._lanes()
        self.gate = stream.Gate(limits.streams)
        self.completions, self.chats, self.v2 = Completions(self), Chats(self), V2(self)
        self.routes = {
            "/predict": Route("predict", self.predict, ("POST",)),
            "/explain": Route("explain", self.explain, ("POST",)),
            "/v1/completions": Route("completions", self.completions.completions, ("POST",)),
            "/v1/chat/completions": Route("chat", self.chats.completions, ("POST",)),
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
        if stream.wanted(call):
            return await self._stream(body, call)
        if (kept := self._cache.get(body)) is not None:
            self.record(call, kept.examples, kept.answers)
            return Reply(kept.content, headers=((b"x-cache", b"hit"),))
        self.admit(call)
        if len(body) <= DIRECT_BYTES:
            parsed, examples, weights = self._parsed(body)
        else:
            parsed, examples, weights = await self.read_in_time(self._parsed, body, call)
        if not self.keeps_bodies:
            body = call.content = b""  # a large one is held once while it waits, not twice
        answers = await self.answers(examples, call, many=parsed.many, weights=weights)
        texts = []
        for number, one in enumerate(answers):
            texts.append(rendered(one, number if parsed.many else None))
        content = parsed.joined(texts)
        self._cache.put(body, Cached(content, examples, answers))
        self.record(call, examples, answers)
        return Reply(content)

    async def answer(self, examples: list[BaseModel]) -> list[BaseModel]:
        """Answers examples of code in this process; admitted, logged and counted as a request is.

        Raises:
            Unavailable: there is no time for them.
            UsageError: they are none or too many, or the family cannot use one.
        """
        call = Call({"method": "POST", "path": "/predict", "headers": ()}, _nothing)
        try:
            self.check_number(examples)
            self.admit(call)
            answers = await self.answers(examples, call, many=True)
        except Refusal as refused:
            if refused.status >= 500:
                raise Unavailable(str(refused)) from None
            raise UsageError(str(refused)) from None
        self.record(call, examples, answers)
        return answers

    async def explain(self, call: Call) -> Reply:
        """One example to the reasons of its answer."""
        if not self.explains:
            raise refuse(
                404, f"family {self.opened.info.family!r} gives no reasons; POST /predict answers"
            )
        body = await call.json(self.limits)
        expires = call.expires(self.limits.deadline)
        work = functools.partial(self._explained, body, functools.partial(call.is_wanted, expires))
        return Reply(await self.aside.run(work, expires))

    async def package(self, call: Call) -> Reply:
        """What is served."""
        summary = openapi.summary(self.opened) | {"device": str(self.opened.place)}
        return Reply(to_json(summary))

    async def openapi(self, call: Call) -> Reply:
        """The OpenAPI document."""
        return Reply(self._document)

    async def page(self, call: Call) -> Reply:
        """The page for people."""
        shown = self._page
        host, scheme = call.header(b"host", "localhost"), call.scope.get("scheme", "http")
        # Texts of a package may come from elsewhere: only the page's own script runs.
        headers = (
            (b"content-security-policy", shown.policy.encode()),
            (b"referrer-policy", b"no-referrer"),
        )
        return Reply(
            shown.at(f"{scheme}://{host}/predict").encode(),
            media=b"text/html; charset=utf-8",
            headers=headers,
        )

    def admit(self, call: Call) -> None:
        """Raises Refusal, 503, where there is no time for one more example."""
        self.lanes.quick.admit(1, call.expires(self.limits.deadline))

    async def read_in_time(self, read: Callable[[bytes, Wanted], T], body: bytes, call: Call) -> T:
        """What `read` makes of a body: here where it is small, in a thread within the deadline
        where it is large.

        Raises:
            Refusal: what `read` raises; 503, 504: there is no time for it.
        """
        if len(body) <= DIRECT_BYTES:
            return read(body, always)
        expires = call.expires(self.limits.deadline)
        work = functools.partial(read, body, functools.partial(call.is_wanted, expires))
        return await self.reading.run(work, expires)

    async def answers(
        self,
        examples: list[BaseModel],
        call: Call,
        *,
        many: bool,
        weights: list[float] | None = None,
    ) -> list[BaseModel]:
        """Answers to examples that were read; not recorded yet. `weights` are found where they are
        left out.

        Raises:
            Refusal: 400: the family cannot use an example; 413, 503, 504: there is no time for it.
        """
        expires, caller = call.expires(self.limits.deadline), call.scope.get("client")
        try:
            return await self.lanes.submit(examples, expires, caller, weights)
        except Fault as fault:
            raise unusable(fault.error, fault.index if many else None) from None

    def parts(self, examples: list[BaseModel], call: Call) -> list[stream.Parts | None]:
        """The answers to examples in parts; None where the family answers at once. For a thread.

        Raises:
            Refusal: 400: the family cannot use an example.
        """
        wanted = functools.partial(call.is_wanted, call.expires(self.limits.deadline))
        run = Watched(self.opened.run, wanted)
        if self.streamer is None:
            return [None] * len(examples)
        found: list[stream.Parts | None] = []
        for number, example in enumerate(examples):
            if not wanted():
                raise late()
            try:
                own = self.streamer.stream(run, example)
            except (ModelyardError, OverflowError) as error:
                raise unusable(error, number if len(examples) > 1 else None) from None
            if own is None:
                found.append(None)
            else:
                found.append(stream.Parts(own, self.cores, call, self.limits.deadline))
        return found

    async def begin_stream(
        self, examples: list[BaseModel], call: Call
    ) -> list[stream.Parts | None]:
        """Admits a stream and takes the first part of its first answer.

        Raises:
            Refusal: 400: the family cannot use an example; 413, 503, 504: there is no time for it.
        """
        expires = call.expires(self.limits.deadline)
        left, behind = expires - time.perf_counter(), max(1.0, self.lanes.quick.behind)
        call.on_close = self.gate.enter(self.lanes.seconds(examples), left, behind)
        parts = await self.reading.run(functools.partial(self.parts, examples, call), expires)
        try:
            if parts[0] is not None:
                await parts[0].begin()
        except (ModelyardError, OverflowError) as error:
            raise unusable(error, None) from None
        return parts

    def record(
        self, call: Call, examples: Sequence[BaseModel], answers: Sequence[BaseModel]
    ) -> None:
        """Logs and counts answered examples, once."""
        if self.log is not None:
            taken = (time.perf_counter() - call.started) * 1e3
            self.log.add(
                call.id, call.time, taken, examples, answers, size=call.size, package=self.opened
            )
        self.metrics.predictions(len(answers))
        for answer in answers:
            for caution in cautions_of(answer):
                # Each new label is a new series in Prometheus, for good: only known names are one.
                known = caution.field in self._fields
                self.metrics.warning(caution.field if known else "other")

    def check_number(self, values: Sequence[Any]) -> None:
        """Raises Refusal for no example, or too many."""
        count, most = len(values), self.limits.examples
        if count == 0:
            raise refuse(400, f"the list is empty; send 1 to {most} examples")
        if count > most:
            raise refuse(400, f"{count} examples in one request; allowed are 1 to {most}")

    @functools.cached_property
    def _fields(self) -> frozenset[str]:
        """Names of a request's fields at any depth: what the metric of cautions may be labelled
        with."""
        schema = self.opened.host.Request.model_json_schema(by_alias=True)
        names: set[str] = set(schema.get("properties", {}))
        for inner in schema.get("$defs", {}).values():
            names.update(inner.get("properties", {}))
        return frozenset(names)

    @functools.cached_property
    def _document(self) -> bytes:
        offered = {"completes": self.completions.offered, "chats": self.chats.offered}
        found = openapi.document(
            self.opened, explains=self.explains, streams=self.streams, **offered
        )
        return to_json(found)

    @functools.cached_property
    def _page(self) -> Page:
        return page.render(self.opened, explains=self.explains, streams=self.streams)

    def _lanes(self) -> Lanes:
        package, limits = self.opened, self.limits
        example = package.parse(package.golden()["request"])
        on_gpu = package.place.kind != CPU
        pace = measure(
            self._predict,
            example,
            largest=limits.batch_rows,
            longest=limits.batch_seconds,
            settles=on_gpu,
        )
        if on_gpu:
            warm(self._predict, example, pace.best)
            takeover.check_answer(package, limits.tolerance)
        lanes = Lanes(self._predict, pace, Scale(package.host, example), limits)
        for lane in (lanes.quick, lanes.heavy):
            lane.observe = self.metrics.batch
        self.metrics.watch(lanes)
        return lanes

    def _predict(self, examples: list[BaseModel], wanted: Wanted) -> list[BaseModel]:
        answers = self.opened.host.predict(Watched(self.opened.run, wanted), examples)
        assert len(answers) == len(examples), (
            f"{type(self.opened.host).__name__}.predict must answer each example"
        )
        return answers

    def _parsed(self, body: bytes, wanted: Wanted | None = None) -> Read:
        parsed = Parsed(body, self.read)
        self.check_number(parsed.values)
        examples = parsed.examples(wanted)
        return Read(parsed, examples, self.lanes.weights(examples))

    def _single(self, otherwise: str, body: bytes, wanted: Wanted) -> BaseModel:
        parsed = Parsed(body, self.read)
        if parsed.many:
            raise refuse(400, otherwise)
        return parsed.examples(wanted)[0]

    def _explained(self, body: bytes, wanted: Wanted) -> bytes:
        example = self._single(
            "one example is explained at a time: send an object, not a list", body, wanted
        )
        try:
            assert self.explainer is not None, "the endpoint looked"
            explanation = self.explainer.explain(Watched(self.opened.run, wanted), example)
        except (ModelyardError, OverflowError) as error:
            raise unusable(error, None) from None
        if explanation is None:
            raise refuse(404, "the family gives no reasons for this example")
        return rendered(explanation, None)

    async def _stream(self, body: bytes, call: Call) -> Answer:
        family = self.opened.info.family
        at_once = f"family {family!r} answers at once; send accept: application/json"
        if not self.streams:
            raise refuse(406, at_once)
        read = functools.partial(
            self._single, "one example is streamed at a time: send an object, not a list"
        )
        example = await self.read_in_time(read, body, call)
        (parts,) = await self.begin_stream([example], call)
        if parts is None:
            raise refuse(406, at_once)
        return stream.response(self._events(example, parts, call))

    async def _events(
        self, example: BaseModel, parts: stream.Parts, call: Call
    ) -> AsyncIterator[bytes]:
        """A `data` event for each part, then the whole answer as event `answer`; or an event
        `error`."""
        try:
            async for part in parts:
                if isinstance(part, self.opened.host.Response):
                    yield stream.event(rendered(part, None), "answer")
                    self.record(call, [example], [part])
                else:
                    yield stream.event(rendered(part, None))
        # Status 200 has gone out with the first part: an error can only be an event.
        except Refusal as refused:
            yield stream.event(refused.json(), "error")
        except Exception:
            log.exception("request %s failed while its answer was streamed", call.id)
            failed = refuse(500, f"the model failed on this request: {call.id}")
            yield stream.event(failed.json(), "error")
        finally:
            parts.close()
