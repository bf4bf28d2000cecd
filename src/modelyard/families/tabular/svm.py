"""Support vector machines with scaled inputs: on a bounded number of rows, and with probabilities."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR

from modelyard.families.tabular.estimators import new_estimator
from modelyard.families.tabular.kinds import SKLEARN, Fitted
from modelyard.kit.sklearn import as_onnx, save_estimator

if TYPE_CHECKING:
    from modelyard.families.tabular.config import TabularConfig
    from modelyard.families.tabular.table import Table
    from modelyard.family import Progress

MOST_ROWS = 5_000
"""Training takes the square of the rows or more, and an answer as many kernels as there are
support vectors."""
PARTS = 5
"""Folds on whose decision values the probabilities are fitted; fewer where a class is rare."""
MOST_PAIRED = 20
"""Classes up to which the decision of each pair counts; with more, what libsvm sums them up to by
class, which says less of how sure it is."""
SCORES_OF_A_TREE = 75
"""Numbers of support vectors that take as long as one tree."""


class _Machine(BaseEstimator):  # type: ignore[misc]  # the library has no types
    def __init__(self, cost: float = 1.0, most_rows: int = MOST_ROWS, seed: int = 0) -> None:
        self.cost, self.most_rows, self.seed = cost, most_rows, seed

    def _drawn(self, y: np.ndarray, *, classes: bool) -> np.ndarray:
        """Row numbers: all, or `most_rows` drawn at random, of each class its share."""
        rows = np.random.default_rng(self.seed).permutation(len(y))
        if len(y) <= self.most_rows:
            return np.arange(len(y))
        if not classes:
            return np.sort(rows[: self.most_rows])
        found = []
        for code in np.unique(y):
            own = rows[y[rows] == code]
            # Two of each at least, so that one can be held out.
            found.append(own[: max(2, round(len(own) * self.most_rows / len(y)))])
        return np.sort(np.concatenate(found))


class SvmClassifier(ClassifierMixin, _Machine):  # type: ignore[misc]
    """Decision values by libsvm, one a pair of classes; logistic regression on those of held-out
    folds makes them probabilities (Platt 1999)."""

    def fit(self, x: np.ndarray, y: np.ndarray, sample_weight: np.ndarray | None = None) -> Self:
        """Float (rows, columns) and class codes (rows,)."""
        rows = self._drawn(y, classes=True)
        x, y = x[rows].astype(np.float64), y[rows]
        if sample_weight is None:
            weight, options = None, {}
        else:
            weight = sample_weight[rows]
            options = {"svm__sample_weight": weight}
        classes, counts = np.unique(y, return_counts=True)
        if len(classes) <= MOST_PAIRED:
            shape = "ovo"
        else:
            shape = "ovr"
        svm = SVC(C=self.cost, decision_function_shape=shape)
        machine = Pipeline([("scale", StandardScaler()), ("svm", svm)])
        rarest = int(counts.min())
        if rarest > 1:
            decided = cross_val_predict(
                machine, x, y, cv=min(PARTS, rarest), method="decision_function", params=options
            )
        else:
            # A class of one row would be missing where that row is held out.
            decided = machine.fit(x, y, **options).decision_function(x)
        self.probability_ = LogisticRegression(max_iter=1_000)
        self.probability_.fit(decided.reshape(len(x), -1), y, sample_weight=weight)
        self.machine_ = machine.fit(x, y, **options)
        self.classes_ = self.machine_.classes_
        return self

    def predict_proba(self, x: np.ndarray) -> np.ndarray:
        """Probabilities, (rows, classes)."""
        decided = self.machine_.decision_function(x.astype(np.float64)).reshape(len(x), -1)
        return np.asarray(self.probability_.predict_proba(decided))

    def predict(self, x: np.ndarray) -> np.ndarray:
        """The most probable classes, (rows,)."""
        return np.asarray(self.classes_[self.predict_proba(x).argmax(axis=1)])


class SvmRegressor(RegressorMixin, _Machine):  # type: ignore[misc]
    """Errors beyond a tenth of the target's unit count by their size."""

    def fit(self, x: np.ndarray, y: np.ndarray, sample_weight: None = None) -> Self:
        """Float (rows, columns) and scaled targets (rows,)."""
        rows = self._drawn(y, classes=False)
        self.machine_ = Pipeline([("scale", StandardScaler()), ("svm", SVR(C=self.cost))])
        self.machine_.fit(x[rows].astype(np.float64), y[rows])
        return self

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Values, (rows,)."""
        return np.asarray(self.machine_.predict(x.astype(np.float64)))


TYPES = tuple(f"{kind.__module__}.{kind.__qualname__}" for kind in (SvmClassifier, SvmRegressor))
"""What a model's file may hold besides scikit-learn's own."""


def fit_svm(config: TabularConfig, table: Table, out: Path, progress: Progress) -> Fitted:
    """Radial kernels; of a large table on some of the rows, which is said."""
    progress(0, 1)
    model = new_estimator(config, table, 0)
    model.fit(table.x, table.y, sample_weight=table.weight)
    progress(1, 1)
    save_estimator(model, out / SKLEARN)
    vectors = len(model.machine_["svm"].support_)
    seen = min(len(table.x), MOST_ROWS)
    notes, of = [], ""
    if seen < len(table.x):
        of = f", {seen:,} of {len(table.x):,} rows"
        notes = [
            f"The SVM was fitted on {seen:,} of {len(table.x):,} rows, drawn at random: its time grows with "
            "their square. The other rows were not used. For all of them: --set model.kind=lightgbm"
        ]
    cost = max(1, vectors * table.x.shape[1] // SCORES_OF_A_TREE)
    return Fitted(f"SVM, {vectors:,} support vectors{of}", notes=notes, cost=cost)


def svm_as_onnx(model: SvmClassifier | SvmRegressor, takes: str, columns: int) -> Any:
    """The machine as skl2onnx converts it, and for classes the logistic regression as operators.

    skl2onnx's own probabilities of two classes are those of a model without calibration.
    """
    if isinstance(model, SvmRegressor):
        return as_onnx(model.machine_, takes, columns)
    from onnx import helper

    raw = {id(model.machine_["svm"]): {"raw_scores": True, "zipmap": False}}
    converted = as_onnx(model.machine_, takes, columns, raw)
    graph = converted.graph
    weights, bias = model.probability_.coef_, model.probability_.intercept_
    if len(model.classes_) == 2:
        # The operator gives the decision for either class, one the opposite of the other.
        weights = np.array([[0.0, 0.0], [0.0, weights[0, 0]]])
        bias = np.array([0.0, bias[0]])
    gives = graph.output[-1].name
    for node in graph.node:
        node.output[:] = ["decided" if name == gives else name for name in node.output]
    logits = helper.make_node(
        "LinearRegressor",
        ["decided"],
        ["logits"],
        domain="ai.onnx.ml",
        coefficients=weights.ravel().tolist(),
        intercepts=bias.tolist(),
        targets=len(bias),
    )
    graph.node.extend([logits, helper.make_node("Softmax", ["logits"], [gives], axis=1)])
    return converted
