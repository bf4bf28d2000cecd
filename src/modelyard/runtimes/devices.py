"""Where graphs compute: on the CPU, or on a GPU by TensorRT or CUDA, whichever ONNX Runtime can
really use.

ONNX Runtime names a provider that was built into it, whether or not its libraries and a GPU are
there, and computes on the CPU where they are not. So each is tried on a small graph before it
counts.
"""

from __future__ import annotations

import base64
import ctypes
import importlib
import importlib.util
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from modelyard.errors import Unavailable, UsageError

log = logging.getLogger("modelyard.serving")

AUTO, CPU, CUDA = "auto", "cpu", "cuda"
ON_CPU, ON_CUDA, ON_TENSORRT = (
    "CPUExecutionProvider",
    "CUDAExecutionProvider",
    "TensorrtExecutionProvider",
)
NAMES = {ON_CPU: "ONNX Runtime", ON_CUDA: "CUDA", ON_TENSORRT: "TensorRT"}
ALLOWED = "Allowed: auto, cpu, cuda, cuda:N"

_WARNING, _FATAL = 2, 4
"""Severities of ONNX Runtime's own log."""

Provider = tuple[str, dict[str, str]]
"""ONNX Runtime's execution provider with its options."""

TRIED = base64.b64decode(
    "CAg6SAoRCgF4CgF4EgF5IgZNYXRNdWwSBXRyaWVkWhUKAXgSEAoOCAESCgoDEgFuCgMSAW5iFQoB"
    "eRIQCg4IARIKCgMSAW4KAxIBbkIECgAQEQ=="
)
"""A graph in ONNX, opset 17: y = x @ x, for a square matrix of floats. A product loads the libraries
that a model's layers would load."""


@dataclass(frozen=True)
class Place:
    """A device, and what computes on it."""

    device: str
    """`cpu`, or `cuda:N`."""
    providers: tuple[Provider, ...]
    """The first choice first. An operator that one lacks is the next one's."""

    @property
    def name(self) -> str:
        """What computes, for people: `TensorRT`, `CUDA`, `ONNX Runtime`."""
        return NAMES.get(self.providers[0][0], self.providers[0][0])

    @property
    def kind(self) -> str:
        """`cpu` or `cuda`."""
        return self.device.partition(":")[0]

    @property
    def memory(self) -> str:
        """What ONNX Runtime calls the memory where its buffers lie."""
        return self.kind

    @property
    def number(self) -> int:
        """Which GPU, from 0; 0 on the CPU."""
        return int(self.device.partition(":")[2] or 0)

    def __str__(self) -> str:
        return f"{self.device} by {self.name}"


CPU_PLACE = Place(CPU, ((ON_CPU, {}),))


def place_of(device: str, *, engines: Path | None = None, worker: int = 0) -> Place:
    """The best place that a device allows, tried.

    Args:
        device: `auto`: a GPU where one can be used; `cpu`; `cuda`: a GPU; `cuda:1`: the second one.
        engines: where TensorRT keeps what it has built. None: nowhere, it builds at each start.
        worker: which of several processes this is, from 0: they share the GPUs by their numbers.

    Raises:
        UsageError: no such device. Unavailable: a GPU is asked for, and none can be used.
    """
    kind, _, number = device.partition(":")
    is_number = number.isdecimal() and kind == CUDA
    if kind not in (AUTO, CPU, CUDA) or (number and not is_number):
        raise UsageError(f"device {device!r} is unknown. {ALLOWED}")
    if kind == CPU:
        return CPU_PLACE
    providers = built_in()
    reasons: list[str] = []
    if providers:
        load_libraries()
        gpu = int(number) if number else shared_number(worker)
        for name in providers:
            place = gpu_place(name, gpu, engines)
            problem = refusal(place.providers[:1])
            if not problem:
                return place
            reasons.append(f"{NAMES[name]}: {problem}")
    if kind == CUDA:
        raise _unusable(device, reasons)
    for reason in reasons:
        log.info("serving on the CPU, since %s", reason)
    return CPU_PLACE


def built_in() -> list[str]:
    """Providers of GPUs that this ONNX Runtime was built with, the first choice first."""
    import onnxruntime

    available = onnxruntime.get_available_providers()
    return [name for name in (ON_TENSORRT, ON_CUDA) if name in available]


