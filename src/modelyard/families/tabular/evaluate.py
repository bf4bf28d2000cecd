"""Judges a tabular model on a split, through the host that serves it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from sklearn import metrics as sk

from modelyard.families.tabular.data import load_columns
from modelyard.families.tabular.schema import TableSchema
from modelyard.families.tabular.table import load_split
from modelyard.judging.curves import histogram
from modelyard.judging.evaluation import Direction, Evaluation, Plot, Series
from modelyard.kit.classes.evaluate import judge_classes
from modelyard.kit.intervals import resample

if TYPE_CHECKING:
    from modelyard.families.tabular.host import TabularHost
    from modelyard.family import Split
    from modelyard.runtimes.types import Runtime

MOST_DOTS = 500
"""Of the plot of predictions."""


def evaluate(host: TabularHost, run: Runtime, features: Path, split: Split = "test") -> Evaluation:
    """Metrics next to a baseline, an interval of the main metric, and the plots of the task.

    The rows are the split's as they came, and the truth is the split's, so that another package's
    host is judged on the same: its classes are matched by name, and a class that it does not know
    counts as missed.

    Raises:
        BadData: the split lacks a column that the host needs.
    """
    scores = host.scores(run, load_columns(features, split, host.schema))
    _, y = load_split(features, split)
    _, y_train = load_split(features, "train")
    classes = TableSchema.load(Path(features) / "assets").classes
    if classes is None or host.schema.classes is None:
        assert classes is host.schema.classes is None, (
            "a classifier and a regression cannot be compared"
        )
        return _regression(y.astype(np.float64), scores, y_train, split)
    return judge_classes(
        scores,
        host.decision,
        host.schema.classes,
        y,
        classes,
        y_train,
        split=split,
        unit="rows",
        main_of_several="macro_f1",
    )


def _regression(y: np.ndarray, value: np.ndarray, y_train: np.ndarray, split: str) -> Evaluation:
    metrics = _regression_metrics(y, value)
    median = float(np.median(y_train))
    baseline = f"training median, {_with_digits(median, y_train)}"
    own = float(np.median(y))
    constants = [np.full(len(y), median), np.full(len(y), own)]
    found = resample(sk.mean_absolute_error, y, value, *constants, varied=False)
    gains = [found.gain("mae", baseline, "min")]
    # In time order the training rows may lie far from the split's: then any model beats their
    # median, and one that is worse than a constant is still of no use.
    gains.append(
        found.gain(
            "mae", f"the {split} split's own median, {_with_digits(own, y)}", "min", simple=2
        )
    )
    directions: dict[str, Direction] = {name: "max" if name == "r2" else "min" for name in metrics}
    return Evaluation(
        split=split,
        rows=len(y),
        metrics=metrics,
        baseline=_regression_metrics(y, np.full(len(y), median)),
        baseline_name=baseline,
        main="mae",
        gains=[gain for gain in gains if gain is not None],
        directions=directions,
        intervals=found.intervals("mae"),
        notes=[found.sentence("mae")],
        plots=_regression_plots(y, value),
    )


def _with_digits(value: float, y: np.ndarray) -> str:
    """With so many digits that it differs from the other values of `y`."""
    spread = float(np.std(y)) or abs(value) or 1.0
    more = max(0.0, np.log10(max(abs(value), spread) / spread))
    return f"{value:.{4 + int(np.ceil(more))}g}"


def _regression_metrics(y: np.ndarray, value: np.ndarray) -> dict[str, float]:
    found = {
        "mae": float(sk.mean_absolute_error(y, value)),
        "rmse": float(sk.root_mean_squared_error(y, value)),
        "median_absolute_error": float(sk.median_absolute_error(y, value)),
    }
    # Of equal values there is nothing to explain.
    if np.ptp(y) > 0:
        found["r2"] = float(sk.r2_score(y, value))
    return found


def _regression_plots(y: np.ndarray, value: np.ndarray) -> list[Plot]:
    """Predictions against what was, for at most MOST_DOTS rows, and the errors."""
    rows = np.random.default_rng(0).permutation(len(y))[:MOST_DOTS]
    error = value - y
    edge = float(np.quantile(np.abs(error), 0.99)) or 1.0
    dots = Plot(
        kind="scatter",
        title="Predicted against actual",
        x_label="actual",
        y_label="predicted",
        diagonal=True,
        series=[Series(name="rows", x=y[rows].tolist(), y=value[rows].tolist())],
    )
    errors = Plot(
        kind="histogram",
        title="Errors",
        x_label="predicted - actual",
        y_label="rows",
        series=[histogram("rows", np.clip(error, -edge, edge), (-edge, edge))],
        caption="The outermost bars hold the largest hundredth of the errors too.",
    )
    return [dots, errors]
