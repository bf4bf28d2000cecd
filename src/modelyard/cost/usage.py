"""What a piece of work uses, and what that costs: wall time, CPU, GPUs, memory, energy, and a price
for them.

Usage is measured and kept; prices stand in the settings and are applied when somebody asks, so that
a corrected price list corrects every run. Nothing here has a price of its own: what the settings
leave out is shown as not priced.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from fnmatch import fnmatchcase
from pathlib import Path

from pydantic import BaseModel

from modelyard.cost.meters import GpuMeter, MemoryMeter, PackageMeter, cpu_seconds
from modelyard.settings.cost import CostSettings
from modelyard.store.usage import HOUR, Usage, added

SAMPLED_SECONDS = 0.5
"""Seconds between two looks at memory and energy."""


class Price(BaseModel):
    """The price of some usage."""

    currency: str
    amount: float | None
    """Sum of `parts`; None where nothing that was used has a price."""
    parts: dict[str, float]
    """By what is paid for: `cpu`, `memory`, `gpu`, `energy`."""
    unpriced: list[str]
    """What was used and has no price: `memory`, `gpu NVIDIA A10`, …"""


def total(usages: Iterable[Usage]) -> Usage:
    """The usage of all of them."""
    return sum(usages, Usage())


def price(usage: Usage, settings: CostSettings) -> Price:
    """Prices a usage: hours times the price of an hour, kilowatt-hours times the price of one."""
    used: dict[str, tuple[float, float | None]] = {
        "cpu": (usage.cpu_seconds / HOUR, settings.cpu_core_hour),
        "memory": (usage.memory_gb_seconds / HOUR, settings.memory_gb_hour),
        "energy": (usage.kwh or 0.0, settings.kwh),
    }
    for name, held in usage.gpu_seconds.items():
        used[f"gpu {name}"] = held / HOUR, gpu_hour(name, settings.gpu_hour)
    parts: dict[str, float] = {}
    unpriced = []
    for name, (amount, each) in used.items():
        if not amount:
            continue
        if each is None:
            unpriced.append(name)
        else:
            # GPUs of all names are one part of the price.
            parts = added(parts, {name.partition(" ")[0]: amount * each})
    known = sum(parts.values()) if parts or not unpriced else None
    return Price(currency=settings.currency, amount=known, parts=parts, unpriced=unpriced)


def gpu_hour(name: str, prices: Mapping[str, float]) -> float | None:
    """The price of the first pattern that fits a GPU's name, `*` for any text, upper and lower
    case alike."""
    for pattern, each in prices.items():
        if fnmatchcase(name.lower(), pattern.lower()):
            return each
    return None


def figures(usage: Usage, priced: Price) -> dict[str, float]:
    """The usage as flat numbers, `cost_cpu_core_hours` and so on; what was not measured or
    priced is missing."""
    found: dict[str, float | None] = {
        "cost_wall_seconds": usage.wall_seconds,
        "cost_cpu_core_hours": usage.cpu_seconds / HOUR,
        "cost_gpu_hours": usage.gpu_hours,
        "cost_memory_gb_hours": usage.memory_gb_seconds / HOUR,
        "cost_peak_memory_gb": usage.peak_memory_bytes / 1e9,
        "cost_energy_kwh": usage.kwh,
        "cost_price": priced.amount,
    }
    return {name: value for name, value in found.items() if value is not None}


class Meter:
    """Measures from its making on; `stop` holds the figures."""

    def __init__(self, gpus: int = 0) -> None:
        # Before the clock: the first of a process loads the GPU driver's library.
        self._memory, self._package, self._gpu = MemoryMeter(), PackageMeter(), GpuMeter(gpus)
        self._began, self._cpu_began = time.monotonic(), cpu_seconds()
        self._elsewhere = Usage()
        self._final: Usage | None = None
        self._ended = threading.Event()
        self._sampler = threading.Thread(target=self._sample, daemon=True)
        self._sampler.start()

    def add(self, usage: Usage) -> None:
        """Counts work done elsewhere; its wall time has passed here too and is not counted
        twice."""
        self._elsewhere += usage.model_copy(update={"wall_seconds": 0.0})

    def stop(self) -> Usage:
        """What was used until now, or until it was first stopped."""
        if self._final is None:
            self._ended.set()
            # Two looks at once would count the same energy twice.
            self._sampler.join()
            self._final = self._measure()
        return self._final

    def _measure(self) -> Usage:
        wall, cpu = time.monotonic() - self._began, cpu_seconds() - self._cpu_began
        peak = self._memory.peak()
        measured = {"cpu": self._package.joules(cpu), "gpu": self._gpu.joules()}
        energy = {}
        for source, joules in measured.items():
            if joules is not None:
                energy[source] = round(joules, 3)
        # A GPU is paid for from the first second to the last, however busy it was.
        gpus = {name: round(held * wall, 4) for name, held in self._gpu.held().items()}
        own = Usage(
            wall_seconds=round(wall, 4),
            cpu_seconds=round(cpu, 4),
            gpu_seconds=gpus,
            energy_joules=energy,
            memory_gb_seconds=round(peak / 1e9 * wall, 6),
            peak_memory_bytes=peak,
        )
        return own + self._elsewhere

    def _sample(self) -> None:
        while not self._ended.wait(SAMPLED_SECONDS):
            self._memory.look()
            self._package.look()
            self._gpu.look()


_innermost: ContextVar[Meter | None] = ContextVar("modelyard_cost", default=None)


@contextmanager
def measure(gpus: int = 0) -> Iterator[Meter]:
    """Measures the block. `gpus`: how many GPUs the work was given, of which those count that it
    used; those that torch holds count too."""
    meter = Meter(gpus)
    token = _innermost.set(meter)
    try:
        yield meter
    finally:
        meter.stop()
        _innermost.reset(token)


def add(usage: Usage) -> None:
    """Adds work done elsewhere, such as a job's pods, to the stage that runs in this thread."""
    meter = _innermost.get()
    assert meter is not None, "cost.add outside of a stage"
    meter.add(usage)


@contextmanager
def leave(file: Path, gpus: int = 0) -> Iterator[None]:
    """Measures the block and leaves its usage as JSON in `file`: what a process on another
    machine does."""
    from modelyard.store.artifact import write_json

    meter = Meter(gpus)
    try:
        yield
    finally:
        write_json(file, meter.stop())


def collect(folder: Path) -> Usage:
    """The usage of all processes that left a `cost-*.json` in `folder` and ran at the same time:
    the longest wall time, the sum of all else, peak memory too."""
    files = sorted(folder.glob("cost-*.json"))
    left = [Usage.model_validate_json(file.read_text()) for file in files]
    seconds = [usage.wall_seconds for usage in left]
    peaks = [usage.peak_memory_bytes for usage in left]
    # Adding two usages is for work one after the other: wall times add up, peaks do not.
    at_once = {"wall_seconds": max(seconds, default=0.0), "peak_memory_bytes": sum(peaks)}
    return total(left).model_copy(update=at_once)
