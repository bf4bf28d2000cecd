"""Loads a trained model, runs it with the library that made it, and converts it to ONNX."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modelyard.families.tabular.ensemble import as_regressor
from modelyard.families.tabular.kinds import (
    GRAPH,
    INPUT,
    LIGHTGBM,
    SKLEARN,
    XGBOOST,
    output_name,
)
from modelyard.families.tabular.table import ModelInfo
from modelyard.kit.sklearn import (
    CONVERTERS_OPSET,
    as_onnx,
    check_trained,
    load_estimator,
    rows_runtime,
    to_one_output,
)
from modelyard.runtimes.cores import cores

if TYPE_CHECKING:
    from modelyard.families.tabular.config import Kind
    from modelyard.runtimes.types import Arrays, Runtime


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
    return rows_runtime(
        _predictor(load_trained(model, info), info),
        graph=GRAPH,
        takes=INPUT,
        columns=info.columns,
        gives=output_name(info.classes),
    )


def load_trained(model: Path, info: ModelInfo) -> Any:
    """The library's own object: a lightgbm or xgboost Booster, or a scikit-learn estimator; of a
    stack those of its members.

    Raises:
        BrokenArtifact: the file is absent or broken, or holds a type that is not trusted.
    """
    if info.kind == "stack":
        return [load_trained(folder, ModelInfo.load(folder)) for folder in _members(model, info)]
    path = Path(model) / {"lightgbm": LIGHTGBM, "xgboost": XGBOOST}.get(info.kind, SKLEARN)
    check_trained(path)
    if info.kind == "lightgbm":
        import lightgbm

        return lightgbm.Booster(model_file=path)
    if info.kind == "xgboost":
        import xgboost

        return xgboost.Booster(model_file=path)
    if info.kind == "svm":
        from modelyard.families.tabular.svm import TYPES

        return load_estimator(path, TYPES)
    return load_estimator(path)


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
    if len(rows) == 1:
        # A batch of one would be taken for a fixed size by exporters.
        rows = np.concatenate([rows, rows])
    return {INPUT: rows}


def _predictor(trained: Any, info: ModelInfo) -> Callable[[np.ndarray], np.ndarray]:
    """Probabilities (rows, classes) or values (rows,) of float32 rows."""
    if info.kind == "stack":
        return _blended(trained, info)
    if info.kind not in ("lightgbm", "xgboost"):
        name = "predict_proba" if info.classes else "predict"
        estimated: Callable[[np.ndarray], np.ndarray] = getattr(trained, name)
        return estimated

    def boosted(x: np.ndarray) -> np.ndarray:
        # LightGBM takes its number of threads from the call, XGBoost from the booster.
        if info.kind == "lightgbm":
            answer = np.asarray(trained.predict(x, num_threads=cores(x.size)))
        else:
            trained.set_param({"nthread": cores(x.size)})
            answer = np.asarray(trained.inplace_predict(x))
        if info.classes and answer.ndim == 1:
            return np.stack([1 - answer, answer], axis=1)
        return answer

    return boosted


def _members(model: Path, info: ModelInfo) -> list[Path]:
    return [Path(model) / "members" / kind for kind in info.members]


def _of_member(info: ModelInfo, kind: Kind) -> ModelInfo:
    return info.model_copy(update={"kind": kind, "members": {}})


def _blended(trained: Sequence[Any], info: ModelInfo) -> Callable[[np.ndarray], np.ndarray]:
    """The weighted mean of the members' answers."""
    predictors = []
    for estimator, kind in zip(trained, info.members, strict=True):
        predictors.append(_predictor(estimator, _of_member(info, kind)))
    weights = list(info.members.values())

    def predict(x: np.ndarray) -> np.ndarray:
        answers = np.array([predictor(x) for predictor in predictors], dtype=np.float64)
        return np.asarray(np.tensordot(weights, answers, axes=1))

    return predict


def to_onnx(trained: Any, info: ModelInfo, opset: int) -> bytes:
    """A fitted estimator or booster as ONNX bytes, in the operator set `opset`.

    The output is `probabilities` float32 (rows, classes) or `value` float32 (rows,).
    """
    if info.kind == "stack":
        from modelyard.families.tabular.stack import stack_as_onnx

        members = []
        for estimator, kind in zip(trained, info.members, strict=True):
            members.append(to_onnx(estimator, _of_member(info, kind), opset))
        weights = list(info.members.values())
        return stack_as_onnx(members, weights, INPUT, output_name(info.classes))
    if info.kind in ("lightgbm", "xgboost"):
        converted = _booster_as_onnx(trained, info)
    elif info.kind == "svm":
        from modelyard.families.tabular.svm import svm_as_onnx

        converted = svm_as_onnx(trained, INPUT, info.columns)
    else:
        converted = as_onnx(trained, INPUT, info.columns)
    converted = as_regressor(converted)
    width = len(info.classes) if info.classes else None
    return to_one_output(converted, output_name(info.classes), width, opset)


def _booster_as_onnx(booster: Any, info: ModelInfo) -> Any:
    from onnxmltools import convert_lightgbm, convert_xgboost
    from onnxmltools.convert.common.data_types import FloatTensorType

    inputs = [(INPUT, FloatTensorType([None, info.columns]))]
    if info.kind == "xgboost":
        return convert_xgboost(booster, initial_types=inputs, target_opset=CONVERTERS_OPSET)
    return convert_lightgbm(
        booster, initial_types=inputs, target_opset=CONVERTERS_OPSET, zipmap=False
    )
