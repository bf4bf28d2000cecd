"""The BentoML service of every family: `bentoml serve service:Model`, with MODELYARD_PACKAGE naming the package.

BentoML supervises the worker processes and answers /livez and /readyz; modelyard's app answers the rest.
"""

from __future__ import annotations

import sys

import bentoml

from modelyard.errors import ModelyardError
from modelyard.package import Package
from modelyard.serving.app import app_from_environment
from modelyard.serving.settings import ServingSettings, workers


@bentoml.asgi_app(app_from_environment())
@bentoml.service(
    name="modelyard",
    workers=workers(),
    # BentoML's own counters make a new series of each path that anyone asks for; modelyard's app has /metrics.
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
    # Spans that nobody collects take longer than a small model does.
    tracing={"excluded_urls": ".*"},
)
class Model:
    """One package, whatever its family."""

    @bentoml.on_deployment
    def check() -> None:  # type: ignore[misc]
        """Opens the package once before workers start: a broken one ends the process with its cause in a line."""
        try:
            Package(ServingSettings.from_environment().package, threads=1)
        except ModelyardError as error:
            sys.exit(f"error: {error}")
