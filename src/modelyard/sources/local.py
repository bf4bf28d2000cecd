"""Data in a local file or folder."""

from __future__ import annotations

import functools
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import yaml

from modelyard.errors import BadData, UsageError
from modelyard.sources.archive import check_no_other_archive
from modelyard.sources.transfer import Destination, Entry, FileInfo, copy_all, wanted
from modelyard.store.files import File, FileSet, files_of

NAMED = 8
"""Files that are named where the one that was asked for is missing."""


def fetch_local(path: Path, target: Destination) -> tuple[dict[str, FileInfo], str | None]:
    """Copies a file, or all files below a folder; links are followed, hidden files and `*.dvc` left
    out.

    Copied, never linked: a person may edit the original in place.

    Returns:
        The files, and a note on whether they are what the `.dvc` file beside them says.

    Raises:
        UsageError: nothing there, or it may not be read; BadData: an empty folder or a broken link.
    """
    check_there(path)
    try:
        files = copy_all([_entry(file, name) for name, file in local_files(path)], target)
    except OSError as error:
        raise UsageError(f"data.uri: {error.filename or path}: {error.strerror}") from None
    return files, _compare(path, target.folder)


def check_there(path: Path) -> None:
    """Refuses a path that names no data.

    Raises:
        UsageError: nothing is there, or it is DVC's record of the data.
    """
    if path.suffix == ".dvc" and path.is_file():
        raise UsageError(
            f"data.uri {str(path)!r} is DVC's record. Name the data: {str(path.with_suffix(''))!r}"
        )
    if not path.exists():
        raise UsageError(_missing(path))
    if path.is_file():
        check_no_other_archive(path)


def local_files(path: Path) -> Iterator[tuple[str, str]]:
    """The files of a local file or folder that belong to the data: the name they get, and the path.

    Text instead of `Path`s, which take longer to make than a small file to read.
    """
    if path.is_file():
        yield path.name, str(path)
        return
    if not path.is_dir():
        raise BadData("is neither a file nor a folder", file=path)
    for name in sorted(_walk(path, "", frozenset())):
        file = f"{path}/{name}"
        # A record without its data: trained on without, the model would silently lack a part.
        if name.endswith(".dvc") and not os.path.exists(file.removesuffix(".dvc")):  # noqa: PTH110 - text
            raise UsageError(_missing(Path(file).with_suffix("")))
        if wanted(name):
            yield name, file


def _walk(root: Path, inside: str, above: frozenset[str]) -> Iterator[str]:
    """Relative names of the files in a folder of `root`; `above` are those that it lies in."""
    folder = root / inside
    real = os.path.realpath(folder)
    # By the real path: links may form a circle under ever longer names.
    if real in above:
        raise BadData("a link leads back to a folder above it", file=folder)
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            name = f"{inside}/{entry.name}" if inside else entry.name
            if entry.is_dir():
                yield from _walk(root, name, above | {real})
            elif entry.is_file():
                yield name
            else:
                problem = "is neither a file nor a folder"
                raise BadData("a broken link" if entry.is_symlink() else problem, file=root / name)


def _entry(file: str, name: str) -> Entry:
    size = os.stat(file).st_size  # noqa: PTH116 - text
    return Entry(name, size, functools.partial(_open, file))


def _open(file: str) -> IO[bytes]:
    return open(file, "rb")  # noqa: PTH123 - text


def _missing(path: Path) -> str:
    record = _record_of(path)
    if record is not None:
        target = os.path.relpath(record.with_suffix(""))
        return f"data.uri {str(path)!r} is tracked by DVC but not here. Type: dvc pull {target}"
    near = next(parent for parent in path.absolute().parents if parent.is_dir())
    names = sorted(entry.name for entry in near.iterdir() if wanted(entry.name))
    if len(names) > NAMED:
        names[NAMED:] = ["…"]
    return f"data.uri {str(path)!r} does not exist. In {near}: {', '.join(names) or 'nothing'}"


def _record_of(path: Path) -> Path | None:
    """The `.dvc` file that tracks a path: beside it, or beside a folder above it."""
    for place in (path, *path.parents):
        if place.name and _beside(place).is_file():
            return _beside(place)
    return None


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.dvc")


def _compare(path: Path, copy: Path) -> str | None:
    """A data file that was edited and not yet added again is common while one tries things out,
    and what was read is recorded by its own sha256: so a difference is told, not refused."""
    if not path.name or not _beside(path).is_file():
        return None
    record = _beside(path)
    try:
        out = yaml.safe_load(record.read_text())["outs"][0]
        expected, comparable = str(out["md5"]), out.get("hash") == "md5"
    except (yaml.YAMLError, KeyError, IndexError, TypeError):
        raise UsageError(f"{record} is not a DVC file. Type: dvc add {path}") from None
    # DVC before 3 summed text with its line ends changed, which a plain md5 does not match.
    if not comparable:
        return None
    files = files_of(copy)
    one = files.get(path.name) if path.is_file() else None
    seen = _md5(one) if one is not None else _folder_md5(files)
    if seen == expected:
        return f"as in {record.name}"
    return f"differs from {record.name}"


def _md5(file: File) -> str:
    md5 = functools.partial(hashlib.md5, usedforsecurity=False)
    with file.open() as stream:
        return hashlib.file_digest(stream, md5).hexdigest()


def _folder_md5(files: FileSet) -> str:
    """DVC's identity of a folder: md5 of the JSON list of its files' md5 and names, by name
    parts."""
    # As DVC itself writes the list: keys sorted, and `, ` and `: ` between them.
    sums = [{"md5": _md5(file), "relpath": file.name} for file in files]
    listing = json.dumps(sums, sort_keys=True)
    return hashlib.md5(listing.encode(), usedforsecurity=False).hexdigest() + ".dir"