def _unusable(device: str, reasons: Sequence[str]) -> Unavailable:
    """The error for a GPU that is asked for; no reasons: no provider was built in."""
    import onnxruntime

    if not reasons:
        return Unavailable(
            f"device {device!r}: this ONNX Runtime ({onnxruntime.__version__}) has no CUDA provider. "
            "Serve with the image modelyard/server-cuda, install onnxruntime-gpu in place of "
            "onnxruntime, or use --device cpu"
        )
    return Unavailable(
        f"device {device!r} cannot be used: {'; '.join(reasons)}. Check that the pod or container has "
        "a GPU (gpu.count of the chart, docker run --gpus), or use --device cpu"
    )


def gpu_place(provider: str, number: int, engines: Path | None) -> Place:
    """A provider on a GPU, with CUDA behind TensorRT and the CPU behind both."""
    cuda = {
        "device_id": str(number),
        # Trying all algorithms for each new shape takes seconds of the request that brings it.
        "cudnn_conv_algo_search": "HEURISTIC",
        # Doubling would take memory that other workers on this GPU need.
        "arena_extend_strategy": "kSameAsRequested",
        # TensorFloat-32 has 10 bits of mantissa: answers would differ from the CPU's.
        "use_tf32": "0",
    }
    behind: tuple[Provider, ...] = ((ON_CUDA, cuda), (ON_CPU, {}))
    if provider == ON_TENSORRT:
        behind = ((ON_TENSORRT, _tensorrt(number, engines)), *behind)
    return Place(f"{CUDA}:{number}", behind)


def _tensorrt(number: int, engines: Path | None) -> dict[str, str]:
    options = {"device_id": str(number)}
    if engines is None:
        return options
    try:
        engines.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        log.warning("TensorRT builds its engines at each start: %s: %s", engines, error.strerror)
        return options
    return options | {
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": str(engines),
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": str(engines),
    }


def refusal(providers: Sequence[Provider]) -> str:
    """Why a provider does not compute here; empty where it does."""
    import numpy as np
    import onnxruntime

    name = providers[0][0]
    # What ONNX Runtime would print of a library that is missing is said in one line here.
    onnxruntime.set_default_logger_severity(_FATAL)
    try:
        session = onnxruntime.InferenceSession(
            TRIED, providers=list(providers), enable_fallback=False
        )
        if name not in session.get_providers():
            return _missing_library(name) or "ONNX Runtime does not start it"
        (found,) = session.run(None, {"x": np.ones((2, 2), np.float32)})
    except Exception as error:  # ONNX Runtime's exceptions have no class in common
        return _missing_library(name) or _said(error)
    finally:
        onnxruntime.set_default_logger_severity(_WARNING)
    if float(found.sum()) == 8.0:
        return ""
    return f"it computes 2 * 2 * 2 = {found.sum():g}"


def _said(error: Exception) -> str:
    """An exception's first line, from where CUDA's own words begin."""
    lines = str(error).strip().splitlines()
    line = lines[0] if lines else type(error).__name__
    _, mark, words = line.partition("CUDA failure")
    if mark:
        return f"{mark}{words}"
    return line


def _missing_library(name: str) -> str:
    """What the system says of a provider's library that cannot be loaded; empty where it can.

    Only after ONNX Runtime has tried to load it: it must be the first, or the library finds no
    host.
    """
    import onnxruntime

    short = name.removesuffix("ExecutionProvider").lower()
    file = Path(onnxruntime.__file__).parent / "capi" / f"libonnxruntime_providers_{short}.so"
    try:
        ctypes.CDLL(str(file))
    except OSError as error:
        return str(error)
    return ""


def load_libraries() -> None:
    """Loads NVIDIA's libraries from their wheels, where no folder of the system has them."""
    import onnxruntime

    if hasattr(onnxruntime, "preload_dlls"):
        onnxruntime.preload_dlls()
    # TensorRT's wheel loads its libraries when it is imported; ONNX Runtime knows only CUDA's.
    if importlib.util.find_spec("tensorrt_libs") is not None:
        importlib.import_module("tensorrt_libs")


def shared_number(worker: int) -> int:
    """The GPU of one of several processes: they take the visible ones in turn."""
    from modelyard.cost.meters import visible_gpus

    return worker % max(1, len(visible_gpus()))
