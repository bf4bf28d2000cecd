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
    best = min(losses, key=lambda loss: float(loss.mean()))
    gaps = [loss - best for loss in losses]
    good = [gap.mean() <= gap.std() / np.sqrt(len(gap)) for gap in gaps]
    depth = 1 + good.index(True)
    note = (
        f"The tree is {depth} deep: the smallest depth within a standard error of the best of 1 to "
        f"{DEEPEST} on {len(folds)} held-out folds of the training rows. To set it: --set model.max_depth={depth}"
    )
    return depth, note


def _losses(answer: np.ndarray, y: np.ndarray, table: Table) -> np.ndarray:
    """Squared errors of probabilities or values, or absolute errors, (rows,)."""
    if table.classes is not None:
        truth = np.eye(len(table.classes))[y]
        return np.asarray(np.square(answer - truth).sum(axis=1))
    assert table.loss is not None
    errors: np.ndarray = np.abs(answer - y)
    return errors if table.loss.fit == "absolute" else np.square(errors)


def rules(tree: Any, encoder: Encoder, schema: TableSchema, restored: Any) -> dict[str, Any] | None:
    """The rules of a small tree as a table for the card, one a leaf; None for a large one.

    Args:
        tree: a fitted scikit-learn tree.
        restored: a regression's output (rows,) in the target's unit.
    """
    nodes = tree.tree_
    if nodes.n_leaves > MOST_RULES:
        return None
    rows = [
        [_conditions(path, encoder), *_answer(nodes, leaf, schema, restored)]
        for leaf, path in _leaves(nodes, 0, {})
    ]
    said = "class" if schema.classes else schema.target
    share = "share" if schema.classes else "deviation"
    columns = ["if", said, share, "training rows"]
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


def _condition(column: int, above: float, most: float, encoder: Encoder) -> str:
    """In the column's own unit where it is a number; else by the input's name."""
    name = encoder.names[column]
    source = next(key for key, group in encoder.groups.items() if column in group)
    part = encoder.parts[source]
    if isinstance(part, NumericPart) and encoder.groups[source][0] == column:
        above, most = part.restored(above), part.restored(most)
    elif (above, most) in ((0.5, np.inf), (-np.inf, 0.5)):
        # An input of 0 or 1, such as a category's.
        if above == 0.5:
            return name
        return f"not {name}"
    if above == -np.inf:
        return f"{name} <= {most:.5g}"
    if most == np.inf:
        return f"{name} > {above:.5g}"
    return f"{above:.5g} < {name} <= {most:.5g}"


def _answer(nodes: Any, leaf: int, schema: TableSchema, restored: Any) -> list[str | float]:
    """What a leaf answers, its share or the deviation of its rows, and how many they are."""
    rows, values = int(nodes.n_node_samples[leaf]), nodes.value[leaf, 0]
    if schema.classes:
        best = int(values.argmax())
        return [schema.classes[best], f"{100 * values[best] / values.sum():.1f} %", rows]
    value = float(restored(values[:1])[0])
    return [f"{value:.4g}", f"{float(nodes.impurity[leaf]) ** 0.5:.3g}", rows]
