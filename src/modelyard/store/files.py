"""The files of a data set, wherever they lie: in a folder, or in shards that stand for one.

    for file in files_of(raw):
        content = file.read()

Messages name a file by `file.path`: where it is in a folder, or would be.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from io import BufferedIOBase, BytesIO
from pathlib import Path, PurePosixPath

from modelyard.store.shards import INDEX, Member, is_sharded, read_index, read_member

ARCHIVES = (
    *(".zip", ".7z", ".rar", ".tar", ".tgz", ".tbz2", ".txz"),
    *(".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst"),
)
"""Endings of files that hold files."""
WORKBOOKS = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods")
"""Endings of spreadsheets."""
_ABOUT = re.compile(
    r"(?:readme|licen[cs]es?|copying|citation|notice|changes|changelog)(?![a-z])", re.IGNORECASE
)
"""Beginnings of names of files that are about others: not `citations.xlsx`."""


class File:
    """A file of a folder."""

    __slots__ = ("name", "root")

    def __init__(self, root: Path, name: str) -> None:
        self.root = root
        self.name = name
        """Relative to the root, with `/`."""

    @property
    def path(self) -> Path:
        """The name that messages say. Only a plain file lies there: read with `read` or `open`."""
        return self.root / self.name

    @property
    def suffix(self) -> str:
        """Its ending, lower case, with the dot."""
        return PurePosixPath(self.name).suffix.lower()

    @property
    def size(self) -> int:
        """Bytes."""
        return self.path.stat().st_size

    def read(self, most: int | None = None) -> bytes:
        """Its bytes, the first `most` of them.

        Raises:
            BrokenArtifact: it lies in a shard that was changed.
        """
        with self.open() as stream:
            if most is None:
                return stream.read()
            return stream.read(most)

    def open(self) -> BufferedIOBase:
        """Its bytes as a stream that can seek."""
        return self.path.open("rb")


class ShardedFile(File):
    """A file that lies in a shard."""

    __slots__ = ("member",)

    def __init__(self, root: Path, member: Member) -> None:
        super().__init__(root, member.name)
        self.member = member

    @property
    def size(self) -> int:
        """Bytes."""
        return self.member.size

    def open(self) -> BufferedIOBase:
        """Its bytes as a stream that can seek: the whole file, compared with its sum."""
        return BytesIO(read_member(self.root, self.member))


class FileSet:
    """Files by name, in the order of names. Hidden ones are left out."""

    def __init__(self, root: Path, files: Iterable[File], folders: Iterable[str] = ()) -> None:
        """`folders` are names of those that may be empty."""
        self.root = root
        self._files = {file.name: file for file in sorted(files, key=_parts)}
        self._directly: dict[str, list[File]] = defaultdict(list)
        self._folders: dict[str, set[str]] = defaultdict(set)
        for file in self._files.values():
            self._directly[file.name.rpartition("/")[0]].append(file)
        for folder in [*self._directly, *folders]:
            while folder:
                above = folder.rpartition("/")[0]
                self._folders[above].add(folder)
                folder = above

    def __iter__(self) -> Iterator[File]:
        return iter(self._files.values())

    def __len__(self) -> int:
        return len(self._files)

    def get(self, name: str) -> File | None:
        """The file of this relative name, if there is one."""
        return self._files.get(name)

    def folders(self, folder: str = "") -> list[str]:
        """Relative names of the folders directly in one."""
        return sorted(self._folders.get(folder, ()))

    def all_folders(self) -> list[str]:
        """Relative names of the folders at any depth."""
        return sorted(set().union(*self._folders.values()))

    def directly_in(self, folder: str = "") -> list[File]:
        """The files in a folder, without those in folders of it."""
        return self._directly.get(folder, [])

    def below(self, folder: str) -> Iterator[File]:
        """The files in a folder, at any depth."""
        yield from self.directly_in(folder)
        for inner in self.folders(folder):
            yield from self.below(inner)


def is_about(file: File, *, anywhere: bool = False) -> bool:
    """Whether a file at the top, or `anywhere`, tells about the others or their licence, by its name. Those
    of inner folders may be the data themselves where these are texts: a collection of READMEs."""
    folder, _, name = file.name.rpartition("/")
    return (anywhere or not folder) and _ABOUT.match(name) is not None


def files_of(raw: Path) -> FileSet:
    """The files of a folder, plain or kept as shards; a file stands for itself.

    Raises:
        BrokenArtifact: an index of shards that cannot be right.
    """
    raw = Path(raw)
    if raw.is_file():
        return FileSet(raw.parent, [File(raw.parent, raw.name)])
    plain, folders = _walk(raw)
    if not is_sharded(raw):
        return FileSet(raw, (File(raw, name) for name in plain), folders)
    members = list(read_index(raw))
    shards = {member.shard for member in members}
    files = [ShardedFile(raw, member) for member in members if not _is_hidden(member.name)]
    # What was brought in addition to the data lies next to the shards.
    added = [File(raw, name) for name in plain if name != INDEX and name not in shards]
    return FileSet(raw, [*files, *added], folders)


def _walk(folder: Path) -> tuple[list[str], list[str]]:
    """Relative names of files and of folders below one. Links to folders are not followed."""
    files: list[str] = []
    folders: list[str] = []
    waiting = [""]
    while waiting:
        inside = waiting.pop()
        with os.scandir(folder / inside) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                name = f"{inside}/{entry.name}" if inside else entry.name
                if entry.is_file():
                    files.append(name)
                elif entry.is_dir():
                    folders.append(name)
                    if not entry.is_symlink():
                        waiting.append(name)
    return files, folders


def _parts(file: File) -> list[str]:
    return file.name.split("/")


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or "/." in name
