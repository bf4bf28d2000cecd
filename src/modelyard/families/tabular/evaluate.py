"""Judges a tabular model on a split, through the host that serves it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modelyard.evaluation import Direction, Evaluation
from modelyard.evaluation_curves import Judged, align, class_metrics, confusion, roc
from modelyard.families.tabular import curves
from modelyard.families.tabular.data import load_columns
from modelyard.families.tabular.schema import TableSchema
from modelyard.families.tabular.splits import load_split

if TYPE_CHECKING:
    from modelyard.families.tabular.host import TabularHost
    from modelyard.family import Runtime, Split

RARE = 0.2
"""Below this share of positives average precision is asked for first: ROC AUC flatters when negatives abound."""
RESAMPLES, RESAMPLED_ROWS = 200, 5_000
DOWN = frozenset({"log_loss", "brier", "mae", "rmse", "median_absolute_error"})
"""Metrics of which less is better."""

Metric = Callable[[np.ndarray, np.ndarray], float]


def evaluate(host: TabularHost, run: Runtime, features: Path, split: Split = "test") -> Evaluation:
    """Metrics beside a baseline, an interval of the main metric, and the plots of the task.

    The rows are the split's as they came, and the truth is the split's, so that another package's host is judged
    on the same: its classes are matched by name, and a class that it does not know counts as missed.

    Raises:
        BadData: the split lacks a column that the host needs.
    """
    scores = host.scores(run, load_columns(features, split, host.schema))
    _, y = load_split(features, split)
    _, y_train = load_split(features, "train")
    classes = TableSchema.load(Path(features) / "assets").classes
    if classes is None or host.schema.classes is None:
        assert classes is host.schema.classes is None, "a classifier and a regression cannot be compared"
        return _regression(y.astype(np.float64), scores, y_train, split)
    judged = align(scores, host.decision.labels(scores), host.schema.classes, y, classes)
    prior = np.bincount(y_train, minlength=len(classes)) / len(y_train)
    notes = [host.decision.note] if host.decision.note else []
    if strange := sorted(set(classes) - set(host.schema.classes)):
        notes.append(f"The model does not know {', '.join(strange)}: such rows count as missed.")
    if len(classes) == 2:
        return _binary(judged, prior, host.decision.threshold, split, notes)
    return _multiclass(judged, prior, split, notes)


def _binary(judged: Judged, prior: np.ndarray, threshold: float | None, split: str, notes: list[str]) -> Evaluation:
    from sklearn.metrics import average_precision_score, roc_auc_score

    y, score = judged.y, judged.p[:, 1]
    share = float(y.mean())
    metrics = _binary_metrics(judged)
    constant = np.tile(prior, (len(y), 1))
    baseline = _binary_metrics(Judged(y, constant, constant.argmax(axis=1), judged.classes))
    main, ranking = ("average_precision", average_precision_score) if share < RARE else ("roc_auc", roc_auc_score)
    if main not in metrics:
        notes = [*notes, f"All rows are {judged.classes[int(y[0])]}: ranking metrics are undefined."]
        return _evaluation(split, y, metrics, baseline, "log_loss", notes, {"confusion": confusion(judged)})
    notes = [*notes, _interval(main, metrics[main], y, score, ranking)]
    drawn = {
        "confusion": confusion(judged),
        "roc": roc(y, score),
        "plots": curves.binary(y, score, judged.classes, threshold),
    }
    return _evaluation(split, y, metrics, baseline, main, notes, drawn)


def _binary_metrics(judged: Judged) -> dict[str, float]:
    from sklearn import metrics as of

    y, score = judged.y, judged.p[:, 1]
    hit = (judged.labels == 1).astype(np.int64)
    result = class_metrics(judged) | {
        "brier": of.brier_score_loss(y, score),
        "precision": of.precision_score(y, hit, zero_division=0),
        "recall": of.recall_score(y, hit, zero_division=0),
        "f1": of.f1_score(y, hit, zero_division=0),
    }
    if 0 < y.sum() < len(y):
        ranking = {"roc_auc": of.roc_auc_score(y, score), "average_precision": of.average_precision_score(y, score)}
        result = ranking | result
    return {name: float(value) for name, value in result.items()}


def _multiclass(judged: Judged, prior: np.ndarray, split: str, notes: list[str]) -> Evaluation:
    """Macro F1 comes first: of the usual ones it alone suffers from a rare class missed and from one cried wrongly."""
    y = judged.y
    metrics = _multiclass_metrics(judged)
    constant = np.tile(prior, (len(y), 1))
    baseline = _multiclass_metrics(Judged(y, constant, constant.argmax(axis=1), judged.classes))
    notes = [*notes, _interval("macro_f1", metrics["macro_f1"], y, judged.labels, _macro_f1)]
    drawn = {"confusion": confusion(judged), "plots": curves.multiclass(y, judged.p, judged.labels, judged.classes)}
    return _evaluation(split, y, metrics, baseline, "macro_f1", notes, drawn)


def _multiclass_metrics(judged: Judged) -> dict[str, float]:
    second = np.sort(judged.p, axis=1)[:, -2]
    truth = judged.p[np.arange(len(judged.y)), judged.y]
    result = {"macro_f1": _macro_f1(judged.y, judged.labels), **class_metrics(judged)}
    # The true class needs a probability: one that the host does not know is not among the best two.
    return result | {"top_2_accuracy": float(((truth >= second) & (truth > 0)).mean())}


def _macro_f1(y: np.ndarray, labels: np.ndarray) -> float:
    """Mean F1 over the classes that are true of a row; a class that none has cannot be judged."""
    from sklearn.metrics import f1_score

    return float(f1_score(y, labels, labels=np.unique(y), average="macro", zero_division=0))


def _regression(y: np.ndarray, value: np.ndarray, y_train: np.ndarray, split: str) -> Evaluation:
    metrics = _regression_metrics(y, value)
    median = float(np.median(y_train.astype(np.float64)))
    baseline = _regression_metrics(y, np.full(len(y), median))
    notes = [_interval("mae", metrics["mae"], y, value, lambda a, b: float(np.abs(a - b).mean()))]
    return _evaluation(
        split,
        y,
        metrics,
        baseline,
        "mae",
        notes,
        {"plots": curves.regression(y, value)},
        f"training median, {median:.4g}",
    )


def _regression_metrics(y: np.ndarray, value: np.ndarray) -> dict[str, float]:
    error, spread = np.abs(value - y), float(np.square(y - y.mean()).sum())
    result = {
        "mae": float(error.mean()),
        "rmse": float(np.sqrt(np.square(error).mean())),
        "median_absolute_error": float(np.median(error)),
    }
    return result | ({"r2": 1 - float(np.square(error).sum()) / spread} if spread else {})


def _evaluation(
    split: str,
    y: np.ndarray,
    metrics: dict[str, float],
    baseline: dict[str, float],
    main: str,
    notes: list[str],
    drawn: dict[str, Any],
    baseline_name: str = "class shares of the training split",
) -> Evaluation:
    directions: dict[str, Direction] = {name: "min" if name in DOWN else "max" for name in metrics}
    return Evaluation(
        split=split, rows=len(y), metrics=metrics, baseline=baseline, baseline_name=baseline_name, main=main,
        directions=directions, notes=notes, **drawn,
    )  # fmt: skip


def _interval(name: str, value: float, y: np.ndarray, answer: np.ndarray, metric: Metric) -> str:
    """A sentence with the percentile bootstrap interval of a metric (Efron and Tibshirani 1993, chapter 13).

    The resamples are centred on the value. Large splits are resampled to RESAMPLED_ROWS rows and the spread is
    scaled by the root of the ratio
    (Bickel, Götze and van Zwet 1997).
    """
    rng = np.random.default_rng(0)
    size = min(len(y), RESAMPLED_ROWS)
    seen = []
    for _ in range(RESAMPLES):
        rows = rng.integers(0, len(y), size)
        if len(np.unique(y[rows])) > 1:
            seen.append(metric(y[rows], answer[rows]))
    if len(seen) < RESAMPLES / 2:
        return f"{name}: too few rows for an interval."
    spread = (np.array(seen) - np.median(seen)) * np.sqrt(size / len(y))
    low, high = value + np.quantile(spread, [0.025, 0.975])
    if name != "mae":
        low, high = max(low, 0.0), min(high, 1.0)
    return f"{name} {value:.4g}, 95 % interval {low:.4g} to {high:.4g} ({RESAMPLES} bootstrap samples)."
