"""Requests that come together are answered together, and none suffers from its company."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
from pydantic import BaseModel

from modelyard.errors import BadData
from modelyard.serving.batching import Batcher
from modelyard.serving.pace import Pace, measure
from modelyard.serving.problems import Refusal
from modelyard.serving.work import Fault, Unwanted

pytestmark = pytest.mark.timed


class Number(BaseModel):
    x: int


SLOW = Pace(best=8, fixed=0.02, per_row=0.0)
FAST = Pace(best=8, fixed=0.0, per_row=1e-6)


class Model:
    """Doubles numbers and keeps what it was asked together; refuses 13, fails on 666, and takes
    `seconds` a batch."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds, self.batches, self.threads = seconds, list[list[int]](), set[str]()

    def __call__(self, examples, wanted):
        self.batches.append([one.x for one in examples])
        self.threads.add(threading.current_thread().name)
        time.sleep(self.seconds)
        if any(one.x == 13 for one in examples):
            raise BadData("13 is refused")
        if any(one.x == 666 for one in examples):
            raise RuntimeError("a bug")
        return [Number(x=2 * one.x) for one in examples]


def batcher(model, pace=SLOW, *, capacity=100, wait=0.0) -> Batcher:
    return Batcher(model, pace, capacity=capacity, wait=wait)


def soon(seconds: float = 10.0) -> float:
    return time.perf_counter() + seconds


async def ask(queue: Batcher, *numbers: int, expires: float | None = None) -> list[int]:
    answers = await queue.submit([Number(x=number) for number in numbers], expires or soon())
    return [answer.x for answer in answers]


async def gather(queue: Batcher, *numbers: int):
    return await asyncio.gather(*(ask(queue, number) for number in numbers), return_exceptions=True)


@pytest.mark.parametrize(("pace", "seconds"), [(FAST, 0.0), (SLOW, 0.02)])
def test_requests_that_come_together_go_to_the_model_together(pace, seconds):
    model = Model(seconds)
    answers = asyncio.run(gather(batcher(model, pace), *range(20, 40)))
    assert answers == [[2 * number] for number in range(20, 40)]
    assert [len(batch) for batch in model.batches] == [8, 8, 4]
    assert sorted(number for batch in model.batches for number in batch) == list(range(20, 40))


def test_a_fast_model_answers_on_the_event_loop_and_a_slow_one_in_a_thread():
    fast, slow = Model(), Model(0.02)
    asyncio.run(gather(batcher(fast, FAST), 1))
    asyncio.run(gather(batcher(slow, SLOW), 1))
    assert fast.threads == {"MainThread"}
    assert "MainThread" not in slow.threads


def test_a_request_alone_waits_for_nobody():
    async def alone() -> float:
        queue = batcher(Model(0.02), wait=5.0)
        start = time.perf_counter()
        for number in range(3):
            await ask(queue, number)
        return time.perf_counter() - start

    assert asyncio.run(alone()) < 1.0


def test_callers_that_come_back_together_are_waited_for_once():
    model = Model(0.02)

    async def callers() -> None:
        queue = batcher(model, wait=0.5)
        await asyncio.gather(*(caller(queue, number) for number in range(4)))

    async def caller(queue: Batcher, number: int) -> None:
        for _ in range(5):
            await asyncio.sleep(0.003 * number)
            await ask(queue, number)

    asyncio.run(callers())
    assert [len(batch) for batch in model.batches][2:5] == [4, 4, 4]


def test_a_bad_request_fails_alone_and_so_does_one_that_meets_a_bug():
    model = Model()
    answers = asyncio.run(gather(batcher(model), 1, 13, 2, 666, 3))
    assert [answers[place] for place in (0, 2, 4)] == [[2], [4], [6]]
    assert isinstance(answers[1].error, BadData)
    assert isinstance(answers[3].error, RuntimeError)


def test_the_example_that_the_model_fails_on_is_found_without_asking_for_each():
    model = Model()

    async def many() -> Fault:
        with pytest.raises(Fault) as failed:
            await ask(
                batcher(model, Pace(best=64, fixed=0.02, per_row=0.0)),
                *range(20, 220),
                13,
                *range(100),
            )
        return failed.value

    fault = asyncio.run(many())
    assert (fault.index, str(fault.error)) == (200, "13 is refused")
    assert len(model.batches) < 20


def test_a_request_larger_than_a_batch_is_answered_in_slices_in_turn_with_the_others():
    model = Model(0.001)

    async def ask_many():
        queue = batcher(model)
        return await asyncio.gather(
            ask(queue, 1, 2, 3), ask(queue, *range(20, 50)), ask(queue, 4), ask(queue, 5, 6)
        )

    expected = [[2, 4, 6], [2 * number for number in range(20, 50)], [8], [10, 12]]
    assert asyncio.run(ask_many()) == expected
    assert model.batches[:2] == [[1, 2, 3, 20, 21, 22, 23, 24], [4, 5, 6, 25, 26, 27, 28, 29]]
    assert [len(batch) for batch in model.batches] == [8, 8, 8, 8, 4]


def test_work_that_nobody_waits_for_any_more_goes_no_further():
    model = Model(0.05)

    async def leave() -> int:
        queue = batcher(model, Pace(best=1, fixed=0.05, per_row=0.0))
        waiting = queue.submit([Number(x=number) for number in range(40)], soon(60))
        await asyncio.sleep(0.12)
        waiting.cancel()
        assert await ask(queue, 100) == [200]
        return queue.depth

    assert asyncio.run(leave()) == 0
    assert len(model.batches) <= 5


