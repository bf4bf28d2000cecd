"""Data that come as one archive, as competitions and catalogues hand them out."""

from __future__ import annotations

import filecmp
import shutil
import tarfile
import tempfile
import zipfile
from pathlib import Path, PurePosixPath

from modelyard.errors import BadData
from modelyard.store.files import ARCHIVES
from modelyard.store.shards import is_sharded

UNPACKED = (".zip", ".tar", ".tgz", ".tbz2", ".txz", ".tar.gz", ".tar.bz2", ".tar.xz")
"""Endings of archives that Python's own library opens."""
_OF_MACOS = "__MACOSX"
"""The folder of a zip in which macOS keeps what it knows of each file."""
_DEEPEST = 5
"""Archives in each other: one may hold itself."""
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


def unpack(archive: Path, into: Path, name: str, depth: int = 1) -> Path:
    """Unpacks an archive, which messages call `name`, and those in it; no member may lead out of the
    folder `into`. Of archives in each other, `depth` counts them.

    Returns:
        The folder that holds the files: the only one in others that hold nothing else.

    Raises:
        BadData: it is broken, protected by a password, larger than the disk's free space, or holds an
            archive in an archive in an archive, and so on.
    """
    if depth > _DEEPEST:
        problem = f"holds archives in each other, more than {_DEEPEST}"
        raise BadData(problem, file=Path(name.partition("[")[0]), hint="Unpack it")
    into.mkdir()
    try:
        if archive.name.lower().endswith(".zip"):
            _unzip(archive, into, name)
        else:
            with tarfile.open(archive) as members:
                for member in members:
                    _check_room(member.size, into, name)
                    members.extract(member, into, filter="data")
    except BadData:
        raise
    except Exception as error:  # each of the formats has exceptions of its own
        seen = str(error).replace(str(archive), "it").replace(f"{into}/", "")
        problem = f"cannot be unpacked: {seen[:160] or type(error).__name__}"
        hint = "Is it complete, and without a password?"
        raise BadData(problem, file=Path(name), hint=hint) from None
    shutil.rmtree(into / _OF_MACOS, ignore_errors=True)
    for file in sorted(into.rglob("*")):
        # macOS writes next to a.zip what it knows of it, as ._a.zip.
        is_plain = file.is_file() and not file.is_symlink() and not file.name.startswith(".")
        # Shards are read as they are.
        if is_plain and is_unpacked(file.name) and not is_sharded(file.parent):
            _unpack_in_place(file, f"{name}[{file.relative_to(into)}]", depth + 1)
    inside = into
    while True:
        entries = [entry for entry in inside.iterdir() if not entry.name.startswith(".")]
        if len(entries) != 1 or entries[0].is_symlink() or not entries[0].is_dir():
            return inside
        inside = entries[0]


def _check_room(size: int, folder: Path, name: str) -> None:
    free = shutil.disk_usage(folder).free
    if size > free:
        problem = f"unpacks to {size / 1e9:,.3g} GB more; the disk has {free / 1e9:,.3g} GB free"
        raise BadData(problem, file=Path(name), hint="Free space, or take a part of it")


def _unpack_in_place(archive: Path, name: str, depth: int) -> None:
    """Puts what an archive in another one holds in its place: its only file, else a folder called as
    it. Where other files stand there, in a folder with all of its name."""
    ending = next(end for end in UNPACKED if archive.name.lower().endswith(end))
    with tempfile.TemporaryDirectory(dir=archive.parent, prefix=".archive.") as aside:
        inside = unpack(archive, Path(aside) / "unpacked", name, depth)
        archive.unlink()
        entries = [entry for entry in inside.iterdir() if not entry.name.startswith(".")]
        place = archive.with_name(archive.name[: -len(ending)])
        if len(entries) == 1 and entries[0].is_file():
            (inside,) = entries
            place = archive.with_name(inside.name)
        if place.exists() and not _holds(place, inside):
            place = archive
            if inside.is_file():
                archive.mkdir()
                place = archive / inside.name
        if not place.exists():
            inside.rename(place)


def _holds(place: Path, inside: Path) -> bool:
    """Whether a file is another one, or each file of a folder in another folder, unpacked already."""
    if inside.is_file():
        return place.is_file() and filecmp.cmp(inside, place, shallow=False)
    return all(
        _holds(place / file.relative_to(inside), file)
        for file in inside.rglob("*")
        if file.is_file()
    )


def _unzip(archive: Path, into: Path, name: str) -> None:
    try:
        # macOS writes names in UTF-8 and does not mark them so.
        members = zipfile.ZipFile(archive, metadata_encoding="utf-8")
    except UnicodeDecodeError:
        members = zipfile.ZipFile(archive)
    with members:
        _check_room(sum(member.file_size for member in members.infolist()), into, name)
        for member in members.infolist():
            # Of Windows some tools part folders as Windows does.
            member.filename = member.filename.replace("\\", "/")
            if ".." in PurePosixPath(member.filename).parts:
                raise ValueError(f"{member.filename!r} would be outside the destination")
            if member.flag_bits & _ENCRYPTED:
                raise ValueError(f"{member.filename!r} is encrypted")
            members.extract(member, into)
