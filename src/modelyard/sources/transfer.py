"""Copying files from anywhere into a folder, hashed on the way."""

from __future__ import annotations

import hashlib
import posixpath
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from pydantic import BaseModel, ConfigDict

from modelyard.errors import BadData

CHUNK = 1 << 20
THREADS = 8

Report = Callable[[int, int], None]
"""`report(done, total)` in bytes."""


class FileInfo(BaseModel):
    """A file that was fetched."""

    model_config = ConfigDict(frozen=True)

    sha256: str
    size: int
    """Bytes."""


@dataclass(frozen=True)
class Entry:
    """A file to copy."""

    name: str
    """Relative, with `/`: its place in the target folder."""
    size: int
    """Bytes, as far as the source says; for progress only."""
    open: Callable[[], IO[bytes]]


def wanted(name: str) -> bool:
    """False for what is not data: hidden files and folders (`.git`, `.gitignore`) and DVC's own
    `*.dvc`."""
    parts = PurePosixPath(name).parts
    return not any(part.startswith(".") and part != ".." for part in parts) and not name.endswith(
        ".dvc"
    )


def copy_all(entries: Sequence[Entry], into: Path, report: Report) -> dict[str, FileInfo]:
    """Copies the entries' bytes, several at a time.

    Raises:
        BadData: a name that leads out of the folder, or two files of one name.
    """
    for entry in entries:
        if posixpath.isabs(entry.name) or ".." in PurePosixPath(entry.name).parts:
            raise BadData("its name leads out of the data folder", file=entry.name)
    names = [PurePosixPath(entry.name).as_posix() for entry in entries]
    if (
        twice := {name for name in names if names.count(name) > 1}
        if len(set(names)) < len(names)
        else set()
    ):
        raise BadData("two files have this name", file=min(twice))
    meter = _Meter(sum(entry.size for entry in entries), report)
    with ThreadPoolExecutor(THREADS) as pool:
        results = list(pool.map(lambda entry: _copy(entry, into, meter), entries))
    return dict(sorted(zip(names, results, strict=True)))


def _copy(entry: Entry, into: Path, meter: _Meter) -> FileInfo:
    target, digest, size = into / entry.name, hashlib.sha256(), 0
    target.parent.mkdir(parents=True, exist_ok=True)
    with entry.open() as source, target.open("xb") as sink:
        while chunk := source.read(CHUNK):
            sink.write(chunk)
            digest.update(chunk)
            size += len(chunk)
            meter.add(len(chunk))
    return FileInfo(sha256=digest.hexdigest(), size=size)


class _Meter:
    """Adds up bytes over threads; never tells more than the total."""

    def __init__(self, total: int, report: Report) -> None:
        self.total, self.report, self.done, self.lock = total, report, 0, threading.Lock()

    def add(self, count: int) -> None:
        with self.lock:
            self.done += count
            if self.total:
                self.report(min(self.done, self.total), self.total)
