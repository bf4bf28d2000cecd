"""A fitted model as arrays, as scikit-learn runs it, and as an ONNX graph.

`model.npz` of a model folder, all float64: `points` (points, inputs) and `ends` (clusters,) of a
kind that looks for the nearest point (of each cluster those before its end), or `weights`, `means`
and `factors` of a mixture.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import NearestNeighbors

from modelyard.errors import UsageError, choices
from modelyard.families.clustering.assets import (
    DENSITIES,
    DISTANCES,
    GRAPH,
    INPUT,
    NOISE,
    SCALE,
)
from modelyard.families.clustering.kinds import Plan
from modelyard.kit.arrays import load_named
from modelyard.kit.sklearn import check_trained
from modelyard.runtimes.types import Arrays, Graph, Runtime

MODEL, EXAMPLE = "model.npz", "example.npy"


def arrays_of(plan: Plan, fitted: Any, z: np.ndarray, labels: np.ndarray) -> Arrays:
    """What an estimator that gave `labels` to the rows `z` (rows, inputs) needs to answer, the
    largest cluster first."""
    counts = np.bincount(labels[labels != NOISE], minlength=plan.clusters)
    order = np.argsort(-counts, kind="stable")
    if plan.kind == "kmeans":
        centres = fitted.cluster_centers_[order]
        return {"points": centres, "ends": np.arange(1, len(centres) + 1)}
    if plan.kind == "gmm":
        factors = _factors(plan, fitted.precisions_cholesky_, z.shape[1])
        return {
            "weights": fitted.weights_[order],
            "means": fitted.means_[order],
            "factors": factors[order],
        }
    inside = labels != NOISE
    if plan.kind == "dbscan":
        # Border rows belong to a cluster, but nothing is reached from them.
        core = np.zeros(len(z), bool)
        core[fitted.core_sample_indices_] = True
        inside &= core
    # The argsort of an order gives each cluster its place in it.
    ranks = np.argsort(order)[labels[inside]]
    points = z[inside][np.argsort(ranks, kind="stable")]
    return {"points": points, "ends": np.cumsum(np.bincount(ranks))}


def largest_first(arrays: Arrays, sizes: np.ndarray) -> Arrays:
    """The clusters in the order of their `sizes`, (clusters,)."""
    order = np.argsort(-sizes, kind="stable")
    if "weights" in arrays:
        return {name: values[order] for name, values in arrays.items()}
    groups = np.split(arrays["points"], arrays["ends"][:-1])
    points = [groups[cluster] for cluster in order]
    lengths = [len(group) for group in points]
    return {"points": np.concatenate(points), "ends": np.cumsum(lengths)}


def _factors(plan: Plan, found: np.ndarray, inputs: int) -> np.ndarray:
    """Cholesky factors of the inverse covariances, (clusters, inputs, inputs), whatever shape
    they have."""
    if plan.covariance == "tied":
        return np.broadcast_to(found, (plan.clusters, inputs, inputs))
    if plan.covariance == "diag":
        return np.stack([np.diag(row) for row in found])
    if plan.covariance == "spherical":
        return np.stack([np.eye(inputs) * value for value in found])
    return found


def load_model(folder: Path) -> Arrays:
    """The arrays of a model folder.

    Raises:
        BrokenArtifact: they are not there.
    """
    check_trained(Path(folder) / MODEL)
    return load_named(Path(folder) / MODEL) | load_named(Path(folder) / "assets" / SCALE)


def native_runtime(folder: Path) -> Runtime:
    """scikit-learn as a runtime: `features` float32 (rows, inputs) to `distances` (rows,
    clusters), or to the `log_densities` of a mixture's components by their weights."""
    arrays = load_model(folder)
    if "weights" in arrays:
        answer = _mixture(arrays)
    else:
        answer = _nearest(arrays)

    def run(name: str, given: Arrays) -> Arrays:
        if name != GRAPH:
            raise UsageError(choices("graph", name, [GRAPH]))
        z = (given[INPUT].astype(np.float64) - arrays["mean"]) * arrays["weight"]
        return {output: values.astype(np.float32) for output, values in answer(z).items()}

    return run


def _nearest(arrays: Arrays) -> Callable[[np.ndarray], Arrays]:
    groups = np.split(arrays["points"], arrays["ends"][:-1])
    found = [NearestNeighbors(n_neighbors=1).fit(points) for points in groups]

    def answer(z: np.ndarray) -> Arrays:
        distances = [neighbours.kneighbors(z)[0] for neighbours in found]
        return {DISTANCES: np.concatenate(distances, axis=1)}

    return answer


def _mixture(arrays: Arrays) -> Callable[[np.ndarray], Arrays]:
    components = []
    for mean, factor in zip(arrays["means"], arrays["factors"], strict=True):
        component = GaussianMixture(1)
        component.weights_, component.means_ = np.ones(1), mean[None]
        component.precisions_cholesky_ = factor[None]
        components.append(component)
    shares = np.log(arrays["weights"])

    def answer(z: np.ndarray) -> Arrays:
        densities = [component.score_samples(z) for component in components]
        return {DENSITIES: np.stack(densities, axis=1) + shares}

    return answer


