"""The processes of running trials, seen from the outside."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil

from modelyard.parent import PARENT, into, temporary_files
from modelyard.store import artifact
from modelyard.tuning.trial import EPOCHS, ERROR, JOB, NO_DEVICES, RESULT, Job, Result

LOG = "log.txt"


class Process:
    """A trial at work in its own folder and process."""

    def __init__(
        self, number: int, folder: Path, job: Job, threads: int, gpu: str | None = None
    ) -> None:
        """Starts it on so many threads, and on one GPU (as CUDA_VISIBLE_DEVICES names it) or on
        all for None."""
        self.number, self.folder, self.gpu = number, folder, gpu
        self.began = time.monotonic()
        folder.mkdir(parents=True, exist_ok=True)
        # A trial that is begun again must not be judged by what its first process left.
        for name in (RESULT, ERROR, EPOCHS):
            (folder / name).unlink(missing_ok=True)
        artifact.write_json(folder / JOB, job)
        self._temporary = temporary_files()
        with (folder / LOG).open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "modelyard.tuning.trial", str(folder)],
                stdout=log,
                stderr=subprocess.STDOUT,
                env=_environment(threads, gpu) | into(self._temporary.name),
                # A group of its own, which `stop` can kill whole; Ctrl-C at the search does not
                # reach it, so that a trial ends only when the search says so.
                start_new_session=True,
            )

    @property
    def seconds(self) -> float:
        """Wall time since it began."""
        return time.monotonic() - self.began

    def alive(self) -> bool:
        """Whether it still works."""
        return self._process.poll() is None

    def curve(self) -> dict[int, float]:
        """Validation loss by epoch, so far. A second training inside the trial begins again at 1
        and is left out."""
        file = self.folder / EPOCHS
        if not file.is_file():
            return {}
        # What follows the last line break is still being written.
        whole, _, _ = file.read_text().rpartition("\n")
        found: dict[int, float] = {}
        last = 0
        for line in whole.splitlines():
            # The epochs of the first training are what others are compared by.
            row = json.loads(line)
            if row["epoch"] <= last:
                break
            last = row["epoch"]
            loss = row.get("validation_loss")
            if loss is not None and math.isfinite(loss):
                found[last] = loss
        return found

    def result(self) -> Result | None:
        """What it reached; None where it failed or was stopped."""
        file = self.folder / RESULT
        if file.is_file():
            return Result.model_validate_json(file.read_text())
        return None

    def failure(self) -> str:
        """Why there is no result, as one line."""
        file = self.folder / ERROR
        if file.is_file():
            error: dict[str, Any] = json.loads(file.read_text())
            return str(error["message"])
        ended = f"the trial's process ended {_ending(self._process.poll())}"
        lines = self.log().strip().splitlines()
        if lines:
            return f"{ended}: {lines[-1][:200]}"
        return ended

    def lacks_devices(self) -> bool:
        """Whether it ended because its GPUs are not there, or do not work."""
        file = self.folder / ERROR
        return file.is_file() and json.loads(file.read_text())["kind"] == NO_DEVICES

    def explained(self) -> str:
        """Why there is no result; where it could not say so itself, with the place of its log."""
        if (self.folder / ERROR).is_file():
            return self.failure()
        return f"{self.failure()}. See {self.folder / LOG}"

    def log(self) -> str:
        """What it printed so far."""
        return (self.folder / LOG).read_text(errors="replace")

    def resident(self) -> int:
        """Bytes of memory that it and what it started hold."""
        if not self.alive():
            return 0
        try:
            trial = psutil.Process(self._process.pid)
            processes = [trial, *trial.children(recursive=True)]
            return sum(process.memory_info().rss for process in processes)
        except psutil.Error:
            # One of them ended while it was looked at.
            return 0

    def stop(self) -> None:
        """Ends it, and all that it started."""
        if self.alive():
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        # What SIGKILL kept the trial from deleting itself.
        self._temporary.cleanup()


def _ending(status: int | None) -> str:
    if status is None or status >= 0:
        return f"with code {status}"
    ended = f"by {signal.Signals(-status).name}"
    if -status == signal.SIGKILL:
        return f"{ended}, as Linux does where memory runs out"
    return ended


def _environment(threads: int, gpu: str | None) -> dict[str, str]:
    values = dict(os.environ)
    # A family may stand in the folder where the search was started.
    paths = [str(Path.cwd())]
    if set_before := values.get("PYTHONPATH"):
        paths.append(set_before)
    values["PYTHONPATH"] = os.pathsep.join(paths)
    values["PYTHONWARNINGS"] = "ignore"
    # Trials side by side share the cores; whoever set the variable has chosen otherwise.
    values.setdefault("OMP_NUM_THREADS", str(threads))
    values[PARENT] = str(os.getpid())
    if gpu:
        values["CUDA_VISIBLE_DEVICES"] = gpu
    return values
