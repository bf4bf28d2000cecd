"""Whether the same clusters come out of other rows."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
from sklearn.metrics import adjusted_rand_score

from modelyard.families.clustering.assets import NOISE
from modelyard.families.clustering.kinds import JUDGED, Plan, fit


def noise_as_singles(labels: np.ndarray) -> np.ndarray:
    """Labels in which each row of no cluster has a label of its own: that two rows are noise says
    nothing of their being alike."""
    noise = np.flatnonzero(labels == NOISE)
    found = labels.copy()
    found[noise] = -2 - np.arange(len(noise))
    return found


def stability(plan: Plan, z: np.ndarray, resamples: int, seed: int) -> tuple[float, float]:
    """The mean adjusted Rand index, and the least, of all pairs of clusterings of bootstrap
    samples of the rows, on the rows that both hold (Hennig 2007, section 3). Samples hold at most
    JUDGED rows, those for dbscan as many as there are.

    A row that was drawn twice counts once: copies would make places dense that are not.
    """
    rng = np.random.default_rng(seed)
    size = min(len(z), JUDGED)
    if plan.kind == "dbscan":
        # Fewer rows lie farther apart, and eps is a distance: most would be noise.
        size = len(z)
    found = []
    for _ in range(resamples):
        rows = np.unique(rng.integers(0, len(z), size))
        labels = np.full(len(z), NOISE - 1)
        fewer = replace(plan, clusters=min(plan.clusters, len(rows)))
        labels[rows] = fit(fewer, z[rows], seed, 3)[1]
        found.append(labels)
    scores = []
    for one, other in combinations(found, 2):
        # Below NOISE are rows that a sample lacks.
        shared = (one >= NOISE) & (other >= NOISE)
        ours, theirs = noise_as_singles(one[shared]), noise_as_singles(other[shared])
        scores.append(adjusted_rand_score(ours, theirs))
    return float(np.mean(scores)), float(np.min(scores))
