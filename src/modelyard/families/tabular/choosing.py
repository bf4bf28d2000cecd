"""Which kind a small table is fitted with: cross-validated on its training rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from modelyard.families.tabular.config import MONOTONE_KINDS
from modelyard.families.tabular.estimators import TREES, new_estimator
from modelyard.families.tabular.folds import folds_of, held_out, held_out_rows
from modelyard.families.tabular.loss import LOSSES, WORDS
from modelyard.judging.curves import roc_auc
from modelyard.kit.classes.evaluate import RARE
from modelyard.kit.classes.judged import macro_f1
from modelyard.kit.intervals import Metric, resample

if TYPE_CHECKING:
    from modelyard.families.tabular.config import Kind, TabularConfig
    from modelyard.families.tabular.table import Table

FEW_CELLS = 1_000_000
"""Training rows times inputs (times classes, of several) up to which kinds are compared; larger
tables take LARGE, for comparing would take long and boosted trees are seldom behind."""
LARGE: Kind = "lightgbm"
SIMPLEST: Kind = "linear"
CANDIDATES: tuple[Kind, ...] = ("linear", "lightgbm", "forest")


@dataclass(frozen=True)
class ChosenKind:
    """A kind and a sentence on how it was chosen."""

    kind: Kind
    note: str


def choose_kind(config: TabularConfig, table: Table) -> ChosenKind:
    """The kind that is best on held-out folds of the training rows, by the metric that models of
    the task are judged by first; the linear one where it is within a standard error of the best:
    of kinds that do not differ beyond chance the simplest (Breiman et al. 1984, section 3.4.3)."""
    if _cells(table) > FEW_CELLS:
        note = f"model.kind = auto is {LARGE}: the table is large ({len(table.x):,} training rows)."
        return ChosenKind(LARGE, note)
    able = _able(table)
    if table.monotone:
        held = [kind for kind in able if kind in MONOTONE_KINDS]
        note = f"model.kind = auto is {held[0]}, which model.monotone can hold to a direction."
        return ChosenKind(held[0], note)
    if len(able) == 1:
        assert table.loss is not None
        note = f"model.kind = auto is {able[0]}, which can be fitted with {WORDS[table.loss.name]}."
        return ChosenKind(able[0], note)
    folds = folds_of(table, config.seed)
    rows = held_out_rows(folds)
    truth = table.y[rows]
    name, metric = _metric(truth, table)
    answers = {}
    figures = {}
    for kind in able:
        estimator = new_estimator(config.of_kind(kind), table, TREES)
        answers[kind] = held_out(estimator, table, folds)
        figures[kind] = metric(truth, answers[kind])
    if name == "mae":
        best = min(able, key=lambda kind: figures[kind])
    else:
        best = max(able, key=lambda kind: figures[kind])
    reason = ""
    if SIMPLEST in able and best != SIMPLEST:
        groups = None
        if table.groups is not None:
            groups = table.groups[rows]
        # A figure that needs both classes is left out of samples with one; `accuracy` does not.
        pair = resample(
            metric,
            truth,
            answers[best],
            answers[SIMPLEST],
            varied=name in ("average_precision", "roc_auc"),
            groups=groups,
        )
        # Of the difference on the same rows: figures of kinds rise and fall together.
        error = float(np.std(pair.samples[:, 0] - pair.samples[:, 1]) * pair.shrink)
        if abs(figures[best] - figures[SIMPLEST]) < error:
            reason = f", within a standard error ({error:.2g}) of {best}"
            best = SIMPLEST
    said = ", ".join(f"{kind} {figure:.4g}" for kind, figure in figures.items())
    note = (
        f"model.kind = auto is {best}{reason}: {name} on {len(folds)} held-out folds of the "
        f"training rows is {said}."
    )
    return ChosenKind(best, note)


def _cells(table: Table) -> int:
    """Training rows times inputs, times the classes of several: boosting grows a tree for each."""
    if table.classes is not None and len(table.classes) > 2:
        return table.x.size * len(table.classes)
    return table.x.size


def _able(table: Table) -> list[Kind]:
    """The candidates that can be fitted with the table's loss."""
    if table.loss is None:
        return list(CANDIDATES)
    return [kind for kind in CANDIDATES if table.loss.name in LOSSES[kind]]


def _metric(y: np.ndarray, table: Table) -> tuple[str, Metric]:
    """The metric that comes first in judging, of answers as `held_out` gives them; an error in
    the target's unit."""
    from sklearn.metrics import average_precision_score

    if table.loss is not None:
        scale = table.loss.scale

        def absolute_error(y: np.ndarray, value: np.ndarray) -> float:
            return float(np.abs(scale.restored(value) - scale.restored(y)).mean())

        return "mae", absolute_error
    if table.classes is not None and len(table.classes) > 2:
        return "macro_f1", lambda y, p: macro_f1(y, p.argmax(axis=1))
    if y.min() == y.max():
        # In the order of time the first rows are in no held-out fold, and the rest may be of one
        # class: then there is nothing to rank.
        return "accuracy", lambda y, p: float((p.argmax(axis=1) == y).mean())
    if y.mean() < RARE:
        return "average_precision", lambda y, p: float(average_precision_score(y, p[:, 1]))
    return "roc_auc", lambda y, p: roc_auc(y, p[:, 1])
