"""Boosted trees in ONNX, in the form that ONNX Runtime answers fastest.

Converters write a TreeEnsembleClassifier, which also looks for the label of each row. A
TreeEnsembleRegressor gives only the scores, in up to half of the time, and probabilities are one
operator more. Operators: https://onnx.ai/onnx/operators/onnx_aionnxml_TreeEnsembleRegressor.html.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

Attributes = dict[str, Any]
"""Of an ensemble's node: an entry for each node of a tree (`nodes_…`), or for each leaf
(`class_…`, `target_…`)."""

SHAPE = (
    "nodes_nodeids",
    "nodes_featureids",
    "nodes_values",
    "nodes_modes",
    "nodes_truenodeids",
    "nodes_falsenodeids",
    "nodes_missing_value_tracks_true",
)
"""What makes two trees ask the same questions."""
LEAF = ("target_nodeids", "target_ids")
"""Where a leaf stands, and which score it adds to."""


def as_regressor(model: Any) -> Any:
    """Changes a converted model whose first node is a TreeEnsembleClassifier: it then computes
    probabilities (rows, classes) by a TreeEnsembleRegressor, and no label.

    Another model is left as it is, and one whose scores become probabilities in another way than
    by the logistic function or softmax.
    """
    from onnx import helper

    classifier = model.graph.node[0]
    if classifier.op_type != "TreeEnsembleClassifier":
        return model
    given = {}
    for attribute in classifier.attribute:
        given[attribute.name] = helper.get_attribute_value(attribute)
    labels = given.pop("classlabels_int64s", None) or given.pop("classlabels_strings")
    transform = given.pop("post_transform", b"NONE").decode()
    if transform == "SOFTMAX":
        scores = len(labels)
    elif transform == "LOGISTIC" and len(labels) == 2:
        scores = 1
    else:
        return model
    trees = helper.make_node(
        "TreeEnsembleRegressor",
        list(classifier.input),
        ["scores"],
        domain="ai.onnx.ml",
        n_targets=scores,
        **merged(_of_regressor(given, scores)),
    )
    rest = list(model.graph.node)[1:]
    del model.graph.node[:]
    model.graph.node.extend([trees, *_probabilities(scores, classifier.output[1]), *rest])
    return model


def _probabilities(scores: int, gives: str) -> list[Any]:
    """Operators from `scores` (rows, number of scores) to probabilities."""
    from onnx import helper

    if scores > 1:
        return [helper.make_node("Softmax", ["scores"], [gives], axis=1)]
    return [
        helper.make_node("Sigmoid", ["scores"], ["second"]),
        # Of the score's opposite, since 1 - p would lose the digits of small ones.
        helper.make_node("Neg", ["scores"], ["opposite"]),
        helper.make_node("Sigmoid", ["opposite"], ["first"]),
        helper.make_node("Concat", ["first", "second"], [gives], axis=1),
    ]


def _of_regressor(given: Mapping[str, Any], scores: int) -> Attributes:
    """A classifier's attributes by a regressor's names."""
    found: Attributes = {}
    for name, value in given.items():
        found[name.replace("class_", "target_", 1)] = value
    if scores == 1:
        # The only score is the second class's, whichever class the converter wrote it for.
        found["target_ids"] = [0] * len(found["target_ids"])
    return found


def merged(trees: Attributes) -> Attributes:
    """Trees that ask the same questions become one, whose leaves have the sums of their weights.

    Boosting repeats small trees on small tables.
    """
    # The sums are rounded to float32 once, when the graph is written.
    weights = np.array(trees["target_weights"], dtype=np.float64)
    leaves_by_key: dict[Any, np.ndarray] = {}
    nodes_kept: list[int] = []
    leaves_kept: list[int] = []
    by_tree = zip(_by_tree(trees["nodes_treeids"]), _by_tree(trees["target_treeids"]), strict=True)
    for nodes, leaves in by_tree:
        questions = [_at(trees[name], nodes) for name in SHAPE]
        answers = [_at(trees[name], leaves) for name in LEAF]
        key = (*questions, *answers)
        if key in leaves_by_key:
            weights[leaves_by_key[key]] += weights[leaves]
            continue
        leaves_by_key[key] = leaves
        nodes_kept.extend(nodes)
        leaves_kept.extend(leaves)
    found = dict(trees)
    for name, values in trees.items():
        # Optional attributes of nodes, such as nodes_hitrates, may be empty.
        if name.startswith("nodes_") and len(values):
            found[name] = list(_at(values, nodes_kept))
        elif name.startswith("target_"):
            found[name] = list(_at(values, leaves_kept))
    found["target_weights"] = weights[leaves_kept].tolist()
    return found


def _at(values: Sequence[Any], places: Sequence[int] | np.ndarray) -> tuple[Any, ...]:
    return tuple(values[place] for place in places)


def _by_tree(trees: Sequence[int]) -> list[np.ndarray]:
    """Places of each tree's entries, in order."""
    numbers = np.array(trees)
    _, counts = np.unique(numbers, return_counts=True)
    return np.split(np.argsort(numbers, kind="stable"), np.cumsum(counts)[:-1])
