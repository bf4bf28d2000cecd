"""Several kinds together: each answers rows that it has not seen, and weights that are fitted to these
answers make one model of them (stacked generalization, Wolpert 1992; Breiman 1996)."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import BaseEstimator, clone

from modelyard.families.tabular.estimators import TREES, new_estimator
from modelyard.families.tabular.fitting import FITTERS
from modelyard.families.tabular.folds import (
    fit_weighted,
    folds_of,
    held_out,
    held_out_rows,
)
from modelyard.families.tabular.kinds import Fitted
from modelyard.families.tabular.loss import LOSSES
from modelyard.families.tabular.svm import MOST_ROWS
from modelyard.families.tabular.table import ModelInfo

if TYPE_CHECKING:
    from modelyard.families.tabular.config import Kind, TabularConfig
    from modelyard.families.tabular.table import Table
    from modelyard.family import Progress

FOLDER = "members"
MEMBERS: tuple[Kind, ...] = ("linear", "lightgbm", "svm", "forest", "xgboost")
"""In the order in which they get their time."""
ROUNDS = 100
"""Of choosing weights: each adds a hundredth to one member's."""
LEAST = 1e-6
"""Probabilities are at least this much where their logarithm is a loss."""
PROBE_ROWS, PROBE_TREES = 1_000, 20
"""Of the fit that tells how long a member will take."""
LEAST_OF_PROBE = 2
"""Rows of each class in that fit: the support vector machine holds one of them out."""


@dataclass(frozen=True)
class Member:
    """A kind in the stack."""

    kind: Kind
    weight: float
    trees: int | None
    rows: int
    """It was chosen with so many trees for so many rows."""
    chosen: Mapping[str, Any] = field(default_factory=dict)

    def rounds(self, rows: int) -> int | None:
        """Trees for another number of rows."""
        if self.trees is None:
            return None
        return max(1, round(self.trees * rows / self.rows))


