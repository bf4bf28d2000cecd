"""Requests that came together are answered together, and nobody waits for company that does not come.

A request that finds the model idle is answered at once. While the model works, others gather; when it is done they go
together, at most as many as the warm-up found worth it. Those who were just answered tend to come back: where there
were several, the next batch waits up to `wait` seconds for as many again. A caller alone never waits for that twice,
and where the model is quick not even for a turn of the event loop.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeAlias

from pydantic import BaseModel

from modelyard.serving.problems import Refusal, refuse

Predict: TypeAlias = Callable[[list[BaseModel]], list[BaseModel]]
Outcome: TypeAlias = "list[BaseModel] | Exception"

DIRECT_SECONDS = 0.002
"""A batch that takes less runs on the event loop: handing it to a thread costs more than the others wait."""
SLOW_SECONDS = 0.02
"""A batch that was foreseen to take less and is seen to take this long goes to a thread, busy as the loop may be."""
TURN_SECONDS = 0.1
"""Longest that such batches hold the event loop in one go."""
SWEEP_SECONDS = 0.02
"""How late a deadline may be noticed while a batch runs."""
SHARE = 0.5
"""A request is taken when the wait before it is foreseen to take at most this share of its time."""
_SLOWER, _FASTER = 0.5, 0.1
"""How quickly a model that slows down is believed, and one that gets faster: late answers are worse than early ones."""


@dataclass(frozen=True)
class Pace:
    """What a warm-up measured: examples in the best batch, and how long a batch takes."""

    best: int
    fixed: float
    """Seconds of a batch, however small."""
    per_row: float
    """Seconds that each example adds."""

    def seconds(self, rows: int) -> float:
        """How long a batch of `rows` is expected to take."""
        return self.fixed + self.per_row * rows


class _Entry:
    __slots__ = ("examples", "expires", "future")

    def __init__(self, examples: list[BaseModel], expires: float, future: asyncio.Future[list[BaseModel]]) -> None:
        self.examples, self.expires, self.future = examples, expires, future


class Batcher:
    """Gathers requests for one model; used from one event loop alone."""

    def __init__(self, predict: Predict, pace: Pace, *, capacity: int, wait: float) -> None:
        self.pace = pace
        self.observe: Callable[[int], None] = _nobody
        """Is told the examples of each batch."""
        self._predict, self._capacity, self._wait = predict, capacity, wait
        self._waiting: deque[_Entry] = deque()
        self._running: list[_Entry] = []
        self._rows = self._running_rows = 0
        self._company = 1
        """Examples that were there lately, answered or waiting: as many may come again."""
        self._behind = 1.0
        """By how much batches take longer than the warm-up said; other work on the machine makes it more than 1."""
        self._next: asyncio.Handle | None = None
        self._sweep: asyncio.TimerHandle | None = None
        self._thread: ThreadPoolExecutor | None = None
        self._caller: object = None

    @property
    def depth(self) -> int:
        """Examples that wait or are being answered."""
        return self._rows + self._running_rows

    def submit(
        self, examples: list[BaseModel], expires: float, caller: object = None
    ) -> asyncio.Future[list[BaseModel]]:
        """Answers to the examples of one request, by `expires` on `time.perf_counter`'s clock.

        Who asks twice in a row on the same connection, `caller`, is taken to be alone: nobody else is waited for.

        Raises, here or from the future:
            Refusal: 503: too many wait, or it could not be in time; 504: it was not.
            Exception: what the model raised about these examples.
        """
        self.admit(len(examples), expires)
        loop = asyncio.get_running_loop()
        entry = _Entry(examples, expires, loop.create_future())
        self._waiting.append(entry)
        self._rows += len(examples)
        alone, self._caller = caller is not None and caller == self._caller, caller
        if not self._running:
            if self._next is None and alone and self._is_quick(self._rows):
                self._begin()
            elif self._next is None:
                self._next = loop.call_soon(self._begin)
            elif self._rows >= self._company and isinstance(self._next, asyncio.TimerHandle):
                self._next.cancel()
                self._next = loop.call_soon(self._begin)
        return entry.future

    def foreseen(self, rows: int = 0) -> float:
        """Seconds until `rows` more examples would be answered."""
        ahead = self.depth + rows
        return self._behind * (math.ceil(ahead / self.pace.best) * self.pace.fixed + ahead * self.pace.per_row)

    def admit(self, rows: int, expires: float) -> None:
        """Raises Refusal, 503, where `submit` would: asked before a body is read, which takes longer than a model that
        is quick."""
        if not self._rows and not self._running_rows:
            return
        left = expires - time.perf_counter()
        full = self._rows + rows > self._capacity and self._rows > 0
        if full or self.foreseen(rows) > SHARE * left:
            raise overloaded(self.foreseen())

    def _begin(self) -> None:
        """Takes a batch from the queue and answers it in a thread; or here and the next ones too, where they are quick.

        All that waits goes before new requests are read: they come faster than one batch a turn is answered.
        """
        self._next = None
        until = time.perf_counter() + TURN_SECONDS
        while (batch := self._take())[0]:
            entries, rows = batch
            self.observe(rows)
            if not self._is_quick(rows):
                self._hand_over(entries, rows)
                return
            self._deliver(entries, *self._answer(entries))
            self._company = 1
            if self._waiting and time.perf_counter() > until:
                self._next = asyncio.get_running_loop().call_soon(self._begin)
                return

    def _hand_over(self, entries: list[_Entry], rows: int) -> None:
        loop = asyncio.get_running_loop()
        self._running, self._running_rows = entries, rows
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "model")
        if self._sweep is None:
            self._sweep = loop.call_later(SWEEP_SECONDS, self._expire)
        loop.run_in_executor(self._thread, self._answer, entries).add_done_callback(self._done)

    def _is_quick(self, rows: int) -> bool:
        seconds = self.pace.seconds(rows)
        return seconds <= DIRECT_SECONDS and self._behind * seconds <= SLOW_SECONDS

    def _take(self) -> tuple[list[_Entry], int]:
        """The next batch: whole requests, at least one, up to the best number of examples."""
        entries: list[_Entry] = []
        rows, now = 0, time.perf_counter()
        while self._waiting and (not entries or rows + len(self._waiting[0].examples) <= self.pace.best):
            entry = self._waiting.popleft()
            self._rows -= len(entry.examples)
            if entry.future.done():
                continue
            if entry.expires <= now:
                entry.future.set_exception(late())
                continue
            entries.append(entry)
            rows += len(entry.examples)
        return entries, rows

    def _answer(self, entries: list[_Entry]) -> tuple[list[Outcome], float]:
        start = time.perf_counter()
        outcomes = answer_all(self._predict, [entry.examples for entry in entries])
        return outcomes, time.perf_counter() - start

    def _done(self, finished: asyncio.Future[tuple[list[Outcome], float]]) -> None:
        entries, self._running = self._running, []
        self._company = min(self._running_rows + self._rows, self.pace.best)
        self._running_rows = 0
        self._deliver(entries, *finished.result())
        loop = asyncio.get_running_loop()
        if self._rows >= self._company or not self._wait or self._company == 1:
            self._next = loop.call_soon(self._begin)
        else:
            self._next = loop.call_later(self._wait, self._begin)

    def _deliver(self, entries: list[_Entry], outcomes: list[Outcome], taken: float) -> None:
        expected = self.pace.seconds(sum(len(entry.examples) for entry in entries))
        change = max(taken / expected, 0.2) - self._behind
        self._behind += (_SLOWER if change > 0 else _FASTER) * change
        for entry, outcome in zip(entries, outcomes, strict=True):
            if entry.future.done():
                continue
            if isinstance(outcome, Exception):
                entry.future.set_exception(outcome)
            else:
                entry.future.set_result(outcome)

    def _expire(self) -> None:
        """While a batch runs: answers those whose time is over, running or waiting."""
        now, self._sweep = time.perf_counter(), None
        for entry in (*self._running, *self._waiting):
            if entry.expires <= now and not entry.future.done():
                entry.future.set_exception(late())
        if self._running:
            self._sweep = asyncio.get_running_loop().call_later(SWEEP_SECONDS, self._expire)


def answer_all(predict: Predict, requests: Sequence[list[BaseModel]]) -> list[Outcome]:
    """Answers all requests in one go; where that fails, in halves, so that a bad request fails alone."""
    try:
        answers = predict([example for examples in requests for example in examples])
    except Exception as error:
        if len(requests) == 1:
            return [error]
        half = len(requests) // 2
        return answer_all(predict, requests[:half]) + answer_all(predict, requests[half:])
    outcomes: list[Outcome] = []
    start = 0
    for examples in requests:
        outcomes.append(answers[start : start + len(examples)])
        start += len(examples)
    return outcomes


def overloaded(seconds: float) -> Refusal:
    """503, with when to come back."""
    wait = max(1, math.ceil(seconds))
    said = f"the service has more requests than it can answer in time; try again in {wait} s"
    return refuse(503, said, headers=((b"retry-after", b"%d" % wait),))


def late() -> Refusal:
    """504."""
    return refuse(504, "the answer did not come in time; raise x-deadline-ms, or send fewer or smaller examples")


def _nobody(rows: int) -> None:
    """Is told nothing."""


def measure(predict: Predict, example: BaseModel, *, largest: int, longest: float, budget: float = 0.6) -> Pace:
    """Finds the best batch for copies of an example: the smallest with nearly the most examples a second.

    Tries 1, 2, 4, … up to `largest` examples while a batch takes at most `longest` seconds and the whole at most
    `budget`; the first call of a graph is slow and not counted.
    """
    predict([example])
    begun, seconds, rows = time.perf_counter(), dict[int, float](), 1
    while rows <= largest and time.perf_counter() - begun < budget:
        seconds[rows] = min(_timed(predict, [example] * rows) for _ in range(3))
        if seconds[rows] > longest:
            break
        rows *= 2
    fits = {rows: taken for rows, taken in seconds.items() if taken <= longest} or {1: seconds[1]}
    most = max(rows / (taken + _HAND_OVER) for rows, taken in fits.items())
    best = min(rows for rows, taken in fits.items() if rows / (taken + _HAND_OVER) >= _NEARLY * most)
    # Two points make the line: what a batch costs, and what an example adds.
    per_row = max(seconds[best] - seconds[1], 0.0) / (best - 1) if best > 1 else seconds[1]
    return Pace(best, max(seconds[1] - per_row, 0.0) if best > 1 else 0.0, max(per_row, 1e-7))


_HAND_OVER = 0.0001
"""Seconds that a batch costs beside the model: to a thread and back."""
_NEARLY = 0.95


def _timed(predict: Predict, examples: list[BaseModel]) -> float:
    start = time.perf_counter()
    predict(examples)
    return time.perf_counter() - start
