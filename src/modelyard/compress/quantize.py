"""ONNX files of fewer bits, by ONNX Runtime's own tools. Imported by the recipes when one runs."""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process
from onnxruntime.transformers.float16 import convert_float_to_float16

from modelyard.compress.fusing import Products, fused, with_types
from modelyard.runtimes.types import Arrays

KnownRanges = Callable[[onnx.ModelProto], Mapping[str, tuple[float, float]]]
"""Least and largest value of tensors of a graph, by name."""

BLOCK = 32
"""Weights that share a scale: smaller blocks lose less and take more space."""
INT8_COMPUTE = 4
"""`accuracy_level` of MatMulNBits: activations are quantized to int8 in the product."""
BETWEEN = frozenset({"Add", "Clip", "MaxPool", "Relu"})
"""What stands between convolutions: in 8 bits too, or each convolution's maps would be turned into
floats and back."""
METHODS = {
    "minmax": CalibrationMethod.MinMax,
    "entropy": CalibrationMethod.Entropy,
    "percentile": CalibrationMethod.Percentile,
}


class Calls(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
    """Recorded calls of a graph, one after the other."""

    def __init__(self, calls: Sequence[Arrays]) -> None:
        self._calls = iter(calls)

    def get_next(self) -> Arrays | None:
        """The next call's inputs; None at the end."""
        return next(self._calls, None)


def to_fp16(source: Path, file: Path) -> None:
    """Half precision, but for the graph's inputs and outputs."""
    with _prepared(source) as prepared:
        converted = convert_float_to_float16(onnx.load(str(prepared)), keep_io_types=True)
    onnx.save(converted, str(file))


def to_int8(source: Path, file: Path, operators: frozenset[str]) -> None:
    """Weights of `operators` in 8 bits per channel, activations quantized as they come."""
    allowed = _with_gemm(operators)
    attention: Products | None = None
    if "MatMul" in operators:
        allowed, attention = [*allowed, "Attention"], "inside"
    with _prepared(source, attention) as prepared, _quiet():
        quantize_dynamic(
            prepared,
            file,
            op_types_to_quantize=allowed,
            per_channel=True,
            weight_type=QuantType.QInt8,
            reduce_range=_share_weights(
                onnx.load(str(prepared), load_external_data=False), allowed
            ),
        )


def to_static_int8(
    source: Path,
    file: Path,
    operators: frozenset[str],
    calls: Sequence[Arrays],
    method: str,
    *,
    around_zero: bool = False,
    known: KnownRanges | None = None,
) -> None:
    """Weights and activations of `operators` in 8 bits, weights per channel, ranges of activations
    from `calls`, but for those that are `known`; `around_zero` makes those symmetric."""
    activations, between = QuantType.QUInt8, sorted(BETWEEN)
    attention: Products | None = "outside"
    # What follows a product of matrices takes floats: GELU, attention, a sum. Where it is another
    # product, that one quantizes it.
    floats = ["MatMul"]
    if around_zero:
        # For TensorRT, which knows none of ONNX Runtime's own operators and joins those between
        # convolutions itself.
        activations, between, attention, floats = QuantType.QInt8, [], None, []
    options: dict[str, Any] = {
        # Products of two activations, as in attention, stay as they are.
        "MatMulConstBOnly": True,
        "ActivationSymmetric": around_zero,
        "OpTypesToExcludeOutputQuantization": floats,
    }
    with _prepared(source, attention) as prepared, _quiet():
        model = onnx.load(str(prepared))
        products = _with_gemm(operators)
        if known is not None:
            overrides: dict[str, Any] = {}
            for name, (low, high) in known(model).items():
                overrides[name] = [{"rmin": np.float32(low), "rmax": np.float32(high)}]
            options["TensorQuantOverrides"] = overrides
        quantize_static(
            prepared,
            file,
            Calls(calls),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=[*products, *between],
            nodes_to_exclude=_apart_from_maps(model, operators),
            per_channel=True,
            activation_type=activations,
            weight_type=QuantType.QInt8,
            reduce_range=not around_zero and _share_weights(model, products),
            calibrate_method=METHODS[method],
            extra_options=options,
        )


def to_few_bits(source: Path, file: Path, bits: int) -> None:
    """Weights of matrix products in blocks of BLOCK, `bits` each."""
    with _own_logging():
        from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer
    with _prepared(source) as prepared, _quiet():
        quantizer = MatMulNBitsQuantizer(
            onnx.load(str(prepared)),
            bits=bits,
            block_size=BLOCK,
            is_symmetric=True,
            accuracy_level=INT8_COMPUTE,
        )
        quantizer.process()
        quantizer.model.save_model_to_file(str(file))


@contextlib.contextmanager
def _prepared(source: Path, attention: Products | None = None) -> Iterator[Path]:
    """The graph with shapes inferred and constants folded, as the quantizers want it.

    Args:
        attention: where the products of weights stand in attention that becomes one operator; None:
            the graph's operators stay as they are.
    """
    with tempfile.TemporaryDirectory(prefix="modelyard-quantize-") as folder:
        bare, prepared = Path(folder) / "bare.onnx", Path(folder) / "prepared.onnx"
        model = onnx.load(str(source))
        with _quiet():
            if attention is not None:
                model = fused(model, attention)
            # The exporter's notes on shapes: those of a Gemm's weights no longer hold once it is
            # turned into a MatMul, and all are inferred below.
            model.graph.ClearField("value_info")
            onnx.save(with_types(model), str(bare))
            quant_pre_process(str(bare), str(prepared), skip_symbolic_shape=True)
        yield prepared


def _apart_from_maps(model: onnx.ModelProto, operators: frozenset[str]) -> list[str]:
    """Names of nodes of `BETWEEN` that no convolution's maps reach in 8 bits."""
    maps: set[str] = set()
    apart = []
    for node in model.graph.node:
        if node.op_type == "Conv" and "Conv" in operators:
            maps.update(node.output)
        elif node.op_type in BETWEEN:
            if maps & set(node.input):
                maps.update(node.output)
            else:
                apart.append(node.name)
    return apart


def _share_weights(model: onnx.ModelProto, operators: Sequence[str]) -> bool:
    """Whether nodes of `operators` share weights, as a detector's heads do over its levels.

    Where products of 8 bits overflow 16 of them, on processors without VNNI, ONNX Runtime turns
    weights into other ones, but each only once: shared ones must not overflow by themselves, and
    have 7 bits.
    """
    weights = {weight.name for weight in model.graph.initializer}
    reading: Counter[str] = Counter()
    for node in model.graph.node:
        if node.op_type in operators:
            reading.update(weights & set(node.input[1:2]))
    return any(readers > 1 for readers in reading.values())


def _with_gemm(operators: frozenset[str]) -> list[str]:
    """ONNX Runtime turns Gemm into MatMul and Add before it quantizes."""
    if "Gemm" in operators:
        operators = operators | {"MatMul"}
    return sorted(operators)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The quantizers give advice, and tracebacks of what they then raise, on the root logger."""
    level = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        yield
    finally:
        logging.disable(level)


@contextlib.contextmanager
def _own_logging() -> Iterator[None]:
    """One of the quantizers' modules configures the root logger when it is imported; logging is
    the command line's to configure."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
