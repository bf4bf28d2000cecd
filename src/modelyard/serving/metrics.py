"""What a service counts, for Prometheus."""

from __future__ import annotations

import functools
import os
from typing import Any

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """Counters of one package: the label lets a canary be told from the champion."""

    def __init__(self, package: str) -> None:
        kinds = _instruments()
        self._requests = functools.cache(functools.partial(kinds["requests"].labels, package))
        self._seconds = functools.cache(functools.partial(kinds["seconds"].labels, package))
        self._rows = kinds["predictions"].labels(package)
        self._logged = {kind: kinds["log_rows"].labels(package, kind) for kind in ("written", "dropped")}

    def request(self, route: str, code: int, seconds: float) -> None:
        """One request, answered."""
        self._requests(route, str(code)).inc()
        self._seconds(route).observe(seconds)

    def predictions(self, rows: int) -> None:
        """Examples answered."""
        self._rows.inc(rows)

    def log_rows(self, outcome: str, rows: int) -> None:
        """Rows of the prediction log that were `written` or `dropped`."""
        self._logged[outcome].inc(rows)


def exposition() -> tuple[bytes, str]:
    """All counters as Prometheus' text, and its media type.

    BentoML sets PROMETHEUS_MULTIPROC_DIR in its workers: the text then sums over all of them.
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
    from prometheus_client import Counter, Histogram

    return {
        "requests": Counter("modelyard_requests", "Requests answered", ["package", "route", "code"]),
        "seconds": Histogram(
            "modelyard_request_seconds", "Seconds from request to answer", ["package", "route"], buckets=_SECONDS
        ),
        "predictions": Counter("modelyard_predictions", "Examples answered", ["package"]),
        "log_rows": Counter("modelyard_log_rows", "Rows of the prediction log", ["package", "outcome"]),
    }
