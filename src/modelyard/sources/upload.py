"""Bringing a local file or folder to an object store, where pods reach it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from modelyard.errors import BadData, BrokenArtifact, ModelyardError, Unavailable, UsageError
from modelyard.sources.local import local_files
from modelyard.sources.remote import describe, open_store
from modelyard.store import artifact
from modelyard.store.uploads import differing, put

DIGITS = 16
"""Of the sum over all files that names their folder."""


def upload(path: Path, store: str) -> str:
    """Copies a file or folder below `store`, into a folder named after its content; returns its URI.

    What is there already stays, so that the same data keep the same address.

    Raises:
        BadData: there are no files.
        UsageError: no permission, or an unknown kind of store; Unavailable: it does not answer.
        BrokenArtifact: not all of it arrived.
    """
    files = {name: Path(file) for name, file in local_files(path)}
    if not files:
        raise BadData("holds no files", file=path)
    sums = {name: artifact.sha256(file) for name, file in files.items()}
    digest = hashlib.sha256(json.dumps(sums, sort_keys=True).encode()).hexdigest()[:DIGITS]
    folder = f"{store.rstrip('/')}/{digest}"
    fs, root = open_store(folder)
    try:
        _put(fs, root, files)
    except ModelyardError:
        raise
    except PermissionError as error:
        raise UsageError(f"--upload {store}: no permission ({describe(error)})") from None
    except Exception as error:  # every store has its own exceptions
        kind = type(error).__name__
        raise Unavailable(f"--upload {store}: {kind}: {describe(error)}") from error
    if path.is_file():
        return f"{folder}/{path.name}"
    return f"{folder}/"


def _put(fs: Any, root: str, files: dict[str, Path]) -> None:
    sizes = {name: file.stat().st_size for name, file in files.items()}
    missing = differing(fs, root, sizes)
    put(fs, root, {name: files[name] for name in missing})
    wrong = differing(fs, root, sizes)
    if wrong:
        raise BrokenArtifact(f"{root}/{wrong[0]} did not arrive whole. Type the same command again")
