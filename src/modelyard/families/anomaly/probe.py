"""A probe for data without labels: copies of held-out windows, disturbed on purpose.

It tells whether a detector notices a column that leaves its relation to the others. It does not
tell whether the faults of the machine at hand look like that.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from modelyard.families.anomaly.judged import Moments
from modelyard.families.anomaly.schema import Schema
from modelyard.kit.splits import evenly

MOST = 2000
SHIFT = 1.5
"""Standard deviations by which a shifted column moves."""
SEED = 20_16


@dataclass(frozen=True)
class Probe:
    """The same windows as they are and disturbed, float32 (windows, window, columns)."""

    plain: np.ndarray
    disturbed: np.ndarray

    def windows(self) -> np.ndarray:
        """First the plain ones, then the disturbed."""
        return np.concatenate([self.plain, self.disturbed])

    def truth(self) -> np.ndarray:
        """0 for plain, 1 for disturbed, in this order."""
        return np.repeat([0, 1], [len(self.plain), len(self.disturbed)])


def make(moments: Moments, schema: Schema) -> Probe:
    """At most MOST windows of unlabelled or normal moments, evenly spread; in each copy the
    latest quarter of one column is shifted, or taken from another window."""
    normal = moments.ends[moments.label != 1]
    ends = normal[evenly(len(normal), MOST)]
    plain = moments.part.windows(ends, moments.window)
    disturbed, rng = plain.copy(), np.random.default_rng(SEED)
    recent = max(1, moments.window // 4)
    column = rng.integers(0, plain.shape[2], len(plain))
    # Another window, never the same one: all are turned by a random number of places.
    turned = rng.integers(1, max(2, len(plain)), len(plain))
    other = (np.arange(len(plain)) + turned) % len(plain)
    sign = rng.choice([-1.0, 1.0], len(plain))
    spread = schema.figures("spread")
    for number in range(len(plain)):
        rows = (number, slice(-recent, None), column[number])
        if number % 2:
            disturbed[rows] += sign[number] * SHIFT * spread[column[number]]
        else:
            disturbed[rows] = plain[other[number], -recent:, column[number]]
    return Probe(plain, disturbed)
