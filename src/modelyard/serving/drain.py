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
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from modelyard.serving.app import Service

_LAST_SECONDS = 1.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def on_signal(service: Service) -> Iterator[None]:
    """Stands before the server's own handlers: they are called `service.drain_seconds` after the
    first signal, or at the second. Where no server handles signals, as in a test, nothing
    changes."""
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    handled = all(
        callable(handler) and handler is not signal.default_int_handler
        for handler in before.values()
    )
    if not handled or threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    # Before the server's own end, which breaks connections off: an answer or an event must still
    # reach its caller.
    last = (
        service.drain_seconds + service.stop_seconds - min(_LAST_SECONDS, service.stop_seconds / 5)
    )

    def stop(number: int, frame: FrameType | None) -> None:
        handler = before[signal.Signals(number)]
        assert callable(handler)
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