def graph(folder: Path, opset: int) -> Graph:
    """The same as an ONNX graph. It computes in 64 bits: the difference of two close rows is
    lost in the 32 bits of their products."""
    arrays = load_model(folder)
    builder = _Builder(opset)
    z = builder.scaled(arrays["mean"], arrays["weight"])
    if "weights" in arrays:
        builder.mixture(z, arrays)
    else:
        builder.nearest(z, arrays["points"], arrays["ends"])
    example = np.load(Path(folder) / EXAMPLE, allow_pickle=False)
    return Graph(GRAPH, {INPUT: example}, onnx=builder.finished(len(arrays["mean"])))


class _Builder:
    """Nodes of a graph, one after the other."""

    def __init__(self, opset: int) -> None:
        self._opset = opset
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._outputs: list[Any] = []

    def op(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Adds a node; the name of what it gives."""
        from onnx import helper

        name = output or f"value{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def constant(self, values: Any) -> str:
        """Adds an array; its name."""
        from onnx import numpy_helper

        name = f"constant{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def over(self, kind: str, value: str, axis: int, keep: int = 1) -> str:
        """A reduction along one axis."""
        if kind == "ReduceSum" or self._opset >= 18:
            axes = self.constant(np.array([axis], np.int64))
            return self.op(kind, value, axes, keepdims=keep)
        return self.op(kind, value, axes=[axis], keepdims=keep)

    def give(self, value: str, name: str, width: int) -> None:
        """Makes a value an output, float32 (rows, width)."""
        from onnx import TensorProto, helper

        self.op("Cast", value, output=name, to=TensorProto.FLOAT)
        shape: list[Any] = ["rows", width]
        self._outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))

    def scaled(self, mean: np.ndarray, weight: np.ndarray) -> str:
        """(features - mean) * weight, float64."""
        from onnx import TensorProto

        x = self.op("Cast", INPUT, to=TensorProto.DOUBLE)
        return self.op("Mul", self.op("Sub", x, self.constant(mean)), self.constant(weight))

    def nearest(self, z: str, points: np.ndarray, ends: np.ndarray) -> None:
        """The distance to the nearest point of each cluster: |z|² - 2 z·p + |p|²."""
        own = self.over("ReduceSum", self.op("Mul", z, z), 1)
        products = self.op("MatMul", z, self.constant(-2 * points.T))
        squares = self.op("Add", products, self.constant((points**2).sum(axis=1)))
        squares = self.op("Add", squares, own)
        # Rounding may leave a square a little below 0, whose root is no number.
        squares = self.op("Max", squares, self.constant(np.array(0.0)))
        if len(points) > len(ends):
            squares = self._least(squares, ends)
        self.give(self.op("Sqrt", squares), DISTANCES, len(ends))

    def _least(self, squares: str, ends: np.ndarray) -> str:
        axis = self.constant(np.array([1], np.int64))
        starts = [0, *ends[:-1].tolist()]
        least = []
        for start, end in zip(starts, ends.tolist(), strict=True):
            bounds = [self.constant(np.array([place], np.int64)) for place in (start, end)]
            least.append(self.over("ReduceMin", self.op("Slice", squares, *bounds, axis), 1))
        return self.op("Concat", *least, axis=1)

    def mixture(self, z: str, arrays: Arrays) -> None:
        """The logarithm of each component's weight times its density."""
        means, factors = arrays["means"], arrays["factors"]
        clusters, inputs = means.shape
        first = self.constant(np.array([0], np.int64))
        apart = self.op("Sub", self.op("Unsqueeze", z, first), self.constant(means[:, None, :]))
        turned = self.op("MatMul", apart, self.constant(factors))
        squares = self.over("ReduceSum", self.op("Mul", turned, turned), 2, keep=0)
        logs = np.log(np.diagonal(factors, axis1=1, axis2=2)).sum(axis=1)
        logs += np.log(arrays["weights"]) - 0.5 * inputs * np.log(2 * np.pi)
        weighed = self.op("Mul", squares, self.constant(np.array(-0.5)))
        joint = self.op("Transpose", self.op("Add", weighed, self.constant(logs[:, None])))
        self.give(joint, DENSITIES, clusters)

    def finished(self, inputs: int) -> bytes:
        """The graph as ONNX bytes."""
        import onnx
        from onnx import TensorProto, helper

        takes = helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["rows", inputs])
        made = helper.make_graph(self._nodes, GRAPH, [takes], self._outputs, self._constants)
        version = helper.make_opsetid("", self._opset)
        model = helper.make_model(made, opset_imports=[version], ir_version=8)
        onnx.checker.check_model(model, full_check=True)
        serialized: bytes = model.SerializeToString()
        return serialized
