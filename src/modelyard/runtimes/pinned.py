"""Memory of the host that a GPU copies from and to directly: page-locked, as CUDA calls it.

Ordinary memory is copied once more by the driver, and the copy cannot run beside other work.
"""

from __future__ import annotations

import ctypes
import functools
import weakref
from typing import Any

import numpy as np

_LIBRARIES = ("libcudart.so.13", "libcudart.so.12", "libcudart.so")
_ANY_DEVICE = 1
"""cudaHostRegisterPortable: page-locked for every GPU of this process."""


@functools.cache
def cuda_runtime() -> Any:
    """CUDA's runtime library, which ONNX Runtime has loaded; None where there is none."""
    for name in _LIBRARIES:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    return None


def locked(shape: tuple[int, ...], kind: np.dtype[Any]) -> np.ndarray:
    """An array in page-locked memory; in ordinary memory where CUDA has none to lock."""
    array = np.empty(shape, kind)
    runtime = cuda_runtime()
    if runtime is None or array.nbytes == 0:
        return array
    address = ctypes.c_void_p(array.ctypes.data)
    size = ctypes.c_size_t(array.nbytes)
    # Not 0 where the system lets no more be locked: then the array is as good, only slower.
    if runtime.cudaHostRegister(address, size, _ANY_DEVICE) == 0:
        weakref.finalize(array, runtime.cudaHostUnregister, address)
    return array
