"""Two queues for one model: much work in one example does not hold up those that ask for little."""

from __future__ import annotations

import asyncio

from pydantic import BaseModel

from modelyard.serving.answering import Predict
from modelyard.serving.batching import Batcher
from modelyard.serving.pace import Pace
from modelyard.serving.settings import Limits
from modelyard.serving.work import Scale

HEAVY_SECONDS, HEAVY_TIMES = 0.1, 8.0
"""An example that takes longer than both, in seconds and in times of the golden example, goes to
the heavy lane."""


class Lanes:
    """`quick` batches what is alike; `heavy` answers one example at a time in a thread of its
    own, requests in turn."""

    def __init__(self, predict: Predict, pace: Pace, scale: Scale, limits: Limits) -> None:
        self._scale, self._alone = scale, pace.seconds(1)
        self.quick = Batcher(predict, pace, capacity=limits.queue, wait=limits.batch_wait)
        one_by_one = Pace(1, 0.0, self._alone)
        self.heavy = Batcher(predict, one_by_one, capacity=limits.queue, wait=0.0)

    @property
    def depth(self) -> int:
        """Examples that wait or are being answered."""
        return self.quick.depth + self.heavy.depth

    def weights(self, examples: list[BaseModel]) -> list[float] | None:
        """What each example costs, 1 being the golden one; None where all cost the same."""
        return self._scale.weights(examples, self._alone)

    def seconds(self, examples: list[BaseModel]) -> float:
        """Seconds that the examples take one after the other."""
        weights = self.weights(examples)
        return self._alone * (len(examples) if weights is None else sum(weights))

    def submit(
        self, examples: list[BaseModel], expires: float, caller: object, weights: list[float] | None
    ) -> asyncio.Future[list[BaseModel]]:
        """As a Batcher's; `weights` are found where they are left out."""
        if weights is None:
            weights = self.weights(examples)
        if weights is None:
            return self.quick.submit(examples, expires, caller)
        largest = max(weights)
        is_heavy = largest > HEAVY_TIMES and largest * self._alone > HEAVY_SECONDS
        lane = self.heavy if is_heavy else self.quick
        return lane.submit(examples, expires, caller, weights)
