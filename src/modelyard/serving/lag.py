"""How long requests wait before anyone looks at them.

A quick model is answered on the event loop itself, so more requests than it can take wait in their
sockets, where no queue counts them. A socket of our own stands in line with them: what is written
to it is read when its turn comes. Refusing a request unread costs a third of an answer at most, so
a service that refuses early answers more.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import time
from collections.abc import Iterator

TICK_SECONDS = 0.025
GOAL_SECONDS = 0.1
"""Where requests wait longer, fewer are taken."""
EACH_SECONDS = 0.005
"""A wait that is longer than so much for each request that began meanwhile was made by few that
are large."""
SHARE = 0.5
"""Of the time that a caller gives: a wait of more than this is too long for it."""
_FEWER, _MORE, _LEAST = 0.7, 0.02, 0.02


class Lag:
    """The wait in front of the event loop, and which share of requests is taken so that it stays
    short.

    The share is found as TCP finds its rate: times less where the wait is too long, a little more
    where it is not (additive increase, multiplicative decrease; Chiu and Jain 1989).
    """

    def __init__(self) -> None:
        self.share = 1.0
        self.seconds = self._last = 0.0
        """The shorter of the last two waits seen: one pause is no overload."""
        self.begun = 0
        """Requests begun since the last wait began."""

    def refuses(self, left: float) -> bool:
        """Whether a request is refused whose caller waits for `left` seconds."""
        return self.seconds > SHARE * left or random.random() >= self.share  # noqa: S311 - fairness, not a secret

    def note(self, wait: float, *, crowded: bool = True) -> None:
        """A wait was seen, in seconds; `crowded`: many requests made it, and fewer would shorten
        it.

        A few large ones may hold the loop up for as long: refusing the small ones next to them
        would not help.
        """
        self.seconds, self._last = min(wait, self._last), wait
        if self.seconds > GOAL_SECONDS and crowded:
            self.share = max(_LEAST, self.share * _FEWER)
        else:
            self.share = min(1.0, self.share + _MORE)

    @contextlib.contextmanager
    def measured(self) -> Iterator[None]:
        """Within the block the wait is kept up to date; there must be a running loop."""
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        sent: float | None = None
        timer: asyncio.TimerHandle

        def seen() -> None:
            assert sent is not None
            wait = time.perf_counter() - sent
            self.note(wait, crowded=self.begun * EACH_SECONDS >= wait)

        def read() -> None:
            nonlocal sent
            ours.recv(1)
            seen()
            sent = None

        def tick() -> None:
            nonlocal sent, timer
            timer = loop.call_later(TICK_SECONDS, tick)
            # The last byte is still unread: a long wait counts while it lasts, not only at its end.
            if sent is not None:
                seen()
            else:
                self.begun = 0
                sent = time.perf_counter()
                theirs.send(b".")

        timer = loop.call_later(TICK_SECONDS, tick)
        loop.add_reader(ours, read)
        try:
            yield
        finally:
            timer.cancel()
            loop.remove_reader(ours)  # before it is closed: its number may go to another socket
            ours.close()
            theirs.close()
            self.note(0.0)
