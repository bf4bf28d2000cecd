"""What the operating system and the drivers tell about a process: CPU time, memory, energy.

Each meter counts from its making on. On a machine that does not tell, it answers None or 0; it
never guesses.
"""

from __future__ import annotations

import importlib
import os
import resource
import sys
from pathlib import Path
from typing import Any

import psutil

SELF = Path("/proc/self")
CGROUP = Path("/sys/fs/cgroup")
POWERCAP = Path("/sys/class/powercap")
BUSY = ("user", "nice", "system", "irq", "softirq")
"""Of what psutil tells of the cores' time, the parts in which they work."""


def cpu_seconds() -> float:
    """User and system time of this process and of all children that ended and were waited for."""
    seconds = 0.0
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        usage = resource.getrusage(who)
        seconds += usage.ru_utime + usage.ru_stime
    return seconds


class MemoryMeter:
    """Peak resident memory of this process and its descendants, in bytes."""

    def __init__(self) -> None:
        self._seen = 0
        self._process = psutil.Process()
        # Linux keeps the peak since a process began; a 5 written here resets it (man 5 proc).
        reset = SELF / "clear_refs"
        if reset.exists() and os.access(reset, os.W_OK):
            reset.write_text("5")

    def look(self) -> None:
        """Notes how much the whole tree of processes holds at this moment."""
        processes = [self._process, *self._process.children(recursive=True)]
        held = sum(_resident(process) for process in processes)
        self._seen = max(self._seen, held)

    def peak(self) -> int:
        """The most that was seen, and at least this process's own peak, which the system keeps."""
        self.look()
        return max(self._seen, _own_peak())


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:  # it ended while we looked
        return 0


def _own_peak() -> int:
    # "High water mark", which a write to clear_refs resets; getrusage's peak cannot be reset.
    status = SELF / "status"
    if status.is_file():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Bytes on macOS, kilobytes elsewhere.
    if sys.platform == "darwin":
        return peak
    return peak * 1024


def memory_limit(cgroup: Path = CGROUP) -> int | None:
    """Bytes of memory that the container may hold, by its cgroup (v2 or v1); None without a
    limit."""
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        file = cgroup / name
        if not file.is_file():
            continue
        limit = file.read_text().strip()
        # Version 1 writes a number beyond any machine's memory where there is no limit.
        if limit.isdecimal() and int(limit) < psutil.virtual_memory().total:
            return int(limit)
    return None


class PackageMeter:
    """Energy of the CPU packages by Intel's and AMD's running average power limit (RAPL), from
    Linux's powercap."""

    def __init__(self, powercap: Path = POWERCAP) -> None:
        # Top level only: `intel-rapl:0` holds what `intel-rapl:0:0` counts.
        self._counters: list[Path] = []
        for file in sorted(powercap.glob("intel-rapl:[0-9]*/energy_uj")):
            is_package = file.parent.name.count(":") == 1
            if is_package and os.access(file, os.R_OK):
                self._counters.append(file)
        self._last = {file: int(file.read_text()) for file in self._counters}
        self._microjoules = 0
        self._busy_began = busy_seconds()

    def look(self) -> None:
        """Adds what was used since the last look. A counter that fell has begun again at 0 after
        its largest value."""
        for file in self._counters:
            now = int(file.read_text())
            used = now - self._last[file]
            if used < 0:
                used += int((file.parent / "max_energy_range_uj").read_text()) + 1
            self._microjoules += used
            self._last[file] = now

    def joules(self, cpu: float) -> float | None:
        """This work's part of the packages' energy: by its `cpu` seconds among all that the machine
        was busy.

        The counters are the machine's, whose other work is not ours. None where they cannot be
        read.
        """
        if not self._counters:
            return None
        self.look()
        busy = busy_seconds() - self._busy_began
        # The machine counts in steps of 10 ms: short work may have taken more than it says.
        share = min(1.0, cpu / busy) if busy > 0 else 1.0
        return self._microjoules / 1e6 * share


def busy_seconds() -> float:
    """Seconds that the machine's cores have worked since it started."""
    times = psutil.cpu_times()
    # Not every system has all of them.
    parts = [getattr(times, part, 0.0) for part in BUSY]
    return float(sum(parts))


CONTEXT_BYTES = 64 * 2**20
"""Memory that a GPU gives to whatever computes on it, at least: a context of CUDA takes some
hundred MB."""


