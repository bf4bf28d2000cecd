"""The libraries' estimators with a config's settings, not fitted yet."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from modelyard.families.tabular.loss import HUBER
from modelyard.runtimes.cores import cores

if TYPE_CHECKING:
    from modelyard.families.tabular.config import TabularConfig
    from modelyard.families.tabular.table import Table

Options = dict[str, Any]
"""Of a library's constructor."""

ROWS_OF_A_TREE, COLUMNS_OF_A_TREE = 0.8, 0.7
"""Shares that are drawn for each tree of LightGBM: trees that see different parts err less alike
(Friedman 2002)."""

TREES = 100
"""Of forests and boosted models that are fitted on folds: enough to rank kinds, and for the size of
errors."""

FORESTS = ("forest", "bagging")
"""Kinds whose number of trees is set and not found."""

LIGHTGBM_LOSSES: dict[str, Options] = {
    "squared": {"objective": "regression", "metric": "rmse"},
    "absolute": {"objective": "regression_l1", "metric": "l1"},
    "huber": {"objective": "huber", "alpha": HUBER, "metric": "huber"},
    "quantile": {"objective": "quantile", "metric": "quantile"},
}
XGBOOST_LOSSES: dict[str, Options] = {
    "squared": {"objective": "reg:squarederror", "eval_metric": "rmse"},
    "absolute": {"objective": "reg:absoluteerror", "eval_metric": "mae"},
    "huber": {
        "objective": "reg:pseudohubererror",
        "huber_slope": HUBER,
        "eval_metric": "mphe",
    },
    "quantile": {"objective": "reg:quantileerror", "eval_metric": "quantile"},
}
BOOSTING_LOSSES: dict[str, Options] = {
    "squared": {"loss": "squared_error"},
    "absolute": {"loss": "absolute_error"},
    "quantile": {"loss": "quantile"},
}
FOREST_LOSSES: dict[str, Options] = {
    "squared": {"criterion": "squared_error"},
    "absolute": {"criterion": "absolute_error"},
}


def new_estimator(config: TabularConfig, table: Table, trees: int) -> Any:
    """The estimator of `model.kind` with so many trees, where it has trees."""
    return NEW[config.model.kind](config, table, trees)


def new_lightgbm(config: TabularConfig, table: Table, trees: int) -> Any:
    """LightGBM's classifier or regressor, deterministic for a seed."""
    import lightgbm

    model = config.model
    kind = _kind(table, lightgbm.LGBMClassifier, lightgbm.LGBMRegressor)
    return kind(
        n_estimators=trees,
        learning_rate=model.learning_rate,
        num_leaves=model.max_leaves,
        max_depth=model.max_depth or -1,  # No limit.
        reg_lambda=model.regularization,
        min_child_samples=_least_in_leaf(len(table.x)),
        subsample=ROWS_OF_A_TREE,
        subsample_freq=1,
        colsample_bytree=COLUMNS_OF_A_TREE,
        random_state=config.seed,
        n_jobs=cores(table.x.size),
        deterministic=True,
        # LightGBM's documentation: else it times both ways and takes the faster, by chance.
        force_col_wise=True,
        verbose=-1,
        **_of_directions(table),
        **_of_loss(LIGHTGBM_LOSSES, table, level="alpha"),
    )


def new_xgboost(config: TabularConfig, table: Table, trees: int) -> Any:
    """XGBoost's classifier or regressor, leaf-wise by histograms."""
    import xgboost

    model = config.model
    kind = _kind(table, xgboost.XGBClassifier, xgboost.XGBRegressor)
    return kind(
        n_estimators=trees,
        learning_rate=model.learning_rate,
        tree_method="hist",
        grow_policy="lossguide",
        max_leaves=model.max_leaves,
        max_depth=model.max_depth or 0,  # No limit.
        reg_lambda=model.regularization,
        random_state=config.seed,
        n_jobs=cores(table.x.size),
        verbosity=0,
        **_of_directions(table),
        **_of_loss(XGBOOST_LOSSES, table, level="quantile_alpha"),
    )


