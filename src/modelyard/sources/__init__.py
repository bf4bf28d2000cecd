"""Raw data at a stated revision: a sample, a path, an object store, or a Git repository with
DVC."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict

from modelyard.errors import BadData, UsageError
from modelyard.settings.base import refuse_credentials
from modelyard.settings.uri import git_address, is_git, is_remote, local_path
from modelyard.sources.archive import check_no_other_archive, is_unpacked, unpack
from modelyard.sources.git import fetch_git, fetch_local_git
from modelyard.sources.local import check_there, fetch_local
from modelyard.sources.remote import fetch_remote
from modelyard.sources.transfer import Destination, FileInfo, Report, wanted
from modelyard.store import artifact

if TYPE_CHECKING:
    from modelyard.settings.family import DataSettings

Kind = Literal["sample", "path", "git", "remote"]


class Source(BaseModel):
    """Where a data set came from and what it holds. Holds no time: equal data makes an equal
    record, so that stages behind it can be reused; the artifact's manifest says when."""

    model_config = ConfigDict(frozen=True)

    kind: Kind
    uri: str | None
    rev: str | None
    """As the person wrote it."""
    resolved: str | None
    """The commit that `rev` named."""
    files: dict[str, FileInfo]
    """By relative name."""
    note: str | None = None
    """Whether a local path is what the `.dvc` file next to it says, and which archive held the files."""
    shards: int = 0
    """How many hold the files. 0: they are plain."""

    @property
    def revision(self) -> str:
        """What identifies the data: the commit, or `sha256:` and 12 digits over all names and
        sums."""
        if self.resolved is not None:
            return self.resolved
        sums = {name: info.sha256 for name, info in self.files.items()}
        whole = hashlib.sha256(json.dumps(sums, sort_keys=True).encode()).hexdigest()
        return f"sha256:{whole[:12]}"

    @property
    def headline(self) -> str:
        """`data.csv, 123 kB, sha256 ab12cd34…, v1.0 = 1a2b3c4`."""
        size = _size(sum(info.size for info in self.files.values()))
        if len(self.files) == 1:
            name, info = next(iter(self.files.items()))
            parts = [name, size, f"sha256 {info.sha256[:8]}…"]
        else:
            parts = [f"{len(self.files):,} files", size]
            if self.shards:
                parts.append("in 1 shard" if self.shards == 1 else f"in {self.shards:,} shards")
        if self.kind == "sample":
            parts[0] = f"built-in {parts[0]}"
        if self.resolved is not None:
            short, name = self.resolved[:7], self.rev or "HEAD"
            parts.append(short if name.startswith(short) else f"{name} = {short}")
        if self.note:
            parts.append(self.note)
        return ", ".join(parts)

    def record(self) -> dict[str, Any]:
        """All of it as JSON. Files in shards are left to the index of these."""
        return self.model_dump(mode="json", exclude={"files"} if self.shards else None)


def fetch(
    data: DataSettings,
    into: Path,
    *,
    sample: Callable[[Path], None],
    companions: dict[str, Path] | None = None,
    progress: Report = lambda done, total: None,
) -> Source:
    """Brings the data that `data` names into the folder `into`, and verifies its sums. Of a single archive
    its files are brought.

    `sample` writes the built-in data, for a `data.uri` of None; `companions` are local files to
    bring too, by the name they get; `progress(done, total)` counts bytes.

    Raises:
        UsageError: nothing is there, no access, an unknown revision, or settings that don't go
            together.
        MissingExtra: a package for this kind of source is missing.
        BadData: no files, a broken link, or a sum that is not the one in `data.sha256`.
        Unavailable: the repository or store doesn't answer.
    """
    into.mkdir(parents=True, exist_ok=True)
    shard_bytes = round(data.shard_megabytes * 1e6)
    target = Destination(into, data.plain_files, shard_bytes, progress)
    if data.uri is None:
        source = _sample(data, target, sample)
    else:
        source = _fetch(data, data.uri, target)
    packed = {}
    if data.uri is not None and len(source.files) == 1:
        check_no_other_archive(Path(*source.files))
        if is_unpacked(*source.files):
            packed = source.files
            source = _unpacked(source, target)
    if len(source.files) > data.plain_files:
        shards = len(list(into.glob("shard-*.tar")))
        source = source.model_copy(update={"shards": shards})
    if not source.files:
        raise BadData("holds no files", file=data.uri or "the built-in sample")
    source = _add(source, companions or {}, into)
    _verify(data, packed | source.files)
    return source


