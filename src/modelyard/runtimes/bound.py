"""Graphs on a GPU: inputs go there through page-locked buffers, and what a loop hands from call to
call stays there.

ONNX Runtime's I/O binding does it: https://onnxruntime.ai/docs/performance/tune-performance/iobinding.html.
Nothing here is CUDA's own, so that the CPU can stand in for a GPU where there is none.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from modelyard.runtimes.devices import CPU, Place
from modelyard.runtimes.onnx import OnnxRuntime
from modelyard.runtimes.pinned import locked
from modelyard.runtimes.types import Arrays

SHAPES = 64
"""Shapes of inputs whose buffers are kept, the last used ones: a server's batches have as many."""


class Held:
    """A tensor that stays on its device: an input of further calls, and an array for whoever reads
    it."""

    def __init__(self, value: Any) -> None:
        self.value = value
        """ONNX Runtime's OrtValue."""

    @property
    def shape(self) -> tuple[int, ...]:
        """As of an array."""
        return tuple(self.value.shape())

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Copies it to the host."""
        return np.asarray(self.value.numpy(), dtype)


class Buffer:
    """A tensor of one shape on the device, and the page-locked memory that it is filled from."""

    def __init__(self, array: np.ndarray, place: Place) -> None:
        from onnxruntime import OrtValue

        # On the CPU the value is the host's memory itself.
        self._shares = place.memory == CPU
        make = np.empty if self._shares else locked
        self._host = make(array.shape, array.dtype)
        self._host[...] = array
        self.value = OrtValue.ortvalue_from_numpy(self._host, place.memory, place.number)

    def fill(self, array: np.ndarray) -> None:
        """Replaces its values."""
        self._host[...] = array
        if not self._shares:
            self.value.update_inplace(self._host)


class Buffers:
    """Device buffers of one graph by the shapes of its inputs; a call has a set for itself."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._free: OrderedDict[Any, list[dict[str, Buffer]]] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, arrays: Mapping[str, np.ndarray]) -> tuple[Any, dict[str, Buffer]]:
        """The key and the filled buffers of these arrays."""
        key = tuple((name, array.shape, array.dtype.char) for name, array in arrays.items())
        # Taken out: another thread must not fill them until this call is over.
        with self._lock:
            found = self._free.get(key)
            buffers = found.pop() if found else None
        if buffers is None:
            return key, {name: Buffer(array, self._place) for name, array in arrays.items()}
        # Without the lock, since copying to the device takes long.
        for name, array in arrays.items():
            buffers[name].fill(array)
        return key, buffers

    def give_back(self, key: Any, buffers: dict[str, Buffer]) -> None:
        """For the next call with these shapes."""
        with self._lock:
            self._free.setdefault(key, []).append(buffers)
            self._free.move_to_end(key)
            # Texts have a shape for each length: without a bound they would fill the device.
            while len(self._free) > SHAPES:
                self._free.popitem(last=False)


class BoundRuntime(OnnxRuntime):
    """Runs graphs on a device. As an OnnxRuntime; `hold` leaves outputs there."""

    def __init__(
        self, graphs: Mapping[str, Path | bytes], place: Place, threads: int | None = None
    ) -> None:
        super().__init__(graphs, threads, place.providers)
        self.place = place
        self._buffers = {name: Buffers(place) for name in graphs}

    def __call__(self, graph: str, arrays: Arrays) -> Arrays:
        return self.hold(graph, arrays, ())

    def hold(self, graph: str, arrays: Arrays, held: Collection[str]) -> Arrays:
        """Runs a graph. Outputs that are named in `held` stay on the device, as `Held`; inputs may
        be such outputs of earlier calls."""
        session, outputs = self._sessions[graph]
        binding = session.io_binding()
        fresh: dict[str, np.ndarray] = {}
        for name, array in arrays.items():
            if isinstance(array, Held):
                binding.bind_ortvalue_input(name, array.value)
            else:
                fresh[name] = np.ascontiguousarray(array)
        key, buffers = self._buffers[graph].take(fresh)
        for name, buffer in buffers.items():
            binding.bind_ortvalue_input(name, buffer.value)
        for name in outputs:
            if name in held:
                binding.bind_output(name, self.place.memory, self.place.number)
            else:
                binding.bind_output(name, CPU, 0)
        session.run_with_iobinding(binding)
        # The outputs are whole: what the inputs lie in may be written again.
        self._buffers[graph].give_back(key, buffers)
        values = binding.get_outputs()
        found: dict[str, Any] = {}
        for name, value in zip(outputs, values, strict=True):
            found[name] = Held(value) if name in held else value.numpy()
        return found
