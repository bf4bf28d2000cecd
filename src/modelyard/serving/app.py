"""The ASGI app: any server runs it. It finds who answers a request, asks, and sends what was
said."""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import functools
import gc
import hmac
import logging
import math
import os
import sys
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

from modelyard.errors import ModelyardError
from modelyard.packages.package import Package
from modelyard.predictions.log import PredictionLog
from modelyard.runtimes.cores import available_cores
from modelyard.serving import drain, follow, logs, takeover, tracing
from modelyard.serving.calls import (
    CLOSE,
    GONE,
    Answer,
    Call,
    Header,
    Message,
    Receive,
    Reply,
    Route,
    Send,
    error,
    is_openai,
    refused_reply,
)
from modelyard.serving.care import Calls
from modelyard.serving.control import Control
from modelyard.serving.endpoints import Endpoints
from modelyard.serving.lag import Lag
from modelyard.serving.problems import Refusal, overloaded, refuse
from modelyard.serving.room import Room
from modelyard.serving.settings import Limits, ServingSettings
from modelyard.serving.traffic import Traffic, opened

log = logging.getLogger("modelyard.serving")

NOSNIFF: Header = (b"x-content-type-options", b"nosniff")
"""A browser takes an answer for what it says it is, never for a page."""
STOP_SECONDS = 15.0
"""Longest that accepted requests may take when the service stops, unless a setting says
otherwise."""
BODIES = 2
"""So many of the largest bodies may be held at once; more wait unread."""

_FREE = frozenset(
    {"/livez", "/readyz", "/healthz", "/metrics", "/v2/health/live", "/v2/health/ready"}
)
"""Paths that ask for no token: what a cluster's own probes read."""
_CHALLENGES = (
    (b"www-authenticate", b"Bearer"),
    # For this one a browser asks its user, and the page at / opens.
    (b"www-authenticate", b'Basic realm="modelyard"'),
)


