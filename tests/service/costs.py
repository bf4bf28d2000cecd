"""Measures what a request costs a running service, and whether small ones beside it keep their
time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import psutil


def memory(process: int) -> float:
    """Megabytes of memory that a process holds now."""
    return float(psutil.Process(process).memory_info().rss) / 2**20


def cpu(process: int) -> float:
    """Processor seconds that a process has used."""
    times = psutil.Process(process).cpu_times()
    return float(times.user + times.system)


@dataclass
class Cost:
    """What happened while something expensive was asked."""

    answers: Any
    """What the expensive request got."""
    cpu: float
    """Processor seconds that the service used, until it was idle again."""
    memory: float
    """Megabytes that it held at most beyond what it held before."""
    small: list[int] = field(default_factory=list)
    """Statuses of the small requests."""
    slowest: float = 0.0
    """Seconds of the slowest of them."""
    slowest_health: float = 0.0
    """Seconds of the slowest look at its health."""


def measured(
    process: int, address: str, small: dict[str, Any], deadline: float, ask: Callable[[], Any]
) -> Cost:
    """Asks for something expensive while small requests and health are asked ten times a second.

    It asks in the pause after the first small request: two that come at the same moment are one
    batch, which ends as a whole.
    """
    before_cpu, before_memory = cpu(process), memory(process)
    found = Cost(None, 0.0, 0.0)
    answered, stop = threading.Event(), threading.Event()

    def beside() -> None:
        with httpx.Client(base_url=address, timeout=60) as client:
            while not stop.is_set():
                start = time.monotonic()
                headers = {"x-deadline-ms": str(int(deadline * 1e3))}
                found.small.append(client.post("/predict", json=small, headers=headers).status_code)
                found.slowest = max(found.slowest, time.monotonic() - start)
                answered.set()
                stop.wait(0.1)

    def health() -> None:
        with httpx.Client(base_url=address, timeout=60) as client:
            while not stop.is_set():
                start = time.monotonic()
                assert client.get("/livez").status_code == 200
                found.slowest_health = max(found.slowest_health, time.monotonic() - start)
                found.memory = max(found.memory, memory(process) - before_memory)
                stop.wait(0.05)

    threads = [threading.Thread(target=work) for work in (beside, health)]
    for thread in threads:
        thread.start()
    try:
        assert answered.wait(60)
        found.answers = ask()
        _until_idle(process, 3 * deadline)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    found.cpu = cpu(process) - before_cpu
    return found


def _until_idle(process: int, longest: float) -> None:
    """Waits until the process does no more than answer the small requests."""
    end = time.monotonic() + longest
    while time.monotonic() < end:
        before = cpu(process)
        time.sleep(0.5)
        if cpu(process) - before < 0.15:
            return


def together(number: int, ask: Callable[[int], Any]) -> list[Any]:
    """What `ask` returns in so many threads at once."""
    found: list[Any] = [None] * number

    def run(at: int) -> None:
        found[at] = ask(at)

    threads = [threading.Thread(target=run, args=(at,)) for at in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found
