"""Requests that came together are answered together, and nobody waits for company that does not
come.

A request that finds the model idle is answered at once. While the model works, others gather; when
it is done they go together, at most as many as the warm-up found worth it. Those who were just
answered tend to come back: where there were several, the next batch waits up to `wait` seconds for
as many again. A single caller never waits for that twice, and where the model is quick not even for
a turn of the event loop.

A request that is more than a batch is answered in slices, in turn with the others: between two
slices a small request gets through, and a request that nobody waits for any more goes no further.
"""

from __future__ import annotations

import asyncio
import functools
import math
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from pydantic import BaseModel

from modelyard.serving.answering import Outcome, Predict, answer_all
from modelyard.serving.entries import Batch, Entry, Slice
from modelyard.serving.pace import Pace
from modelyard.serving.problems import costly, late, overloaded
from modelyard.serving.work import PATIENCE, Fault, Unwanted

DIRECT_SECONDS = 0.002
"""A batch that takes less runs on the event loop: handing it to a thread costs more than the
others wait."""
SLOW_SECONDS = 0.02
"""A batch that was foreseen to take less and is seen to take this long goes to a thread, busy as
the loop may be."""
TURN_SECONDS = 0.1
"""Longest that such batches hold the event loop in one go."""
STUCK, STUCK_SECONDS, STUCK_TIMES = 2, 0.25, 4.0
"""Batches that take longer than both, in seconds and in times of what was foreseen, are no
longer waited for by the next ones; so many at a time."""
MOMENT_SECONDS = 0.2
SWEEP_SECONDS = 0.02
"""How late a deadline may be noticed while a batch runs."""
SHARE = 0.5
"""A request is taken when the wait before it is foreseen to take at most this share of its time."""
_BEHIND_AT_MOST = 4.0
_SLOWER, _FASTER = 0.5, 0.1
"""How quickly a model that slows down is believed, and one that gets faster: late answers are
worse than early ones."""


