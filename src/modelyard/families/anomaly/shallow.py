"""One-class SVM and isolation forest: fitted by scikit-learn, kept by skops, run as ONNX."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modelyard.errors import BrokenArtifact, UsageError, choices
from modelyard.families.anomaly.config import AnomalyModel
from modelyard.families.anomaly.relations import FLOOR
from modelyard.families.anomaly.scoring import GRAPH, INPUT

if TYPE_CHECKING:
    from modelyard.runtimes.types import Arrays, Runtime

FILE = "detector.skops"
TRUSTED = frozenset({"sklearn.tree._tree.Tree"})
"""Types beyond skops' own list that a detector's file may hold."""
CONVERTERS_OPSET = 15
"""Operator set that skl2onnx writes; onnx's own version converter goes on from there."""


def fit(settings: AnomalyModel, x: np.ndarray, out: Path, seed: int) -> str:
    """Fits on normal rows `x` float32 (rows, columns), writes `out/detector.skops`; returns what
    it is in words."""
    import skops.io
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if settings.kind == "ocsvm" and len(x) > settings.most_rows:
        x = x[
            np.sort(np.random.default_rng(seed).choice(len(x), settings.most_rows, replace=False))
        ]
    scale = [StandardScaler(), *_whitener(x.shape[1], settings.whiten)]
    pipeline = make_pipeline(*scale, _detector(settings, x.shape[1], seed))
    for step in pipeline[:-1]:
        x = step.fit_transform(x)
        if hasattr(step, "explained_variance_"):
            factor = np.sqrt(step.explained_variance_ / np.maximum(step.explained_variance_, FLOOR))
            step.explained_variance_ = np.maximum(step.explained_variance_, FLOOR)
            x = x * factor
    pipeline[-1].fit(x)
    skops.io.dump(pipeline, out / FILE)
    if settings.kind == "ocsvm":
        return f"one-class SVM, {len(pipeline[-1].support_):,} support vectors of {len(x):,} rows"
    return f"isolation forest, {settings.trees} trees"


def load(model: Path) -> Any:
    """The fitted scikit-learn pipeline.

    Raises:
        BrokenArtifact: the file is absent, or holds a type that is not trusted.
    """
    import skops.io

    path = Path(model) / FILE
    if not path.is_file():
        raise BrokenArtifact(f"{path} is missing. Train the model again: modelyard train")
    unknown = sorted(set(skops.io.get_untrusted_types(file=path)) - TRUSTED)
    if unknown:
        raise BrokenArtifact(
            f"{path} holds types that no detector of ours has: {', '.join(unknown)}"
        )
    return skops.io.load(path, trusted=sorted(TRUSTED))


def native(model: Path) -> Runtime:
    """scikit-learn as a runtime: graph `model`, `values` float32 (rows, columns) to `score`
    float32 (rows,)."""
    pipeline = load(model)

    def run(graph: str, arrays: Arrays) -> Arrays:
        if graph != GRAPH:
            raise UsageError(choices("graph", graph, [GRAPH]))
        if set(arrays) != {INPUT}:
            raise UsageError(
                f"graph {GRAPH!r} takes {INPUT!r} alone; seen: {', '.join(arrays) or 'none'}"
            )
        return {"score": -pipeline.decision_function(arrays[INPUT]).astype(np.float32).reshape(-1)}

    return run


def to_onnx(model: Path, opset: int) -> bytes:
    """The pipeline as ONNX: `values` float32 (rows, columns) to `score` float32 (rows,), the
    higher the stranger."""
    import onnx
    from onnx import version_converter
    from skl2onnx import to_onnx as convert
    from skl2onnx.common.data_types import FloatTensorType

    pipeline = load(model)
    inputs = [(INPUT, FloatTensorType([None, pipeline.n_features_in_]))]
    converted = convert(
        pipeline, initial_types=inputs, target_opset={"": CONVERTERS_OPSET, "ai.onnx.ml": 3}
    )
    _score_alone(converted.graph)
    converted = version_converter.convert_version(converted, opset)
    onnx.checker.check_model(converted, full_check=True)
    serialized: bytes = converted.SerializeToString()
    return serialized


def _whitener(columns: int, whiten: bool) -> list[Any]:
    from sklearn.decomposition import PCA

    return [PCA(whiten=True, svd_solver="full")] if whiten and columns > 1 else []


def _detector(settings: AnomalyModel, columns: int, seed: int) -> Any:
    from sklearn.ensemble import IsolationForest
    from sklearn.svm import OneClassSVM

    if settings.kind == "ocsvm":
        return OneClassSVM(nu=settings.nu, gamma=settings.gamma or 1 / columns)
    return IsolationForest(n_estimators=settings.trees, random_state=seed)


def _score_alone(graph: Any) -> None:
    """Replaces the outputs label and decision by the negated decision, flat; drops what only
    they needed."""
    from onnx import TensorProto, helper, numpy_helper

    decision = graph.output[-1].name
    graph.initializer.append(numpy_helper.from_array(np.array([-1], np.int64), "flat_shape"))
    graph.node.append(helper.make_node("Neg", [decision], ["strangeness"]))
    graph.node.append(helper.make_node("Reshape", ["strangeness", "flat_shape"], ["score"]))
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info("score", TensorProto.FLOAT, ["rows"]))
    graph.input[0].type.tensor_type.shape.dim[0].dim_param = "rows"
    _prune(graph)


def _prune(graph: Any) -> None:
    """Removes nodes and constants that no output needs."""
    needed, kept = {output.name for output in graph.output}, []
    for node in reversed(graph.node):
        if needed & set(node.output):
            kept.append(node)
            needed |= set(node.input)
    constants = [constant for constant in graph.initializer if constant.name in needed]
    for old, new in ((graph.node, kept[::-1]), (graph.initializer, constants)):
        del old[:]
        old.extend(new)
