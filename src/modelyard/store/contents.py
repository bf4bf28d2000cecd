"""What a folder that came from outside may hold: plain files, under plain names, inside itself."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

from modelyard.errors import BrokenArtifact

MOST_FILES = 200_000
LONGEST_NAME, LONGEST_PART = 1_024, 255
"""Characters of a relative name, and bytes of one part of it: what file systems hold."""
# Control signs, backslashes and lone surrogates, which file systems take differently; line ends and
# signs that turn the direction of writing, by which a name shows as another one.
_ODD = re.compile(r"[\x00-\x1f\x7f-\x9f\\\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def check_name(name: str) -> str:
    """The relative name of a file inside a folder, with `/`.

    Raises:
        ValueError: it is absolute, leads out of the folder, or holds what no file name should.
    """
    parts = name.split("/")
    if len(name) > LONGEST_NAME or _ODD.search(name):
        raise ValueError(f"{name[:80]!r} is no plain file name")
    # `C:x` is a place on a drive of Windows.
    leads_out = any(part in ("", ".", "..") for part in parts)
    if leads_out or re.match(r"[A-Za-z]:", name):
        raise ValueError(f"{name[:80]!r} does not stay inside the folder")
    if any(len(part.encode()) > LONGEST_PART for part in parts):
        raise ValueError(f"{name[:80]!r} is too long for a file name")
    return name


Name = Annotated[str, AfterValidator(check_name)]
"""The relative name of a file inside a folder."""


def files_in(folder: Path) -> dict[str, int]:
    """The size in bytes of each file below a folder, by relative name. No link is followed.

    Raises:
        BrokenArtifact: a link, a device, a pipe, a socket, an odd name, or too many files.
    """
    found: dict[str, int] = {}
    waiting = [Path(folder)]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                name = Path(entry.path).relative_to(folder).as_posix()
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(Path(entry.path))
                    continue
                _check_plain(entry, name, folder)
                found[name] = entry.stat(follow_symlinks=False).st_size
                if len(found) > MOST_FILES:
                    raise BrokenArtifact(f"{folder} holds more than {MOST_FILES:,} files")
    return found


def read_text(file: Path, most: int) -> str:
    """A text file of at most `most` bytes.

    Raises:
        BrokenArtifact: it is larger. OSError, UnicodeDecodeError: it cannot be read.
    """
    with Path(file).open("rb") as stream:
        # Python reserves as much memory as may be read.
        size = os.fstat(stream.fileno()).st_size
        content = stream.read(min(size, most) + 1)
    if len(content) > most:
        raise BrokenArtifact(f"{file} has more than {most:,} bytes: no such file is made here")
    return content.decode()


def _check_plain(entry: os.DirEntry[str], name: str, folder: Path) -> None:
    try:
        check_name(name)
    except ValueError as error:
        raise BrokenArtifact(f"{folder}: {error}") from None
    if entry.is_symlink():
        raise BrokenArtifact(
            f"{folder}/{name} is a link; a package holds only plain files. Copy it with: cp -rL"
        )
    if not stat.S_ISREG(entry.stat(follow_symlinks=False).st_mode):
        raise BrokenArtifact(f"{folder}/{name} is no plain file but a pipe, a socket or a device")
