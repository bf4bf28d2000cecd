"""The BentoML service of every family: `bentoml serve service:Model`, with MODELYARD_PACKAGE naming
the package.

BentoML supervises the worker processes; in each, modelyard's app alone answers.
"""

from __future__ import annotations

import sys
from typing import Any

import bentoml
from _bentoml_sdk import Service

from modelyard.errors import ModelyardError
from modelyard.serving.launch import check as look
from modelyard.serving.settings import ServingSettings, workers


class Direct(Service[Any]):
    """Hands BentoML's worker modelyard's app itself: spans that nobody collects and counters
    that make a new series of each path that anyone asks for would take longer than a small model
    does."""

    def to_asgi(self, is_main: bool = True) -> Any:
        """The app, which opens the package when the worker's server starts."""
        from modelyard.serving.app import app_from_environment

        self.inject_config()
        return app_from_environment()


@bentoml.service(name="modelyard", workers=workers(), service_class=Direct)
class Model:
    """One package, whatever its family."""

    @bentoml.on_deployment
    def check() -> None:  # type: ignore[misc]
        """Looks at the package once before workers start: a broken one ends the process with its
        cause in a line."""
        try:
            look(ServingSettings.from_environment().package)
        except ModelyardError as error:
            sys.exit(f"error: {error}")
