"""The one place that opens a runtime: which one, on which device, by the variant that is to run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from modelyard.errors import Unavailable, UsageError, choices
from modelyard.runtimes.onnx import OnnxRuntime
from modelyard.runtimes.types import Runtime

CPU = "cpu"
RUNTIMES = ("onnx", "tensorrt")
"""What the first word of a variant's name says of its runtime."""


def open_variant(
    folder: Path,
    variant: str,
    graphs: Mapping[str, str],
    *,
    device: str = CPU,
    threads: int | None = None,
) -> Runtime:
    """Opens the graphs of a variant.

    Args:
        folder: what the graphs' files are relative to.
        variant: its name, such as `onnx-fp32`; the first word is the runtime.
        graphs: file by graph name.
        device: `cpu`, `cuda`, or `cuda:1` for the second GPU.
        threads: cores of one call on the CPU; None: all that this process may use.

    Raises:
        UsageError: no runtime of that name, or no such device.
        Unavailable: the device is not there.
        BrokenArtifact: a graph cannot be opened.
    """
    runtime = variant.partition("-")[0]
    if runtime not in RUNTIMES:
        raise UsageError(f"variant {variant!r}: {choices('runtime', runtime, RUNTIMES)}")
    if runtime == "tensorrt" and device == CPU:
        device = "cuda"  # its engines run nowhere else
    files = {name: Path(folder) / file for name, file in graphs.items()}
    return OnnxRuntime(files, threads, providers_of(device))


def providers_of(device: str) -> list[tuple[str, dict[str, str]]]:
    """ONNX Runtime's execution providers for a device, the first choice first.

    Raises:
        UsageError: no such device.
        Unavailable: the installed ONNX Runtime has no provider for it.
    """
    kind, _, number = device.partition(":")
    if kind not in (CPU, "cuda") or (number and not number.isdecimal()) or (kind == CPU and number):
        raise UsageError(f"device {device!r} is unknown. Allowed: cpu, cuda, cuda:N")
    on_cpu: tuple[str, dict[str, str]] = ("CPUExecutionProvider", {})
    if kind == CPU:
        return [on_cpu]
    import onnxruntime

    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        raise Unavailable(
            f"device {device!r}: this ONNX Runtime has no CUDA provider. Install onnxruntime-gpu, or use device cpu"
        )
    return [("CUDAExecutionProvider", {"device_id": number or "0"}), on_cpu]