class Batcher:
    """Gathers requests for one model; used from one event loop only."""

    def __init__(self, predict: Predict, pace: Pace, *, capacity: int, wait: float) -> None:
        self.pace = pace
        self.observe: Callable[[int], None] = _nobody
        """Called with the number of examples of each batch."""
        self._predict, self._capacity, self._wait = predict, capacity, wait
        self._waiting: deque[Entry] = deque()
        self._running: Batch | None = None
        self._stuck: list[Batch] = []
        """Batches that take far longer than foreseen: the next ones no longer wait for them."""
        self._rows = 0
        self._load = self._turn_load = 0.0
        """What waits, weighted by what it costs; and how much of it the next turn of all
        requests takes."""
        self._company = 1
        """Examples that were there lately, answered or waiting: as many may come again."""
        self._behind = 1.0
        """By how much batches take longer than the warm-up said; other work on the machine makes
        it more than 1."""
        self._next: asyncio.Handle | None = None
        self._sweep: asyncio.TimerHandle | None = None
        self._thread: ThreadPoolExecutor | None = None
        self._caller: object = None

    @property
    def depth(self) -> int:
        """Examples that wait or are being answered."""
        if self._running is None:
            return self._rows
        return self._rows + self._running.rows

    @property
    def behind(self) -> float:
        """By how much batches take longer than the warm-up said."""
        return self._behind

    def submit(
        self,
        examples: list[BaseModel],
        expires: float,
        caller: object = None,
        weights: list[float] | None = None,
    ) -> asyncio.Future[list[BaseModel]]:
        """Answers to the examples of one request, by `expires` on `time.perf_counter`'s clock.

        Who asks twice in a row on the same connection, `caller`, is taken to be the only one:
        nobody else is waited for. `weights` say what each example costs, 1 being the one of the
        warm-up; cancelling the future ends the work.

        Raises, here or from the future:
            Refusal: 413: it is more work than fits its time; 503: too many wait, or it could not be
                in time; 504: it was not.
            Fault: what the model raised about one of these examples.
        """
        loop = asyncio.get_running_loop()
        entry = Entry(examples, weights, expires, loop.create_future())
        load = entry.load(0, len(examples))
        self._check_size(load, expires)
        self.admit(len(examples), expires, load)
        self._waiting.append(entry)
        self._rows += len(examples)
        self._count(load, entry)
        is_single = caller is not None and caller == self._caller
        self._caller = caller
        if self._running is None:
            self._begin_soon(loop, at_once=is_single)
        return entry.future

    def _begin_soon(self, loop: asyncio.AbstractEventLoop, *, at_once: bool) -> None:
        """The model is idle: sees to it that the next batch begins."""
        if self._next is None:
            if at_once and self._is_quick(self._load):
                self._begin()
            else:
                # One turn later: who sent at the same moment is read before that.
                self._next = loop.call_soon(self._begin)
        elif self._rows >= self._company and isinstance(self._next, asyncio.TimerHandle):
            # A batch waits for company, and all of it has come.
            self._next.cancel()
            self._next = loop.call_soon(self._begin)

    def foreseen(self, load: float = 0.0) -> float:
        """Seconds until as much more work would be done. Requests have turns: those before it
        come first only as often as it comes itself."""
        pace = self.pace
        turns = max(1, math.ceil(load / pace.best))
        running = 0.0 if self._running is None else self._running.load
        ahead = running + min(self._load, turns * self._turn_load) + load
        # Weight up to one a row is work as the warm-up measured it; the rest is of heavy examples.
        rows = min(ahead, self.depth + turns * pace.best)
        usual = math.ceil(rows / pace.best) * pace.fixed + rows * pace.per_row
        heavy = (ahead - rows) * pace.per_row
        # What a small batch waits for a core is no measure of how long a heavy example takes.
        return self._behind * usual + min(self._behind, _BEHIND_AT_MOST) * heavy

    def admit(self, rows: int, expires: float, load: float | None = None) -> None:
        """Raises Refusal, 503, where `submit` would: checked before a body is read, which takes
        longer than a model that is quick."""
        if not self._rows and self._running is None:
            return
        left = expires - time.perf_counter()
        full = self._turn_load + min(rows, self.pace.best) > self._capacity and self._rows > 0
        if full or self.foreseen(rows if load is None else load) > SHARE * left:
            raise overloaded(self.foreseen())

    def _check_size(self, load: float, expires: float) -> None:
        """What could not be in time even by itself is refused before it starts."""
        if load <= self.pace.best:
            return
        seconds = math.ceil(load / self.pace.best) * self.pace.fixed + load * self.pace.per_row
        left = expires - time.perf_counter()
        if seconds > PATIENCE * left:
            # Where the time went by before, less work would have been late too.
            raise costly(seconds, left) if left > MOMENT_SECONDS else late()

    def _begin(self) -> None:
        """Takes a batch from the queue and answers it in a thread; or here and the next ones too,
        where they are quick.

        All that waits goes before new requests are read: they come faster than one batch a turn is
        answered.
        """
        self._next = None
        until = time.perf_counter() + TURN_SECONDS
        while (batch := self._take())[0]:
            slices, rows, load = batch
            self.observe(rows)
            if not self._is_quick(load):
                self._hand_over(slices, rows, load)
                return
            self._deliver(slices, load, *self._answer(slices))
            self._company = 1
            if self._waiting and time.perf_counter() > until:
                self._next = asyncio.get_running_loop().call_soon(self._begin)
                return

    def _hand_over(self, slices: list[Slice], rows: int, load: float) -> None:
        loop = asyncio.get_running_loop()
        batch = self._running = Batch(slices, rows, load, time.perf_counter())
        if self._thread is None:
            # A thread cannot be stopped from outside: each stuck batch keeps its own.
            self._thread = ThreadPoolExecutor(1 + STUCK, "model")
        if self._sweep is None:
            self._sweep = loop.call_later(SWEEP_SECONDS, self._expire)
        done = functools.partial(self._done, batch)
        loop.run_in_executor(self._thread, self._answer, slices).add_done_callback(done)

    def _is_quick(self, load: float) -> bool:
        seconds = self.pace.seconds(load)
        return seconds <= DIRECT_SECONDS and self._behind * seconds <= SLOW_SECONDS

    def _take(self) -> tuple[list[Slice], int, float]:
        """The next batch, at least one example and up to the best load; what is left of a
        request goes to the end of the queue, behind those that came meanwhile."""
        slices: list[Slice] = []
        rows, load, now = 0, 0.0, time.perf_counter()
        while self._waiting:
            entry = self._waiting[0]
            if entry.future.done() or entry.expires <= now:
                self._drop(self._waiting.popleft())
                continue
            stop = entry.fitting(self.pace.best - load)
            if stop == entry.taken:
                if slices:
                    break
                stop += 1  # an example heavier than a whole batch goes by itself
            self._waiting.popleft()
            start = entry.taken
            weight = entry.load(start, stop)
            slices.append(Slice(entry, start, stop))
            load += weight
            rows += stop - start
            self._rows -= stop - start
            entry.taken = stop
            self._count(-weight, entry)
            if stop < len(entry.examples):
                self._waiting.append(entry)
                break
        if not self._waiting:
            self._load = self._turn_load = 0.0  # sums of fractions leave a rest
        return slices, rows, load

    def _count(self, change: float, entry: Entry) -> None:
        """Notes that so much work came, or was taken."""
        self._load += change
        before = min(entry.left, self.pace.best)
        entry.left += change
        self._turn_load += min(entry.left, self.pace.best) - before

    def _drop(self, entry: Entry) -> None:
        self._rows -= len(entry.examples) - entry.taken
        self._count(-entry.left, entry)
        if not entry.future.done():
            entry.future.set_exception(late())

    def _answer(self, slices: list[Slice]) -> tuple[list[Outcome], float]:
        # Called in the model's thread while the event loop answers others: it only reads.
        def wanted() -> bool:
            now = time.perf_counter()
            return any(part.entry.expires > now and not part.entry.future.done() for part in slices)

        start = time.perf_counter()
        outcomes = answer_all(self._predict, [part.examples for part in slices], wanted)
        return outcomes, time.perf_counter() - start

    def _done(self, batch: Batch, finished: asyncio.Future[tuple[list[Outcome], float]]) -> None:
        self._deliver(batch.slices, batch.load, *finished.result())
        if batch is not self._running:
            # It was found stuck meanwhile, and the model has work that was begun after it.
            self._stuck.remove(batch)
            return
        self._running = None
        self._company = min(batch.rows + self._rows, self.pace.best)
        loop = asyncio.get_running_loop()
        # A company of one was answered just now: nobody else is likely to come.
        may_more_come = self._company > 1 and self._rows < self._company
        if may_more_come and self._wait:
            self._next = loop.call_later(self._wait, self._begin)
        else:
            self._next = loop.call_soon(self._begin)

    def _deliver(
        self, slices: list[Slice], load: float, outcomes: list[Outcome], taken: float
    ) -> None:
        was_stopped = False
        for (entry, start, _), outcome in zip(slices, outcomes, strict=True):
            if isinstance(outcome, Unwanted):
                was_stopped = True
            # Done: its time was over, its caller left, or an earlier slice of it failed.
            if entry.future.done():
                continue
            if not isinstance(outcome, list):
                entry.future.set_exception(_shown_to_caller(outcome, start))
                continue
            entry.answers += outcome
            if len(entry.answers) == len(entry.examples):
                entry.future.set_result(entry.answers)
        if was_stopped:  # its time says nothing of how long the work takes
            return
        change = max(taken / self.pace.seconds(load), 0.2) - self._behind
        trust = _SLOWER if change > 0 else _FASTER
        self._behind += trust * change

    def _expire(self) -> None:
        """While a batch runs: answers those whose time is over, running or waiting."""
        now = time.perf_counter()
        self._sweep = None
        running = self._running
        batches = list(self._stuck)
        if running is not None:
            batches.append(running)
        entries = list(self._waiting)
        for batch in batches:
            entries += [part.entry for part in batch.slices]
        for entry in entries:
            if entry.expires <= now and not entry.future.done():
                entry.future.set_exception(late())
        loop = asyncio.get_running_loop()
        if batches:
            self._sweep = loop.call_later(SWEEP_SECONDS, self._expire)
        # With all threads stuck a further batch would wait for one of them anyway.
        if running is None or len(self._stuck) == STUCK:
            return
        if self._is_stuck(running, now):
            self._stuck.append(running)
            self._running = None
            self._next = loop.call_soon(self._begin)

    def _is_stuck(self, batch: Batch, now: float) -> bool:
        expected = self._behind * self.pace.seconds(batch.load)
        return now - batch.started > max(STUCK_SECONDS, STUCK_TIMES * expected)


def _shown_to_caller(outcome: Exception, start: int) -> Exception:
    if isinstance(outcome, Unwanted):
        return late()
    if isinstance(outcome, Fault):
        return Fault(outcome.error, start + outcome.index)
    return outcome


def _nobody(rows: int) -> None:
    """Counts nothing."""
