"""Work that is bounded: what a request costs before it starts, and who still waits for it while
it runs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TypeAlias

from pydantic import BaseModel

from modelyard.host import Host
from modelyard.runtimes.types import Arrays, Runtime, hold

Wanted: TypeAlias = Callable[[], bool]
"""Whether anybody still waits for an answer; called from any thread."""

PATIENCE = 2.0
"""Work that is foreseen to take more than this many times its deadline is refused before it
starts: a family counts the most that a request may take, and many take less."""


class Unwanted(Exception):
    """Work was stopped because nobody waits for its answer any more."""


class Fault(Exception):
    """The model failed on one example of a request."""

    def __init__(self, error: Exception, index: int) -> None:
        super().__init__(str(error))
        self.error = error
        self.index = index
        """Which example of the request, from 0."""


def always() -> bool:
    """Somebody waits."""
    return True


class Watched:
    """`run`, which raises Unwanted instead of calling a graph once nobody waits: a decoding or
    denoising loop ends between two steps."""

    def __init__(self, run: Runtime, wanted: Wanted) -> None:
        self._run, self._wanted = run, wanted

    def __call__(self, graph: str, arrays: Arrays) -> Arrays:
        if not self._wanted():
            raise Unwanted
        return self._run(graph, arrays)

    def hold(self, graph: str, arrays: Arrays, held: Collection[str]) -> Arrays:
        """As of a runtime on a device."""
        if not self._wanted():
            raise Unwanted
        return hold(self._run, graph, arrays, held)


class Scale:
    """What examples cost, 1 being the golden example: the one that the warm-up measured."""

    def __init__(self, host: Host, golden: BaseModel) -> None:
        self._host = host
        self._differs = type(host).cost is not Host.cost
        cost = host.cost(golden)
        self._units, self._seconds = max(cost.units, 1e-9), cost.seconds

    def weights(self, examples: Sequence[BaseModel], golden: float) -> list[float] | None:
        """A weight of at least 1 for each example; None where all cost the same.

        Args:
            examples: what is to be answered.
            golden: seconds that the golden example takes.
        """
        if not self._differs:
            return None
        return [self._weight(example, golden) for example in examples]

    def _weight(self, example: BaseModel, golden: float) -> float:
        cost = self._host.cost(example)
        # The model's time goes by units; what prepares the example comes on top, in seconds.
        by_units = cost.units / self._units
        by_seconds = (cost.seconds - self._seconds) / golden
        return max(1.0, by_units + by_seconds)
