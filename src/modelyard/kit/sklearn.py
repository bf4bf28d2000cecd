"""scikit-learn's models without pickle: kept by skops, run as they are, converted to ONNX.

Boosters of other libraries share the last two: a function of rows as a runtime, and a converted
model with one output.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from modelyard.errors import BrokenArtifact, UsageError, choices

if TYPE_CHECKING:
    from modelyard.runtimes.types import Arrays, Runtime

TRUSTED = (
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.tree._tree.Tree",
)
"""Types beyond skops' own list that a model file may hold."""
CONVERTERS_OPSET = 15
"""Operator set that every converter knows; onnx's own version converter continues from there."""


def _import_skops() -> ModuleType:
    """`skops.io`, without PyTorch.

    It imports every package of scikit-learn to list the estimators, and one of them, an adapter to
    PyTorch, takes longer than a small table's training. A package that cannot be imported is passed
    over.
    """
    adapter = "sklearn.externals.array_api_compat.torch"
    known = adapter in sys.modules
    if not known:
        sys.modules[adapter] = None  # type: ignore[assignment] # what import reads as "not there"
    try:
        return importlib.import_module("skops.io")
    finally:
        if not known:
            del sys.modules[adapter]


skops = _import_skops()


def save_estimator(model: Any, file: Path) -> None:
    """Writes a fitted estimator or pipeline."""
    skops.dump(model, file)


def load_estimator(file: Path, own: Sequence[str] = ()) -> Any:
    """Reads what `save_estimator` wrote. `own` are types of the family's that it may hold too.

    Raises:
        BrokenArtifact: the file is absent, or holds a type that is not trusted.
    """
    check_trained(file)
    trusted = [*TRUSTED, *own]
    unknown = sorted(set(skops.get_untrusted_types(file=file)) - set(trusted))
    if unknown:
        raise BrokenArtifact(f"{file} holds types that no model of ours has: {', '.join(unknown)}")
    return skops.load(file, trusted=trusted)


def check_trained(file: Path) -> None:
    """Refuses a model folder without its model's file.

    Raises:
        BrokenArtifact: it is not there.
    """
    if not file.is_file():
        raise BrokenArtifact(f"{file} is missing. Train the model again: modelyard train")


def rows_runtime(
    predict: Callable[[np.ndarray], np.ndarray], *, graph: str, takes: str, columns: int, gives: str
) -> Runtime:
    """A function of rows as a runtime with one graph.

    Args:
        predict: float32 (rows, columns) to what the graph gives, of any dtype.
        takes, gives: names of the graph's input and output.
    """

    def run(name: str, arrays: Arrays) -> Arrays:
        if name != graph:
            raise UsageError(choices("graph", name, [graph]))
        if set(arrays) != {takes}:
            seen = ", ".join(arrays) or "none"
            raise UsageError(f"graph {graph!r} takes {takes!r} only; seen: {seen}")
        x = arrays[takes]
        if x.ndim != 2 or x.shape[1] != columns:
            raise UsageError(f"{takes!r} must be (rows, {columns}); seen {x.shape}")
        answer = predict(x.astype(np.float32, copy=False))
        return {gives: np.ascontiguousarray(answer, dtype=np.float32)}

    return run


def as_onnx(model: Any, takes: str, columns: int, options: Mapping[Any, Any] | None = None) -> Any:
    """A fitted estimator or pipeline as an ONNX model of float32 (rows, columns); its last output
    is the score, the value or the probabilities. `options` are skl2onnx's."""
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType
    from sklearn.base import is_classifier

    if options is None and is_classifier(model):
        # Else probabilities are a list of dicts, which few runtimes know.
        options = {"zipmap": False}
    return to_onnx(
        model,
        initial_types=[(takes, FloatTensorType([None, columns]))],
        options=options,
        target_opset={"": CONVERTERS_OPSET, "ai.onnx.ml": 3},
    )


def to_one_output(model: Any, gives: str, width: int | None, opset: int) -> bytes:
    """A converted model as ONNX bytes in the operator set `opset`, with only its last output.

    Converters add the label; it and what leads only to it is dropped.

    Args:
        gives: what the output is called then.
        width: columns of the output; None: one number a row, (rows,).
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper, utils, version_converter

    graph = model.graph
    last = graph.output[-1].name
    shape: list[str | int] = ["rows"]
    if width is None:
        graph.initializer.append(numpy_helper.from_array(np.array([-1], np.int64), "flat"))
        graph.node.append(helper.make_node("Reshape", [last, "flat"], [gives]))
    else:
        shape.append(width)
        if last != gives:
            graph.node.append(helper.make_node("Identity", [last], [gives]))
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info(gives, TensorProto.FLOAT, shape))
    graph.input[0].type.tensor_type.shape.dim[0].dim_param = "rows"
    if not any(used.domain == "" for used in model.opset_import):
        model.opset_import.append(helper.make_opsetid("", CONVERTERS_OPSET))
    takes = [value.name for value in graph.input]
    model = utils.Extractor(model).extract_model(takes, [gives])
    model = version_converter.convert_version(model, opset)
    onnx.checker.check_model(model, full_check=True)
    serialized: bytes = model.SerializeToString()
    return serialized
