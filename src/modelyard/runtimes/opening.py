"""The one place that opens a runtime: which one, on which device, by the variant that is to run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from modelyard.errors import UsageError, choices
from modelyard.runtimes.devices import CPU, CPU_PLACE, CUDA, Place, place_of
from modelyard.runtimes.onnx import OnnxRuntime
from modelyard.runtimes.types import Runtime

RUNTIMES = ("onnx", "tensorrt", "xgboost")
"""What the first word of a variant's name says of its runtime."""

CRASHES = ("NchwcTransformer",)
"""ONNX Runtime's optimization for convolutions, which ends the process on graphs in half precision
with a Transpose before a product, as of torch's layers for attention (seen with 1.31)."""


def runtime_of(variant: str) -> str:
    """What runs a variant: the first word of its name."""
    return variant.partition("-")[0]


def open_variant(
    folder: Path,
    variant: str,
    graphs: Mapping[str, str],
    *,
    device: str | Place = CPU,
    threads: int | None = None,
) -> Runtime:
    """Opens the graphs of a variant.

    Args:
        folder: what the graphs' files are relative to.
        variant: its name, such as `onnx-fp32`; the first word is the runtime.
        graphs: file by graph name.
        device: `cpu`, `auto`, `cuda`, `cuda:1` for the second GPU; or a place that was tried.
        threads: cores of one call on the CPU; None: all that this process may use.

    Raises:
        UsageError: no runtime of that name, or no such device.
        Unavailable: the device is not there.
        BrokenArtifact: a graph cannot be opened.
    """
    runtime = runtime_of(variant)
    if runtime not in RUNTIMES:
        raise UsageError(f"variant {variant!r}: {choices('runtime', runtime, RUNTIMES)}")
    files = {name: Path(folder) / file for name, file in graphs.items()}
    if runtime == "xgboost":
        from modelyard.runtimes.boosters import XgboostRuntime

        return XgboostRuntime(files, threads)
    if runtime == "tensorrt" and device in (CPU, CPU_PLACE):
        device = CUDA  # its engines run nowhere else
    place = place_of(device) if isinstance(device, str) else device
    if place.kind == CPU:
        crashes = CRASHES if variant == "onnx-fp16" else ()
        return OnnxRuntime(files, threads, place.providers, crashes)
    from modelyard.runtimes.bound import BoundRuntime

    return BoundRuntime(files, place, threads)
