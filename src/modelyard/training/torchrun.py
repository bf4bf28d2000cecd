"""Several processes on this machine, through PyTorch's own launcher."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from modelyard.errors import Interrupted, ModelyardError

GRACE = 30
"""Seconds that the other processes have to end when one died, or to save when all were told to stop."""
SHOWN = 3
"""Last lines of a dead process that its error repeats."""


def train_here(job: dict[str, Any], features: Path, model: Path, processes: int) -> dict[str, Any]:
    """Trains with `processes` processes into the folder `model`; returns the summary.

    Raises:
        Interrupted: SIGTERM came; the workers have saved.
        ModelyardError: what the workers raised, or how one of them died.
    """
    with tempfile.TemporaryDirectory(prefix="modelyard-") as scratch:
        folder = Path(scratch)
        (folder / "job.json").write_text(json.dumps(job))
        (folder / "features").symlink_to(Path(features).resolve())
        (folder / "model").symlink_to(Path(model).resolve())
        ended, log = _run([*launcher(processes), "--job", str(folder)])
        from modelyard.training.worker import DONE, failure

        if ended == 0 and (folder / DONE).is_file():
            summary: dict[str, Any] = json.loads((model / "summary.json").read_text())
            return summary
        raise failure(folder) or _died(log, processes)


def launcher(processes: int) -> list[str]:
    """The command that starts the workers of one node."""
    return [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--max-restarts=0",
        f"--shutdown-timeout={GRACE}", f"--nproc-per-node={processes}", "--module", "modelyard.training.worker",
    ]  # fmt: skip


def _run(command: list[str]) -> tuple[int, list[str]]:
    """Runs it with its output passed on; SIGTERM to this process reaches it. The last lines too."""
    from modelyard.training.world import Preemption

    environment = {"OMP_NUM_THREADS": "1", **os.environ}
    log: list[str] = []
    with Preemption().heard() as preemption:
        child = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert child.stdout is not None
        preemption.tell = child.terminate
        if preemption.asked:
            child.terminate()
        for line in child.stdout:
            print(line, end="", file=sys.stderr, flush=True)
            log = [*log[-200:], line.rstrip()]
        ended = child.wait()
    if preemption.asked and ended:
        raise Interrupted("training was stopped. Run it again to go on from its last checkpoint: modelyard resume")
    return ended, log


def _died(log: list[str], processes: int) -> ModelyardError:
    told = [line for line in log if "exitcode" in line or "Error" in line or "error" in line]
    return ModelyardError(
        f"one of {processes} training processes died: {' / '.join(told[-SHOWN:]) or 'no word of why'}. "
        "The run's log has it all. Run it again to go on from the last checkpoint: modelyard resume"
    )