class Blend(BaseEstimator):  # type: ignore[misc]  # the library has no types
    """The weighted mean of what several estimators answer."""

    def __init__(self, estimators: Sequence[Any], weights: Sequence[float], classes: bool) -> None:
        self.estimators, self.weights, self.classes = estimators, weights, classes

    def fit(self, x: np.ndarray, y: np.ndarray, sample_weight: np.ndarray | None = None) -> Self:
        self.fitted_ = [
            fit_weighted(clone(estimator), x, y, sample_weight) for estimator in self.estimators
        ]
        if self.classes:
            self.classes_ = np.unique(y)
        return self

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Values, (rows,)."""
        return self._mean([estimator.predict(x) for estimator in self.fitted_])

    def predict_proba(self, x: np.ndarray) -> np.ndarray:
        """Probabilities, (rows, classes)."""
        return self._mean([estimator.predict_proba(x) for estimator in self.fitted_])

    def _mean(self, answers: Sequence[np.ndarray]) -> np.ndarray:
        return np.asarray(np.tensordot(self.weights, np.array(answers), axes=1))


def new_stack(config: TabularConfig, table: Table, trees: int) -> Blend:
    """The members that an earlier fit chose, for fits on folds of the table."""
    members: list[Member] = table.chosen["members"]
    estimators = []
    for member in members:
        trees_of_member = _trees_of_fold(config, member, len(table.x))
        estimators.append(new_estimator(config.of_kind(member.kind), table, trees_of_member))
    weights = [member.weight for member in members]
    return Blend(estimators, weights, table.classes is not None)


def fit_stack(config: TabularConfig, table: Table, out: Path, progress: Progress) -> Fitted:
    """Members within `training.minutes`, each fitted to `out/members/<kind>`, and their weights."""
    if "members" in table.chosen:
        members = table.chosen["members"]
        costs = [_fit_member(config, table, member, out) for member in members]
        return _fitted_stack(members, costs)
    tried = _tried(config, table, out, progress)
    weights = select(tried.answers, tried.loss)
    members, costs = [], []
    for member, cost, weight in zip(tried.members, tried.costs, weights, strict=True):
        if weight > 0:
            members.append(replace(member, weight=float(weight)))
            costs.append(cost)
        else:
            # A model that answers nothing would only be stored.
            shutil.rmtree(out / FOLDER / member.kind)
    found = _fitted_stack(members, costs)
    return replace(found, notes=tried.notes, tables=[_members_table(tried, weights, table)])


def _members_table(tried: _Tried, weights: np.ndarray, table: Table) -> dict[str, Any]:
    """Loss and weight of each member and the loss of all together, for the card."""
    if table.classes is not None:
        name = "log loss"
    else:
        name = "mae"
    rows = []
    for member, answer, weight in zip(tried.members, tried.answers, weights, strict=True):
        rows.append([member.kind, f"{tried.loss(answer):.4g}", f"{weight:.2f}"])
    blended = tried.loss(np.tensordot(weights, np.array(tried.answers), axes=1))
    rows.append(["stack", f"{blended:.4g}", "1.00"])
    return {
        "title": f"Members: {name} on {tried.folds} held-out folds of the training rows",
        "columns": ["kind", name, "weight"],
        "rows": rows,
    }


def select(answers: Sequence[np.ndarray], loss: Callable[[np.ndarray], float]) -> np.ndarray:
    """Weights of at least 0 that add up to 1, (answers,): a mean is grown by the answer that lowers
    its loss most, again and again (Caruana et al. 2004, section 2)."""
    total = np.zeros_like(answers[0])
    counts = np.zeros(len(answers))
    # An answer may be taken again, so that the counts become weights; they cannot turn negative,
    # and 100 steps are too few to fit the noise of the held-out rows.
    for step in range(1, ROUNDS + 1):
        losses = [loss((total + answer) / step) for answer in answers]
        best = int(np.argmin(losses))
        total = total + answers[best]
        counts[best] += 1
    return counts / ROUNDS


@dataclass
class _Tried:
    """Every member that there was time for, with its answers to held-out rows."""

    loss: Callable[[np.ndarray], float]
    folds: int
    members: list[Member] = field(default_factory=list)
    answers: list[np.ndarray] = field(default_factory=list)
    costs: list[int] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def _tried(config: TabularConfig, table: Table, out: Path, progress: Progress) -> _Tried:
    ends = time.perf_counter() + 60 * config.training.minutes
    folds = folds_of(table, config.seed)
    tried = _Tried(_loss(table, held_out_rows(folds)), len(folds))
    able = [kind for kind in MEMBERS if _is_able(kind, table)]
    progress(0, len(able))
    for done, kind in enumerate(able, start=1):
        # One fit with the validation rows, one on each fold, one on all rows.
        expected = _seconds(config.of_kind(kind), table) * (len(folds) + 2)
        left = ends - time.perf_counter()
        if tried.members and expected > left:
            tried.notes.append(
                f"{kind} is not in the stack: it takes about {expected:.0f} s, and {max(0, left):.0f} s of "
                f"training.minutes = {config.training.minutes:g} were left."
            )
            continue
        member = Member(kind, 1.0, None, len(table.x))
        fitted = _fitted(config, table, member, out)
        if kind == "svm":
            # How many rows it has seen; notes on rounds would be of no interest here.
            tried.notes.extend(fitted.notes)
        member = replace(member, trees=fitted.trees, chosen=fitted.chosen)
        trees = _trees_of_fold(config, member, len(table.x))
        estimator = new_estimator(config.of_kind(kind), table, trees)
        tried.answers.append(held_out(estimator, table, folds))
        tried.members.append(member)
        tried.costs.append(fitted.cost or fitted.trees or 1)
        progress(done, len(able))
    return tried


def _is_able(kind: Kind, table: Table) -> bool:
    # A support vector machine's values are typical ones, whatever the others are fitted with.
    return table.loss is None or kind == "svm" or table.loss.name in LOSSES[kind]


def _trees_of_fold(config: TabularConfig, member: Member, rows: int) -> int:
    """For fits on folds of `rows` rows."""
    if member.trees is None or member.kind == "forest":
        return min(TREES, config.model.trees)
    return member.rounds(rows) or 1


def _seconds(config: TabularConfig, table: Table) -> float:
    """About how long one fit takes, from one of few rows and trees."""
    rows = _probe_rows(table, config.seed)
    trees = min(PROBE_TREES, config.model.trees)
    estimator = new_estimator(config, table, trees)
    start = time.perf_counter()
    estimator.fit(table.x[rows], table.y[rows])
    seconds = time.perf_counter() - start
    times_rows = len(table.x) / len(rows)
    if config.model.kind == "svm":
        # Quadratic in the rows, of which it takes MOST_ROWS at most.
        times_rows = min(len(table.x), MOST_ROWS) / len(rows)
        return float(seconds * times_rows**2)
    if config.model.kind == "linear":
        return float(seconds * times_rows)
    return float(seconds * times_rows * config.model.trees / trees)


def _probe_rows(table: Table, seed: int) -> np.ndarray:
    """Row numbers drawn at random, with some of every class: no kind can be fitted to one class,
    and XGBoost wants all of them."""
    rows = np.random.default_rng(seed).permutation(len(table.x))
    drawn = [rows[:PROBE_ROWS]]
    for code in range(len(table.classes or ())):
        own = rows[table.y[rows] == code]
        drawn.append(own[:LEAST_OF_PROBE])
    return np.unique(np.concatenate(drawn))


def _loss(table: Table, rows: np.ndarray) -> Callable[[np.ndarray], float]:
    """Of answers to these rows, the less the better: log loss, or the mean absolute error in the
    target's unit, by which a regression is judged."""
    y = table.y[rows]
    if table.classes is not None:
        weight = None
        if table.weight is not None:
            weight = table.weight[rows]

        def log_loss(p: np.ndarray) -> float:
            of_truth = p[np.arange(len(y)), y]
            # A forest gives 0 to what none of its trees has seen: one such row would decide all.
            return float(np.average(-np.log(np.maximum(of_truth, LEAST)), weights=weight))

        return log_loss
    assert table.loss is not None
    scale = table.loss.scale
    truth = scale.restored(y)

    def absolute_error(value: np.ndarray) -> float:
        return float(np.abs(scale.restored(value) - truth).mean())

    return absolute_error


