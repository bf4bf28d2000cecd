"""Where data may come from, as one string: `data.uri`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from modelyard.errors import UsageError

GIT_FORM = "git+https://HOST/REPOSITORY.git#PATH"
_SCHEME = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*://")
_GIT = re.compile(r"^git\+(https?|ssh|file)://")


@dataclass(frozen=True)
class GitAddress:
    """A path in a Git repository."""

    url: str
    """What `git clone` takes."""
    path: str
    """Relative to the repository's root, with `/`."""


def is_git(uri: str) -> bool:
    """Whether it is meant as `git+…`."""
    return uri.startswith("git+")


def is_remote(uri: str) -> bool:
    """Whether it has a scheme, such as `s3://`; `file://` is local."""
    return bool(_SCHEME.match(uri)) and not uri.startswith("file://")


def local_path(uri: str) -> str:
    """The path of a `file://` URI, or the path itself."""
    return uri.removeprefix("file://localhost").removeprefix("file://")


def git_address(uri: str) -> GitAddress:
    """Takes `git+URL#path` apart.

    Raises:
        UsageError: another transport, or no path.
    """
    if not _GIT.match(uri):
        raise UsageError(
            f"data.uri {uri!r}: Git data is written {GIT_FORM}, with https, ssh or file"
        )
    url, _, path = uri.removeprefix("git+").partition("#")
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if not parts or ".." in parts:
        raise UsageError(f"data.uri {uri!r} names no path in the repository. Write {GIT_FORM}")
    return GitAddress(url, "/".join(parts))
