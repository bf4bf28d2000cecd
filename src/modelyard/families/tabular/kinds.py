"""Fits one kind of model and writes it without pickle: lightgbm's text, xgboost's UBJSON, skops,
safetensors.

Every kept tree has its thresholds rounded down to float32 before it is written. The inputs are
float32, so `x <= threshold` is answered as before, and the same in the library and in an exported
float32 graph.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modelyard.families.tabular.estimators import (
    Options,
    new_boosting,
    new_forest,
    new_lightgbm,
    new_linear,
    new_xgboost,
)
from modelyard.family import Progress
from modelyard.kit.sklearn import save_estimator

if TYPE_CHECKING:
    from modelyard.families.tabular.config import TabularConfig
    from modelyard.families.tabular.table import Table

Curves = dict[str, dict[str, list[float]]]

GRAPH, INPUT = "model", "features"
LIGHTGBM, XGBOOST, SKLEARN = "model.txt", "model.ubj", "model.skops"

PATIENCE = 30
"""Boosting stops after this many rounds without a better validation loss."""
CHUNKS = 10
"""Steps in which a forest grows, for its progress."""


@dataclass(frozen=True)
class Fitted:
    """What fitting tells."""

    headline: str
    trees: int | None = None
    """Trees, or boosting rounds, that are kept."""
    curves: Curves = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    chosen: Mapping[str, Any] = field(default_factory=dict)
    """What the rows decided besides the number of trees; a second fit does not decide it again."""
    tables: list[dict[str, Any]] = field(default_factory=list)
    """For the card."""
    cost: int | None = None
    """Of one row's answer, in trees. None: as many as there are."""


def fit_lightgbm(config: TabularConfig, table: Table, out: Path, progress: Progress) -> Fitted:
    """Leaf-wise boosting by LightGBM, deterministic for a seed."""
    import lightgbm

    def show(environment: Any) -> None:
        loss = environment.evaluation_result_list[-1][2]
        progress(environment.iteration + 1, environment.end_iteration, validation_loss=loss)

    boosting = new_lightgbm(config, table, table.rounds or config.model.trees)
    watched: Options = {}
    if table.rounds is None:
        watched = {
            "eval_X": (table.x, table.x_validation),
            "eval_y": (table.y, table.y_validation),
            "eval_sample_weight": [table.weight, table.weight_validation],
            "eval_names": ["train", "validation"],
            "callbacks": [lightgbm.early_stopping(PATIENCE, verbose=False), show],
        }
    boosting.fit(table.x, table.y, sample_weight=table.weight, **watched)
    best = table.rounds or boosting.best_iteration_
    # The trees after the best round are not written.
    text = boosting.booster_.model_to_string(num_iteration=best)
    # These losses give values as squared errors do; converters do not know their names.
    text = re.sub(r"^objective=(huber|quantile).*$", "objective=regression", text, flags=re.M)
    (out / LIGHTGBM).write_text(_float32_thresholds(text))
    if table.rounds is not None:
        return Fitted("lightgbm", best)
    losses = {split: _only(figures) for split, figures in boosting.evals_result_.items()}
    return _boosted("lightgbm", best, table, losses)


def output_name(classes: Sequence[str] | None) -> str:
    """The graph's output: `probabilities` (rows, classes), or `value` (rows,)."""
    if classes:
        return "probabilities"
    return "value"


def fit_xgboost(config: TabularConfig, table: Table, out: Path, progress: Progress) -> Fitted:
    """Leaf-wise histogram boosting by XGBoost."""
    import xgboost

    model = config.model

    class Show(xgboost.callback.TrainingCallback):  # type: ignore[misc]  # the library has no types
        def after_iteration(self, booster: Any, epoch: int, evals_log: Any) -> bool:
            loss = _only(evals_log["validation_1"])[-1]
            progress(epoch + 1, model.trees, validation_loss=loss)
            return False

    boosting = new_xgboost(config, table, table.rounds or model.trees)
    watched: Options = {}
    if table.rounds is None:
        boosting.set_params(early_stopping_rounds=PATIENCE, callbacks=[Show()])
        watched = {
            "eval_set": [(table.x, table.y), (table.x_validation, table.y_validation)],
            "sample_weight_eval_set": [table.weight, table.weight_validation],
        }
    boosting.fit(table.x, table.y, sample_weight=table.weight, verbose=False, **watched)
    if table.rounds is not None:
        _save_xgboost(boosting.get_booster(), table, out)
        return Fitted("xgboost", table.rounds)
    best = boosting.best_iteration + 1
    _save_xgboost(boosting.get_booster()[:best], table, out)
    seen = boosting.evals_result()
    losses = {"train": _only(seen["validation_0"]), "validation": _only(seen["validation_1"])}
    return _boosted("xgboost", best, table, losses)


def _save_xgboost(booster: Any, table: Table, out: Path) -> None:
    from modelyard.runtimes.boosters import Shape, describe

    describe(booster, Shape(INPUT, output_name(table.classes), len(table.classes or ())))
    booster.save_model(out / XGBOOST)


