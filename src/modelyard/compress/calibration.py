"""Real inputs of graphs, for recipes that calibrate: what the host gives them for requests of the
training split."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel

from modelyard.host import Host
from modelyard.runtimes.types import Arrays, Runtime

MOST_CALLS = 64
"""Of one graph: a decoder is called once for each token."""

Recorded = dict[str, list[Arrays]]
"""Inputs of calls, by graph."""


def record(host: Host, runtime: Runtime, requests: Sequence[BaseModel], rows: int) -> Recorded:
    """Answers up to `rows` of the requests, drawn at random, one at a time, and gives back what the
    graphs were called with."""
    rng = np.random.default_rng(0)
    drawn = rng.permutation(len(requests))[:rows]
    calls: Recorded = {}
    seen: dict[str, int] = {}

    def listening(graph: str, arrays: Arrays) -> Arrays:
        found = calls.setdefault(graph, [])
        seen[graph] = seen.get(graph, 0) + 1
        if len(found) < MOST_CALLS:
            found.append(arrays)
        else:
            # Reservoir sampling (Vitter 1985): every call is among those with the same chance.
            place = int(rng.integers(seen[graph]))
            if place < MOST_CALLS:
                found[place] = arrays
        return runtime(graph, arrays)

    for number in drawn:
        host.predict(listening, [requests[int(number)]])
    return calls
