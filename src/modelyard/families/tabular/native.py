"""Loads a trained model and runs it with the library that made it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modelyard.errors import BrokenArtifact, UsageError, choices
from modelyard.families.tabular.kinds import LIGHTGBM, SKLEARN, XGBOOST
from modelyard.families.tabular.table import ModelInfo, cores

if TYPE_CHECKING:
    from modelyard.runtimes.types import Arrays, Runtime

GRAPH, INPUT = "model", "features"

TRUSTED = frozenset(
    {
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.tree._tree.Tree",
    }
)
"""Types beyond skops' own list that a model file may hold."""


def output_name(info: ModelInfo) -> str:
    """The graph's output: `probabilities` (rows, classes), or `value` (rows,)."""
    return "probabilities" if info.classes else "value"


def native_runtime(model: Path) -> Runtime:
    """The model in the folder `model` as a runtime: graph `model`, input `features` float32 (rows,
    columns).

    Raises:
        BrokenArtifact: the folder's files don't make a model.
    """
    info = ModelInfo.load(model)
    if info.kind == "mlp":
        from modelyard.runtimes.torch import TorchRuntime

        return TorchRuntime([mlp_graph(model, info)])
    predict, output = _PREDICTORS[info.kind](load_trained(model, info), info), output_name(info)

    def run(graph: str, arrays: Arrays) -> Arrays:
        if graph != GRAPH:
            raise UsageError(choices("graph", graph, [GRAPH]))
        if set(arrays) != {INPUT}:
            raise UsageError(
                f"graph {GRAPH!r} takes {INPUT!r} alone; seen: {', '.join(arrays) or 'none'}"
            )
        x = arrays[INPUT]
        if x.ndim != 2 or x.shape[1] != info.columns:
            raise UsageError(f"{INPUT!r} must be (rows, {info.columns}); seen {x.shape}")
        return {
            output: np.ascontiguousarray(
                predict(x.astype(np.float32, copy=False)), dtype=np.float32
            )
        }

    return run


def load_trained(model: Path, info: ModelInfo) -> Any:
    """The library's own object: a lightgbm or xgboost Booster, or a scikit-learn estimator.

    Raises:
        BrokenArtifact: the file is absent or broken, or holds a type that is not trusted.
    """
    path = Path(model) / {"lightgbm": LIGHTGBM, "xgboost": XGBOOST}.get(info.kind, SKLEARN)
    if not path.is_file():
        raise BrokenArtifact(f"{path} is missing. Train the model again: modelyard train")
    if info.kind == "lightgbm":
        import lightgbm

        return lightgbm.Booster(model_file=path)
    if info.kind == "xgboost":
        import xgboost

        booster = xgboost.Booster(model_file=path)
        booster.set_param({"nthread": cores()})
        return booster
    return _load_sklearn(path)


def mlp_graph(model: Path, info: ModelInfo) -> Any:
    """The MLP of a model folder as a torch `Graph`."""
    from modelyard.families.tabular.mlp import from_info
    from modelyard.runtimes.types import Graph
    from modelyard.training.loop import load_weights

    return Graph(GRAPH, example(model, info), module=load_weights(from_info(info), model))


def example(model: Path, info: ModelInfo) -> Arrays:
    """A small batch of real rows: the background's, at least 2."""
    path = Path(model) / "assets" / "background.npy"
    if not path.is_file():
        return {INPUT: np.zeros((2, info.columns), dtype=np.float32)}
    rows = np.load(path, allow_pickle=False)[:8]
    return {INPUT: np.concatenate([rows, rows]) if len(rows) == 1 else rows}


def _load_sklearn(path: Path) -> Any:
    import skops.io

    unknown = sorted(set(skops.io.get_untrusted_types(file=path)) - TRUSTED)
    if unknown:
        raise BrokenArtifact(f"{path} holds types that no model of ours has: {', '.join(unknown)}")
    return skops.io.load(path, trusted=sorted(TRUSTED))


def _sklearn(estimator: Any, info: ModelInfo) -> Callable[[np.ndarray], np.ndarray]:
    predict: Callable[[np.ndarray], np.ndarray] = (
        estimator.predict_proba if info.classes else estimator.predict
    )
    return predict


def _boosted(booster: Any, info: ModelInfo) -> Callable[[np.ndarray], np.ndarray]:
    def predict(x: np.ndarray) -> np.ndarray:
        # LightGBM takes its number of threads from the call, XGBoost from the booster.
        if info.kind == "lightgbm":
            return np.asarray(booster.predict(x, num_threads=cores(x.size)))
        booster.set_param({"nthread": cores(x.size)})
        return np.asarray(booster.inplace_predict(x))

    def scores(x: np.ndarray) -> np.ndarray:
        p = predict(x)
        return np.stack([1 - p, p], axis=1) if info.classes and p.ndim == 1 else p

    return scores


_PREDICTORS = {
    "linear": _sklearn,
    "forest": _sklearn,
    "boosting": _sklearn,
    "lightgbm": _boosted,
    "xgboost": _boosted,
}
