"""One-class SVM and isolation forest: fitted by scikit-learn, kept by skops, run as ONNX."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modelyard.families.anomaly.config import AnomalyModel
from modelyard.families.anomaly.isolation import STRANGENESS, append_forest
from modelyard.families.anomaly.relations import FLOOR
from modelyard.families.anomaly.scoring import GRAPH, INPUT
from modelyard.kit.sklearn import (
    as_onnx,
    load_estimator,
    rows_runtime,
    save_estimator,
    to_one_output,
)

if TYPE_CHECKING:
    from modelyard.runtimes.types import Runtime

FILE, SCORE = "detector.skops", "score"


def fit(settings: AnomalyModel, x: np.ndarray, out: Path, seed: int) -> str:
    """Fits on normal rows `x` float32 (rows, columns), writes `out/detector.skops`; returns what
    it is in words."""
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    seen = f"{len(x):,} rows"
    if settings.kind == "ocsvm" and len(x) > settings.most_rows:
        drawn = np.random.default_rng(seed).choice(len(x), settings.most_rows, replace=False)
        seen = f"{settings.most_rows:,} of {len(x):,} rows"
        x = x[np.sort(drawn)]
    scale = [StandardScaler(), *_whitener(x.shape[1], settings.whiten)]
    pipeline = make_pipeline(*scale, _detector(settings, x.shape[1], seed))
    for step in pipeline[:-1]:
        x = step.fit_transform(x)
        if hasattr(step, "explained_variance_"):
            # PCA divides by the root of these: columns that copy each other would blow up rounding.
            variance = np.maximum(step.explained_variance_, FLOOR)
            x = x * np.sqrt(step.explained_variance_ / variance)
            step.explained_variance_ = variance
    pipeline[-1].fit(x)
    save_estimator(pipeline, out / FILE)
    if settings.kind == "ocsvm":
        return f"one-class SVM, {len(pipeline[-1].support_):,} support vectors of {seen}"
    return f"isolation forest, {settings.trees} trees"


def native(model: Path) -> Runtime:
    """scikit-learn as a runtime: graph `model`, `values` float32 (rows, columns) to `score`
    float32 (rows,).

    Raises:
        BrokenArtifact: the file is absent, or holds a type that is not trusted.
    """
    pipeline = load_estimator(Path(model) / FILE)

    def score(x: np.ndarray) -> np.ndarray:
        return np.asarray(-pipeline.decision_function(x))

    return rows_runtime(
        score, graph=GRAPH, takes=INPUT, columns=pipeline.n_features_in_, gives=SCORE
    )


def to_onnx(model: Path, opset: int) -> bytes:
    """The pipeline as ONNX: `values` float32 (rows, columns) to `score` float32 (rows,), the
    higher the stranger."""
    from onnx import helper

    pipeline = load_estimator(Path(model) / FILE)
    if hasattr(pipeline[-1], "estimators_features_"):
        converted = as_onnx(pipeline[:-1], INPUT, pipeline.n_features_in_)
        append_forest(converted, pipeline[-1])
        return to_one_output(converted, SCORE, None, opset)
    converted = as_onnx(pipeline, INPUT, pipeline.n_features_in_)
    graph = converted.graph
    # The converter's outputs are the label and the decision, which is high for normal rows.
    graph.node.append(helper.make_node("Neg", [graph.output[-1].name], [STRANGENESS]))
    graph.output[-1].name = STRANGENESS
    return to_one_output(converted, SCORE, None, opset)


def _whitener(columns: int, whiten: bool) -> list[Any]:
    from sklearn.decomposition import PCA

    if whiten and columns > 1:
        return [PCA(whiten=True, svd_solver="full")]
    return []


def _detector(settings: AnomalyModel, columns: int, seed: int) -> Any:
    from sklearn.ensemble import IsolationForest
    from sklearn.svm import OneClassSVM

    if settings.kind == "ocsvm":
        return OneClassSVM(nu=settings.nu, gamma=settings.gamma or 1 / columns)
    return IsolationForest(n_estimators=settings.trees, random_state=seed)
