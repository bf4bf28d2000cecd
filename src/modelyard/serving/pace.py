"""How long batches of a model take, measured when it warms up."""

from __future__ import annotations

import time
from dataclasses import dataclass

from pydantic import BaseModel

from modelyard.serving.answering import Predict
from modelyard.serving.work import always


@dataclass(frozen=True)
class Pace:
    """What a warm-up measured: examples in the best batch, and how long a batch takes."""

    best: int
    fixed: float
    """Seconds of a batch, however small."""
    per_row: float
    """Seconds that each example adds."""

    def seconds(self, rows: float) -> float:
        """How long a batch of `rows` is expected to take."""
        return self.fixed + self.per_row * rows


def measure(
    predict: Predict,
    example: BaseModel,
    *,
    largest: int,
    longest: float,
    budget: float = 0.6,
    settles: bool = False,
) -> Pace:
    """Finds the best batch for copies of an example: the smallest with nearly the most examples a
    second.

    Tries 1, 2, 4, … up to `largest` examples while a batch takes at most `longest` seconds and the
    whole at most `budget`; the first call of a graph is slow and not counted. On a GPU, which
    `settles`, the first call of each size is slow: it is not counted either, and neither are the
    seconds that it takes.
    """
    predict([example], always)
    begun = time.perf_counter()
    seconds: dict[int, float] = {}
    rows = 1
    while rows <= largest and time.perf_counter() - begun < budget:
        if settles:
            begun += _timed(predict, [example] * rows)
        # The least of three: whatever else the machine does can only make it longer.
        seconds[rows] = min(_timed(predict, [example] * rows) for _ in range(3))
        if seconds[rows] > longest:
            break
        rows *= 2
    best = _best(seconds, longest)
    # Above 0 in both cases: what a batch took is divided by what was foreseen for it.
    if best == 1:
        return Pace(1, fixed=0.0, per_row=max(seconds[1], 1e-7))
    # Two points make the line: what a batch costs, and what an example adds.
    per_row = max(seconds[best] - seconds[1], 0.0) / (best - 1)
    return Pace(best, fixed=max(seconds[1] - per_row, 0.0), per_row=max(per_row, 1e-7))


def _best(seconds: dict[int, float], longest: float) -> int:
    """The smallest batch with nearly the most examples a second, by the seconds of each size."""
    rates = {}
    for rows, taken in seconds.items():
        if taken <= longest or rows == 1:
            rates[rows] = rows / (taken + _HAND_OVER)
    most = max(rates.values())
    return min(rows for rows, rate in rates.items() if rate >= _NEARLY * most)


def warm(predict: Predict, example: BaseModel, largest: int) -> None:
    """Answers every batch that callers may make, from the largest down: a GPU prepares each shape
    when it first sees it, and no caller should wait for that."""
    for rows in range(largest, 0, -1):
        predict([example] * rows, always)


_HAND_OVER = 0.0001
"""Seconds that a batch costs in addition to the model: to a thread and back."""
_NEARLY = 0.95


def _timed(predict: Predict, examples: list[BaseModel]) -> float:
    start = time.perf_counter()
    predict(examples, always)
    return time.perf_counter() - start
