"""What the registry knows of releases: which version went where, and whether that still serves."""

from __future__ import annotations

from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

from modelyard.registry import versions as registry
from modelyard.registry.version import DIGEST, Version
from modelyard.settings.serve import ServeSettings

RELEASE, FAILED = "modelyard.release", "modelyard.release-failed"
"""Tags of a version: the `Release` that serves or served it, and why one that was tried does
not."""


class Release(BaseModel):
    """A release as a deploy left it; kept with the registered version, so that a rollback finds
    it."""

    model_config = ConfigDict(frozen=True)

    settings: ServeSettings
    namespace: str
    revision: int
    uri: str
    """Where the pods fetched the package."""

    @property
    def called(self) -> str:
        """`models/payments`."""
        return f"{self.namespace}/{self.settings.release}"


def release_of(version: Version) -> Release | None:
    """The release that a version was brought to."""
    if RELEASE in version.tags:
        return Release.model_validate_json(version.tags[RELEASE])
    return None


def serving_release(name: str) -> Release | None:
    """The release of the champion, else the newest that any version of the name was brought to."""
    # The champion first, the others as they are: newest first.
    for version in sorted(registry.list_versions(name), key=lambda one: not one.champion):
        release = release_of(version)
        if release is not None:
            return release
    return None


class Disagreement(NamedTuple):
    """A release serves another package than the one that the registry calls champion."""

    seen: str
    fix: str

    def __str__(self) -> str:
        return f"{self.seen}. {self.fix}"


def disagreement(name: str, called: str, digest: str) -> Disagreement | None:
    """Compares what a release serves with the champion of a registered name; None where they agree.

    `called` is the release, `digest` the package that it serves; empty where it serves none.
    """
    champion = served = None
    for version in registry.list_versions(name):
        if version.champion:
            champion = version
        if served is None and digest and version.tags.get(DIGEST) == digest:
            served = version
    if champion is not None and served == champion:
        return None
    was_brought = champion is not None and release_of(champion) is not None
    if not digest and not was_brought:
        return None
    serves = f"package {digest[:12]}, which is not registered here" if digest else "nothing"
    fixes = []
    if served is not None:
        serves = f"version {served.version}"
        fixes.append(f"To keep what serves: modelyard promote {name}@{served.version}")
    calls = f"{name} has no champion"
    if champion is not None:
        calls = f"the champion of {name} is version {champion.version}"
        fixes.append(f"To serve the champion: modelyard promote {name}@{champion.version}")
    why = "a deploy was stopped in between, or one of them was changed by hand"
    return Disagreement(f"{called} serves {serves}, but {calls}: {why}", ". ".join(fixes))
