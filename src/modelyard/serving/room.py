"""Room for request bodies: large ones wait unread until others are answered, so that memory
stays bounded."""

from __future__ import annotations

import asyncio
from collections import deque

from modelyard.serving.problems import overloaded

SMALL_BYTES = 65_536
"""Bodies up to this size are not counted: the server reads as much of each connection anyway."""


class Room:
    """Bytes of large bodies that may be held at once; used from one event loop only. First come,
    first served."""

    def __init__(self, size: int) -> None:
        self._size = self._free = size
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def take(self, wanted: int, seconds: float) -> int:
        """Waits for room of `wanted` bytes, or all there is; returns what is to be given back.

        Raises:
            Refusal: 503: there was none within `seconds`.
        """
        size = min(wanted, self._size)
        if not self._waiting and size <= self._free:
            self._free -= size
            return size
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((size, turn))
        try:
            async with asyncio.timeout(max(seconds, 0.0)):
                await turn
        # CancelledError is no subclass of Exception: a caller who left must leave the line too.
        except BaseException as ended:
            self._leave(size, turn)
            if isinstance(ended, TimeoutError):
                raise overloaded(seconds) from None
            raise
        return size

    def give(self, size: int) -> None:
        """Gives room back."""
        self._free += size
        self._hand_out()

    def _leave(self, size: int, turn: asyncio.Future[None]) -> None:
        # A turn may have come in the very moment in which its caller stopped waiting.
        if turn.done() and not turn.cancelled():
            self._free += size
        else:
            self._waiting = deque(entry for entry in self._waiting if entry[1] is not turn)
        self._hand_out()

    def _hand_out(self) -> None:
        while self._waiting:
            size, turn = self._waiting[0]
            if not turn.done():
                # Smaller ones behind it wait too: passed by each time, a large one never had room.
                if size > self._free:
                    return
                self._free -= size
                turn.set_result(None)
            self._waiting.popleft()