def new_boosting(config: TabularConfig, table: Table, trees: int) -> Any:
    """scikit-learn's histogram gradient boosting."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    model = config.model
    kind = _kind(table, HistGradientBoostingClassifier, HistGradientBoostingRegressor)
    return kind(
        learning_rate=model.learning_rate,
        max_iter=trees,
        max_leaf_nodes=model.max_leaves,
        max_depth=model.max_depth,
        l2_regularization=model.regularization,
        scoring="loss",
        # `fit_boosting` switches it on: fits on folds have no rows to stop by.
        early_stopping=False,
        min_samples_leaf=_least_in_leaf(len(table.x)),
        random_state=config.seed,
        **_of_loss(BOOSTING_LOSSES, table, level="quantile"),
    )


def new_forest(config: TabularConfig, table: Table, trees: int) -> Any:
    """scikit-learn's random forest; for `bagging` with all columns to choose from at each split
    (Breiman 1996)."""
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    kind = _kind(table, RandomForestClassifier, RandomForestRegressor)
    options = _of_loss(FOREST_LOSSES, table)
    if config.model.kind == "bagging":
        options = {**options, "max_features": 1.0}
    return kind(
        n_estimators=trees,
        max_depth=config.model.max_depth,
        random_state=config.seed,
        n_jobs=cores(table.x.size),
        **options,
    )


def new_linear(config: TabularConfig, table: Table) -> tuple[str, Any]:
    """What people call it, and logistic, ridge or Huber regression of standardized columns."""
    from sklearn.linear_model import HuberRegressor, LogisticRegression, Ridge
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler

    penalty = config.model.regularization
    if table.classes:
        name = "logistic regression"
        linear = LogisticRegression(C=1 / penalty, max_iter=2_000)
    elif table.loss is not None and table.loss.fit == "huber":
        name = "Huber regression"
        linear = HuberRegressor(epsilon=HUBER, alpha=penalty, max_iter=2_000)
    else:
        name = "ridge regression"
        linear = Ridge(alpha=penalty)
    return name, Pipeline([("scale", StandardScaler()), ("linear", linear)])


def new_tree(config: TabularConfig, table: Table, trees: int) -> Any:
    """scikit-learn's decision tree, of the depth that is set or was chosen."""
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    kind = _kind(table, DecisionTreeClassifier, DecisionTreeRegressor)
    return kind(
        max_depth=table.chosen.get("max_depth", config.model.max_depth),
        min_samples_leaf=_least_in_leaf(len(table.x)),
        random_state=config.seed,
        **_of_loss(FOREST_LOSSES, table),
    )


def _new_linear(config: TabularConfig, table: Table, trees: int) -> Any:
    return new_linear(config, table)[1]


def new_svm(config: TabularConfig, table: Table, trees: int) -> Any:
    """Our support vector machine on libsvm."""
    from modelyard.families.tabular.svm import SvmClassifier, SvmRegressor

    kind = _kind(table, SvmClassifier, SvmRegressor)
    return kind(cost=1 / config.model.regularization, seed=config.seed)


def _new_stack(config: TabularConfig, table: Table, trees: int) -> Any:
    from modelyard.families.tabular.stack import new_stack

    return new_stack(config, table, trees)


NEW: Mapping[str, Callable[[TabularConfig, Table, int], Any]] = {
    "linear": _new_linear,
    "tree": new_tree,
    "forest": new_forest,
    "bagging": new_forest,
    "svm": new_svm,
    "stack": _new_stack,
    "boosting": new_boosting,
    "xgboost": new_xgboost,
    "lightgbm": new_lightgbm,
}


def _kind(table: Table, classifier: Any, regressor: Any) -> Any:
    """The library's class that the target takes."""
    if table.classes:
        return classifier
    return regressor


def _least_in_leaf(rows: int) -> int:
    """20, both libraries' default; of fewer than 200 rows a tenth, for leaves of 20 would leave
    nothing to split."""
    return max(2, min(20, rows // 10))


def _of_directions(table: Table) -> Options:
    if table.monotone:
        return {"monotone_constraints": table.monotone}
    return {}


def _of_loss(losses: Mapping[str, Options], table: Table, level: str = "") -> Options:
    """A library's options for a regression's loss; none for a classification. `level` is its name
    for the quantile of the pinball loss."""
    if table.loss is None:
        return {}
    options = losses[table.loss.fit]
    if table.loss.fit == "quantile":
        return {**options, level: table.loss.quantile}
    return options
