"""What a serving process is told: environment variables, so that a container and a laptop say it alike."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from modelyard import home
from modelyard.config import Settings
from modelyard.errors import UsageError

VARIABLES = {
    "package": "MODELYARD_PACKAGE",
    "predictions": "MODELYARD_PREDICTIONS",
    "log": "MODELYARD_LOG",
    "workers": "MODELYARD_WORKERS",
    "body_bytes": "MODELYARD_MAX_BODY_BYTES",
    "examples": "MODELYARD_MAX_EXAMPLES",
}


class ServingSettings(Settings):
    """Settings of a service; `from_environment` reads the variable named in VARIABLES for each."""

    package: Path
    """The package to serve."""
    predictions: Path | None = None
    """Folder of the prediction log. None: `runs/predictions/<family>`."""
    log: bool = True
    """Whether predictions are logged; `off` switches it off."""
    workers: int = Field(default=1, ge=1)
    """Processes that answer."""
    body_bytes: int = Field(default=16 * 2**20, ge=1)
    """Largest request body, bytes; a larger one is answered with 413."""
    examples: int = Field(default=1_000, ge=1)
    """Most examples in one request."""

    @classmethod
    def from_environment(cls) -> ServingSettings:
        """Reads the environment.

        Raises:
            UsageError: MODELYARD_PACKAGE is not set, or a value is not allowed.
        """
        given: dict[str, Any] = {name: os.environ[key] for name, key in VARIABLES.items() if os.environ.get(key)}
        if "package" not in given:
            raise UsageError("MODELYARD_PACKAGE is not set: which package to serve? Type: modelyard serve PACKAGE")
        try:
            return cls(**given)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            name = str(first["loc"][0])
            raise UsageError(f"{VARIABLES[name]} = {first['input']!r}: {first['msg']}") from None

    def prediction_folder(self, family: str) -> Path:
        """Where the predictions of `family` are logged."""
        return (self.predictions or home.predictions(family)).resolve()


def workers() -> int:
    """MODELYARD_WORKERS, known before a package is."""
    seen = os.environ.get(VARIABLES["workers"]) or "1"
    if not seen.isdigit() or int(seen) < 1:
        raise UsageError(f"MODELYARD_WORKERS = {seen!r} must be a number of at least 1")
    return int(seen)
