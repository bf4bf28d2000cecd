"""Whether data is what it was, asked without fetching it."""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelyard.errors import ModelyardError
from modelyard.settings.uri import git_address, is_git, is_remote, local_path
from modelyard.sources.git import resolve
from modelyard.sources.gitcommand import GitError, git
from modelyard.sources.local import local_files
from modelyard.sources.remote import listing
from modelyard.store import artifact

if TYPE_CHECKING:
    from modelyard.settings.family import DataSettings

COMMIT = re.compile(r"[0-9a-f]{40}")
VERSIONS = (
    "ETag",
    "etag",
    "VersionId",
    "LastModified",
    "last_modified",
    "md5Hash",
    "generation",
    "mtime",
    "created",
)
"""What stores call an object's version, in fsspec's listings."""


def fingerprint(data: DataSettings, companions: dict[str, Path]) -> str | None:
    """Text that changes when the data that `data` names changes; None when nothing short of
    fetching can tell.

    A commit for Git, the stores' own version marks for objects, sums for local files; for so many
    that they become shards, the marks that the file system gives them. What goes wrong here is left
    for the fetch to say.
    """
    try:
        beside = {name: artifact.sha256(path) for name, path in companions.items()}
        main: str | None = "sample"
        if data.uri is not None:
            main = _of(data.uri, data.rev, data.plain_files)
    except (ModelyardError, GitError, OSError):
        return None
    if main is None:
        return None
    return json.dumps([main, beside], sort_keys=True)


def _of(uri: str, rev: str | None, most: int) -> str | None:
    if is_git(uri):
        return _commit_elsewhere(git_address(uri).url, rev)
    if is_remote(uri):
        return _versions(listing(uri))
    path = Path(local_path(uri)).expanduser()
    if rev:
        # Git runs in a folder that is there: the path itself may exist at the revision only.
        near = next(parent for parent in path.absolute().parents if parent.is_dir())
        root = Path(git("-C", str(near), "rev-parse", "--show-toplevel"))
        return resolve(root, rev, str(root))
    files = dict(local_files(path))
    # Reading so many files takes as long as fetching them.
    if len(files) > most:
        return _digest({name: _mark(file) for name, file in files.items()})
    return _digest({name: artifact.sha256(Path(file)) for name, file in files.items()})


def _mark(file: str) -> list[int]:
    """What changes when a file is written. Its inode's time can't be set back, as the other can."""
    state = os.stat(file)  # noqa: PTH116 - text
    return [state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino]


def _commit_elsewhere(url: str, rev: str | None) -> str | None:
    if rev and COMMIT.fullmatch(rev):
        return rev
    wanted = rev or "HEAD"
    # All that match: `main` finds `feature/main` too, and which one comes first is the server's
    # affair.
    # `^{}`: the commit behind an annotated tag, which has an id of its own.
    return git("ls-remote", "--", url, wanted, f"{wanted}^{{}}") or None


def _versions(infos: dict[str, dict[str, Any]]) -> str | None:
    marks = {}
    for name, info in infos.items():
        version = {key: str(info[key]) for key in VERSIONS if info.get(key) is not None}
        # Nothing that changes with the content: two listings could not be compared.
        if not version:
            return None
        marks[name] = [info.get("size"), version]
    return _digest(marks) if marks else None


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
