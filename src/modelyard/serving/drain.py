"""Stopping without losing anybody: after the first signal new requests are still answered for a
while, each on a connection that is closed after it, so that none is on its way when the server
closes the rest."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modelyard.serving.app import Service

_LAST_SECONDS = 1.0
"""So long before the server breaks connections off, what is not answered yet ends with an error."""
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def on_signal(service: Service) -> Iterator[None]:
    """Stands before the server's own handlers: they are called `service.drain_seconds` after the
    first signal, or at the second. Where no server handles signals, as in a test, nothing
    changes."""
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    # Python lets only the main thread set handlers.
    handled = all(map(_is_servers, before.values()))
    if not handled or threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    # Before the server's own end, which breaks connections off: an answer or an event must still
    # reach its caller.
    spare = min(_LAST_SECONDS, service.stop_seconds / 5)
    last = service.drain_seconds + service.stop_seconds - spare

    def stop(number: int, frame: FrameType | None) -> None:
        handler = before[signal.Signals(number)]
        assert callable(handler)
        # A handler may interrupt the loop anywhere, also while it sleeps: this call wakes it.
        loop.call_soon_threadsafe(loop.call_later, last, service.calls.stop)
        if service.draining or not service.drain_seconds:
            handler(number, frame)
            return
        service.draining = True
        loop.call_soon_threadsafe(loop.call_later, service.drain_seconds, handler, number, None)

    for number in _SIGNALS:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in _SIGNALS:
            signal.signal(number, before[number])


def _is_servers(handler: Any) -> bool:
    """Whether a server has set it; Python itself has one for Ctrl-C."""
    return callable(handler) and handler is not signal.default_int_handler
