"""Answers to training rows by models that have not seen them, fold after fold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from modelyard.families.tabular.table import Table

FOLDS = 5
LATER_FOLDS = 4
"""Of rows in the order of time: each is held out of a fit on all earlier ones."""

Folds = list[tuple[np.ndarray, np.ndarray]]
"""Row numbers to learn from, and those held out."""


def folds_of(table: Table, seed: int, count: int = FOLDS) -> Folds:
    """Divisions of the training rows; of rows in the order of time the held-out ones come later,
    and no group is on both sides."""
    from sklearn.model_selection import KFold, StratifiedKFold, TimeSeriesSplit

    if table.by_time:
        # A kind that cannot follow a trend shows it only on later rows.
        return list(TimeSeriesSplit(LATER_FOLDS).split(table.x))
    if table.groups is not None:
        return _grouped(table, table.groups, seed, count)
    if table.classes is None:
        return list(KFold(count, shuffle=True, random_state=seed).split(table.x))
    rarest = int(np.bincount(table.y).min())
    splitter = StratifiedKFold(max(2, min(count, rarest)), shuffle=True, random_state=seed)
    return list(splitter.split(table.x, table.y))


def _grouped(table: Table, groups: np.ndarray, seed: int, count: int) -> Folds:
    from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

    count = min(count, len(np.unique(groups)))
    if table.classes is None:
        splitter = GroupKFold(count, shuffle=True, random_state=seed)
        return list(splitter.split(table.x, table.y, groups))
    rarest = int(np.bincount(table.y).min())
    stratified = StratifiedGroupKFold(max(2, min(count, rarest)), shuffle=True, random_state=seed)
    return list(stratified.split(table.x, table.y, groups))


def held_out_rows(folds: Folds) -> np.ndarray:
    """Row numbers in the order in which `held_out` answers."""
    return np.concatenate([part for _, part in folds])


def held_out(estimator: Any, table: Table, folds: Folds) -> np.ndarray:
    """Values (rows,) or probabilities (rows, classes) of the held-out rows, fold after fold, each
    answered by a model of other rows."""
    from sklearn.base import clone

    answers = []
    for rest, part in folds:
        weight = None if table.weight is None else table.weight[rest]
        model = fit_weighted(clone(estimator), table.x[rest], table.y[rest], weight)
        if table.classes is None:
            answers.append(np.asarray(model.predict(table.x[part]), dtype=np.float64))
            continue
        # The other folds may lack a class.
        p = np.zeros((len(part), len(table.classes)))
        p[:, model.classes_] = model.predict_proba(table.x[part])
        answers.append(p)
    return np.concatenate(answers)


def fit_weighted(estimator: Any, x: np.ndarray, y: np.ndarray, weight: np.ndarray | None) -> Any:
    """The estimator, fitted with weights of the rows where there are some."""
    options = {}
    if weight is not None:
        if hasattr(estimator, "steps"):
            name = "linear__sample_weight"
        else:
            name = "sample_weight"
        options = {name: weight}
    return estimator.fit(x, y, **options)
