"""Many files kept as few: plain tar files of some 256 MB, and an index of what lies where in them.

shard-000000.tar shard-000001.tar …    read by `tar` and by WebDataset's tools
index.jsonl                            a line for each file: its name, shard, offset, size, sha256

Names are in alphabetical order, so that files that differ only in their ending, WebDataset's samples,
are neighbours. The same files make the same bytes: owners and times are left out.
"""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, NamedTuple

from modelyard.errors import BadData, BrokenArtifact
from modelyard.store.contents import check_name

INDEX = "index.jsonl"
HEADER = {"format": "modelyard shards", "version": 1}
"""The first line of an index: no other file of that name begins so."""
CHUNK = 1 << 20
OWNER = b"0000644\0" + 2 * b"0000000\0"
TIME = b"%011o\0" % 0
KIND = (b"0" + bytes(tarfile.LENGTH_NAME) + tarfile.POSIX_MAGIC).ljust(356, b"\0")
SAME_SUM = sum(OWNER) + sum(TIME) + sum(KIND)
"""Of what all headers in a tar have in common: a readable file of nobody, of 1970."""


class Member(NamedTuple):
    """Where a file lies."""

    name: str
    """Relative, with `/`."""
    shard: str
    offset: int
    """Of its first byte in the shard."""
    size: int
    """Bytes."""
    sha256: str


class ShardWriter:
    """Writes shards into a folder, and their index. Files are added in the order of their names."""

    def __init__(self, folder: Path, most_bytes: int) -> None:
        """`most_bytes`: a shard that holds as many is full, unless a sample would be cut in two."""
        self.folder, self.most_bytes = folder, most_bytes
        self.shards: list[str] = []
        self._tar: IO[bytes] | None = None
        self._end = 0
        self._sample = ""
        self._index = (folder / INDEX).open("x", encoding="utf-8")
        self._index.write(json.dumps(HEADER) + "\n")

    def add(self, name: str, size: int, chunks: Iterable[bytes]) -> Member:
        """Appends a file whose bytes come in pieces; `size` is what its source says.

        Raises:
            BadData: a name that no folder could hold.
        """
        digest = hashlib.sha256()
        header = _header(name, size)
        tar = self._shard_for(name, len(header) + size)
        start = self._end  # counted, since a writer is slow to say where it is
        tar.write(header)
        seen = 0
        for chunk in chunks:
            tar.write(chunk)
            digest.update(chunk)
            seen += len(chunk)
        padding = -seen % tarfile.BLOCKSIZE
        tar.write(bytes(padding))
        self._end = start + len(header) + seen + padding
        if seen != size:
            # The source did not know, or the file has grown since.
            self._replace(header, _header(name, seen), start, name)
        member = Member(name, self.shards[-1], start + len(header), seen, digest.hexdigest())
        self._index.write(_line(member))
        return member

    def _replace(self, before: bytes, header: bytes, start: int, name: str) -> None:
        assert self._tar is not None
        if len(header) != len(before):
            raise BadData("has 8 GiB or more, which was not known before it was read", file=name)
        self._tar.seek(start)
        self._tar.write(header)
        self._tar.seek(self._end)

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(self, *error: object) -> None:
        """Ends the last shard and the index."""
        self._end_shard()
        self._index.close()

    def _shard_for(self, name: str, needed: int) -> IO[bytes]:
        sample = _sample(name)
        over = self._end + needed - self.most_bytes
        # A sample of WebDataset stays together, but names that all begin alike are not one sample.
        full = over > 0 and (sample != self._sample or over > self.most_bytes)
        if self._tar is None or (self._end and full):
            self._end_shard()
            self.shards.append(f"shard-{len(self.shards):06d}.tar")
            self._tar = (self.folder / self.shards[-1]).open("xb", buffering=CHUNK)
        self._sample = sample
        return self._tar

    def _end_shard(self) -> None:
        if self._tar is None:
            return
        # Two empty blocks end an archive, filled up to a whole record.
        length = self._end + 2 * tarfile.BLOCKSIZE
        self._tar.write(bytes(2 * tarfile.BLOCKSIZE + -length % tarfile.RECORDSIZE))
        self._tar.close()
        self._tar, self._end = None, 0