def _fit_member(config: TabularConfig, table: Table, member: Member, out: Path) -> int:
    """Fits it with the trees and all else that was chosen; its cost in trees."""
    rounds = member.rounds(len(table.x))
    fitted = _fitted(config, replace(table, rounds=rounds, chosen=member.chosen), member, out)
    return fitted.cost or fitted.trees or 1


def _fitted(config: TabularConfig, table: Table, member: Member, out: Path) -> Fitted:
    folder = out / FOLDER / member.kind
    folder.mkdir(parents=True, exist_ok=True)
    own = config.of_kind(member.kind)
    fitted = FITTERS[member.kind](own, table, folder, lambda *_, **__: None)
    ModelInfo.of(own, table, fitted).save(folder)
    return fitted


def _fitted_stack(members: Sequence[Member], costs: Sequence[int]) -> Fitted:
    said = ", ".join(f"{member.kind} {member.weight:.2f}" for member in members)
    return Fitted(f"stack of {said}", chosen={"members": list(members)}, cost=sum(costs))


def stack_as_onnx(
    models: Sequence[bytes], weights: Sequence[float], takes: str, gives: str
) -> bytes:
    """Graphs with one input `takes` and one output `gives` each, and the weighted mean of what they
    give, as one ONNX model."""
    import onnx
    from onnx import compose, helper, numpy_helper

    nodes, initializers, means = [], [], []
    versions: dict[str, int] = {}
    parts = [onnx.load_from_string(model) for model in models]
    for number, (part, weight) in enumerate(zip(parts, weights, strict=True)):
        # Converters give their nodes the same names in each graph.
        prefix = f"member{number}_"
        graph = compose.add_prefix_graph(part.graph, prefix)
        for node in graph.node:
            # All read the one input, which has no prefix.
            node.input[:] = [takes if name == prefix + takes else name for name in node.input]
        share = numpy_helper.from_array(np.array(weight, np.float32), f"{prefix}weight")
        weighted = f"{prefix}weighted"
        nodes += [
            *graph.node,
            helper.make_node("Mul", [prefix + gives, share.name], [weighted]),
        ]
        initializers += [*graph.initializer, share]
        means.append(weighted)
        for used in part.opset_import:
            versions[used.domain] = max(used.version, versions.get(used.domain, 0))
    nodes.append(helper.make_node("Sum", means, [gives]))
    first = parts[0].graph
    graph = helper.make_graph(nodes, "stack", list(first.input), list(first.output), initializers)
    opsets = [helper.make_opsetid(domain, version) for domain, version in versions.items()]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=parts[0].ir_version)
    onnx.checker.check_model(model, full_check=True)
    serialized: bytes = model.SerializeToString()
    return serialized
