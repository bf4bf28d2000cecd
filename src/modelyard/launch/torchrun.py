"""Several training processes on this machine, through PyTorch's own launcher."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modelyard.errors import Interrupted, ModelyardError, UsageError
from modelyard.launch import scratch


def train_here(record: Mapping[str, Any], features: Path, model: Path, processes: int) -> None:
    """Trains with so many processes into the folder `model`; `record` is job.json.

    Raises:
        Interrupted: SIGTERM came; the workers have saved.
        UsageError: what a worker says that a person can fix; ModelyardError: how one of them died.
    """
    with tempfile.TemporaryDirectory(prefix="modelyard-") as folder:
        (Path(folder) / scratch.FEATURES).symlink_to(Path(features).resolve())
        scratch.write_job(folder, record)
        ended, last = _run(folder, processes)
        if ended:
            raise _error(ended, last, processes)
        scratch.download(folder, model)


def _run(job: str, processes: int) -> tuple[int, str]:
    """Exit code and last line; a SIGTERM to this process is passed on."""
    from modelyard.training.world import Preemption

    command = [sys.executable, "-m", "modelyard.launch.node", "--job", job]
    environment = os.environ | {
        "PET_STANDALONE": "1",
        "PET_NPROC_PER_NODE": str(processes),
        "PET_NNODES": "1",
    }
    last = ""
    with Preemption().heard() as preemption:
        child = subprocess.Popen(
            command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        preemption.tell = child.terminate
        # The signal may have come before there was a process to pass it on to.
        if preemption.requested:
            child.terminate()
        assert child.stdout is not None
        for line in child.stdout:
            print(line, end="", file=sys.stderr, flush=True)
            last = line.strip() or last
        return child.wait(), last


def _error(ended: int, last: str, processes: int) -> ModelyardError:
    said = last.removeprefix("error: ")
    if ended == Interrupted.exit_code:
        return Interrupted("training was stopped and saved. To continue: modelyard resume")
    # Python itself ends with 2 for a wrong argument, without such a line.
    is_for_user = last.startswith("error: ")
    if ended == UsageError.exit_code and is_for_user:
        return UsageError(said)
    return ModelyardError(
        f"one of {processes} training processes died (exit code {ended}): {said or 'it said nothing'}. "
        "To continue from the last checkpoint: modelyard resume"
    )