def fit_boosting(config: TabularConfig, table: Table, out: Path, progress: Progress) -> Fitted:
    """scikit-learn's histogram gradient boosting, cut back to its best round."""
    model = config.model
    boosting = new_boosting(config, table, table.rounds or model.trees)
    boosting.set_params(early_stopping=table.rounds is None, n_iter_no_change=PATIENCE)
    progress(0, model.trees)
    if table.rounds is not None:
        boosting.fit(table.x, table.y, sample_weight=table.weight)
        _save_boosting(boosting, out, table.rounds)
        return Fitted("boosting", table.rounds)
    boosting.fit(
        table.x,
        table.y,
        sample_weight=table.weight,
        X_val=table.x_validation,
        y_val=table.y_validation,
        sample_weight_val=table.weight_validation,
    )
    # The scores start with the one before the first tree.
    losses = {"train": -boosting.train_score_[1:], "validation": -boosting.validation_score_[1:]}
    best = int(np.argmin(losses["validation"])) + 1
    _save_boosting(boosting, out, best)
    if table.loss is not None and table.loss.fit == "squared":
        # The loss is half the squared error.
        losses = {split: np.sqrt(2 * values) for split, values in losses.items()}
    progress(model.trees, model.trees, validation_loss=float(losses["validation"][best - 1]))
    return _boosted("boosting", best, table, losses)


def _save_boosting(boosting: Any, out: Path, best: int) -> None:
    """Writes the first `best` rounds."""
    boosting._predictors = boosting._predictors[:best]
    for trees_of_round in boosting._predictors:
        for predictor in trees_of_round:
            predictor.nodes["num_threshold"] = floor32(predictor.nodes["num_threshold"])
    save_estimator(boosting, out / SKLEARN)


def fit_forest(config: TabularConfig, table: Table, out: Path, progress: Progress) -> Fitted:
    """scikit-learn's random forest, or bagged trees; all are kept."""
    trees = config.model.trees
    # A warm start adds trees to those that there are, the same ones as in one go.
    forest = new_forest(config, table, trees).set_params(warm_start=True)
    grown = 0
    for step in range(1, CHUNKS + 1):
        count = max(1, trees * step // CHUNKS)
        if count == grown:
            continue
        forest.set_params(n_estimators=count).fit(table.x, table.y, sample_weight=table.weight)
        progress(count, trees)
        grown = count
    for tree in forest.estimators_:
        tree.tree_.threshold[:] = floor32(tree.tree_.threshold)
    # How a fit ran is nothing that an answer depends on.
    save_estimator(forest.set_params(n_jobs=None, warm_start=False), out / SKLEARN)
    if config.model.kind == "forest":
        name = "random forest"
    else:
        name = "bagging"
    return Fitted(f"{name}, {trees} trees", trees)


def fit_linear(config: TabularConfig, table: Table, out: Path, progress: Progress) -> Fitted:
    """Logistic or ridge regression of standardized columns."""
    name, pipeline = new_linear(config, table)
    progress(0, 1)
    pipeline.fit(table.x.astype(np.float64), table.y, linear__sample_weight=table.weight)
    progress(1, 1)
    save_estimator(pipeline, out / SKLEARN)
    return Fitted(f"{name}, {table.x.shape[1]} columns")


CURVES = {
    "squared": "root mean squared error",
    "absolute": "mean absolute error",
    "huber": "mean Huber loss",
    "quantile": "mean pinball loss",
}


def floor32(values: np.ndarray) -> np.ndarray:
    """The largest float32 numbers that are not above `values`, as float64 of the same shape."""
    # A threshold beyond float32 becomes infinite, which no input exceeds either.
    with np.errstate(over="ignore"):
        near = values.astype(np.float32)
    # astype rounds to the nearest, which may be the one above.
    below = np.nextafter(near, np.float32(-np.inf))
    return np.where(near.astype(np.float64) > values, below, near).astype(np.float64)


def _float32_thresholds(model: str) -> str:
    """LightGBM's text with every `threshold=` line rounded by `floor32`.

    The text names each tree's length in bytes, so `tree_sizes` goes: the reader then finds the
    trees by itself.
    """

    def rounded(match: re.Match[str]) -> str:
        values = floor32(np.array(match[1].split(), dtype=np.float64))
        return "threshold=" + " ".join(repr(float(value)) for value in values)

    model = re.sub(r"^threshold=(.*)$", rounded, model, flags=re.M)
    return re.sub(r"^tree_sizes=.*\n", "", model, flags=re.M)


def _only(figures: Mapping[str, Sequence[float]]) -> Sequence[float]:
    """The one metric that was followed, by round."""
    (values,) = figures.values()
    return values


def _boosted(
    name: str, best: int, table: Table, losses: Mapping[str, Sequence[float] | np.ndarray]
) -> Fitted:
    """The report of boosting with these losses by round, of which the `best` first are kept."""
    loss, unit = "log loss", 1.0
    if table.loss is not None:
        loss = CURVES[table.loss.fit]
        if table.loss.scale.log:
            loss += " of the logarithm"
        # The Huber loss is a square near 0 and has no unit of its own.
        if table.loss.fit != "huber":
            unit = table.loss.scale.spread
    rounds = len(losses["validation"])
    if rounds - best >= PATIENCE:
        note = f"It stopped at round {rounds}: {PATIENCE} rounds brought no better validation loss."
    else:
        note = f"The best round is {best} of {rounds}: more trees may help."
    headline = f"{name}, {best} trees"
    if table.classes is not None and len(table.classes) > 2:
        headline += " a class"
    curves = {}
    for split, values in losses.items():
        curves[split] = (np.asarray(values, np.float64) * unit).tolist()
    return Fitted(headline, best, {loss: curves}, [note])
