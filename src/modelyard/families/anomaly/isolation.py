"""An isolation forest as one ONNX node. skl2onnx writes some twenty nodes a tree: half a minute to
export, and milliseconds a row."""

from __future__ import annotations

from typing import Any

import numpy as np

STRANGENESS = "strangeness"


def append_forest(model: Any, forest: Any) -> None:
    """Adds a fitted `IsolationForest` behind the last output of an ONNX model; gives `strangeness` (rows, 1),
    the negated decision function.

    A row's strangeness is 2 to the power of minus its mean path length over the usual one, plus
    the forest's offset (Liu et al. 2008, equation 2); the path of a leaf with several training rows
    is longer by what separating these would take.
    """
    from onnx import helper, numpy_helper

    graph = model.graph
    takes = graph.output[-1].name
    trees = helper.make_node(
        "TreeEnsembleRegressor", [takes], ["lengths"], domain="ai.onnx.ml", **_trees(forest)
    )
    constants = {"two": np.float32(2), "offset": np.float32(forest.offset_)}
    for name, value in constants.items():
        graph.initializer.append(numpy_helper.from_array(np.array([value]), name))
    graph.node.extend(
        [
            trees,
            helper.make_node("Neg", ["lengths"], ["exponent"]),
            helper.make_node("Pow", ["two", "exponent"], ["power"]),
            helper.make_node("Add", ["power", "offset"], [STRANGENESS]),
        ]
    )
    graph.output[-1].name = STRANGENESS
    if not any(used.domain == trees.domain for used in model.opset_import):
        model.opset_import.append(helper.make_opsetid(trees.domain, 3))


def _trees(forest: Any) -> dict[str, Any]:
    """The attributes of the node: leaves weigh their share of the mean path length."""
    # The mean over the trees, divided by the usual length.
    usual = len(forest.estimators_) * _separating(np.array([forest.max_samples_]))[0]
    found: dict[str, list[Any]] = {name: [] for name in (*_NODES, *_TARGETS)}
    for number, estimator in enumerate(forest.estimators_):
        tree = estimator.tree_
        leaf = tree.children_left == -1
        nodes = np.arange(tree.node_count)
        # Rows are float32, and a threshold rounded up would let the next larger one pass.
        values = tree.threshold.astype(np.float32)
        above = values > tree.threshold
        values[above] = np.nextafter(values[above], np.float32(-np.inf))
        # Each tree numbers the columns that it was given.
        columns = forest.estimators_features_[number][np.where(leaf, 0, tree.feature)]
        found["nodes_treeids"] += [number] * len(nodes)
        found["nodes_nodeids"] += nodes.tolist()
        found["nodes_featureids"] += columns.tolist()
        found["nodes_values"] += np.where(leaf, 0, values).tolist()
        found["nodes_modes"] += np.where(leaf, "LEAF", "BRANCH_LEQ").tolist()
        found["nodes_truenodeids"] += np.where(leaf, 0, tree.children_left).tolist()
        found["nodes_falsenodeids"] += np.where(leaf, 0, tree.children_right).tolist()
        lengths = _depths(tree) + _separating(tree.n_node_samples)
        found["target_treeids"] += [number] * int(leaf.sum())
        found["target_nodeids"] += nodes[leaf].tolist()
        found["target_ids"] += [0] * int(leaf.sum())
        found["target_weights"] += (lengths[leaf] / usual).tolist()
    return found | {"n_targets": 1, "aggregate_function": "SUM", "post_transform": "NONE"}


_NODES = (
    "nodes_treeids",
    "nodes_nodeids",
    "nodes_featureids",
    "nodes_values",
    "nodes_modes",
    "nodes_truenodeids",
    "nodes_falsenodeids",
)
_TARGETS = ("target_treeids", "target_nodeids", "target_ids", "target_weights")


def _depths(tree: Any) -> np.ndarray:
    """Edges from the root to each node, float64 (nodes,); children stand behind their parents."""
    depths = np.zeros(tree.node_count)
    for node in np.flatnonzero(tree.children_left != -1):
        children = [tree.children_left[node], tree.children_right[node]]
        depths[children] = depths[node] + 1
    return depths


def _separating(rows: np.ndarray) -> np.ndarray:
    """Mean path length of an unsuccessful search among so many rows (Liu et al. 2008, equation 1)."""
    # The formula is for 3 rows and more.
    n = np.maximum(rows, 3).astype(np.float64)
    long = 2 * (np.log(n - 1) + np.euler_gamma) - 2 * (n - 1) / n
    return np.where(rows <= 1, 0.0, np.where(rows == 2, 1.0, long))
