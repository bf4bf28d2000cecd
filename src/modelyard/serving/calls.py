"""One HTTP request and one answer, as thin as ASGI allows: what every endpoint takes and gives."""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

import anyio.to_thread
from pydantic_core import to_json
from starlette.responses import StreamingResponse

from modelyard.serving.encoding import decoded, too_large
from modelyard.serving.problems import Refusal, overloaded, refuse
from modelyard.serving.room import SMALL_BYTES, Room
from modelyard.serving.settings import Limits
from modelyard.serving.wording import shown

JSON = b"application/json"
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Header = tuple[bytes, bytes]

_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
CLOSE: Header = (b"connection", b"close")
GONE = 499
"""Status that is counted when the caller left before it had its answer."""


SIMPLE = frozenset({"text/plain", "application/x-www-form-urlencoded", "multipart/form-data"})
"""Content types that a page of another site can make a browser send without asking first (Fetch
standard, 2.2.2)."""


class Call:
    """A request. `headers` are by lower-case name, the last of several; `content` is its body
    once it was read; `draining` says that the service is about to stop."""

    __slots__ = (
        "content",
        "draining",
        "ended",
        "headers",
        "held",
        "id",
        "is_read",
        "method",
        "on_close",
        "path",
        "receive",
        "room",
        "scope",
        "size",
        "started",
        "task",
        "time",
        "waited",
        "watcher",
    )

    def __init__(
        self, scope: Message, receive: Receive, room: Room | None = None, *, draining: bool = False
    ) -> None:
        self.scope, self.receive, self.room, self.draining = scope, receive, room, draining
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        given = self.headers.get(b"x-request-id")
        if given and _ID.fullmatch(given):
            self.id = given.decode()
        else:
            # Distinct, not secret; uuid4 would call the kernel each time.
            self.id = f"{random.getrandbits(128):032x}"
        self.started, self.time = time.perf_counter(), time.time()
        self.content = b""
        self.size = 0
        """Bytes of its body."""
        self.held = 0
        """Bytes of `room` that it holds."""
        self.waited = 0.0
        """Seconds that it waited for them."""
        self.is_read = False
        """Whether its body was read to the end: what comes next can only be that the caller
        leaves."""
        self.ended: Refusal | None = None
        """Why nobody waits for its answer any more."""
        self.on_close: Callable[[], None] | None = None
        """Called once when it is over."""
        self.task: asyncio.Task[Any] | None = None
        self.watcher: asyncio.Task[None] | None = None

    def is_wanted(self, expires: float) -> bool:
        """Whether somebody still waits for the answer; callable from any thread."""
        return self.ended is None and time.perf_counter() < expires

    def end(self, why: Refusal) -> None:
        """Stops its work; the answer is `why`."""
        if self.ended is None:
            self.ended = why
            if self.task is not None:
                self.task.cancel()

    async def hear(self) -> Message:
        """The next message from the caller; ends the call when it says that they left."""
        message = await self.receive()
        if message["type"] == "http.disconnect":
            self.end(left())
        return message

    async def watch(self) -> None:
        """Ends it when the caller leaves."""
        while (await self.hear())["type"] != "http.disconnect":
            pass

    def close(self) -> None:
        """Gives back what it holds."""
        if self.watcher is not None:
            self.watcher.cancel()
        if self.on_close is not None:
            self.on_close()
            self.on_close = None
        if self.held and self.room is not None:
            self.room.give(self.held)
            self.held = 0

    def header(self, name: bytes, otherwise: str = "") -> str:
        """A header as text."""
        value = self.headers.get(name)
        if value is None:
            return otherwise
        return value.decode("latin-1")

    def expires(self, longest: float) -> float:
        """When the caller stops waiting, on `time.perf_counter`'s clock: `x-deadline-ms`, at most
        `longest` seconds.

        Raises:
            Refusal: 400: the header is not a number above 0.
        """
        header = self.headers.get(b"x-deadline-ms")
        if header is None:
            return self.started + longest
        # int() raises on more than 4,300 digits; 12 of them are longer than any deadline.
        milliseconds = int(header[:12]) if header.isdigit() else 0
        if milliseconds == 0:
            seen = shown(header.decode("latin-1"))
            raise refuse(
                400, f"header x-deadline-ms must be whole milliseconds above 0, seen {seen}"
            )
        return self.started + min(longest, milliseconds / 1e3)

    async def json(self, limits: Limits) -> bytes:
        """The JSON body as bytes.

        Raises:
            Refusal: 415 for another content type, or none; and what `body` raises.
        """
        media = self.headers.get(b"content-type")
        # The bytes that nearly all callers send need no parsing.
        if media != JSON:
            kind = _kind(media)
            # RFC 6839: a type that ends in +json is JSON with a meaning of its own.
            is_json_suffixed = kind.startswith("application/") and kind.endswith("+json")
            if kind != "application/json" and not is_json_suffixed:
                raise _wrong_type(kind, "send content-type: application/json")
        return await self.body(limits)

    def check_asked(self) -> None:
        """Raises Refusal, 415, where a page of another site may have made a browser send this
        unasked."""
        media = self.headers.get(b"content-type")
        kind = _kind(media)
        # A script may leave the type out: only browsers send these two headers by themselves.
        from_browser = b"origin" in self.headers or b"sec-fetch-site" in self.headers
        if kind in SIMPLE or (not kind and from_browser):
            raise _wrong_type(
                kind, "send content-type: application/json or application/octet-stream"
            )

    async def body(self, limits: Limits) -> bytes:
        """The whole body.

        Raises:
            Refusal: 415: its content encoding is unknown; 413: it is too large, also when it is
                unpacked; 400: what is compressed is broken; 408: it does not come; 503: there was
                no room for it in time; 499: the caller left.
        """
        declared = self.headers.get(b"content-length", b"0")
        if declared.isdigit() and int(declared[:18]) > limits.body_bytes:
            raise too_large(limits.body_bytes)
        expires = self.started + limits.deadline
        coding = self.headers.get(b"content-encoding", b"identity").lower()
        size = int(declared[:18]) if declared.isdigit() else 0
        if coding != b"identity":
            size = limits.body_bytes  # a small body can hold much
        if size > SMALL_BYTES:
            await self._hold(size, expires)
        try:
            async with asyncio.timeout(expires - time.perf_counter()):
                self.content = await self._received(limits, expires)
        except TimeoutError:
            if self.waited > limits.deadline / 2:  # for room: that is not the caller's fault
                raise overloaded(self.waited) from None
            # Closed: what still comes of the body would be read as the next request.
            raise refuse(
                408, f"the body did not come within {limits.deadline:g} s", headers=(CLOSE,)
            ) from None
        if coding != b"identity":
            self.content = await anyio.to_thread.run_sync(
                decoded, self.content, coding, limits.body_bytes
            )
        self.is_read, self.size = True, len(self.content)
        return self.content

    async def _received(self, limits: Limits, expires: float) -> bytes:
        message = await self.receive()
        chunks, total = [message.get("body", b"")], len(message.get("body", b""))
        while message.get("more_body") and total <= limits.body_bytes:
            if total > SMALL_BYTES and not self.held:  # it came without its length
                await self._hold(limits.body_bytes, expires)
            message = await self.receive()
            chunks.append(message.get("body", b""))
            total += len(chunks[-1])
        if message["type"] == "http.disconnect":
            raise left()
        if total > limits.body_bytes:
            raise too_large(limits.body_bytes)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    async def _hold(self, size: int, expires: float) -> None:
        if self.room is not None:
            begun = time.perf_counter()
            self.held = await self.room.take(size, expires - begun)
            self.waited = time.perf_counter() - begun


