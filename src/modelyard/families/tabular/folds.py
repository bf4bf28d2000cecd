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
        if table.classes is None:
            model = fit_weighted(clone(estimator), table.x[rest], table.y[rest], None)
            value = np.asarray(model.predict(table.x[part]), dtype=np.float64)
            answers.append(value)
        else:
            answers.append(_probabilities(clone(estimator), table, rest, part))
    return np.concatenate(answers)


def _probabilities(estimator: Any, table: Table, rest: np.ndarray, part: np.ndarray) -> np.ndarray:
    """Of the rows `part` by a model of the rows `rest`, (rows, classes)."""
    assert table.classes is not None
    if table.weight is None:
        weight = None
    else:
        weight = table.weight[rest]
    # Early rows, or all groups but some, may lack a class: then XGBoost wants codes without a gap,
    # and of a single class linear models and support vector machines cannot be fitted.
    seen, codes = np.unique(table.y[rest], return_inverse=True)
    p = np.zeros((len(part), len(table.classes)))
    if len(seen) == 1:
        p[:, seen] = 1.0
        return p
    fit_weighted(estimator, table.x[rest], codes, weight)
    p[:, seen] = estimator.predict_proba(table.x[part])
    return p


def fit_weighted(estimator: Any, x: np.ndarray, y: np.ndarray, weight: np.ndarray | None) -> Any:
    """The estimator, fitted with weights of the rows where there are some."""
    if weight is None:
        return estimator.fit(x, y)
    # A pipeline takes the options of a step by the step's name.
    if hasattr(estimator, "steps"):
        return estimator.fit(x, y, linear__sample_weight=weight)
    return estimator.fit(x, y, sample_weight=weight)
