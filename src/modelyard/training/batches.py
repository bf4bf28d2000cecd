"""Batches made on demand: shared among processes, and started anywhere. Imports only numpy."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

    Batch = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Batches:
    """The examples of a split in the order of an epoch, cut into batches."""

    order: np.ndarray
    """Numbers of the examples, int64 (examples,)."""
    size: int
    """Examples a batch."""
    take: Callable[[np.ndarray], Batch]
    """Some of `order` to tensors by name, axis 0 the examples. What it gives for a number does
    not depend on the other numbers nor on earlier calls: several processes and threads call it,
    each for its part."""
    least: int = 1
    """Fewest examples that a process can train on: 2 where batch statistics of one are
    undefined."""

    @classmethod
    def of(
        cls, arrays: Mapping[str, np.ndarray], size: int, order: np.ndarray | None = None
    ) -> Batches:
        """Batches of rows of `arrays`, whose first axis is the examples; without `order` as they
        come."""
        import torch

        def take(chosen: np.ndarray) -> Batch:
            return {name: torch.from_numpy(array[chosen]) for name, array in arrays.items()}

        if order is None:
            some = next(iter(arrays.values()))
            order = np.arange(len(some))
        return cls(order, size, take)

    def __len__(self) -> int:
        return len(self.cuts()) - 1

    def __iter__(self) -> Iterator[Batch]:
        for rows in self.rows():
            yield self.take(rows)

    def cuts(self, processes: int = 1) -> np.ndarray:
        """Where batches begin, and the end. A last batch too small for all processes joins the
        one before it."""
        end = len(self.order)
        starts = np.arange(0, end, self.size)
        if len(starts) > 1 and end - starts[-1] < self.least * processes:
            starts = starts[:-1]
        return np.append(starts, end)

    def rows(self, index: int = 0, processes: int = 1, start: int = 0) -> Iterator[np.ndarray]:
        """The part of process `index` in each batch from number `start` on: every `processes`-th
        example."""
        cuts = self.cuts(processes)
        for number in range(start, len(cuts) - 1):
            batch = self.order[cuts[number] : cuts[number + 1]]
            # Interleaved: parts differ by one example at most, whatever the batch's size.
            yield batch[index::processes]
