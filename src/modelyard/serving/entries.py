"""Requests that wait for the model, and what of them is with it."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from pydantic import BaseModel


class Entry:
    """A request that waits: its examples, and how far it is answered."""

    __slots__ = ("answers", "examples", "expires", "future", "left", "taken", "weights")

    def __init__(
        self,
        examples: list[BaseModel],
        weights: list[float] | None,
        expires: float,
        future: asyncio.Future[list[BaseModel]],
    ) -> None:
        self.examples, self.weights, self.expires, self.future = examples, weights, expires, future
        self.taken = 0
        """Examples that have gone to the model."""
        self.left = 0.0
        """Weight of those that have not."""
        self.answers: list[BaseModel] = []

    def load(self, start: int, stop: int) -> float:
        """Weight of some of its examples."""
        if self.weights is None:
            return stop - start
        return sum(self.weights[start:stop])

    def fitting(self, room: float) -> int:
        """Where a slice ends that weighs at most `room`."""
        if self.weights is None:
            return min(len(self.examples), self.taken + int(room))
        stop = self.taken
        while stop < len(self.examples) and self.weights[stop] <= room:
            room -= self.weights[stop]
            stop += 1
        return stop


class Slice(NamedTuple):
    """Examples of one request that go to the model together."""

    entry: Entry
    start: int
    stop: int

    @property
    def examples(self) -> list[BaseModel]:
        return self.entry.examples[self.start : self.stop]


class Batch(NamedTuple):
    """What the model works on, in a thread."""

    slices: list[Slice]
    rows: int
    load: float
    started: float
