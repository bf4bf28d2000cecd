"""A run on this machine: its folder, the process that executes its pipeline, and what that
process tells."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO, Any, Literal

from pydantic import BaseModel, ValidationError

from modelyard import events
from modelyard.errors import UsageError, choices
from modelyard.home import REUSE, RUN_ID, home, slug
from modelyard.parent import PARENT, into, temporary_files
from modelyard.store import artifact

STOP_SECONDS = 30.0
LOCK_SECONDS = 0.3
"""Longest wait for the lock of a run that another process may only be looking at."""
Status = Literal["running", "finished", "failed", "interrupted"]


class RunRecord(BaseModel):
    """`run.json`: what was asked for, enough to do it again."""

    id: str
    family: str
    kind: Literal["training", "monitoring"] = "training"
    config: dict[str, Any]
    data_rev: str = ""
    nodes: int = 1
    gpus_per_node: int = 0
    created: str
    status: Status = "running"
    headlines: dict[str, str] = {}
    """What each finished stage said."""
    began: float | None = None
    """When the last execution began, in seconds since 1970."""
    seconds: float = 0.0
    """How long the last execution took, or has taken so far."""


class RunFolder:
    """A run's folder: `runs/<family>/<id>/`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.events = path / "events.jsonl"
        self.log = path / "log.txt"
        self.done = path / "done"
        self.artifacts = path / "pipeline"

    @classmethod
    def new(cls, record: RunRecord) -> RunFolder:
        """Makes the folder of a new run."""
        folder = cls(home() / slug(record.family) / record.id)
        folder.done.mkdir(parents=True)
        folder.write(record)
        return folder

    @property
    def record(self) -> RunRecord:
        """`run.json`, with status and time as they are now: a run that nobody executes any more was
        interrupted, when it told its last event."""
        try:
            record = RunRecord.model_validate_json((self.path / "run.json").read_text())
        except (OSError, ValidationError):
            raise UsageError(
                f"{self.path} is not a run: run.json is missing or unreadable"
            ) from None
        if record.status != "running":
            return record
        if self.locked():
            return record.model_copy(update={"seconds": self._since(record, time.time())})
        last = self.events.stat().st_mtime if self.events.is_file() else 0.0
        update = {"status": "interrupted", "seconds": self._since(record, last)}
        return record.model_copy(update=update)

    @property
    def failure(self) -> str:
        """The stage that failed last and what it said, or empty."""
        failures = [event for _, event in events.read(self.events) if event["event"] == "failed"]
        if failures:
            return f"{failures[-1]['stage']}: {failures[-1]['message']}"
        return ""

    def _since(self, record: RunRecord, end: float) -> float:
        began = record.began or datetime.fromisoformat(record.created).timestamp()
        return round(max(0.0, end - began), 1)

    def write(self, record: RunRecord) -> None:
        """Replaces `run.json`."""
        artifact.write_json(self.path / "run.json", record)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Holds the run for this process.

        Raises:
            UsageError: another process executes it.
        """
        with (self.path / "lock").open("w") as stream:
            # Who looks whether the run is locked holds the lock for a moment: tried again then.
            end = time.monotonic() + LOCK_SECONDS
            while not _flocked(stream, fcntl.LOCK_EX):
                if time.monotonic() > end:
                    raise UsageError(f"run {self.path.name} is being executed by another process")
                time.sleep(0.01)
            yield

    def locked(self) -> bool:
        """Whether a process executes the run."""
        # Shared: those who look do not see each other. NFS gives such a lock to readers only.
        with (self.path / "lock").open("w+") as stream:
            return not _flocked(stream, fcntl.LOCK_SH)

    def outputs(self) -> dict[str, Path]:
        """Finished artifacts of the last execution, by name."""
        found: dict[str, Path] = {}
        for _, event in events.read(self.events):
            if event["event"] in ("finished", "reused"):
                found |= {name: Path(path) for name, path in event["outputs"].items()}
        return {name: path for name, path in found.items() if path.is_dir()}


def _flocked(stream: IO[str], how: int) -> bool:
    """Takes the lock of an open file, until it is closed; False where others hold it, or the file
    system has no locks."""
    try:
        fcntl.flock(stream, how | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def new_id() -> str:
    """A run id: local time to the second and four random digits, sorted by age."""
    return f"{datetime.now():%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def all_runs(family: str | None = None) -> list[RunFolder]:
    """Runs on this machine, oldest first."""
    families = slug(family) if family else "*"
    runs = [RunFolder(file.parent) for file in home().glob(f"{families}/*/run.json")]
    # An id begins with the time.
    return sorted(runs, key=lambda folder: folder.path.name)


def find_run(reference: str | None) -> RunFolder:
    """A run by its id, or by the start of it; the last one for None.

    Raises:
        UsageError: there is none, or several.
    """
    runs = all_runs()
    if not runs:
        raise UsageError(f"there are no runs in {home()}. Type: modelyard run tabular")
    if reference is None:
        return runs[-1]
    found = [folder for folder in runs if folder.path.name.startswith(reference)]
    if not found:
        raise UsageError(choices("run", reference, [run.path.name for run in runs[-8:]]))
    if len(found) > 1:
        raise UsageError(f"{reference!r} fits several: {[run.path.name for run in found[-8:]]}")
    return found[0]


def execute(folder: RunFolder) -> Iterator[dict[str, Any]]:
    """Executes a run's pipeline in a process of its own and yields its events as they come.

    The last event is `{"event": "ended", "code": exit status}`. Closing the generator ends the
    process.
    """
    # What earlier executions of the run printed stays in the file, and is not printed again.
    offset = folder.events.stat().st_size if folder.events.is_file() else 0
    temporary = temporary_files()
    with folder.log.open("a") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "modelyard.pipeline.process", str(folder.path)],
            stdout=log,
            stderr=subprocess.STDOUT,
            env=_environment(folder) | into(temporary.name),
            start_new_session=True,
        )
    try:
        while True:
            # Before the events are read: what it tells last is then read too.
            code = process.poll()
            for end, event in events.read(folder.events, offset):
                yield event
                offset = end
            if code is not None:
                yield {"event": "ended", "code": code}
                return
            time.sleep(0.05)
    finally:
        if process.poll() is None:
            _stop(process)
        temporary.cleanup()


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Tells a run's processes to stop, which a training uses to save, and ends those that take
    too long."""
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def link_outputs(folder: RunFolder) -> None:
    """Puts links to the artifacts beside run.json, and copies the card there."""
    for name, path in folder.outputs().items():
        link = folder.path / name
        link.unlink(missing_ok=True)
        link.symlink_to(path.resolve().relative_to(folder.path.resolve()))
    card = folder.path / "package" / "card.html"
    if card.is_file():
        shutil.copyfile(card, folder.path / "card.html")


def remove_unfinished(folder: RunFolder) -> int:
    """Removes what killed stages left half-written; returns how many folders that were."""
    leftovers = [path for path in folder.artifacts.rglob(".*.tmp") if path.is_dir()]
    for path in leftovers:
        shutil.rmtree(path, ignore_errors=True)
    return len(leftovers)


def _environment(folder: RunFolder) -> dict[str, str]:
    """This environment, and: where to tell events, what may be reused, the working folder
    importable."""
    paths = [str(Path.cwd()), os.environ.get("PYTHONPATH", "")]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        "PYTHONWARNINGS": "ignore",
        events.VARIABLE: str(folder.events),
        REUSE: str(folder.done),
        RUN_ID: folder.path.name,
        PARENT: str(os.getpid()),
    }
