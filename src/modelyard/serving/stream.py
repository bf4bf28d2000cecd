"""Answers in parts, as server-sent events: each part is made in a thread, and nobody's leaving keeps it going."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator

import anyio
import anyio.to_thread
from pydantic import BaseModel
from starlette.responses import StreamingResponse

from modelyard.serving.calls import Call

MEDIA = b"text/event-stream"
HEADERS = {"cache-control": "no-cache", "x-accel-buffering": "no"}
"""A proxy that collects the events would undo them."""

_END = object()


def wanted(call: Call) -> bool:
    """Whether the caller asks for events."""
    return MEDIA in call.headers.get(b"accept", b"").lower()


def event(data: bytes, name: str = "") -> bytes:
    """One event; JSON on one line needs no further care."""
    return (f"event: {name}\n".encode() if name else b"") + b"data: " + data + b"\n\n"


def response(events: AsyncIterator[bytes]) -> StreamingResponse:
    """The events as they come."""
    return StreamingResponse(events, media_type=MEDIA.decode(), headers=HEADERS)


class Parts:
    """The parts of one answer, each taken in a thread; closed when they end or nobody wants more of them."""

    def __init__(self, parts: Iterator[BaseModel], limiter: anyio.CapacityLimiter) -> None:
        self._parts, self._limiter = parts, limiter
        self._first: object = None

    async def begin(self) -> None:
        """Takes the first part, so that what is wrong with a request is known before the answer begins.

        Raises what the host raises.
        """
        self._first = await self._next()

    async def __aiter__(self) -> AsyncIterator[BaseModel]:
        part = self._first if self._first is not None else await self._next()
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
        return await anyio.to_thread.run_sync(next, self._parts, _END, limiter=self._limiter)
