"""The folder through which a step and the nodes of its training job exchange features and model.

<job>/job.json    what to train        written by the step, before the job starts
<job>/features/   the features artifact
<job>/model/      the trained model    written by the first node
<job>/began.json  when its GPUs began to train for the first time, by the first node's clock
<job>/done.json   written last: its presence means that the model is whole; sizes in bytes by file name
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from modelyard.errors import (
    BrokenArtifact,
    MissingExtra,
    ModelyardError,
    Unavailable,
    UsageError,
    choices,
)
from modelyard.launch.manifest import label_name
from modelyard.settings.cluster import ClusterSettings
from modelyard.store import artifact
from modelyard.store.uploads import put, sizes_below

JOB, BEGAN, DONE, FEATURES, MODEL = "job.json", "began.json", "done.json", "features", "model"


def job_uri(settings: ClusterSettings, family: str, run_id: str) -> str:
    """Where the job of a run has its folder: below `cluster.scratch`.

    Raises:
        UsageError: it is not set.
    """
    if not settings.scratch:
        raise UsageError(
            "training on several nodes needs a place that all of them reach. "
            "Type: --set cluster.scratch=s3://BUCKET/FOLDER, or a path on a shared volume"
        )
    return f"{settings.scratch.rstrip('/')}/{label_name(f'{family}-{run_id}')}"


def write_job(job: str, record: Mapping[str, Any]) -> None:
    """Writes `job.json`; where it differs from the one that is there, a model finished by that
    one is no longer it."""
    with _store(job) as (fs, root):
        if fs.exists(f"{root}/{JOB}") and _read(fs, f"{root}/{JOB}") == record:
            return
        # The mark first: killed in between, a model of other settings must not look finished.
        _unmark(fs, root)
        _write(fs, f"{root}/{JOB}", record)


def read_job(job: str) -> dict[str, Any]:
    """What `write_job` wrote."""
    with _store(job) as (fs, root):
        return _read(fs, f"{root}/{JOB}")


def mark_began(job: str) -> None:
    """Notes that the nodes' GPUs begin to train, where an earlier attempt has not."""
    with _store(job) as (fs, root):
        if not fs.exists(f"{root}/{BEGAN}"):
            _write(fs, f"{root}/{BEGAN}", {"time": time.time()})


def began(job: str) -> float | None:
    """When `mark_began` was called first, in seconds since 1970; None where it never was."""
    with _store(job) as (fs, root):
        if not fs.exists(f"{root}/{BEGAN}"):
            return None
        return float(_read(fs, f"{root}/{BEGAN}")["time"])


def upload(features: Path, job: str) -> None:
    """Copies a features artifact to the job's folder, and compares sizes; one that is there already
    stays.

    A step that is tried again may find the nodes at work on it.

    Raises:
        BrokenArtifact: not all of it arrived; Unavailable, UsageError: the store, or the right to
        write there.
    """
    with _store(job) as (fs, root):
        if not _is_there(fs, features, f"{root}/{FEATURES}"):
            _unmark(fs, root)
            _put(fs, features, f"{root}/{FEATURES}")


def fetch(job: str, features: Path) -> None:
    """Copies the job's features to a folder: whole or not at all."""
    with _store(job) as (fs, root):
        there = f"{root}/{FEATURES}"
        _get(fs, there, features, sizes_below(fs, there))


def publish(model: Path, job: str, **details: Any) -> None:
    """Copies the trained model's files to the job's folder and then writes `done.json`, with
    `details` in it."""
    with _store(job) as (fs, root):
        sizes = _put(fs, model, f"{root}/{MODEL}")
        # Last: what comes before it may be cut off by a kill.
        _write(fs, f"{root}/{DONE}", {**details, "files": sizes})


def download(job: str, model: Path) -> dict[str, Any]:
    """Copies the trained model to a folder, whole or not at all; returns what `done.json` says.

    Raises:
        BrokenArtifact: no model is finished there, or a file is not as long as `done.json` says.
    """
    with _store(job) as (fs, root):
        if not fs.exists(f"{root}/{DONE}"):
            raise BrokenArtifact(
                f"{job} holds no finished model ({DONE} is missing): the training did not end well"
            )
        done = _read(fs, f"{root}/{DONE}")
        _get(fs, f"{root}/{MODEL}", model, done["files"])
        return done


def remove(job: str) -> None:
    """Removes the job's folder."""
    with _store(job) as (fs, root):
        if fs.exists(root):
            fs.rm(root, recursive=True)


