"""What a service counts, for Prometheus."""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, Any

from modelyard.cost.meters import GpuMeter
from modelyard.runtimes.devices import CPU, CPU_PLACE, Place

if TYPE_CHECKING:
    from modelyard.serving.lanes import Lanes

_SECONDS = (
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class Metrics:
    """Counters of one package: the label separates a canary from the champion."""

    def __init__(self, package: str) -> None:
        kinds = _instruments()
        self._package = package
        # `labels` takes a lock and makes a key at each call; routes, codes and fields are few.
        self._requests = functools.cache(functools.partial(kinds["requests"].labels, package))
        self._seconds = functools.cache(functools.partial(kinds["seconds"].labels, package))
        self._warnings = functools.cache(functools.partial(kinds["warnings"].labels, package))
        self._rows = kinds["predictions"].labels(package)
        self._batch = kinds["batch"].labels(package)
        self._swaps, self._serving, self._depth = kinds["swaps"], kinds["serving"], kinds["depth"]
        self._variant, self._instead = kinds["variant"], kinds["instead"]
        self._logged = {}
        # Both from the start, at 0: Prometheus sees no increase from nothing to 1.
        for outcome in ("written", "dropped"):
            self._logged[outcome] = kinds["log_rows"].labels(package, outcome)
        self._computes, self._memory = kinds["computes"], kinds["memory"]
        self._lanes: Lanes | None = None
        self._place = CPU_PLACE
        self._gpu: GpuMeter | None = None

    def request(self, route: str, code: int, seconds: float) -> None:
        """One request, answered."""
        self._requests(route, code).inc()
        self._seconds(route).observe(seconds)

    def predictions(self, rows: int) -> None:
        """Examples answered."""
        self._rows.inc(rows)

    def batch(self, rows: int) -> None:
        """Examples that went to the model together."""
        self._batch.observe(rows)

    def log_rows(self, outcome: str, rows: int) -> None:
        """Rows of the prediction log that were `written` or `dropped`."""
        self._logged[outcome].inc(rows)

    def warning(self, field: str) -> None:
        """A caution of an answer; `field` is one of the request's, or `other`."""
        self._warnings(field).inc()

    def watch(self, lanes: Lanes) -> None:
        """Whose queues `note` counts."""
        self._lanes = lanes

    def serving(self, role: str) -> None:
        """This package has a role: champion, candidate, shadow; or `none` any more."""
        for known in ("champion", "candidate", "shadow"):
            self._serving.labels(self._package, known).set(float(known == role))

    def variant(self, name: str, *, instead: bool) -> None:
        """Which variant answers; `instead` of the chosen one, which does not open here."""
        self._variant.labels(self._package, name).set(1)
        self._instead.labels(self._package).set(float(instead))

    def computes_on(self, place: Place) -> None:
        """Where the package's graphs compute, and whose memory `note` reads."""
        self._place = place
        self._gpu = GpuMeter() if place.kind != CPU else None
        runtime = place.name.replace(" ", "-")  # a label holds no blank
        self._computes.labels(self._package, place.device, runtime).set(1.0)

    def swap(self, outcome: str) -> None:
        """A package came to take over, and was `taken` or `refused`."""
        self._swaps.labels(outcome).inc()

    def note(self) -> None:
        """Sets what is read, not counted: the depth of the queue."""
        if self._lanes is not None:
            self._depth.labels(self._package).set(self._lanes.depth)
        if self._gpu is None:
            return
        used = self._gpu.memory(self._place.number)
        if used is not None:
            self._memory.labels(self._place.device).set(used)


def exposition() -> tuple[bytes, str]:
    """All counters as Prometheus' text, and its media type.

    Where PROMETHEUS_MULTIPROC_DIR is set, as BentoML and `modelyard serve` do for their workers,
    the text sums over all of them.
    """
    from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
    from prometheus_client.multiprocess import MultiProcessCollector

    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return generate_latest(), CONTENT_TYPE_LATEST
    registry = CollectorRegistry()
    MultiProcessCollector(registry)
    return generate_latest(registry), CONTENT_TYPE_LATEST


@functools.cache
def _instruments() -> dict[str, Any]:
    """One set a process: Prometheus refuses a name twice."""
    return _counts() | _states()


def _counts() -> dict[str, Any]:
    """What only grows."""
    from prometheus_client import Counter, Histogram

    labels = ["package"]
    return {
        "requests": Counter(
            "modelyard_requests", "Requests answered", ["package", "route", "code"]
        ),
        "seconds": Histogram(
            "modelyard_request_seconds",
            "Seconds from request to answer",
            ["package", "route"],
            buckets=_SECONDS,
        ),
        "predictions": Counter("modelyard_predictions", "Examples answered", labels),
        "warnings": Counter(
            "modelyard_warnings",
            "Cautions of answers, by the field of the request",
            ["package", "field"],
        ),
        "log_rows": Counter(
            "modelyard_log_rows", "Rows of the prediction log", ["package", "outcome"]
        ),
        "batch": Histogram(
            "modelyard_batch_rows", "Examples answered together", labels, buckets=_ROWS
        ),
        "swaps": Counter("modelyard_swaps", "Packages that came to take over", ["outcome"]),
    }


def _states() -> dict[str, Any]:
    """What is so at the moment."""
    from prometheus_client import Gauge

    def largest(name: str, meaning: str, labels: list[str]) -> Gauge:
        """Of several workers the largest value."""
        # `live`: the files of workers that have ended do not count.
        return Gauge(name, meaning, labels, multiprocess_mode="livemax")

    return {
        "depth": Gauge(
            "modelyard_queue_rows",
            "Examples in the queue",
            ["package"],
            multiprocess_mode="livesum",
        ),
        "serving": largest(
            "modelyard_serving", "1 for the package in the role", ["package", "role"]
        ),
        "variant": largest(
            "modelyard_variant", "1 for the variant that answers", ["package", "variant"]
        ),
        "instead": largest(
            "modelyard_variant_fallback",
            "1 where the chosen variant does not open and another one answers",
            ["package"],
        ),
        "computes": largest(
            "modelyard_device",
            "1 for what computes a package's graphs, and where",
            ["package", "device", "runtime"],
        ),
        "memory": largest(
            "modelyard_device_memory_bytes",
            "Memory of a GPU that is in use, by whomever",
            ["device"],
        ),
    }
