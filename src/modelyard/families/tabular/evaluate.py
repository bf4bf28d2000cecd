"""Judges a tabular model on a split, through the host that serves it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from sklearn import metrics as sk

from modelyard.families.tabular.judged_intervals import with_intervals
from modelyard.families.tabular.labelled import load_mask
from modelyard.families.tabular.schema import TableSchema
from modelyard.families.tabular.table import load_split
from modelyard.judging.curves import histogram
from modelyard.judging.evaluation import (
    DATA,
    LABELLED,
    Direction,
    Evaluation,
    Group,
    Plot,
    Series,
    figure,
)
from modelyard.kit.classes.evaluate import judge_classes
from modelyard.kit.classes.judged import align, class_metrics
from modelyard.kit.columns.frames import load_columns
from modelyard.kit.intervals import mean_of, resample, share_sentence
from modelyard.kit.splits import load_groups

if TYPE_CHECKING:
    from modelyard.families.tabular.host import TabularHost
    from modelyard.family import Split
    from modelyard.runtimes.types import Runtime

MOST_DOTS = 500
"""Of the plot of predictions."""


def evaluate(
    host: TabularHost,
    run: Runtime,
    features: Path,
    split: Split = "test",
    quantile: float | None = None,
) -> Evaluation:
    """Metrics next to a baseline, an interval of the main metric, and the plots of the task.

    The rows are the split's as they came, and the truth is the split's, so that another package's
    host is judged on the same: its classes are matched by name, and a class that it does not know
    counts as missed. `quantile` is what a regression was fitted to, if not to typical values.

    Raises:
        BadData: the split lacks a column that the host needs.
    """
    columns = load_columns(features, split, host.schema)
    _, y = load_split(features, split)
    _, y_train = load_split(features, "train")
    classes = TableSchema.load(Path(features) / "assets").classes
    mask, groups = load_mask(features, split), load_groups(features, split)
    if classes is None or host.schema.classes is None:
        assert classes is host.schema.classes is None, (
            "a classifier and a regression cannot be compared"
        )
        answers = host.values(run, columns)
        judged = _regression(y.astype(np.float64), answers.value, y_train, split, quantile, groups)
        if host.interval is not None:
            judged = with_intervals(judged, y, answers, host.interval, y_train, groups)
        return _with_groups(
            judged, mask, lambda part: _regression_metrics(y[part], answers.value[part], quantile)
        )
    scores = host.scores(run, columns)
    answered = align(scores, host.decision.labels(scores), host.schema.classes, y, classes)
    found = judge_classes(
        answered,
        host.decision,
        y_train,
        split=split,
        unit="rows",
        main_of_several="macro_f1",
        groups=groups,
    )
    return _with_groups(found, mask, lambda part: class_metrics(answered.rows(part)))


def _with_groups(
    found: Evaluation,
    labelled: np.ndarray | None,
    metrics: Callable[[np.ndarray], dict[str, float]],
) -> Evaluation:
    """The evaluation with its metrics on the table's own rows and on those that were requests,
    where there are some of both."""
    if labelled is None or labelled.all() or not labelled.any():
        return found
    parts = {DATA: ~labelled, LABELLED: labelled}
    groups = {
        name: Group(rows=int(part.sum()), metrics=metrics(part)) for name, part in parts.items()
    }
    shown = ", ".join(
        f"{figure(group.metrics[found.main])} on the {group.rows:,} {name} rows"
        for name, group in groups.items()
        if found.main in group.metrics
    )
    if shown:
        notes = [*found.notes, f"{found.main}: {shown}."]
    else:
        notes = found.notes
    return found.model_copy(update={"groups": groups, "notes": notes})


def _regression(
    y: np.ndarray,
    value: np.ndarray,
    y_train: np.ndarray,
    split: str,
    quantile: float | None,
    groups: np.ndarray | None,
) -> Evaluation:
    level = 0.5 if quantile is None else quantile
    metrics = _regression_metrics(y, value, quantile)
    constant, own = (float(np.quantile(targets, level)) for targets in (y_train, y))
    if quantile is None:
        name = "median"
    else:
        name = f"{quantile:.3g} quantile"
    baseline = f"training {name}, {_with_digits(constant, y_train)}"
    own_name = f"the {split} split's own {name}, {_with_digits(own, y)}"
    constants = [np.full(len(y), constant), np.full(len(y), own)]
    main = "mae" if quantile is None else "pinball_loss"
    errors = [_errors(y, answer, quantile) for answer in (value, *constants)]
    found = resample(mean_of, np.zeros(len(y)), *errors, varied=False, groups=groups)
    directions: dict[str, Direction] = {one: "max" if one == "r2" else "min" for one in metrics}
    return Evaluation(
        split=split,
        rows=len(y),
        metrics=metrics,
        baseline=_regression_metrics(y, constants[0], quantile),
        baseline_name=baseline,
        directions=directions,
        # In time order the training rows may lie far from the split's: then any model beats their
        # median, and one that is worse than a constant is still of no use.
        **found.compared(main, "min", baseline, own_name),
        notes=[found.sentence(main), *_coverage(y, value, quantile, groups)],
        plots=_regression_plots(y, value),
    )


def _errors(y: np.ndarray, value: np.ndarray, quantile: float | None) -> np.ndarray:
    """Of each row (n,): their mean is the metric that comes first."""
    over = value - y
    if quantile is None:
        return np.asarray(np.abs(over))
    return np.asarray(np.maximum(-quantile * over, (1 - quantile) * over))


def _coverage(
    y: np.ndarray, value: np.ndarray, quantile: float | None, groups: np.ndarray | None
) -> list[str]:
    """A sentence on how many targets lie below their prediction, where that is what was fitted."""
    if quantile is None:
        return []
    covered = share_sentence("Targets at or below their prediction", y <= value, groups)
    return [f"{covered} It was fitted for {quantile:.3g}."]


def _with_digits(value: float, y: np.ndarray) -> str:
    """With so many digits that it differs from the other values of `y`."""
    spread = float(np.std(y)) or abs(value) or 1.0
    more = max(0.0, np.log10(max(abs(value), spread) / spread))
    return f"{value:.{4 + int(np.ceil(more))}g}"


def _regression_metrics(
    y: np.ndarray, value: np.ndarray, quantile: float | None
) -> dict[str, float]:
    found = {}
    if quantile is not None:
        found["pinball_loss"] = float(sk.mean_pinball_loss(y, value, alpha=quantile))
        found["coverage_error"] = abs(float((y <= value).mean()) - quantile)
    found |= {
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
