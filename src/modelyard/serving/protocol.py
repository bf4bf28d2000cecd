"""HTTP as uvicorn speaks it, with bounds: on a request's head, on requests sent ahead, and on how
long a caller may keep a connection without sending or taking anything.

A caller can otherwise hold memory before anybody has looked at a token: the parser keeps a header
until it is whole, a chunk of bytes may hold thousands of requests, and a connection that says
nothing stays.
"""

from __future__ import annotations

import asyncio
import http
import logging
from collections import deque
from typing import Any

import httptools
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

log = logging.getLogger("modelyard.serving")

HEAD_BYTES = 65_536
"""Most bytes of a request's line and headers together; more are answered with 431."""
HEADERS = 128
"""Most headers of a request."""
AHEAD = 64
"""Requests sent ahead on one connection before which no more are read."""
HEAD_SECONDS = 10.0
"""Longest that a head may take, from the connection's or its own first byte on."""
TAKE_SECONDS = 30.0
"""Longest that a caller may leave an answer lying: then the connection is broken off."""
_PIECE = 16_384
"""Bytes that are parsed at once: no more than some hundred requests can be in them."""
_NOT_HTTP = b'{"error":"this is not an HTTP request"}'
_TOO_LARGE = (
    b'{"error":"the request line and headers are too large: '
    b'at most 64 KiB and 128 headers are read; send fewer"}'
)


class Flow(FlowControl):
    """Reads no further while requests that were sent ahead wait."""

    def __init__(self, transport: asyncio.Transport, protocol: BoundedHttp) -> None:
        super().__init__(transport)
        self._protocol = protocol

    def resume_reading(self) -> None:
        """As long as something waits, nothing is read."""
        if not self._protocol.is_ahead:
            super().resume_reading()


class BoundedHttp(HttpToolsProtocol):
    """One connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._unread: deque[memoryview] = deque()
        self._head_bytes = self._pending_bytes = 0
        self._in_head = True
        self._left_lying = 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._take_timer: asyncio.TimerHandle | None = None

    @property
    def is_ahead(self) -> bool:
        """Whether requests wait behind the one that is being answered."""
        return bool(self.pipeline or self._unread)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A caller has come: the first request must follow soon."""
        super().connection_made(transport)
        self.flow = Flow(transport, self)
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self._too_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        """A caller has gone."""
        self._unread.clear()
        self.pipeline.clear()
        for timer in (self._head_timer, self._take_timer):
            if timer is not None:
                timer.cancel()
        self._head_timer = self._take_timer = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes have come: as many are parsed as are wanted now."""
        if len(data) <= _PIECE and not self._unread:
            self._feed(data)
        else:
            view = memoryview(data)
            self._unread.extend(view[at : at + _PIECE] for at in range(0, len(data), _PIECE))
            self._feed_unread()
        if self._head_timer is None and self._is_waiting():
            # Part of a head has come, or more of a body that was answered without being read.
            self._head_timer = self.loop.call_later(HEAD_SECONDS, self._too_slow)

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._in_head = True
        self._head_bytes = self._pending_bytes = 0

    def on_url(self, url: bytes) -> None:
        """A part of the request's line."""
        # Added, not set: for a line that comes in two packets this is called twice.
        self.url += url
        self._head_bytes += len(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer behind a chunked body: nobody reads those."""
        if not self._in_head:
            return
        # Looked at when the piece is parsed: here it would cost each header of each request.
        self._head_bytes += len(name) + len(value)
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """A head is whole: from here on the app's deadline holds."""
        if len(self.headers) > HEADERS or self._head_bytes > HEAD_BYTES:
            raise _HeadTooLarge
        self._in_head = False
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        """An answer is sent: the next request may be parsed."""
        super().on_response_complete()
        if self._unread:
            self._feed_unread()
            self.flow.resume_reading()

    def pause_writing(self) -> None:
        """The caller does not take the answer."""
        super().pause_writing()
        if self._take_timer is None:
            self._left_lying = self.transport.get_write_buffer_size()
            self._take_timer = self.loop.call_later(TAKE_SECONDS, self._look_taken)

    def resume_writing(self) -> None:
        """The caller takes it."""
        super().resume_writing()
        if self._take_timer is not None:
            self._take_timer.cancel()
            self._take_timer = None

    def _is_waiting(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _look_taken(self) -> None:
        left = self.transport.get_write_buffer_size()
        if left >= self._left_lying:
            # `close` would first wait for the caller to take what is left.
            self.transport.abort()
            return
        # Slowly, but it is being taken.
        self._left_lying = left
        self._take_timer = self.loop.call_later(TAKE_SECONDS, self._look_taken)

    def _feed_unread(self) -> None:
        while self._unread and len(self.pipeline) < AHEAD and not self.transport.is_closing():
            self._feed(self._unread.popleft())
        if self._unread:
            self.flow.pause_reading()

    def _feed(self, data: bytes | memoryview) -> None:
        self._unset_keepalive_if_required()
        before = self._head_bytes
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # no other protocol is spoken here: the request is answered as it is
        except httptools.HttpParserError as failed:
            if isinstance(failed.__context__, _HeadTooLarge):
                self._refuse(431, _TOO_LARGE)
            else:
                # What was sent is not repeated in the log.
                log.warning("a connection sent something that is not HTTP")
                self._refuse(400, _NOT_HTTP)
        else:
            if self._in_head:
                # A header is counted when it is whole; until then the parser keeps what has come of
                # it.
                if self._head_bytes == before:
                    self._pending_bytes += len(data)
                else:
                    self._pending_bytes = 0
                if self._head_bytes + self._pending_bytes > HEAD_BYTES:
                    self._refuse(431, _TOO_LARGE)

    def _refuse(self, status: int, content: bytes) -> None:
        self._unread.clear()
        self.pipeline.clear()
        if self._is_waiting():  # else it would stand in the middle of another answer
            phrase = http.HTTPStatus(status).phrase
            head = (
                f"HTTP/1.1 {status} {phrase}\r\ncontent-type: application/json\r\n"
                f"content-length: {len(content)}\r\nconnection: close\r\n\r\n"
            )
            self.transport.write(head.encode() + content)
        self.transport.close()

    def _too_slow(self) -> None:
        self._head_timer = None
        if self._is_waiting() and not self.transport.is_closing():
            self.transport.abort()


class _HeadTooLarge(Exception):
    """Raised through the parser, which stops at it."""
