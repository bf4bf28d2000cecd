"""Calibrates the intervals of a regression on rows that the answering model has not seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from modelyard.families.tabular.estimators import FORESTS, TREES, new_estimator
from modelyard.families.tabular.folds import FOLDS, folds_of, held_out, held_out_rows
from modelyard.families.tabular.interval import (
    Interval,
    Spread,
    interval_score,
    rows_needed,
    tails,
)
from modelyard.families.tabular.kinds import GRAPH, INPUT

if TYPE_CHECKING:
    from modelyard.families.tabular.config import TabularConfig
    from modelyard.families.tabular.kinds import Fitted
    from modelyard.families.tabular.table import Table
    from modelyard.runtimes.types import Runtime

MANY_ROWS = 1_000
"""Validation rows that are enough for themselves: from them on, coverage varies by a point."""
MANY_FOLDS = 10
"""A model of nine tenths of the rows errs little more than one of all."""
PRIOR_ROWS = 10.0
"""Penalty of the spread's weights: as if so many rows more said that the spread is the same
everywhere."""
LEAST_ERROR = 1e-3
"""Of the mean error: smaller ones say no more, and the logarithm of 0 is none."""


@dataclass(frozen=True)
class HeldOut:
    """Rows with outputs of a model that has not seen them: x (rows, columns), y and output (rows,)
    in the model's unit."""

    x: np.ndarray
    y: np.ndarray
    output: np.ndarray
    how: str
    """Whose outputs they are, for the card."""


def calibrate(
    config: TabularConfig, table: Table, run: Runtime, fitted: Fitted, again: bool
) -> tuple[Interval | None, str]:
    """Intervals for the model that is packaged, and a sentence; None where rows are too few.

    Args:
        run: the model of the training rows.
        fitted: what its rows and the validation rows chose.
        again: a second model of training and validation rows will be packaged.
    """
    coverage = config.model.coverage
    assert coverage is not None
    rows = _held_out(config, table, run, fitted, again)
    percent = f"{100 * coverage:g} %"
    needed = rows_needed(coverage)
    if len(rows.y) < needed:
        # No error of so few is rare enough to be an edge.
        return None, (
            f"No intervals: {percent} need {needed} rows that the model has not seen; "
            f"there are {len(rows.y)}. For others: --set model.coverage=0.8"
        )
    errors = rows.y - rows.output
    places = np.arange(len(errors))
    parts = _parts(len(errors), config.seed)
    # Each row's spread comes from other rows: its own error, which fitted it, would look too small
    # next to it.
    spreads = np.empty(len(errors))
    for part in parts:
        rest = np.setdiff1d(places, part)
        spreads[part] = _spread(rows, rest).at(rows.x[part], rows.output[part])
    if _is_better(rows, spreads, parts, coverage):
        width = "wider where errors are larger"
        spread = _spread(rows, places)
        low, high = tails(errors / spreads, coverage)
    else:
        width = "of the same width everywhere"
        spread = None
        low, high = tails(errors, coverage)
    interval = Interval(coverage=coverage, low=low, high=high, spread=spread, rows=len(errors))
    note = (
        f"Intervals are to hold {percent} of the true values, {width}: conformal prediction, "
        f"calibrated on {len(errors):,} {rows.how}."
    )
    if table.by_time:
        note += " The rows are in the order of time: later errors may be larger than these."
    return interval, note


def _held_out(
    config: TabularConfig, table: Table, run: Runtime, fitted: Fitted, again: bool
) -> HeldOut:
    """The validation rows; with few of them and a second fit, every row that it learns from.

    The second model has seen all of these rows, so its own errors on them would be too small. Each
    row is answered by a model of the other folds in its place: the jackknife by folds, whose coverage
    is that asked for where a model changes little with a fold (Barber et al. 2021, sections 1 and 5).
    The validation rows answered by the first model are one such fold, and enough when they are many.
    Rows in the order of time have later rows only as their like.
    """
    is_enough = table.by_time or len(table.x_validation) >= MANY_ROWS
    if not again or is_enough:
        output = run(GRAPH, {INPUT: table.x_validation})["value"].astype(np.float64)
        if again:
            how = "validation rows, which the model before the second fit had not seen"
        else:
            how = "validation rows, which the model has not seen"
        return HeldOut(table.x_validation, table.y_validation, output, how)
    joined = table.joined(fitted.trees, fitted.chosen)
    if config.model.kind == "stack":
        # Each of its fits is five.
        count = FOLDS
    else:
        count = MANY_FOLDS
    folds = folds_of(joined, config.seed, count)
    # Boosting has trees by the number of rows; a forest has enough with fewer than are set.
    trees = min(TREES, config.model.trees)
    if joined.rounds is not None and config.model.kind not in FORESTS:
        trees = round(joined.rounds * (1 - 1 / len(folds)))
    estimator = new_estimator(config, joined, trees)
    output = held_out(estimator, joined, folds)
    rows = held_out_rows(folds)
    how = (
        f"training and validation rows, each answered by a model of the other {len(folds) - 1} of "
        f"{len(folds)} folds"
    )
    return HeldOut(joined.x[rows], joined.y[rows], output, how)


def _parts(rows: int, seed: int) -> list[np.ndarray]:
    order = np.random.default_rng(seed).permutation(rows)
    return np.array_split(order, FOLDS)


def _spread(rows: HeldOut, of: np.ndarray) -> Spread:
    """Fitted to the sizes of the errors of rows `of`: gamma regression with a logarithmic link."""
    from sklearn.linear_model import GammaRegressor

    sizes = np.abs(rows.y[of] - rows.output[of])
    mean = float(sizes.mean()) or 1.0
    inputs = np.column_stack([rows.x[of], rows.output[of]]).astype(np.float64)
    center, scale = inputs.mean(axis=0), inputs.std(axis=0)
    scale[scale == 0] = 1.0
    # Its loss is a mean over rows, so a penalty of so many rows shrinks with their number. The sizes
    # only matter up to a factor, which `tails` finds.
    model = GammaRegressor(alpha=PRIOR_ROWS / len(of), max_iter=1_000)
    model.fit((inputs - center) / scale, np.maximum(sizes / mean, LEAST_ERROR))
    # From standardized inputs back to the inputs themselves.
    weights = model.coef_ / scale
    intercept = float(model.intercept_ - center @ weights)
    exponents = intercept + inputs @ weights
    return Spread(
        intercept=intercept,
        weights=weights[:-1].tolist(),
        of_value=float(weights[-1]),
        least=float(exponents.min()),
        most=float(exponents.max()),
    )


def _is_better(
    rows: HeldOut, spreads: np.ndarray, parts: list[np.ndarray], coverage: float
) -> bool:
    """Whether intervals in spreads have a lower interval score than those of the same width, by more
    than a standard error: each part's rows with the tails of the others."""
    errors = rows.y - rows.output
    varied = _scores(errors, spreads, parts, coverage)
    same = _scores(errors, np.ones(len(errors)), parts, coverage)
    gain = same - varied
    return bool(gain.mean() > gain.std() / np.sqrt(len(gain)))


def _scores(
    errors: np.ndarray, width: np.ndarray, parts: list[np.ndarray], coverage: float
) -> np.ndarray:
    """Interval scores (rows,) of intervals in units of `width` (rows,)."""
    found = np.empty(len(errors))
    edges = [(1 - coverage) / 2, (1 + coverage) / 2]
    for part in parts:
        rest = np.setdiff1d(np.arange(len(errors)), part)
        low, high = np.quantile(errors[rest] / width[rest], edges)
        found[part] = interval_score(errors[part], low * width[part], high * width[part], coverage)
    return found
