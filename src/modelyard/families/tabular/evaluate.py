"""Judges a tabular model on a split, through the host that serves it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard

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
    groups = load_groups(features, split)
    labelled = load_mask(features, split)
    if classes is None or host.schema.classes is None:
        assert classes is host.schema.classes is None, (
            "a classifier and a regression cannot be compared"
        )
        answers = host.values(run, columns)
        value = answers.value
        judged = _regression(y.astype(np.float64), value, y_train, split, quantile, groups)
        if host.interval is not None:
            judged = with_intervals(judged, y, answers, host.interval, y_train, groups)
        if not _are_mixed(labelled):
            return judged
        parts = _parts(labelled, lambda rows: _regression_metrics(y[rows], value[rows], quantile))
        return _with_parts(judged, parts)
    scores = host.scores(run, columns)
    answered = align(scores, host.decision.labels(scores), host.schema.classes, y, classes)
    judged = judge_classes(
        answered,
        host.decision,
        y_train,
        split=split,
        unit="rows",
        main_of_several="macro_f1",
        groups=groups,
    )
    if not _are_mixed(labelled):
        return judged
    return _with_parts(judged, _parts(labelled, lambda rows: class_metrics(answered.rows(rows))))


def _are_mixed(labelled: np.ndarray | None) -> TypeGuard[np.ndarray]:
    """Whether there are rows of the table and rows that were requests."""
    return labelled is not None and bool(labelled.any()) and not labelled.all()


def _parts(
    labelled: np.ndarray, metrics: Callable[[np.ndarray], dict[str, float]]
) -> dict[str, Group]:
    """The metrics of the table's own rows, and those of the rows that were requests."""
    found = {}
    for name, rows in ((DATA, ~labelled), (LABELLED, labelled)):
        found[name] = Group(rows=int(rows.sum()), metrics=metrics(rows))
    return found


def _with_parts(judged: Evaluation, parts: dict[str, Group]) -> Evaluation:
    main = judged.main
    shown = []
    for name, part in parts.items():
        # A part of one class has no area under a curve.
        if main in part.metrics:
            shown.append(f"{figure(part.metrics[main])} on the {part.rows:,} {name} rows")
    notes = judged.notes
    if shown:
        notes = [*notes, f"{main}: {', '.join(shown)}."]
    return judged.model_copy(update={"groups": parts, "notes": notes})


def _regression(
    y: np.ndarray,
    value: np.ndarray,
    y_train: np.ndarray,
    split: str,
    quantile: float | None,
    groups: np.ndarray | None,
) -> Evaluation:
    # The constant with the least loss: the median for absolute errors, the quantile for its own.
    if quantile is None:
        main, level, name = "mae", 0.5, "median"
    else:
        main, level, name = "pinball_loss", quantile, f"{quantile:.3g} quantile"
    constant = float(np.quantile(y_train, level))
    own = float(np.quantile(y, level))
    baseline = f"training {name}, {_with_digits(constant, y_train)}"
    own_name = f"the {split} split's own {name}, {_with_digits(own, y)}"
    constants = [np.full(len(y), constant), np.full(len(y), own)]
    errors = [_errors(y, answer, quantile) for answer in (value, *constants)]
    found = resample(mean_of, np.zeros(len(y)), *errors, varied=False, groups=groups)
    metrics = _regression_metrics(y, value, quantile)
    directions: dict[str, Direction] = dict.fromkeys(metrics, "min")
    if "r2" in metrics:
        directions["r2"] = "max"
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
