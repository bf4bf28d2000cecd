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
from modelyard.serving.problems import Refusal, refuse
from modelyard.serving.settings import Limits

JSON = b"application/json"
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Header = tuple[bytes, bytes]

_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
CLOSE: Header = (b"connection", b"close")
GONE = 499
"""Status that is counted when the caller left before it had its answer."""


class Call:
    """A request. `headers` are by lower-case name, the last of several; `content` is its body once it was read;
    `draining` says that the service is about to stop."""

    __slots__ = ("content", "draining", "headers", "id", "method", "path", "receive", "scope", "started", "time")

    def __init__(self, scope: Message, receive: Receive, *, draining: bool = False) -> None:
        self.scope, self.receive, self.draining = scope, receive, draining
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        given = self.headers.get(b"x-request-id")
        # Told apart, not kept secret; uuid4 would ask the kernel each time.
        self.id = given.decode() if given and _ID.fullmatch(given) else f"{random.getrandbits(128):032x}"
        self.started, self.time = time.perf_counter(), time.time()
        self.content = b""

    def header(self, name: bytes, otherwise: str = "") -> str:
        """A header as text."""
        value = self.headers.get(name)
        return otherwise if value is None else value.decode("latin-1")

    def expires(self, longest: float) -> float:
        """When the caller stops waiting, on `time.perf_counter`'s clock: `x-deadline-ms`, at most `longest` seconds.

        Raises:
            Refusal: 400: the header is not a number above 0.
        """
        asked = self.headers.get(b"x-deadline-ms")
        if asked is None:
            return self.started + longest
        if not asked.isdigit() or not int(asked[:12]) > 0:
            raise refuse(400, f"header x-deadline-ms must be whole milliseconds above 0, seen {self.header(asked)!r}")
        return self.started + min(longest, int(asked[:12]) / 1e3)

    async def json(self, limits: Limits) -> bytes:
        """The JSON body as bytes.

        Raises:
            Refusal: 415 for another content type; and what `body` raises.
        """
        media = self.headers.get(b"content-type", JSON)
        if media != JSON:
            kind = media.decode("latin-1").split(";")[0].strip().lower()
            if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
                raise refuse(415, f"content type {kind!r} is not read here; send content-type: application/json")
        return await self.body(limits)

    async def body(self, limits: Limits) -> bytes:
        """The whole body.

        Raises:
            Refusal: 415: its content encoding is unknown; 413: it is too large, also when it is unpacked; 400: what
                is compressed is broken; 408: it does not come; 499: the caller left.
        """
        declared = self.headers.get(b"content-length", b"0")
        if declared.isdigit() and int(declared[:18]) > limits.body_bytes:
            raise too_large(limits.body_bytes)
        try:
            async with asyncio.timeout(limits.deadline):
                self.content = await self._received(limits)
        except TimeoutError:
            raise refuse(408, f"the body did not come within {limits.deadline:g} s", headers=(CLOSE,)) from None
        coding = self.headers.get(b"content-encoding", b"identity").lower()
        if coding != b"identity":
            # In a thread: a small body can hold much.
            self.content = await anyio.to_thread.run_sync(decoded, self.content, coding, limits.body_bytes)
        return self.content

    async def _received(self, limits: Limits) -> bytes:
        message = await self.receive()
        chunks, total = [message.get("body", b"")], len(message.get("body", b""))
        while message.get("more_body") and total <= limits.body_bytes:
            message = await self.receive()
            chunks.append(message.get("body", b""))
            total += len(chunks[-1])
        if message["type"] == "http.disconnect":
            raise refuse(GONE, "the client went away before its request was complete")
        if total > limits.body_bytes:
            raise too_large(limits.body_bytes)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)


class Reply:
    """An answer that is known whole."""

    __slots__ = ("content", "headers", "media", "status")

    def __init__(
        self, content: bytes, status: int = 200, media: bytes = JSON, headers: tuple[Header, ...] = ()
    ) -> None:
        self.content, self.status, self.media, self.headers = content, status, media, headers

    async def send(self, call: Call, send: Send, more: list[Header]) -> None:
        """Sends it, with `more` headers."""
        length = b"%d" % len(self.content)
        headers = [(b"content-type", self.media), (b"content-length", length), *self.headers, *more]
        content = b"" if call.method == "HEAD" else self.content
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": content})


Answer = Reply | StreamingResponse


@dataclass(frozen=True)
class Route:
    """What answers a path: its name in the metrics, and its methods; the first of them is the usual one."""

    name: str
    answer: Callable[[Call], Awaitable[Answer]]
    methods: tuple[str, ...] = ("GET", "HEAD")


def error(refused: Refusal, call: Call) -> Reply:
    """A refusal as JSON, in the form that clients of the called path read."""
    return refused_reply(refused, openai=is_openai(call.path))


def refused_reply(refused: Refusal, *, openai: bool) -> Reply:
    """A refusal as JSON: this service's own form, or OpenAI's."""
    content = to_json(refused.openai_body()) if openai else refused.json()
    return Reply(content, refused.status, headers=refused.headers)


def is_openai(path: str) -> bool:
    """Whether a path belongs to OpenAI's protocol, which has a form of its own for errors."""
    return path == "/v1" or path.startswith("/v1/")
