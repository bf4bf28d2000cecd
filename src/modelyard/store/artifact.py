"""Artifacts: folders that appear whole or not at all, with a manifest of what they hold and what
made them."""

from __future__ import annotations

import errno
import fcntl
import glob
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from modelyard.errors import BadData, BrokenArtifact
from modelyard.store import contents, shards
from modelyard.store.contents import Name
from modelyard.store.usage import Usage

MANIFEST, SIGNATURE = "manifest.json", "manifest.sig"
OWN = frozenset({MANIFEST, SIGNATURE})
"""What an artifact holds besides the files that its manifest lists; a signature only where one is
requested."""
SHOWN = 5
"""Names of changed files in a shard that an error tells."""
MANIFEST_BYTES = 64 * 2**20
Sum = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""sha256 in hexadecimal."""

In = Annotated[Path, "in"]
"""A stage parameter that is read: a complete artifact."""
Out = Annotated[Path, "out"]
"""A stage parameter that is written: an empty folder that becomes an artifact when the stage
returns."""


class Origin(BaseModel):
    """What made an artifact."""

    model_config = ConfigDict(frozen=True)

    kind: str
    """Name of the stage's output: dataset, features, model, evaluation, graphs, package, …"""
    stage: str
    run: str
    family: str
    key: str
    """sha256 over the stage, its config sections, its inputs' digests and the code: equal key,
    equal content."""
    config_hash: str
    code_version: str
    data_revision: str | None = None
    created: str
    """UTC, ISO 8601."""
    seconds: float
    """Wall time of the stage."""
    cost: Usage | None = None
    """What the stage used when it made this; no part of the digest. None: made before usage was
    measured."""


class Manifest(Origin):
    """An artifact's own record, `manifest.json` at its root; written last, so that its presence
    means complete."""

    digest: Sum
    """sha256 over all file names and their sums: the artifact's identity."""
    files: dict[Name, Sum]
    """sha256 by relative path."""
    sizes: dict[Name, int] = {}
    """Bytes by relative path; no part of the digest. Empty: made before sizes were recorded."""
    lineage: dict[str, Origin] = {}
    """What the artifact was made from, all the way back, by digest."""


@contextmanager
def create(path: Path) -> Iterator[Path]:
    """Yields an empty folder next to `path`; renames it to `path` when the block ends well, else
    removes it.

    An existing `path` is replaced only at that moment.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # What a process that was killed left.
    for stale in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        _remove_leftover(stale)
    # Held until the end, so that nobody who makes the same takes it for a leftover.
    work, held = _held_folder(path)
    try:
        # `mkdtemp` lets only its own user in, and others read artifacts: a server, the next step.
        work.chmod(0o755)
        yield work
        # On the disk before it gets its name: after a power cut, what has a name is whole.
        _sync(work)
        _put_in_place(work, path)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise
    finally:
        os.close(held)


def seal(folder: Path, origin: Origin, parents: list[Manifest]) -> Manifest:
    """Writes the manifest of a finished folder.

    Raises:
        BadData: a file has a name that no folder elsewhere could hold.
    """
    for name in file_names(folder):
        try:
            contents.check_name(name)
        except ValueError as error:
            raise BadData(str(error), file=name, hint="Rename it") from None
    files = {name: sha256(folder / name) for name in file_names(folder)}
    lineage: dict[str, Origin] = {}
    for parent in parents:
        lineage |= parent.lineage
    for parent in parents:
        own = parent.model_dump(include=set(Origin.model_fields))
        lineage[parent.digest] = Origin(**own)
    sizes = {name: (folder / name).stat().st_size for name in files}
    manifest = Manifest(
        **origin.model_dump(), digest=_digest(files), files=files, sizes=sizes, lineage=lineage
    )
    write_text(folder / MANIFEST, manifest.model_dump_json(indent=1))
    return manifest


def read_manifest(path: Path) -> Manifest:
    """The manifest of a complete artifact.

    Raises:
        BrokenArtifact: no such folder, no manifest, or one that cannot be read.
    """
    file = Path(path) / MANIFEST
    if not file.is_file():
        if Path(path).exists():
            state = "is not a finished artifact (no manifest.json)"
        else:
            state = "does not exist"
        raise BrokenArtifact(f"{path} {state}. Run the stage that makes it again")
    try:
        return parse_manifest(contents.read_text(file, MANIFEST_BYTES), str(file))
    except (OSError, UnicodeDecodeError):
        raise BrokenArtifact(
            f"{file} cannot be read as a manifest. Run the stage that makes it again"
        ) from None


def parse_manifest(text: str, place: str) -> Manifest:
    """A manifest whose names stay inside its folder and whose digest is that of its files.

    Raises:
        BrokenArtifact: it is not.
    """
    try:
        manifest = Manifest.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = first["loc"][0] if first["loc"] else "JSON"
        said = first["msg"].removeprefix("Value error, ")
        raise BrokenArtifact(
            f"{place} cannot be read as a manifest ({where}: {said}). "
            "Run the stage that makes it again"
        ) from None
    if manifest.digest != _digest(manifest.files):
        raise BrokenArtifact(f"{place} was changed: its digest is not that of the files it lists")
    return manifest


def verify(path: Path) -> Manifest:
    """`read_manifest`, and every file's bytes compared with their recorded sums.

    Raises:
        BrokenArtifact: a file is missing, changed or was added.
    """
    manifest = read_manifest(path)
    for name in sorted(set(manifest.files) | set(file_names(path))):
        file = Path(path) / name
        if name not in manifest.files:
            raise BrokenArtifact(
                f"{path}/{name} is not in the manifest: added after the artifact was made"
            )
        if not file.is_file():
            raise BrokenArtifact(f"{path}/{name} is missing; the manifest records it")
        # Sizes first: they tell of a cut file without reading it.
        size = manifest.sizes.get(name)
        if size is not None and size != file.stat().st_size:
            raise BrokenArtifact(
                f"{path}/{name} was changed: it has not the {size:,} bytes recorded"
            )
        if sha256(file) != manifest.files[name]:
            changed = shards.changed_in(file)
            inside = f". In it: {', '.join(changed[:SHOWN])}" if changed else ""
            raise BrokenArtifact(
                f"{path}/{name} was changed: its sha256 is not the manifest's{inside}"
            )
    return manifest


def clone(source: Path, target: Path) -> None:
    """Makes `target` the same artifact as `source`, by hard links where the file system allows."""
    with create(target) as work:
        shutil.copytree(source, work, dirs_exist_ok=True, copy_function=_link_or_copy)


def file_names(folder: Path) -> list[str]:
    """Relative names of all files below `folder` but its manifest and signature, sorted."""
    names = set()
    for path in Path(folder).rglob("*"):
        if path.is_file():
            names.add(path.relative_to(folder).as_posix())
    return sorted(names - OWN)


def sha256(file: Path) -> str:
    """sha256 of a file's bytes, in hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_text(file: Path, text: str) -> None:
    """Writes a file whole or not at all."""
    write_lines(file, [text])