class GpuMeter:
    """GPUs that the work used, by name, and their energy since the meter was made, by NVIDIA's
    driver."""

    def __init__(self, given: int = 0, nvml: Any = None) -> None:
        self._given = given
        self._nvml = nvml or _nvml()
        self._devices = self._visible() if self._nvml else {}
        self._began = {uuid: self._millijoules(handle) for uuid, handle in self._devices.items()}
        self._idle = {uuid: self._memory(handle) for uuid, handle in self._devices.items()}
        self._worked: set[str] = set()

    @property
    def uuids(self) -> list[str]:
        """Of the visible GPUs, in CUDA's order."""
        return list(self._devices)

    def look(self) -> None:
        """Notes which of the given GPUs have got something to compute: a GPU that none of our
        processes took memory on did no work, whoever paid for it."""
        for uuid, handle in list(self._devices.items())[: self._given]:
            if self._memory(handle) - self._idle[uuid] >= CONTEXT_BYTES:
                self._worked.add(uuid)

    def held(self) -> dict[str, int]:
        """How many GPUs were used, by name."""
        names = [str(self._nvml.nvmlDeviceGetName(handle)) for _, handle in self._held()]
        return {name: names.count(name) for name in dict.fromkeys(names)}

    def memory(self, number: int) -> int | None:
        """Bytes in use of one of the visible GPUs, in CUDA's order; None where it is not there."""
        handles = list(self._devices.values())
        if number < len(handles):
            return self._memory(handles[number])
        return None

    def joules(self) -> float | None:
        """Energy of the used GPUs; None where none was used or the driver does not count it."""
        used = []
        for uuid, handle in self._held():
            began, now = self._began[uuid], self._millijoules(handle)
            if began is not None and now is not None:
                used.append(now - began)
        if used:
            return sum(used) / 1e3
        return None

    def _held(self) -> list[tuple[str, Any]]:
        """Of the GPUs that were given those that worked, and those where this process's torch
        holds memory."""
        self.look()
        used = self._worked | torch_devices()
        return [(uuid, handle) for uuid, handle in self._devices.items() if uuid in used]

    def _visible(self) -> dict[str, Any]:
        count = self._nvml.nvmlDeviceGetCount()
        devices = {}
        for index in range(count):
            handle = self._nvml.nvmlDeviceGetHandleByIndex(index)
            uuid = str(self._nvml.nvmlDeviceGetUUID(handle)).removeprefix("GPU-")
            devices[uuid] = handle
        # The driver lists all GPUs of the machine, whatever CUDA shows to this process.
        allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
        if allowed is None:
            return devices
        uuids = list(devices)
        visible: dict[str, Any] = {}
        for name in allowed.split(","):
            uuid = name.strip().removeprefix("GPU-")
            if uuid.isdecimal() and int(uuid) < count:
                uuid = uuids[int(uuid)]
            # CUDA hides what stands behind a name that it does not know, such as -1.
            if uuid not in devices:
                break
            visible[uuid] = devices[uuid]
        return visible

    def _memory(self, handle: Any) -> int:
        return int(self._nvml.nvmlDeviceGetMemoryInfo(handle).used)

    def _millijoules(self, handle: Any) -> int | None:
        try:
            return int(self._nvml.nvmlDeviceGetTotalEnergyConsumption(handle))
        except self._nvml.NVMLError:  # GPUs older than Volta
            return None


def visible_gpus() -> list[str]:
    """NVIDIA GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them; none without a
    driver."""
    return [f"GPU-{uuid}" for uuid in GpuMeter().uuids]


def driver_version() -> str | None:
    """The version of NVIDIA's driver; None where its library does not answer."""
    nvml = _nvml()
    if nvml is None:
        return None
    return str(nvml.nvmlSystemGetDriverVersion())


def torch_devices() -> set[str]:
    """UUIDs of the GPUs where torch of this process has taken memory; torch is not imported for
    it."""
    torch = sys.modules.get("torch")
    # Another thread may be importing it: then it is there without its parts.
    if torch is None or not hasattr(torch, "cuda"):
        return set()
    # Then it has taken nothing, and asking it for devices would start CUDA.
    if not torch.cuda.is_initialized():
        return set()
    uuids = set()
    for number in range(torch.cuda.device_count()):
        if torch.cuda.max_memory_reserved(number):
            uuid = str(torch.cuda.get_device_properties(number).uuid)
            uuids.add(uuid.removeprefix("GPU-"))
    return uuids


def _nvml() -> Any:
    """NVIDIA's management library, started; None where its package or its driver is missing."""
    try:
        pynvml: Any = importlib.import_module("pynvml")
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    return pynvml