class Service:
    """The app. Built closed, by `make`, which runs when the server starts; or over what is open
    already."""

    def __init__(
        self, make: Callable[[Service], contextlib.AbstractAsyncContextManager[Traffic]]
    ) -> None:
        self._make = make
        self.open: Traffic | None = None
        self._control = Control(self)
        self.token = b""
        self.drain_seconds = 0.0
        self.pointer: Path | None = None
        self.spans: tracing.Tracing | None = None
        self.stop_seconds = STOP_SECONDS
        self.draining = self.logs_access = False
        self.lag = Lag()
        self.calls = Calls()
        self.more: dict[str, Route] = {}
        """Further paths, of what the app is mounted in."""
        self.failure: Exception | None = None
        """Why it did not start."""

    @property
    def traffic(self) -> Traffic:
        """Who answers; there once the server has started."""
        assert self.open is not None, "the app answers once its lifespan has begun"
        return self.open

    async def take_over(self, package: Path, breaking: bool = False) -> str:
        """Another package takes over, here and, where a pointer file is followed, in all workers.

        `breaking` lets one take over that refuses requests which are answered now.

        Raises:
            ModelyardError: it cannot.
        """
        version = await self.traffic.swap(package, breaking)
        if self.pointer is not None:
            follow.point(self.pointer, package, breaking)
        return version

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] == "http":
            call = Call(scope, receive, self.calls.room, draining=self.draining)
            self.calls.open.add(call)
            try:
                await self._answer(call, scope, receive, send)
            finally:
                self.calls.open.discard(call)
                call.close()
        elif scope["type"] == "lifespan":
            await self._live(receive, send)
        else:  # no other protocol is spoken here
            await send({"type": "websocket.close", "code": 1003})

    async def _answer(self, call: Call, scope: Message, receive: Receive, send: Send) -> None:
        ends = self.traffic.choose(call)
        if self.spans is not None:
            span = self.spans.begin(call)
        else:
            span = None
        own = self._control.routes.get(call.path) or self.more.get(call.path)
        route = own or ends.route(call.path) or self._unknown
        answer = await self._asked(route, call)
        if isinstance(answer, Reply):
            status = answer.status
        else:
            status = answer.status_code
        headers: list[Header] = [
            (b"x-request-id", call.id.encode()),
            (b"x-modelyard-package", ends.version),
            NOSNIFF,
        ]
        if self.draining:
            headers.append(CLOSE)
        if isinstance(answer, Reply):
            await answer.send(call, send, headers)
            ends.metrics.request(route.name, status, time.perf_counter() - call.started)
        else:
            answer.raw_headers += headers
            answer.body_iterator = _counted(ends, route.name, answer.body_iterator, call)
            # Starlette waits for the caller's leaving while it streams: `hear` ends our work too.
            await answer(scope, call.hear, send)
        if self.logs_access:
            logs.answered(call, route.name, status, ends.opened.info.version)
        if span is not None:
            span(route.name, status, ends.opened.info.version)
        # After the answer has gone out, so that the shadow costs the caller no time.
        was_predicted = route.name == "predict" and status == 200
        if was_predicted and ends is self.traffic.champion:
            self.traffic.mirror(call)

    async def _asked(self, route: Route, call: Call) -> Answer:
        try:
            # Kubernetes restarts a pod whose liveness probe fails: a busy one must answer it.
            is_probe = call.path in _FREE
            if self.token and not is_probe:
                self._check_token(call)
            self.lag.begun += 1
            is_behind = self.lag.seconds > 0 or self.lag.share < 1
            # Before the body is read, which may take longer than the answer.
            if is_behind and not is_probe:
                left = call.expires(self.traffic.champion.limits.deadline) - call.started
                if self.lag.refuses(left):
                    return _busy(math.ceil(self.lag.seconds), is_openai(call.path))
            if call.method not in route.methods:
                allow = ", ".join(route.methods).encode()
                said = f"{call.method} {call.path}: allowed is {route.methods[0]}"
                raise refuse(405, said, headers=((b"allow", allow),))
            call.task = asyncio.current_task()
            return await route.answer(call)
        except Refusal as refused:
            return error(refused, call)
        except asyncio.CancelledError:
            if call.ended is None or call.task is None:
                raise
            # Cancelled by `call.end`, not by the server: the task still has to send an answer.
            call.task.uncancel()
            return error(call.ended, call)
        except Exception:
            log.exception("request %s failed", call.id)
            said = f"the model failed on this request; the log of the service says why: {call.id}"
            return error(refuse(500, said), call)
        finally:
            call.task = None

    def _check_token(self, call: Call) -> None:
        given = _token(call.headers.get(b"authorization", b""))
        # Compared in constant time: == would tell by its time how many first bytes are right.
        if not hmac.compare_digest(given, self.token):
            said = "a token is required; send authorization: Bearer <token> (browsers: as password)"
            raise refuse(401, said, headers=_CHALLENGES)

    @property
    def _unknown(self) -> Route:
        async def unknown(call: Call) -> Reply:
            raise refuse(
                404,
                f"{call.path} is not here. There are POST /predict, POST /explain, GET /package, "
                "GET /openapi.json, GET /metrics, GET /",
            )

        return Route(
            "unknown", unknown, ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
        )

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Open within the block, for a server that has a lifespan of its own."""
        async with self._make(self) as self.open:
            self.token = self.open.champion.limits.token.encode()
            # A few of the largest bodies at once: read and parsed they take about three times
            # as much.
            self.calls.room = Room(BODIES * self.open.champion.limits.body_bytes)
            with drain.on_signal(self), self.lag.measured(), self.calls.watched():
                yield

    async def _live(self, receive: Receive, send: Send) -> None:
        """The lifespan: opens at startup, closes at shutdown."""
        # ASGI sends two messages in this scope: startup, and at the end shutdown.
        await receive()
        try:
            async with self.running():
                await send({"type": "lifespan.startup.complete"})
                await receive()
        except Exception as failed:
            self.failure = failed
            if not isinstance(failed, ModelyardError):
                log.exception("the service cannot start")
            await send({"type": "lifespan.startup.failed", "message": f"error: {failed}"})
            return
        await send({"type": "lifespan.shutdown.complete"})


def create_app(
    package: Package, log: PredictionLog | None, limits: Limits | None = None
) -> Service:
    """The app over an opened package. Closing the app closes the log."""

    traffic = Traffic(opened(package, log, limits or Limits()))

    @contextlib.asynccontextmanager
    async def make(service: Service) -> AsyncIterator[Traffic]:
        with _closing(log, traffic):
            yield traffic

    service = Service(make)
    service.open = traffic
    return service


def app_from_environment(environ: Mapping[str, str] = os.environ) -> Service:
    """The app that MODELYARD_PACKAGE names: opens the package when the server starts, not
    before."""
    return Service(lambda service: _configured(service, ServingSettings.from_environment(environ)))


@contextlib.asynccontextmanager
async def _configured(service: Service, settings: ServingSettings) -> AsyncIterator[Traffic]:
    logs.configure(settings.log_format)
    # The log's thread must not hold a request up for Python's usual 5 ms.
    sys.setswitchinterval(0.0002)
    service.spans = tracing.configured()
    traffic, predictions = _open(settings)
    service.drain_seconds, service.stop_seconds = settings.drain_ms / 1e3, settings.stop_ms / 1e3
    service.logs_access = settings.access_log
    if settings.follow is not None and not settings.follow.startswith(follow.CHAMPION):
        service.pointer = Path(settings.follow)
    _spare_the_collector()
    with _closing(predictions, traffic):
        async with _following(traffic, settings):
            yield traffic
        # The shadow's last answers go to the prediction log, which closes with this block.
        await traffic.settle()
    if service.spans is not None:
        service.spans.close()
    gc.unfreeze()  # or what counts its objects at the end takes them for leaks


def _open(settings: ServingSettings) -> tuple[Traffic, PredictionLog | None]:
    """The packages of the settings, warm, and their prediction log."""
    threads = max(1, available_cores() // settings.workers)
    trust, limits = settings.trust(), settings.limits()
    where = settings.place()
    package = Package(settings.package, threads=threads, trust=trust, device=where)
    place = settings.prediction_place(package.info.family)
    predictions = None
    if settings.log:
        predictions = PredictionLog(
            place, package, sample=settings.sample, whole=settings.log_requests
        )

    def further(path: Path | None, breaking: bool) -> Endpoints | None:
        if path is None:
            return None
        follower = takeover.opened(path, package, breaking=breaking, threads=threads, trust=trust)
        return opened(follower, predictions, limits)

    traffic = Traffic(
        opened(package, predictions, limits),
        candidate=further(settings.candidate, settings.breaking_swaps),
        share=settings.share,
        # Nobody gets a shadow's answers, so it may refuse what the champion answers.
        shadow=further(settings.shadow, True),
        threads=threads,
        trust=trust,
        breaking=settings.breaking_swaps,
    )
    variant = package.variant.name
    log.info("package %s computes %s on %s", package.info.version, variant, where)
    return traffic, predictions


def _spare_the_collector() -> None:
    """What is there now stays: Python's collector need not look through it again, nor at every
    700 new objects, while requests wait."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


