"""Work that goes to no batch, in threads of its own: bounded and in time, as what waits for the
model is."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from modelyard.serving.batching import SHARE
from modelyard.serving.problems import late, overloaded
from modelyard.serving.work import Unwanted

T = TypeVar("T")


class Aside:
    """At most `threads` at a time work, and at most `capacity` wait.

    Work that is late is answered for and holds its thread until it sees that nobody waits for it
    any more.
    """

    def __init__(self, threads: int, capacity: int) -> None:
        self._pool = ThreadPoolExecutor(threads, "aside")
        self._threads, self._capacity = threads, capacity
        self._lock = threading.Lock()
        self._inside = 0
        self._seconds = 0.0
        """How long a piece of work takes, of late."""

    async def run(self, work: Callable[[], T], expires: float) -> T:
        """What `work` returns, by `expires` on `time.perf_counter`'s clock.

        Raises:
            Refusal: 503: too many wait, or it could not be in time; 504: it was not.
            Exception: what `work` raised.
        """
        left = expires - time.perf_counter()
        wait = self._seconds * self._inside / self._threads
        is_full = self._inside >= self._threads + self._capacity
        # With nobody inside all is let in: `_seconds` changes only when work runs, so one slow
        # piece would otherwise shut out all later ones.
        is_late = self._inside > 0 and wait + self._seconds > SHARE * left
        if is_full or is_late:
            raise overloaded(wait)
        self._count(1)
        future = self._pool.submit(self._timed, work)
        future.add_done_callback(self._ended)
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), max(left, 0.0))
        except (TimeoutError, Unwanted):
            raise late() from None

    def _timed(self, work: Callable[[], T]) -> T:
        begun = time.perf_counter()
        try:
            return work()
        finally:
            taken = time.perf_counter() - begun
            # No lock: where two threads write at once one value is lost, which an average stands.
            self._seconds += 0.2 * (taken - self._seconds)

    def _ended(self, future: Future[T]) -> None:
        self._count(-1)

    def _count(self, change: int) -> None:
        with self._lock:
            self._inside += change