def test_a_long_batch_is_stopped_between_two_steps_once_its_time_is_over():
    steps = []

    def loops(examples, wanted):
        for step in range(100):
            if not wanted():
                raise Unwanted
            steps.append(step)
            time.sleep(0.02)
        return examples

    async def late() -> int:
        queue = Batcher(loops, Pace(best=1, fixed=0.01, per_row=0.0), capacity=10, wait=0.0)
        with pytest.raises(Refusal) as refused:
            await queue.submit([Number(x=1)], soon(0.2))
        await asyncio.sleep(0.1)
        return refused.value.status

    assert asyncio.run(late()) == 504
    assert 3 < len(steps) < 15


def test_more_work_than_fits_its_deadline_is_refused_before_it_starts_however_idle_the_model_is():
    model = Model()

    async def costly() -> Refusal:
        queue = batcher(model, Pace(best=4, fixed=0.01, per_row=0.01))
        with pytest.raises(Refusal) as refused:
            await queue.submit([Number(x=1)] * 2, soon(10), weights=[1.0, 5_000.0])
        assert (await queue.submit([Number(x=1)] * 2, soon(10), weights=[1.0, 50.0])) is not None
        return refused.value

    refused = asyncio.run(costly())
    assert refused.status == 413
    assert "63 s of work and must be answered within 10 s" in str(refused)
    assert [len(batch) for batch in model.batches] == [1, 1], (
        "an example that weighs a batch goes by itself"
    )


def test_more_than_may_wait_are_refused_at_once_with_when_to_come_back():
    async def flood():
        queue = batcher(Model(0.1), capacity=10)
        first = asyncio.ensure_future(ask(queue, 0))
        await asyncio.sleep(0.02)
        rest = await gather(queue, *range(20, 50))
        return await first, rest

    first, rest = asyncio.run(flood())
    refused = [one for one in rest if isinstance(one, Refusal)]
    assert first == [0]
    assert [one for one in rest if not isinstance(one, Refusal)] == [
        [2 * number] for number in range(20, 30)
    ]
    assert len(refused) == 20
    assert {one.status for one in refused} == {503}
    assert dict(refused[0].headers)[b"retry-after"].isdigit()


def test_a_request_that_could_not_be_in_time_is_refused_before_it_waits():
    async def late():
        queue = batcher(Model(0.05), Pace(best=1, fixed=0.05, per_row=0.0))
        waiting = [asyncio.ensure_future(ask(queue, number)) for number in range(10)]
        await asyncio.sleep(0.01)
        start = time.perf_counter()
        with pytest.raises(Refusal) as refused:
            await ask(queue, 99, expires=soon(0.2))
        return refused.value.status, time.perf_counter() - start, await asyncio.gather(*waiting)

    status, taken, answers = asyncio.run(late())
    assert (status, len(answers)) == (503, 10)
    assert taken < 0.4  # the ten before it take half a second


def test_a_deadline_that_passes_is_a_504_and_costs_the_model_nothing_more():
    model = Model(1.0)

    async def late():
        queue = batcher(
            model, Pace(best=1, fixed=0.01, per_row=0.0)
        )  # it takes much longer than it was measured at
        first = asyncio.ensure_future(ask(queue, 1, expires=soon(0.1)))
        await asyncio.sleep(0)
        second = asyncio.ensure_future(ask(queue, 2, expires=soon(0.15)))
        start = time.perf_counter()
        failed = await asyncio.gather(first, second, return_exceptions=True)
        taken = time.perf_counter() - start
        return failed, taken, await ask(queue, 3)

    failed, taken, after = asyncio.run(late())
    assert [one.status for one in failed] == [504, 504]
    assert taken < 0.8
    assert after == [6]
    assert model.batches == [[1], [3]]


def test_the_best_batch_is_large_where_a_batch_costs_and_one_where_it_does_not():
    def costs(examples, wanted):
        time.sleep(0.004)
        return examples

    def grows(examples, wanted):
        time.sleep(0.01 * len(examples))
        return examples

    one = Number(x=1)
    found = measure(costs, one, largest=32, longest=0.1)
    assert found.best >= 16
    assert 0.003 < found.seconds(8) < 0.05
    assert measure(grows, one, largest=32, longest=0.1).best == 1
    assert measure(costs, one, largest=1, longest=0.1).best == 1


def turns_until_answered(callers: list[object]) -> list[int]:
    """How many turns of the event loop the last of these requests takes, asked one after the
    other."""

    async def run() -> list[int]:
        queue, turns = batcher(Model(), FAST), []
        for caller in callers:
            answer, count = queue.submit([Number(x=1)], soon(), caller), 0
            while not answer.done():
                await asyncio.sleep(0)
                count += 1
            turns.append(count)
        return turns

    return asyncio.run(run())


def test_who_asks_again_on_the_same_connection_waits_for_nobody():
    first, second = ("10.0.0.1", 4001), ("10.0.0.2", 4001)
    assert turns_until_answered([first, first, first]) == [1, 0, 0]
    assert turns_until_answered([first, second, first]) == [1, 1, 1]
    assert turns_until_answered([None, None]) == [1, 1]


def test_a_quick_model_answers_all_that_wait_before_more_is_read():
    async def run() -> tuple[int, int]:
        queue = batcher(Model(), Pace(best=4, fixed=0.0, per_row=1e-6), capacity=1_000)
        answers = [queue.submit([Number(x=1)], soon()) for _ in range(100)]
        await asyncio.sleep(0)
        return sum(answer.done() for answer in answers), queue.depth

    assert asyncio.run(run()) == (100, 0)
