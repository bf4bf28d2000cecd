"""Which GPU is here, as a TensorRT engine is bound to it. Asked of NVIDIA's driver; no library that
computes is imported."""

from __future__ import annotations

import importlib
import importlib.metadata
from typing import Any

from pydantic import BaseModel, ConfigDict


class BuiltFor(BaseModel):
    """What a compiled engine runs on: nothing else."""

    model_config = ConfigDict(frozen=True)

    gpu: str
    """The model's name: `NVIDIA H200`."""
    capability: str
    """CUDA's compute capability: `9.0`."""
    driver: str
    tensorrt: str
    """TensorRT's version."""

    def difference(self, here: BuiltFor | None) -> str:
        """Why an engine for this does not run `here`; empty: it does.

        A newer driver runs older engines; another GPU or another TensorRT does not.
        """
        if here is None:
            return f"it is built for {self.gpu} with TensorRT {self.tensorrt}, and here is neither"
        if (self.gpu, self.capability) != (here.gpu, here.capability):
            return f"it is built for {self.gpu}, and here is {here.gpu}"
        if self.tensorrt != here.tensorrt:
            return f"it is built by TensorRT {self.tensorrt}, and here is {here.tensorrt}"
        if _numbers(here.driver) < _numbers(self.driver):
            return f"it is built with driver {self.driver}, and here is the older {here.driver}"
        return ""


def this_machine(nvml: Any = None, tensorrt: str | None = None) -> BuiltFor | None:
    """The first GPU, its driver and TensorRT; None where one of them is missing."""
    version = tensorrt or tensorrt_version()
    if version is None:
        return None
    try:
        nvml = nvml or importlib.import_module("pynvml")
        nvml.nvmlInit()
        handle = nvml.nvmlDeviceGetHandleByIndex(0)
        major, minor = nvml.nvmlDeviceGetCudaComputeCapability(handle)
        name, driver = nvml.nvmlDeviceGetName(handle), nvml.nvmlSystemGetDriverVersion()
    except Exception:  # no library of NVIDIA's, no driver, no GPU: each raises a class of its own
        return None
    return BuiltFor(
        gpu=str(name), capability=f"{major}.{minor}", driver=str(driver), tensorrt=version
    )


def tensorrt_version() -> str | None:
    """Of the installed TensorRT, by whichever of its packages brought it; not imported."""
    for package in ("tensorrt", "tensorrt-cu13", "tensorrt-cu12"):
        try:
            return importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdecimal())
