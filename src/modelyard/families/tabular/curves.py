"""The figures that a person of the field expects of a regression, as data."""

from __future__ import annotations

import numpy as np

from modelyard.judging.curves import histogram
from modelyard.judging.evaluation import Plot, Series

MOST_DOTS = 500


def regression(y: np.ndarray, value: np.ndarray) -> list[Plot]:
    """Predictions against what was, for at most MOST_DOTS rows, and the errors."""
    rows = np.random.default_rng(0).permutation(len(y))[:MOST_DOTS]
    error = value - y
    edge = float(np.quantile(np.abs(error), 0.99)) or 1.0
    return [
        Plot(
            kind="scatter",
            title="Predicted against actual",
            x_label="actual",
            y_label="predicted",
            diagonal=True,
            series=[Series(name="rows", x=y[rows].tolist(), y=value[rows].tolist())],
        ),
        Plot(
            kind="histogram",
            title="Errors",
            x_label="predicted - actual",
            y_label="rows",
            series=[histogram("rows", np.clip(error, -edge, edge), (-edge, edge))],
            caption="The outermost bars hold the largest hundredth of the errors too.",
        ),
    ]