def _kind(media: bytes | None) -> str:
    if media is None:
        return ""
    return media.decode("latin-1").split(";")[0].strip().lower()


def _wrong_type(kind: str, hint: str) -> Refusal:
    if kind:
        seen = f"content type {shown(kind)} is not read here"
    else:
        seen = "the content type is missing"
    return refuse(415, f"{seen}; {hint}")


def left() -> Refusal:
    """499: counted, and sent to nobody."""
    return refuse(GONE, "the client went away before its answer was complete")


class Reply:
    """An answer that is known whole."""

    __slots__ = ("content", "headers", "media", "status")

    def __init__(
        self,
        content: bytes,
        status: int = 200,
        media: bytes = JSON,
        headers: tuple[Header, ...] = (),
    ) -> None:
        self.content, self.status, self.media, self.headers = content, status, media, headers

    async def send(self, call: Call, send: Send, more: list[Header]) -> None:
        """Sends it, with `more` headers."""
        length = b"%d" % len(self.content)
        headers = [(b"content-type", self.media), (b"content-length", length), *self.headers, *more]
        # HEAD has GET's headers, its length too, and no content (RFC 9110, section 9.3.2).
        content = b"" if call.method == "HEAD" else self.content
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": content})


Answer = Reply | StreamingResponse


@dataclass(frozen=True)
class Route:
    """What answers a path: its name in the metrics, and its methods; the first of them is the
    usual one."""

    name: str
    answer: Callable[[Call], Awaitable[Answer]]
    methods: tuple[str, ...] = ("GET", "HEAD")


def error(refused: Refusal, call: Call) -> Reply:
    """A refusal as JSON, in the form that clients of the called path read."""
    return refused_reply(refused, openai=is_openai(call.path))


def refused_reply(refused: Refusal, *, openai: bool) -> Reply:
    """A refusal as JSON: this service's own form, or OpenAI's."""
    if openai:
        content = to_json(refused.openai_body())
    else:
        content = refused.json()
    return Reply(content, refused.status, headers=refused.headers)


def is_openai(path: str) -> bool:
    """Whether a path belongs to OpenAI's protocol, which has a form of its own for errors."""
    return path == "/v1" or path.startswith("/v1/")
