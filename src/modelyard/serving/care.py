"""Requests that are being answered: who left is noticed, and when the service stops each still
gets an answer."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator

from modelyard.serving.calls import Call
from modelyard.serving.problems import refuse
from modelyard.serving.room import Room

LOOK_SECONDS = 0.25
"""A request that takes longer is watched for a caller who leaves; a quicker one is not worth it."""


class Calls:
    """The requests in progress, of one event loop."""

    def __init__(self) -> None:
        self.open: set[Call] = set()
        self.room: Room | None = None

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Within the block callers who leave end the work for them; there must be a running
        loop."""
        loop = asyncio.get_running_loop()
        timer: asyncio.TimerHandle

        def look() -> None:
            nonlocal timer
            timer = loop.call_later(LOOK_SECONDS, look)
            before = time.perf_counter() - LOOK_SECONDS
            for call in self.open:
                # Before its body is read, what comes next is the body; a stream listens for itself.
                is_working = call.is_read and call.task is not None
                is_unwatched = call.watcher is None and call.started < before
                if is_working and is_unwatched:
                    call.watcher = loop.create_task(call.watch())

        timer = loop.call_later(LOOK_SECONDS, look)
        try:
            yield
        finally:
            timer.cancel()

    def stop(self) -> None:
        """Ends all that is not answered yet with a 503, streams with an event of their own."""
        for call in list(self.open):
            call.end(refuse(503, "the service stops; ask again", headers=((b"retry-after", b"1"),)))
