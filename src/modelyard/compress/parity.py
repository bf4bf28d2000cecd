"""Whether a compiled graph gives what the trained model gives."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from modelyard.errors import BrokenArtifact
from modelyard.runtimes.types import Graph, Runtime

MOST_NOISE = 0.5
"""Of a variant of less precision, over the graphs' examples: root mean square of the difference, as
a share of the output's own spread. Whether less costs quality, the metric says."""


class _Output(NamedTuple):
    """One output of a graph, from both runtimes."""

    name: str
    expected: np.ndarray
    seen: np.ndarray
    middle: float
    """The expected values' median over the whole example."""
    spread: float
    """Their standard deviation over the whole example."""


def check_parity(graph: Graph, native: Runtime, compiled: Runtime) -> float:
    """Largest |difference| / max(1, |value - median|) between two runtimes on the graph's example:
    its first row, and all of it.

    The median of an output is taken off, so that figures around 2e9 are held against how far they
    lie from each other, not against their size.

    Raises:
        BrokenArtifact: it is over the graph's tolerance: which graph and output, and by how much.
    """
    worst = 0.0
    for output in _outputs(graph, native, compiled):
        gap = _gap(output)
        # Not `gap >`, which is false for NaN.
        if not gap <= graph.tolerance:
            raise BrokenArtifact(
                f"graph {graph.name!r}: output {output.name!r} differs from the trained model by {gap:.2e}, "
                f"allowed {graph.tolerance:.0e}. Raise the family's Graph.tolerance if that is acceptable"
            )
        worst = max(worst, gap)
    return worst


def check_likeness(graphs: Sequence[Graph], native: Runtime, compiled: Runtime) -> float:
    """The largest difference, as `check_parity` has it, of a variant of less precision.

    Raises:
        BrokenArtifact: an output is not finite, or as much noise as answer.
    """
    worst = 0.0
    for graph in graphs:
        for output in _outputs(graph, native, compiled):
            place = f"graph {graph.name!r}: output {output.name!r}"
            # Some graphs give infinities on purpose, as for masked tokens.
            was_finite = np.isfinite(output.expected).all()
            if was_finite and not np.isfinite(output.seen).all():
                raise BrokenArtifact(f"{place} is not finite")
            noise = _noise(output)
            if noise > MOST_NOISE:
                raise BrokenArtifact(
                    f"{place} differs from the trained model by {noise:.0%} of its own spread, "
                    f"allowed {MOST_NOISE:.0%}"
                )
            worst = max(worst, _gap(output))
    return worst


def _outputs(graph: Graph, native: Runtime, compiled: Runtime) -> Iterator[_Output]:
    """Every output for the example's first row, then for all of it."""
    middle, spread = {}, {}
    for name, value in native(graph.name, graph.example).items():
        # An output of no values, as of a past of length 0, has neither.
        middle[name] = float(np.median(value)) if value.size else 0.0
        spread[name] = float(np.std(value)) if value.size else 0.0
    # A graph whose batch is fixed by mistake answers one of the two only.
    first = {name: array[:1] for name, array in graph.example.items()}
    for batch in (first, graph.example):
        expected, seen = native(graph.name, batch), compiled(graph.name, batch)
        for name, value in expected.items():
            yield _Output(
                name,
                value.astype(np.float64),
                seen[name].astype(np.float64),
                middle[name],
                spread[name],
            )


def _gap(output: _Output) -> float:
    size = np.maximum(1, np.abs(output.expected - output.middle))
    return float(np.max(np.abs(output.expected - output.seen) / size, initial=0))


def _noise(output: _Output) -> float:
    """Root mean square of the difference, as a share of the output's spread."""
    if not output.expected.size:
        return 0.0
    difference = float(np.sqrt(np.mean((output.expected - output.seen) ** 2)))
    # An output of equal values has no spread of its own.
    return difference / max(output.spread, 1e-2 * abs(output.middle), 1e-6)