def write_lines(file: Path, lines: Iterable[str]) -> None:
    """The same of a text that comes in parts, which are not held."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(
        dir=file.parent, prefix=f".{file.name}.", delete=False
    ) as stream:
        part = Path(stream.name)
        try:
            stream.writelines(line.encode() for line in lines)
            stream.flush()
            os.fsync(stream.fileno())
            # As in `create`: temporary files are for their own user only.
            part.chmod(0o644)
            part.replace(file)
        except BaseException:
            part.unlink(missing_ok=True)
            raise


def write_json(file: Path, value: Any) -> None:
    """Writes JSON whole or not at all. A BaseModel is dumped; NaN is refused."""
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
    write_text(file, json.dumps(value, indent=1, allow_nan=False) + "\n")


def now() -> str:
    """The time as artifacts record it: UTC, ISO 8601, whole seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _held_folder(path: Path) -> tuple[Path, int]:
    """A new folder next to `path`, and the descriptor that holds its lock until it is closed.

    Some file systems have no locks for folders: there the makers of one artifact must not meet.
    """
    while True:
        work = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent))
        try:
            held = os.open(work, os.O_RDONLY)
        except FileNotFoundError:
            continue
        with suppress(OSError):
            fcntl.flock(held, fcntl.LOCK_EX)
        # Until now another maker may have taken it for a leftover, and removed it.
        if work.exists():
            return work, held
        os.close(held)


def _remove_leftover(folder: Path) -> None:
    """Removes a folder that no process works in any more."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:  # finished, or gone, in this moment
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return
    except OSError:  # no locks for folders here
        pass
    # Locked while it goes: who has just made it waits, and makes another one.
    shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):  # closed, it would stay locked by a process forked meanwhile
        fcntl.flock(descriptor, fcntl.LOCK_UN)
    os.close(descriptor)


def _put_in_place(work: Path, path: Path) -> None:
    """Renames a finished folder to `path`. Others may do so at the same time; the last one
    stays."""
    while True:
        old = None
        if path.exists() or path.is_symlink():
            # A folder with files cannot be renamed over: the old one steps aside first.
            old = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent))
            with suppress(FileNotFoundError):  # another process has taken either away
                path.rename(old / "old")
        is_taken = False
        try:
            work.rename(path)
        except OSError as error:
            is_taken = error.errno in (errno.ENOTEMPTY, errno.EEXIST)
            if not is_taken:
                raise
        if old is not None:
            shutil.rmtree(old, ignore_errors=True)
        if not is_taken:
            return


def _digest(files: dict[str, str]) -> str:
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _sync(folder: Path) -> None:
    for entry in [*folder.rglob("*"), folder]:
        descriptor = os.open(entry, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
