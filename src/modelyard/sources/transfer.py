"""Copying files from anywhere into a folder, hashed on the way. Many become a few shards."""

from __future__ import annotations

import hashlib
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from modelyard.errors import BadData
from modelyard.store.shards import ShardWriter

CHUNK = 1 << 20
THREADS = 8
BATCH_FILES, BATCH_BYTES = 64, CHUNK
"""How many small files a thread reads at once."""
HELD_BYTES = 128 * CHUNK
"""Of files that are read ahead, in memory. Half as large a file is copied in pieces."""

Report = Callable[[int, int], None]
"""`report(done, total)` in bytes."""


@dataclass(frozen=True, slots=True)
class FileInfo:
    """A file that was fetched."""

    sha256: str
    size: int
    """Bytes."""


@dataclass(frozen=True)
class Destination:
    """Where files are copied to, and how they are kept there."""

    folder: Path
    plain_files: int
    """More files than these become shards."""
    shard_bytes: int
    """Of a full shard."""
    report: Report

    @classmethod
    def plain(cls, folder: Path) -> Destination:
        """Files as they are, however many; nobody asks how far it is."""
        return cls(folder, sys.maxsize, 0, lambda done, total: None)


@dataclass(frozen=True, slots=True)
class Entry:
    """A file to copy."""

    name: str
    """Relative, with `/`: its place in the target folder."""
    size: int
    """Bytes, as far as the source says."""
    open: Callable[[], IO[bytes]]
    read: Callable[[], bytes] | None = None
    """All its bytes, where the source has a quicker way than to open it."""


def wanted(name: str) -> bool:
    """False for what is not data: hidden files and folders (`.git`, `.gitignore`) and DVC's own
    `*.dvc`."""
    if name.endswith(".dvc"):
        return False
    if not name.startswith(".") and "/." not in name:
        return True
    parts = PurePosixPath(name).parts
    return not any(part.startswith(".") and part != ".." for part in parts)


def copy_all(
    entries: Sequence[Entry], target: Destination, threads: int = THREADS
) -> dict[str, FileInfo]:
    """Copies the entries' bytes, several at a time: as files, or as shards where they are many.

    `threads` read what becomes shards.

    Raises:
        BadData: a name that leads out of the folder, or two files of one name.
    """
    named: dict[str, Entry] = {}
    for entry in entries:
        path = PurePosixPath(entry.name)
        if path.is_absolute() or ".." in path.parts:
            raise BadData("its name leads out of the data folder", file=entry.name)
        name = path.as_posix()
        if name in named:
            raise BadData("two files have this name", file=name)
        named[name] = entry
    named = dict(sorted(named.items()))
    meter = _Meter(sum(entry.size for entry in entries), target.report)
    if len(entries) > target.plain_files:
        with ThreadPoolExecutor(threads) as pool:
            return _pack(named, target, meter, _read_ahead(named, pool, 2 * threads))
    # Few files may be large ones, of which a store's client holds a part for each thread.
    with ThreadPoolExecutor(THREADS) as pool:
        copies = pool.map(lambda name: _copy(name, named[name], target, meter), named)
        return dict(zip(named, copies, strict=True))


def _copy(name: str, entry: Entry, target: Destination, meter: _Meter) -> FileInfo:
    file, digest, size = target.folder / name, hashlib.sha256(), 0
    file.parent.mkdir(parents=True, exist_ok=True)
    with entry.open() as source, file.open("xb") as sink:
        while chunk := source.read(CHUNK):
            sink.write(chunk)
            digest.update(chunk)
            size += len(chunk)
            meter.add(len(chunk))
    return FileInfo(sha256=digest.hexdigest(), size=size)


def _pack(
    named: dict[str, Entry],
    target: Destination,
    meter: _Meter,
    contents: Iterator[tuple[str, bytes | None]],
) -> dict[str, FileInfo]:
    """Writes the files, in the order of their names, into shards."""
    target.folder.mkdir(parents=True, exist_ok=True)
    files = {}
    with ShardWriter(target.folder, target.shard_bytes) as writer:
        for name, content in contents:
            if content is None:
                member = writer.add(name, named[name].size, _pieces(named[name]))
            else:
                member = writer.add(name, len(content), [content])
            files[name] = FileInfo(sha256=member.sha256, size=member.size)
            meter.add(member.size)
    return files


def _read_ahead(
    named: dict[str, Entry], pool: ThreadPoolExecutor, depth: int
) -> Iterator[tuple[str, bytes | None]]:
    """Names and contents, in order, while threads read the next ones. None: not read ahead."""
    reading: deque[tuple[list[str], int, Future[list[bytes | None]]]] = deque()
    held = 0
    for names in _batches(named):
        entries = [named[name] for name in names]
        size = sum(entry.size for entry in entries)
        reading.append((names, size, pool.submit(_read, entries)))
        held += size
        # The oldest first: shards keep the order of names, and memory its bound.
        while reading and (len(reading) > depth or held > HELD_BYTES):
            first, size, contents = reading.popleft()
            yield from zip(first, contents.result(), strict=True)
            held -= size
    for first, _, contents in reading:
        yield from zip(first, contents.result(), strict=True)


def _batches(named: dict[str, Entry]) -> Iterator[list[str]]:
    names: list[str] = []
    size = 0
    for name, entry in named.items():
        is_full = len(names) == BATCH_FILES or size + entry.size > BATCH_BYTES
        if names and is_full:
            yield names
            names, size = [], 0
        names.append(name)
        size += entry.size
    if names:
        yield names


def _read(entries: list[Entry]) -> list[bytes | None]:
    """The files' bytes; None for those that are too large to hold."""
    contents: list[bytes | None] = []
    # Some sources know no sizes, and say 0: what they say holds only so far.
    left = sum(entry.size for entry in entries) + BATCH_BYTES
    for entry in entries:
        content = None
        if entry.size <= HELD_BYTES // 2:
            content = _whole(entry, left)
        if content is not None:
            left -= len(content)
        contents.append(content)
    return contents


def _whole(entry: Entry, most: int) -> bytes | None:
    """A file's bytes; None where there are more than `most`."""
    if entry.read is not None:
        return entry.read()
    with entry.open() as source:
        # One byte more shows whether the source said too little.
        content = source.read(entry.size + 1)
        if len(content) > entry.size:
            content += source.read(most + 1 - len(content))
    if len(content) <= most:
        return content
    return None


def _pieces(entry: Entry) -> Iterator[bytes]:
    with entry.open() as source:
        while chunk := source.read(CHUNK):
            yield chunk


class _Meter:
    """Adds up bytes over threads; never tells more than the total."""

    def __init__(self, total: int, report: Report) -> None:
        self.total, self.report, self.done, self.lock = total, report, 0, threading.Lock()

    def add(self, count: int) -> None:
        # Threads add at the same time.
        with self.lock:
            self.done += count
            if self.total:
                self.report(min(self.done, self.total), self.total)
