"""A registered package, and the names of what is recorded with it."""

from __future__ import annotations

import re
from datetime import datetime

from pydantic import BaseModel, ConfigDict

from modelyard.home import slug

CHAMPION = "champion"
"""Alias of the version that serves."""
DIGEST, VERSION = "modelyard.digest", "modelyard.package"
"""Tags of a version: the digest of its package, and what the package calls itself."""


def registered_name(family: str, uri: str | None, name: str | None) -> str:
    """Under which name packages are registered, by the settings `data.uri` and `registry.name`."""
    family, uri = slug(family), uri or ""
    data = (uri.partition("#")[2] or uri).rstrip("/").rpartition("/")[2].partition(".")[0]
    data = re.sub(r"[^a-z0-9]+", "-", data.lower()).strip("-")
    return name or (family if data in ("", family) else f"{family}-{data}")


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
