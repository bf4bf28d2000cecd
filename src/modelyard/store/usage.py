"""What some work used: recorded with every artifact, priced only when somebody asks."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict

HOUR = 3600.0
JOULES_A_KWH = 3.6e6


class Usage(BaseModel):
    """What some work used. `a + b` is the usage of both, one after the other."""

    model_config = ConfigDict(frozen=True)

    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    """Of all cores together: the process and the children that it waited for."""
    gpu_seconds: dict[str, float] = {}
    """GPUs used times wall seconds, by the GPU's name: all the time that they were held, in which
    they compute or wait. A GPU that did nothing at all is left out."""
    energy_joules: dict[str, float] = {}
    """By source, `cpu` and `gpu`; a source that nothing measures is missing."""
    memory_gb_seconds: float = 0.0
    """Peak memory (10^9 bytes) times wall seconds."""
    peak_memory_bytes: int = 0
    """Most resident memory of the process and its children at one time; shared pages count in
    each of them."""

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            wall_seconds=self.wall_seconds + other.wall_seconds,
            cpu_seconds=self.cpu_seconds + other.cpu_seconds,
            gpu_seconds=added(self.gpu_seconds, other.gpu_seconds),
            energy_joules=added(self.energy_joules, other.energy_joules),
            memory_gb_seconds=self.memory_gb_seconds + other.memory_gb_seconds,
            # One after the other: the larger peak is that of both.
            peak_memory_bytes=max(self.peak_memory_bytes, other.peak_memory_bytes),
        )

    def without(self, parts: Usage) -> Usage:
        """What is left of this usage without `parts` of it: only wall and CPU time."""
        return Usage(
            wall_seconds=max(0.0, self.wall_seconds - parts.wall_seconds),
            cpu_seconds=max(0.0, self.cpu_seconds - parts.cpu_seconds),
        )

    @property
    def kwh(self) -> float | None:
        """Energy of all sources that were measured; None where none was."""
        if self.energy_joules:
            return sum(self.energy_joules.values()) / JOULES_A_KWH
        return None

    @property
    def gpu_hours(self) -> float:
        """GPU hours of all kinds together."""
        return sum(self.gpu_seconds.values()) / HOUR

    @classmethod
    def reserved(
        cls,
        wall_seconds: float,
        *,
        nodes: int = 1,
        cores: float = 0,
        memory_bytes: int = 0,
        gpus: int = 0,
        gpu: str = "",
        gpu_wall_seconds: float | None = None,
    ) -> Usage:
        """What a job on other machines held: `nodes` times `cores`, `memory_bytes` and `gpus`
        (called `gpu`) on each; the GPUs for `gpu_wall_seconds`, None: all the time.

        For work that this process cannot measure and that is paid by what was requested, such as
        the pods of a job.
        """
        # Seconds of all nodes together.
        held = nodes * wall_seconds
        if gpu_wall_seconds is None:
            gpu_wall_seconds = wall_seconds
        gpu_seconds = nodes * gpus * gpu_wall_seconds
        return cls(
            wall_seconds=wall_seconds,
            cpu_seconds=held * cores,
            gpu_seconds={gpu: gpu_seconds} if gpu_seconds else {},
            memory_gb_seconds=held * memory_bytes / 1e9,
            peak_memory_bytes=nodes * memory_bytes,
        )


def added(one: Mapping[str, float], other: Mapping[str, float]) -> dict[str, float]:
    """Sums by name; a name that only one of them has keeps its value."""
    total = dict(one)
    for name, value in other.items():
        total[name] = total.get(name, 0.0) + value
    return total
