"""One decision tree: its depth by held-out folds, and its rules in words."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modelyard.families.tabular.estimators import new_estimator
from modelyard.families.tabular.folds import folds_of, held_out, held_out_rows
from modelyard.families.tabular.kinds import SKLEARN, Fitted, floor32
from modelyard.kit.columns.measures import NumericPart
from modelyard.kit.sklearn import save_estimator

if TYPE_CHECKING:
    from modelyard.families.tabular.config import TabularConfig
    from modelyard.families.tabular.scale import TargetScale
    from modelyard.families.tabular.schema import TableSchema
    from modelyard.families.tabular.table import Table
    from modelyard.family import Progress
    from modelyard.kit.columns.encode import Encoder

DEEPEST = 10
"""Of the depths that are compared: a person reads no deeper tree."""
MOST_RULES = 20
"""Leaves of a tree whose rules the card shows."""


def fit_tree(config: TabularConfig, table: Table, out: Path, progress: Progress) -> Fitted:
    """scikit-learn's tree of the depth that `model.max_depth` says, or else held-out folds."""
    notes: list[str] = []
    depth = table.chosen.get("max_depth", config.model.max_depth)
    if depth is None:
        depth, note = _depth(config, table, progress)
        notes.append(note)
    tree = new_estimator(config.with_model(max_depth=depth), table, 1)
    tree.fit(table.x, table.y, sample_weight=table.weight)
    tree.tree_.threshold[:] = floor32(tree.tree_.threshold)
    save_estimator(tree, out / SKLEARN)
    headline = f"decision tree, depth {tree.get_depth()}, {tree.get_n_leaves()} leaves"
    return Fitted(headline, notes=notes, chosen={"max_depth": depth})


def _depth(config: TabularConfig, table: Table, progress: Progress) -> tuple[int, str]:
    """The smallest depth within a standard error of the best (Breiman et al. 1984, section 3.4.3),
    and a sentence."""
    folds = folds_of(table, config.seed)
    y = table.y[held_out_rows(folds)]
    losses = []
    for depth in range(1, DEEPEST + 1):
        tree = new_estimator(config.with_model(max_depth=depth), table, 1)
        losses.append(_losses(held_out(tree, table, folds), y, table))
        progress(depth, DEEPEST)
    depth = _smallest_good(losses)
    note = (
        f"The tree is {depth} deep: the smallest depth within a standard error of the best of 1 to "
        f"{DEEPEST} on {len(folds)} held-out folds of the training rows. To set it: --set model.max_depth={depth}"
    )
    return depth, note


def _smallest_good(losses: list[np.ndarray]) -> int:
    """The first depth, from 1 on, whose losses (rows,) are within a standard error of the best."""
    best = min(losses, key=lambda loss: float(loss.mean()))
    for depth, loss in enumerate(losses, start=1):
        # Both depths answer the same rows: the error of their difference, not of each.
        gap = loss - best
        if gap.mean() <= gap.std() / np.sqrt(len(gap)):
            return depth
    raise AssertionError("the best depth is within no error of itself")


def _losses(answer: np.ndarray, y: np.ndarray, table: Table) -> np.ndarray:
    """Squared errors of probabilities or values, or absolute errors, (rows,)."""
    if table.classes is not None:
        truth = np.eye(len(table.classes))[y]
        return np.asarray(np.square(answer - truth).sum(axis=1))
    assert table.loss is not None
    errors: np.ndarray = np.abs(answer - y)
    if table.loss.fit == "absolute":
        return errors
    return np.asarray(np.square(errors))


def rules(
    tree: Any, encoder: Encoder, schema: TableSchema, scale: TargetScale
) -> dict[str, Any] | None:
    """The rules of a small tree as a table for the card, one a leaf; None for a large one.

    Args:
        tree: a fitted scikit-learn tree.
        scale: the unit that a regression was fitted in.
    """
    nodes = tree.tree_
    if nodes.n_leaves > MOST_RULES:
        return None
    if schema.classes:
        columns = ["if", "class", "share", "training rows"]
    else:
        columns = ["if", schema.target, "deviation", "training rows"]
    rows: list[list[str | float]] = []
    for leaf, path in _leaves(nodes, 0, {}):
        if schema.classes:
            answer = _class(nodes.value[leaf, 0], schema.classes)
        else:
            answer = _value(tree, leaf, scale)
        rows.append([_conditions(path, encoder), *answer, int(nodes.n_node_samples[leaf])])
    return {"title": "Rules of the tree", "columns": columns, "rows": rows}


Bounds = dict[int, tuple[float, float]]
"""By input: above the first and at most the second number."""


def _leaves(nodes: Any, node: int, path: Bounds) -> list[tuple[int, Bounds]]:
    if nodes.children_left[node] < 0:
        return [(node, path)]
    column, threshold = int(nodes.feature[node]), float(nodes.threshold[node])
    above, most = path.get(column, (-np.inf, np.inf))
    left = path | {column: (above, min(most, threshold))}
    right = path | {column: (max(above, threshold), most)}
    return [
        *_leaves(nodes, nodes.children_left[node], left),
        *_leaves(nodes, nodes.children_right[node], right),
    ]


def _conditions(path: Bounds, encoder: Encoder) -> str:
    said = [_condition(column, *bounds, encoder) for column, bounds in path.items()]
    return " and ".join(said) or "any row"


def _source(column: int, encoder: Encoder) -> str:
    """The table's column that an input stems from."""
    for name, group in encoder.groups.items():
        if column in group:
            return name
    raise AssertionError(f"input {column} stems from no column")


def _condition(column: int, above: float, most: float, encoder: Encoder) -> str:
    """In the column's own unit where it is a number; else by the input's name."""
    name = encoder.names[column]
    source = _source(column, encoder)
    part = encoder.parts[source]
    if isinstance(part, NumericPart) and encoder.groups[source][0] == column:
        above, most = part.restored(above), part.restored(most)
    # A tree divides an input of 0 or 1, such as a category's, at a half.
    elif (above, most) == (0.5, np.inf):
        return name
    elif (above, most) == (-np.inf, 0.5):
        return f"not {name}"
    if above == -np.inf:
        return f"{name} <= {most:.5g}"
    if most == np.inf:
        return f"{name} > {above:.5g}"
    return f"{above:.5g} < {name} <= {most:.5g}"


def _class(weights: np.ndarray, classes: list[str]) -> tuple[str, str]:
    """A leaf's class and its share, by the weights of the classes (classes,)."""
    best = int(weights.argmax())
    return classes[best], f"{100 * weights[best] / weights.sum():.1f} %"


def _value(tree: Any, leaf: int, scale: TargetScale) -> tuple[str, str]:
    """A leaf's value, and how far its rows deviate from it, both in the target's unit; of a
    logarithm the factor by which they do."""
    value = float(scale.restored(tree.tree_.value[leaf, 0])[0])
    deviation = float(tree.tree_.impurity[leaf])
    # The impurity is the mean squared error or the mean absolute one, in spreads of the target.
    if tree.criterion == "squared_error":
        deviation = deviation**0.5
    deviation *= scale.spread
    if scale.log:
        return f"{value:.4g}", f"× {np.exp(deviation):.3g}"
    return f"{value:.4g}", f"{deviation:.3g}"