def local_data(data: DataSettings) -> Path | None:
    """The local file or folder that holds the data; None where they are built in, elsewhere, or at
    a revision.

    Raises:
        UsageError: nothing is there.
    """
    if data.uri is None or data.rev:
        return None
    if is_git(data.uri) or is_remote(data.uri):
        return None
    refuse_credentials(data.uri, "data.uri")
    path = Path(local_path(data.uri)).expanduser()
    check_there(path)
    return path


def is_packed(data: Path) -> bool:
    """Whether local data are a single archive, or a folder of one: what is inside shows once it is unpacked."""
    if data.is_file():
        return is_unpacked(data.name)
    entries = [entry for entry in data.iterdir() if wanted(entry.name)]
    return len(entries) == 1 and entries[0].is_file() and is_unpacked(entries[0].name)


def _add(source: Source, companions: dict[str, Path], into: Path) -> Source:
    for name, path in companions.items():
        shutil.copyfile(path, into / name)
    added = {name: _info(into / name) for name in companions}
    return source.model_copy(update={"files": source.files | added})


def _info(file: Path) -> FileInfo:
    return FileInfo(sha256=artifact.sha256(file), size=file.stat().st_size)


def _fetch(data: DataSettings, uri: str, target: Destination) -> Source:
    refuse_credentials(uri, "data.uri")
    kind: Kind = "path"
    resolved, note = None, None
    if is_git(uri):
        kind = "git"
        files, resolved = fetch_git(git_address(uri), data.rev, target)
    elif is_remote(uri):
        kind = "remote"
        if data.rev:
            raise UsageError(
                f"data.rev {data.rev!r}: {uri} is no Git repository. Leave data.rev out"
            )
        files = fetch_remote(uri, target)
    elif data.rev:
        kind = "git"
        path = Path(local_path(uri)).expanduser()
        files, resolved = fetch_local_git(path, data.rev, target)
    else:
        files, note = fetch_local(Path(local_path(uri)).expanduser(), target)
    return Source(kind=kind, uri=uri, rev=data.rev, resolved=resolved, files=files, note=note)


def _sample(data: DataSettings, target: Destination, sample: Callable[[Path], None]) -> Source:
    if data.rev:
        raise UsageError(
            f"data.rev {data.rev!r} needs data.uri: the built-in data has no revisions"
        )
    into = target.folder
    sample(into)
    names = artifact.file_names(into)
    if len(names) > target.plain_files:
        # A sample is written as plain files: those become the shards' source.
        with tempfile.TemporaryDirectory(dir=into.parent, prefix=".sample.") as folder:
            plain = into.rename(Path(folder) / "plain")
            files, _ = fetch_local(plain, target)
    else:
        files = {name: _info(into / name) for name in names}
    return Source(kind="sample", uri=None, rev=None, resolved=None, files=files)


def _unpacked(source: Source, target: Destination) -> Source:
    """The same with the files that its only one, an archive, holds."""
    (name,) = source.files
    into = target.folder
    with tempfile.TemporaryDirectory(dir=into.parent, prefix=".archive.") as folder:
        archive = into.rename(Path(folder) / "fetched") / name
        inside = unpack(archive, Path(folder) / "unpacked", name)
        into.mkdir()
        try:
            files, _ = fetch_local(inside, target)
        except (BadData, UsageError) as error:
            # Links that lead nowhere, or round in a circle.
            seen = str(error).replace(f"{inside}/", "")
            raise BadData(f"cannot be read: {seen[:160]}", file=Path(name)) from None
    notes = [source.note] if source.note else []
    note = ", ".join([*notes, f"unpacked from {name}"])
    return source.model_copy(update={"files": files, "note": note})


def _verify(data: DataSettings, files: dict[str, FileInfo]) -> None:
    for name, expected in data.sha256.items():
        if name not in files:
            shown = ", ".join(list(files)[:8])
            raise BadData(f"data.sha256 expects this file; there: {shown}", file=name)
        seen = files[name].sha256
        if seen != expected.lower():
            hint = "The data changed: check it, then set data.sha256 again"
            raise BadData(f"sha256 is {seen}, expected {expected.lower()}", file=name, hint=hint)


def _size(count: int) -> str:
    """Three digits: `12.3 kB`."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 999.5:  # more would round to 1000, which three digits write as 1e+03
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} TB" if value < 999.5 else f"{value:,.0f} TB"