@contextlib.asynccontextmanager
async def _following(traffic: Traffic, settings: ServingSettings) -> AsyncIterator[None]:
    if settings.follow is None:
        yield
        return
    task = asyncio.get_running_loop().create_task(
        follow.follow(traffic, settings.follow, settings.follow_seconds)
    )
    try:
        yield
    finally:
        task.cancel()


@contextlib.contextmanager
def _closing(log: PredictionLog | None, traffic: Traffic) -> Any:
    if log is not None:
        log.observe = traffic.champion.metrics.log_rows
    try:
        yield
    finally:
        if log is not None:
            log.close()


def _token(authorization: bytes) -> bytes:
    """The token that a header holds: a bearer's, or a password of any user; empty for anything else."""
    scheme, _, given = authorization.partition(b" ")
    if scheme.lower() == b"bearer":
        return given.strip()
    if scheme.lower() != b"basic":
        return b""
    try:
        return base64.b64decode(given.strip(), validate=True).partition(b":")[2]
    except binascii.Error:
        return b""


@functools.cache
def _busy(wait: int, openai: bool) -> Reply:
    """503, made once: a service that has too much to do has no time to say so."""
    return refused_reply(overloaded(wait), openai=openai)


async def _counted(
    ends: Endpoints, name: str, chunks: AsyncIterable[Any], call: Call
) -> AsyncIterator[Any]:
    """The body of a streamed answer; counted when it ends, as 499 when the client left before."""
    code = GONE
    try:
        async for chunk in chunks:
            yield chunk
        # Not reached when the client leaves: the iterator is then closed at `yield`.
        code = 200 if call.ended is None else call.ended.status
    finally:
        ends.metrics.request(name, code, time.perf_counter() - call.started)
