"""Trees and linear models as ONNX: one float32 input `features`, one float32 output."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelyard.families.tabular.native import INPUT, output_name
from modelyard.kit.sklearn import CONVERTERS_OPSET, as_onnx, to_one_output

if TYPE_CHECKING:
    from modelyard.families.tabular.table import ModelInfo


def to_onnx(trained: Any, info: ModelInfo, opset: int) -> bytes:
    """A fitted estimator or booster as ONNX bytes, in the operator set `opset`.

    The output is `probabilities` float32 (rows, classes) or `value` float32 (rows,).
    """
    if info.kind in ("lightgbm", "xgboost"):
        converted = _booster_as_onnx(trained, info)
    else:
        converted = as_onnx(trained, INPUT, info.columns)
    width = len(info.classes) if info.classes else None
    return to_one_output(converted, output_name(info), width, opset)


def _booster_as_onnx(booster: Any, info: ModelInfo) -> Any:
    from onnxmltools import convert_lightgbm, convert_xgboost
    from onnxmltools.convert.common.data_types import FloatTensorType

    inputs = [(INPUT, FloatTensorType([None, info.columns]))]
    if info.kind == "xgboost":
        return convert_xgboost(booster, initial_types=inputs, target_opset=CONVERTERS_OPSET)
    return convert_lightgbm(
        booster, initial_types=inputs, target_opset=CONVERTERS_OPSET, zipmap=False
    )
