"""Work that goes to no batch, in threads of its own: bounded and in time, as what waits for the model is."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import anyio
import anyio.to_thread

from modelyard.serving.batching import SHARE, late, overloaded

T = TypeVar("T")


class Aside:
    """At most `cores` at a time work, and at most `capacity` wait; used from one event loop alone."""

    def __init__(self, cores: anyio.CapacityLimiter, capacity: int) -> None:
        self._cores, self._capacity = cores, capacity
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
        wait = self._seconds * self._inside / self._cores.total_tokens
        if self._inside > self._capacity or (self._inside and wait + self._seconds > SHARE * left):
            raise overloaded(wait)
        self._inside += 1
        try:
            with anyio.fail_after(max(left, 0.0)):
                return await anyio.to_thread.run_sync(self._timed, work, limiter=self._cores, abandon_on_cancel=True)
        except TimeoutError:
            raise late() from None
        finally:
            self._inside -= 1

    def _timed(self, work: Callable[[], T]) -> T:
        begun = time.perf_counter()
        try:
            return work()
        finally:
            self._seconds += 0.2 * (time.perf_counter() - begun - self._seconds)