def _line(member: Member) -> str:
    """As `json.dumps` writes it, in a third of its time: only a name needs escapes."""
    name = json.dumps(member.name, ensure_ascii=False)
    where = f'"shard": "{member.shard}", "offset": {member.offset}, "size": {member.size}'
    return f'{{"name": {name}, {where}, "sha256": "{member.sha256}"}}\n'


def is_sharded(folder: Path) -> bool:
    """Whether the files of a folder are kept as shards."""
    try:
        with (folder / INDEX).open("rb") as stream:
            # A first line of any length is no header.
            return bool(json.loads(stream.readline(1_000)) == HEADER)
    except (OSError, ValueError):
        return False


def read_index(folder: Path) -> Iterator[Member]:
    """What lies where, in the order of the index. An index from outside is not trusted.

    Raises:
        BrokenArtifact: a line that is none, a name that leads out of the folder or stands twice, or
            a place that is not in the shard.
    """
    sizes: dict[str, int] = {}
    names: set[str] = set()
    with (folder / INDEX).open("rb") as stream:
        next(stream)
        for row, line in enumerate(stream, 2):
            try:
                member = Member(**json.loads(line))
                _check(member, folder, sizes)
                if member.name in names:
                    raise ValueError(f"{member.name!r} stands twice")
            except (ValueError, TypeError, AttributeError, OSError) as error:
                problem = f"{folder / INDEX}, line {row}: {error}"
                raise BrokenArtifact(f"{problem}. Bring the data in again") from None
            names.add(member.name)
            yield member


def read_member(folder: Path, member: Member) -> bytes:
    """A file's bytes.

    Raises:
        BrokenArtifact: they are not those that the index records.
    """
    with (folder / member.shard).open("rb") as stream:
        stream.seek(member.offset)
        content = stream.read(member.size)
    if hashlib.sha256(content).hexdigest() != member.sha256:
        raise BrokenArtifact(
            f"{folder / member.shard} was changed: the sha256 of {member.name} in it is not that of "
            f"{INDEX}. Bring the data in again"
        )
    return content


def changed_in(shard: Path) -> list[str]:
    """Names of the files in a shard whose bytes are not those that the index next to it records."""
    folder = shard.parent
    if not is_sharded(folder):
        return []
    changed = []
    for member in read_index(folder):
        if member.shard != shard.name:
            continue
        try:
            read_member(folder, member)
        except BrokenArtifact:
            changed.append(member.name)
    return changed


def _check(member: Member, folder: Path, sizes: dict[str, int]) -> None:
    """Raises ValueError, TypeError or OSError where a member does not lie in its shard."""
    check_name(member.name)
    if member.shard not in sizes:
        if "/" in check_name(member.shard):
            raise ValueError(f"{member.shard!r} is no shard of this folder")
        sizes[member.shard] = (folder / member.shard).stat().st_size
    is_negative = min(member.offset, member.size) < 0
    if is_negative or member.offset + member.size > sizes[member.shard]:
        raise ValueError(f"{member.name!r} does not lie inside {member.shard}")


def _sample(name: str) -> str:
    """What WebDataset calls a file's key: its name up to the first dot of the last part."""
    folder, slash, last = name.rpartition("/")
    return folder + slash + last.partition(".")[0]


def _header(name: str, size: int) -> bytes:
    """What stands before a file in a tar."""
    try:
        info = tarfile.TarInfo(check_name(name))
    except ValueError as error:
        raise BadData(str(error), file=name, hint="Rename it") from None
    info.size = size
    # A plain header has a hundred bytes for the name, and eleven octal digits for the size.
    is_plain = len(name) <= tarfile.LENGTH_NAME and name.isascii() and size < 8**11
    if not is_plain:
        return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict")
    # The same bytes as `tobuf`, in a tenth of its time: it takes longer than to read a small file.
    return _quick_header(name.encode(), size)


def _quick_header(name: bytes, size: int) -> bytes:
    length = b"%011o\0" % size
    # The sum is taken over the header with blanks in its own place.
    total = sum(name) + sum(length) + SAME_SUM + 8 * ord(" ")
    before = name.ljust(tarfile.LENGTH_NAME, b"\0") + OWNER + length + TIME
    return before + b"%06o\0 " % total + KIND
