"""Which input columns move the model, over the validation split."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from modelyard.families.tabular.native import GRAPH, INPUT, output_name
from modelyard.families.tabular.shapley import Score, shapley_values
from modelyard.families.tabular.table import ModelInfo
from modelyard.runtimes.types import Runtime

ROWS, BACKGROUND, PERMUTATIONS = 100, 16, 2
"""Most rows explained, background rows for each, and orders for every background row."""
TREE_ROWS = 2e7
"""Rows scored times trees: what keeps it to about a second."""


def importance(
    run: Runtime, info: ModelInfo, assets: Path, x: np.ndarray, background: np.ndarray, seed: int
) -> dict[str, Any] | None:
    """Mean |Shapley value| by input column, largest first, as a table for the card.

    None when the assets tell no groups of columns. The score is the probability of class 1, or of
    the predicted one of several classes; of a regression the value.
    """
    if not (Path(assets) / "encoders.json").is_file():
        return None
    from modelyard.families.tabular.encode import Encoder

    groups = Encoder.load(assets).groups
    rng = np.random.default_rng(seed)
    average = background[:BACKGROUND]
    cost = len(average) * PERMUTATIONS * len(groups) * (info.trees or 1)
    rows = x[rng.permutation(len(x))[: int(np.clip(TREE_ROWS // cost, 5, ROWS))]]
    values = np.stack(
        [
            shapley_values(
                _score(run, info, row), row, average, list(groups.values()), PERMUTATIONS, seed
            )[0]
            for row in rows
        ]
    )
    means = np.abs(values).mean(axis=0)
    return {
        "title": f"Importance: mean |Shapley value| of {_unit(info)} over {len(rows)} validation rows",
        "columns": ["column", "mean |Shapley value|"],
        "rows": [
            [list(groups)[index], float(means[index])]
            for index in np.argsort(-means, kind="stable")
        ],
    }


def _score(run: Runtime, info: ModelInfo, row: np.ndarray) -> Score:
    def outputs(x: np.ndarray) -> np.ndarray:
        return run(GRAPH, {INPUT: x})[output_name(info)]

    if info.classes is None:
        return outputs
    explained = 1 if len(info.classes) == 2 else int(outputs(row[None])[0].argmax())
    return lambda x: outputs(x)[:, explained]


def _unit(info: ModelInfo) -> str:
    if info.classes is None:
        return "the predicted value"
    return (
        f"the probability of {info.classes[1] if len(info.classes) == 2 else 'the predicted class'}"
    )
