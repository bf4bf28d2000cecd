"""Whether the GPUs that a training asked for are there and work: looked at before any data is
loaded, since PyTorch without one trains on the CPU and says nothing.
"""

from __future__ import annotations

import os
from pathlib import Path

import torch

from modelyard.cost.meters import driver_version
from modelyard.errors import UsageError
from modelyard.home import IMAGE

POD = "KUBERNETES_SERVICE_HOST"
"""What Kubernetes sets in every pod."""
KERNEL_MODULE = Path("/proc/driver/nvidia/version")


def count(asked: int) -> None:
    """Checks how many GPUs this node has, without taking memory on them.

    Raises:
        UsageError: there are fewer than `asked`.
    """
    found = torch.cuda.device_count()
    if found < asked:
        raise UsageError(_line(asked, found, _why_missing(found)))


def check(asked: int, number: int = 0) -> None:
    """Checks how many GPUs this node has, and computes on the one that this process will use.

    Args:
        asked: GPUs of each node; 0 trains on the CPU, and nothing is checked.
        number: this process's GPU on its node, from 0.

    Raises:
        UsageError: there are fewer, or PyTorch cannot use this one.
    """
    if asked == 0:
        return
    count(asked)
    try:
        _compute(number)
    except (RuntimeError, AssertionError) as error:
        said = _first_line(error)
        reason = f"PyTorch {torch.__version__} cannot use GPU {number} ({said})"
        advice = (
            f"Take an image whose CUDA ({torch.version.cuda}) fits driver and GPU: {_setting()}"
        )
        raise UsageError(_line(asked, torch.cuda.device_count(), f"{reason}. {advice}")) from None


def _compute(number: int) -> None:
    """A matrix product: it loads the kernels and the libraries that a first step would load."""
    ones = torch.ones(16, 16, device=torch.device("cuda", number))
    total = float((ones @ ones).sum())
    if total != 16**3:
        raise RuntimeError(f"it computes 16 * 16 * 16 = {total:g}")


def _line(asked: int, found: int, reason: str) -> str:
    driver, image = "no NVIDIA driver", "no image"
    if version := driver_version():
        driver = f"driver {version}"
    if name := os.environ.get(IMAGE):
        image = f"image {name}"
    return f"GPUs on this node: asked for {asked}, found {found} ({driver}, {image}): {reason}"


def _why_missing(found: int) -> str:
    """Why fewer GPUs are there than were asked for, and what to set."""
    without = "leave out --gpus to train on the CPU"
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if torch.version.cuda is None:
        return (
            f"PyTorch {torch.__version__} is built without CUDA. "
            f"Take an image with CUDA: {_setting()}, or {without}"
        )
    if found:
        return f"set --gpus {found}, or take nodes with more"
    if hidden is not None:
        return f"CUDA_VISIBLE_DEVICES is {hidden!r}: unset it, or {without}"
    if driver_version() is None and not KERNEL_MODULE.is_file():
        return f"{_driver_missing()}, or {without}"
    # Only PyTorch knows why it cannot start: a driver that is too old, a GPU that has failed.
    return f"{_refusal()}. Take an image that fits the driver: {_setting()}, or {without}"


def _driver_missing() -> str:
    if POD not in os.environ:
        return "this machine has no NVIDIA driver. Install it"
    return (
        "the pod sees no driver. Set cluster.gpu_resource to what the nodes offer (kubectl "
        "describe node), cluster.node_selector and the RuntimeClass to nodes with NVIDIA's runtime"
    )


def _refusal() -> str:
    try:
        torch.cuda.current_device()
    except (RuntimeError, AssertionError) as error:
        return _first_line(error)
    return "PyTorch finds none"


def _first_line(error: Exception) -> str:
    """What an error says first; of one that says nothing its class."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].rstrip(".")


def _setting() -> str:
    """Where the image is set, or what to install where there is none."""
    if POD not in os.environ:
        return "modelyard/trainer-cuda, or PyTorch with CUDA from https://pytorch.org"
    return (
        "modelyard/trainer-cuda as image.repository of the platform chart, or as MODELYARD_IMAGE "
        "when compiling, or as cluster.image"
    )
