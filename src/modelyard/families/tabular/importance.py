"""Which input columns move the model, over the validation split."""

from __future__ import annotations

from typing import Any

import numpy as np

from modelyard.families.tabular.host import TabularHost
from modelyard.families.tabular.shapley import shapley_values
from modelyard.runtimes.types import Runtime

ROWS, BACKGROUND, PERMUTATIONS = 100, 16, 2
"""Most rows explained, background rows for each, and orders for every background row."""
LEAST_ROWS, LEAST_BACKGROUND = 5, 4
"""The fewest of both."""
TREE_ROWS, CELLS = 2e7, 3e8
"""Rows scored times trees, and cells of these rows: what keeps it to about a second."""


def importance(
    host: TabularHost, run: Runtime, x: np.ndarray, background: np.ndarray, trees: int, seed: int
) -> dict[str, Any]:
    """Mean |Shapley value| by input column, largest first, as a table for the card.

    Args:
        x: encoded validation rows, float32 (rows, outputs); background: encoded training rows.
        trees: of the model, for the time it takes; 1 for other kinds.
    """
    groups = host.encoder.groups
    names = list(groups)
    # A walk from a background row to a row scores one row a column.
    cost_of_walk = len(names) * max(trees / TREE_ROWS, x.shape[1] / CELLS)
    walks = 1 / cost_of_walk
    # First fewer rows are explained, then each by fewer background rows.
    count = int(np.clip(walks / (BACKGROUND * PERMUTATIONS), LEAST_ROWS, ROWS))
    depth = int(np.clip(walks / (count * PERMUTATIONS), LEAST_BACKGROUND, BACKGROUND))
    average = background[:depth]
    rows = x[np.random.default_rng(seed).permutation(len(x))[:count]]
    found = []
    for row in rows:
        score, _ = host.explained(run, row)
        values, _ = shapley_values(score, row, average, list(groups.values()), PERMUTATIONS, seed)
        found.append(np.abs(values))
    means = np.mean(found, axis=0)
    order = np.argsort(-means, kind="stable")
    return {
        "title": f"Importance: mean |Shapley value| of {_unit(host)} over {len(rows)} validation rows",
        "columns": ["column", "mean |Shapley value|"],
        "rows": [[names[index], float(means[index])] for index in order],
    }


def _unit(host: TabularHost) -> str:
    classes = host.schema.classes
    if classes is None:
        return "the predicted value"
    if len(classes) == 2:
        return f"the probability of {classes[1]}"
    return "the probability of the predicted class"
