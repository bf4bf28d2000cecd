"""Data that come as one archive, as competitions and catalogues hand them out."""

from __future__ import annotations

import shutil
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

from modelyard.errors import BadData
from modelyard.store.files import ARCHIVES

UNPACKED = (".zip", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz")
"""Endings of archives that Python's own library opens."""
_OF_MACOS = "__MACOSX"
"""The folder of a zip in which macOS keeps what it knows of each file."""
_ENCRYPTED = 1
"""The bit of a zip's flags that says so."""


def is_unpacked(name: str) -> bool:
    """Whether a file of this name is an archive that is looked into."""
    return name.lower().endswith(UNPACKED)


def check_no_other_archive(file: Path) -> None:
    """Refuses an archive that is not looked into.

    Raises:
        BadData: the file is one by its name.
    """
    if file.name.lower().endswith(ARCHIVES) and not is_unpacked(file.name):
        problem = f"is an archive; those that are opened: {', '.join(UNPACKED)}"
        raise BadData(problem, file=file, hint="Unpack it, and give the folder")


def unpack(archive: Path, into: Path, name: str) -> Path:
    """Unpacks an archive, which messages call `name`; no member may lead out of the folder `into`.

    Returns:
        The folder that holds the files: the only one in others that hold nothing else.

    Raises:
        BadData: it is broken, or protected by a password.
    """
    into.mkdir()
    try:
        if archive.name.lower().endswith(".zip"):
            _unzip(archive, into)
        else:
            with tarfile.open(archive) as members:
                members.extractall(into, filter="data")
    except Exception as error:  # each of the formats has exceptions of its own
        seen = str(error).replace(str(archive), "it").replace(f"{into}/", "")
        problem = f"cannot be unpacked: {seen[:160] or type(error).__name__}"
        hint = "Is it complete, and without a password?"
        raise BadData(problem, file=Path(name), hint=hint) from None
    shutil.rmtree(into / _OF_MACOS, ignore_errors=True)
    inside = into
    while True:
        entries = [entry for entry in inside.iterdir() if not entry.name.startswith(".")]
        if len(entries) != 1 or entries[0].is_symlink() or not entries[0].is_dir():
            return inside
        inside = entries[0]


def _unzip(archive: Path, into: Path) -> None:
    try:
        # macOS writes names in UTF-8 and does not mark them so.
        members = zipfile.ZipFile(archive, metadata_encoding="utf-8")
    except UnicodeDecodeError:
        members = zipfile.ZipFile(archive)
    with members:
        for member in members.infolist():
            # Of Windows some tools part folders as Windows does.
            member.filename = member.filename.replace("\\", "/")
            if ".." in PurePosixPath(member.filename).parts:
                raise ValueError(f"{member.filename!r} would be outside the destination")
            if member.flag_bits & _ENCRYPTED:
                raise ValueError(f"{member.filename!r} is encrypted")
            members.extract(member, into)
