"""A service that has more to do than it can refuses early, and takes all again when it can."""

from __future__ import annotations

import asyncio
import time

import pytest

from modelyard.serving.lag import GOAL_SECONDS, TICK_SECONDS, Lag

pytestmark = pytest.mark.timed

LONG = 2 * GOAL_SECONDS


def noted(*waits: float) -> Lag:
    lag = Lag()
    for wait in waits:
        lag.note(wait)
    return lag


def refused(lag: Lag, left: float = 30.0) -> float:
    return sum(lag.refuses(left) for _ in range(2_000)) / 2_000


def test_one_pause_is_no_overload():
    assert noted(0.001, 3.0, 0.001).share == 1
    assert not noted(0.001, 3.0, 0.001).refuses(30.0)


def test_the_longer_requests_wait_the_fewer_are_taken_but_never_none():
    shares = [noted(*[LONG] * times).share for times in (2, 3, 6, 100)]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] < 1
    assert shares[-1] > 0
    assert abs(refused(noted(*[LONG] * 3)) - (1 - shares[1])) < 0.05


def test_a_few_large_requests_that_hold_the_loop_up_turn_no_small_ones_away():
    lag = Lag()
    for _ in range(20):
        lag.note(LONG, crowded=False)
    assert lag.share == 1
    assert refused(lag) == 0
    assert refused(lag, left=LONG) == 1


def test_all_are_taken_again_within_two_seconds_of_the_end():
    lag = noted(*[LONG] * 100)
    for _ in range(round(2 / TICK_SECONDS)):
        lag.note(0.001)
    assert refused(lag) == 0


def test_who_cannot_wait_so_long_is_refused_though_others_are_taken():
    lag = noted(0.06, 0.06)
    assert lag.share == 1
    assert refused(lag, left=0.1) == 1
    assert refused(lag, left=1.0) == 0


def test_the_wait_is_that_of_a_socket_in_line_with_the_others():
    async def run() -> list[float]:
        lag, seen = Lag(), []
        with lag.measured():
            await asyncio.sleep(0.2)
            seen.append(lag.seconds)
            for _ in range(6):
                time.sleep(0.15)  # what a loop full of requests looks like
                await asyncio.sleep(0)
            seen.append(lag.seconds)
            await asyncio.sleep(0.2)
            seen.append(lag.seconds)
        return seen

    quiet, busy, after = asyncio.run(run())
    assert quiet < 0.1
    assert 0.12 < busy < 1
    assert after < 0.1
