"""Answers in parts, as server-sent events: each part is made in a thread, and nobody's leaving
keeps it going."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable, Iterator

import anyio
import anyio.to_thread
from pydantic import BaseModel
from starlette.responses import StreamingResponse

from modelyard.serving.batching import SHARE
from modelyard.serving.calls import Call
from modelyard.serving.problems import costly, late, overloaded
from modelyard.serving.work import PATIENCE, Unwanted

MEDIA = b"text/event-stream"
HEADERS = {"cache-control": "no-cache", "x-accel-buffering": "no"}
"""A proxy that collects the events would undo them."""

_END = object()


def wanted(call: Call) -> bool:
    """Whether the caller asks for events."""
    return MEDIA in call.headers.get(b"accept", b"").lower()


def event(data: bytes, name: str = "") -> bytes:
    """One event; JSON on one line needs no further care."""
    named = f"event: {name}\n".encode() if name else b""
    return named + b"data: " + data + b"\n\n"


def response(events: AsyncIterator[bytes]) -> StreamingResponse:
    """The events as they come."""
    return StreamingResponse(events, media_type=MEDIA.decode(), headers=HEADERS)


class Gate:
    """Streams that are written at once share the machine: one more is let in where all of them
    still come in time."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._inside = 0
        self._seconds = 0.0

    def enter(self, seconds: float, left: float, behind: float = 1.0) -> Callable[[], None]:
        """Lets a stream in that takes `seconds` of work, or `behind` times as long as the machine
        is now, and has `left`; returns what lets it out again.

        Raises:
            Refusal: 413: it could never be in time; 503: not among those that are written.
        """
        if seconds > PATIENCE * left:
            raise costly(seconds, left)
        # The work was timed with all cores, so two streams take twice as long as one. They end at
        # about the same time: one too many would make all of them late.
        wait = self._seconds
        is_full = self._inside >= self._most
        is_late = self._inside > 0 and behind * (wait + seconds) > SHARE * left
        if is_full or is_late:
            raise overloaded(wait)
        self._inside += 1
        self._seconds += seconds
        return functools.partial(self._leave, seconds)

    def _leave(self, seconds: float) -> None:
        self._inside -= 1
        self._seconds -= seconds
        if not self._inside:
            self._seconds = 0.0  # sums of fractions leave a rest


class Parts:
    """The parts of one answer, each taken in a thread; closed when they end or nobody wants more
    of them."""

    def __init__(
        self,
        parts: Iterator[BaseModel],
        limiter: anyio.CapacityLimiter,
        call: Call,
        deadline: float,
    ) -> None:
        self._parts, self._limiter = parts, limiter
        self._call, self._expires = call, call.expires(deadline)
        self._first: object = None

    async def begin(self) -> None:
        """Takes the first part, so that what is wrong with a request is known before the answer
        begins.

        Raises what the host raises.
        """
        self._first = await self._next()

    async def __aiter__(self) -> AsyncIterator[BaseModel]:
        if self._first is not None:
            part = self._first
        else:
            part = await self._next()
        try:
            while isinstance(part, BaseModel):
                yield part
                part = await self._next()
        finally:
            self.close()

    def close(self) -> None:
        """Ends the writing."""
        close: Callable[[], None] | None = getattr(self._parts, "close", None)
        if close is not None:
            close()

    async def _next(self) -> object:
        if self._call.is_wanted(self._expires):
            # With `_END`, since a StopIteration cannot be raised through a coroutine.
            try:
                return await anyio.to_thread.run_sync(
                    next, self._parts, _END, limiter=self._limiter
                )
            except Unwanted:
                pass
        self._call.end(late())
        assert self._call.ended is not None
        raise self._call.ended
