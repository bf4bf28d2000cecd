"""A registered package, and the names of what is recorded with it."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict

CHAMPION = "champion"
"""Alias of the version that serves."""
DIGEST, VERSION = "modelyard.digest", "modelyard.package"
"""Tags of a version: the digest of its package, and what the package calls itself."""


class Version(BaseModel):
    """A registered package."""

    model_config = ConfigDict(frozen=True)

    name: str
    version: str
    """1, 2, … as the registry counts."""
    package_version: str
    """What the package calls itself."""
    created: datetime
    champion: bool
    tags: dict[str, str]
    source: str
    """Where the registry keeps the package."""
    mlflow_run: str
