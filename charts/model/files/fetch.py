"""Copies a package into a folder, whole and verified or not at all: fetch.py SOURCE FOLDER
[DIGEST]."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from modelyard.errors import BrokenArtifact, ModelyardError
from modelyard.packages.package import verify
from modelyard.settings.uri import is_remote, local_path
from modelyard.sources.remote import fetch_remote
from modelyard.sources.transfer import Destination
from modelyard.store import artifact, contents


def fetch(source: str, folder: Path, digest: str | None) -> artifact.Manifest:
    """Copies the package at a path or URI; `digest` is the identity that its manifest must have.

    Raises:
        BrokenArtifact: it is incomplete, was changed, or is another one.
        UsageError, Unavailable: nothing is there, or the store does not answer.
    """
    if digest and folder.is_dir() and (there := verify(folder).manifest).digest == digest:
        return there  # the pod's second start: its volume has it already
    with artifact.create(folder) as work:
        if is_remote(source):
            fetch_remote(source, Destination.plain(work))
        else:
            _copy(Path(local_path(source)), work)
        if not (work / artifact.MANIFEST).is_file():
            raise BrokenArtifact(f"{source} holds no package: give the folder with manifest.json")
        manifest = verify(work).manifest
        if digest and manifest.digest != digest:
            raise BrokenArtifact(
                f"{source} has the digest {manifest.digest}; package.sha256 allows {digest} alone"
            )
    return manifest


def _copy(source: Path, work: Path) -> None:
    if not source.is_dir():
        raise BrokenArtifact(f"{source} is no folder: set package.path to the package's")
    contents.files_in(source)  # a link would bring what lies elsewhere
    shutil.copytree(source, work, dirs_exist_ok=True, copy_function=shutil.copyfile)


def main(source: str, folder: str, digest: str | None = None) -> int:
    """The exit code: 2 where a person must fix something."""
    try:
        manifest = fetch(source, Path(folder), digest)
    except ModelyardError as error:
        # the code that fetches says data.uri; here a person set package.uri
        print(f"error: {error}".replace("data.uri", "package.uri"), file=sys.stderr)
        return error.exit_code
    print(f"package {manifest.digest} of {len(manifest.files)} files, made by run {manifest.run}")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
