"""How trained models are compiled, and which compiled form serves."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from modelyard.settings.base import Settings

Aim = Literal["latency", "throughput", "size", "quality"]

VariantName = Literal[
    "auto",
    "onnx-fp32",
    "onnx-fp16",
    "onnx-int8",
    "onnx-int8-static",
    "onnx-int8-aware",
    "onnx-int8-weights",
    "onnx-int4",
    "tensorrt-fp32",
    "tensorrt-fp16",
    "tensorrt-int8",
    "xgboost",
]


def _split(value: Any) -> Any:
    """`onnx-int8,onnx-fp16` is a list too."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


class ExportSettings(Settings):
    """How graphs are compiled, and which variant serves."""

    opset: int = Field(default=18, ge=15, le=23)
    """ONNX operator set."""
    variants: Annotated[tuple[VariantName, ...], BeforeValidator(_split)] = ("auto",)
    """Which variants are tried besides onnx-fp32, which is always made: `auto`, those that are
    likely to pay for the size and the operators of the graphs; or names, such as
    `onnx-int8,onnx-fp16`. What is named is tried even where `auto` would not, and goes into the
    package where it passes."""
    aim: Aim = "latency"
    """What the variant that serves is chosen for: `latency` of a single request, `throughput` at
    the best batch size, `size` of the files, or `quality`: the gate's metric."""
    max_loss: float | None = Field(default=None, ge=0)
    """How much of the gate's metric on the validation split a variant may lose against the trained
    model, in the metric's unit. None: 1 % of what the trained model gains over the baseline, or a
    tenth of the metric's 95 % interval where that is more."""
    calibration: Literal["minmax", "entropy", "percentile"] = "minmax"
    """How the ranges of a static int8 variant's activations are found."""
    calibration_rows: int = Field(default=128, ge=8)
    """Requests of the training split that static int8 is calibrated on."""
    seconds: float = Field(default=600.0, gt=0)
    """Once making variants has taken so long, no other one is begun."""
    latency_repeats: int = Field(default=50, ge=5)
    """Timed single-request calls behind the p50 latency of a variant."""
    latency_seconds: float = Field(default=20.0, gt=0)
    """Longest that timing all variants takes: a slow model is timed fewer times, three at least."""
