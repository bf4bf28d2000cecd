"""How fast variants answer: one request at a time, and in batches."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from pydantic import BaseModel

from modelyard.host import Host
from modelyard.runtimes.types import Runtime

LEAST_ROUNDS = 3
"""Timed rounds of single requests, whatever the time limit."""
BATCHES = (8, 64)
"""Batch sizes that are tried after 1."""
MANY = 256
"""A further one where throughput is what counts: as many as the service gives a model at once."""
BATCH_ROUNDS = 5

Timings = dict[str, list[float]]
"""Seconds by variant."""


@dataclass
class Timing:
    """What was measured of one variant."""

    single: list[float]
    """Seconds of single requests."""
    batches: dict[int, list[float]] = field(default_factory=dict)
    """Seconds of whole batches, by size."""

    def figures(self) -> dict[str, float | int]:
        """The fields of a `Variant`: milliseconds of single requests, and of the batch size with
        the most predictions a second."""
        by_size = {1: self.single, **self.batches}
        rates = {}
        for size, seconds in by_size.items():
            rates[size] = size / float(np.median(seconds))
        best = max(rates, key=lambda size: rates[size])
        return {
            "p50_ms": _milliseconds(self.single, 0.5),
            "p99_ms": _milliseconds(self.single, 0.99),
            "batch": best,
            "batch_p50_ms": _milliseconds(by_size[best], 0.5),
            "batch_p99_ms": _milliseconds(by_size[best], 0.99),
            "per_second": round(rates[best], 1),
        }


def time_variants(
    host: Host,
    runtimes: Mapping[str, Runtime],
    requests: Sequence[BaseModel],
    repeats: int,
    seconds: float,
    batches: Sequence[int] = BATCHES,
) -> dict[str, Timing]:
    """Times predictions of each variant, at most `seconds` in all but for the first few rounds.

    Variants take turns, in another order each round, so that what else the machine does weighs on all alike.
    """
    started = time.perf_counter()
    ends = started + seconds / 2
    single: Timings = {name: [] for name in runtimes}
    # The first round warms up.
    for number in range(repeats + 1):
        if number > LEAST_ROUNDS and time.perf_counter() > ends:
            break
        _round(host, runtimes, [requests[number % len(requests)]], single)
    timings = {name: Timing(taken[1:]) for name, taken in single.items()}

    ends = started + seconds
    slowest = sum(float(np.median(timing.single)) for timing in timings.values())
    for size in batches:
        # A batch takes at most as long as its requests one by one.
        rounds = int((ends - time.perf_counter()) / (slowest * size)) - 1
        if rounds < LEAST_ROUNDS:
            break
        batch = [requests[place % len(requests)] for place in range(size)]
        taken: Timings = {name: [] for name in runtimes}
        for _ in range(min(rounds, BATCH_ROUNDS) + 1):
            _round(host, runtimes, batch, taken)
        for name, timing in timings.items():
            timing.batches[size] = taken[name][1:]
    return timings


def _round(
    host: Host, runtimes: Mapping[str, Runtime], batch: Sequence[BaseModel], taken: Timings
) -> None:
    names = list(runtimes)
    # Each time in another order: what runs before leaves caches and cores as it used them.
    order = np.random.default_rng(len(taken[names[0]])).permutation(len(names))
    for place in order:
        name = names[place]
        start = time.perf_counter()
        host.predict(runtimes[name], batch)
        taken[name].append(time.perf_counter() - start)


def _milliseconds(seconds: list[float], share: float) -> float:
    return round(float(np.quantile(seconds, share)) * 1e3, 4)