@contextmanager
def _store(job: str) -> Iterator[tuple[Any, str]]:
    """The file system and the folder in it; a store's own exceptions become ours."""
    fs, root = _open(job)
    try:
        yield fs, root
    except ModelyardError:
        raise
    except FileNotFoundError as error:
        raise BrokenArtifact(
            f"{job}: {_line(error)}. Check cluster.scratch, or run the step again"
        ) from None
    except PermissionError as error:
        raise UsageError(
            f"{job}: no permission ({_line(error)}). Check cluster.scratch and its credentials"
        ) from None
    except json.JSONDecodeError as error:
        raise BrokenArtifact(f"{job}: {JOB} or {DONE} is not JSON ({error})") from None
    except Exception as error:  # every store has its own exceptions
        raise Unavailable(
            f"{job}: {type(error).__name__}: {_line(error)}. Check cluster.scratch"
        ) from error


def _open(job: str) -> tuple[Any, str]:
    import fsspec

    scheme = job.partition("://")[0]
    try:
        fs, root = fsspec.core.url_to_fs(job)
    except ImportError as error:
        if scheme in ("s3", "s3a"):
            raise MissingExtra(f"cluster.scratch = {job}", "data") from error
        raise UsageError(
            f"cluster.scratch: {scheme}:// needs a package of its own: {_line(error)}"
        ) from error
    except ValueError:
        known = ["s3", "gs", "abfs", "file"]
        raise UsageError(
            f"cluster.scratch: {choices('scheme', scheme, known)}, or a path"
        ) from None
    fs.invalidate_cache()  # a listing that this process made earlier may be old
    return fs, str(root).rstrip("/")


def _is_there(fs: Any, folder: Path, target: str) -> bool:
    """Whether the same artifact is there: the same manifest, which holds every file's sum, and
    the same sizes."""
    manifest = folder / artifact.MANIFEST
    there = f"{target}/{artifact.MANIFEST}"
    if not manifest.is_file() or not fs.exists(there):
        return False
    if fs.cat_file(there) != manifest.read_bytes():
        return False
    return _sizes(folder) == sizes_below(fs, target)


def _unmark(fs: Any, root: str) -> None:
    if fs.exists(f"{root}/{DONE}"):
        fs.rm_file(f"{root}/{DONE}")


def _put(fs: Any, folder: Path, target: str) -> dict[str, int]:
    sizes = _sizes(folder)
    if fs.exists(target):
        fs.rm(target, recursive=True)
    put(fs, target, {name: folder / name for name in sorted(sizes)})
    _compare(sizes, sizes_below(fs, target), target)
    return sizes


def _get(fs: Any, source: str, folder: Path, sizes: Mapping[str, int]) -> None:
    names = sorted(sizes)
    with artifact.create(folder) as work:
        for name in names:
            assert (work / name).resolve().is_relative_to(work.resolve()), (
                f"{name} leads out of the folder"
            )
            (work / name).parent.mkdir(parents=True, exist_ok=True)
        sources = [f"{source}/{name}" for name in names]
        targets = [str(work / name) for name in names]
        fs.get(sources, targets)
        _compare(sizes, _sizes(work), source)


def _compare(expected: Mapping[str, int], seen: Mapping[str, int], place: str) -> None:
    wrong = sorted(name for name, size in expected.items() if seen.get(name) != size)
    if wrong:
        name = wrong[0]
        raise BrokenArtifact(
            f"{place}/{name}: {seen.get(name, 0)} bytes seen, {expected[name]} expected"
            f" ({len(wrong)} of {len(expected)} files differ). Run the step again"
        )


def _sizes(folder: Path) -> dict[str, int]:
    """Bytes by relative file name."""
    sizes = {}
    for file in folder.rglob("*"):
        if file.is_file():
            sizes[file.relative_to(folder).as_posix()] = file.stat().st_size
    return sizes


def _write(fs: Any, file: str, record: Mapping[str, Any]) -> None:
    fs.makedirs(str(Path(file).parent), exist_ok=True)
    # Under its name only when it is whole: nodes may read it at any moment.
    fs.pipe_file(f"{file}.part", json.dumps(dict(record), indent=1, allow_nan=False).encode())
    fs.mv(f"{file}.part", file)


def _read(fs: Any, file: str) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(fs.cat_file(file))
    return record


def _line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).strip().splitlines()[0][:200]
