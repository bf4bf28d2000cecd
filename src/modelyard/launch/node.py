"""What a node of a training job runs: `python -m modelyard.launch.node --job URI`.

torchrun starts the workers (`modelyard.pipeline.worker`), as many as Kubeflow Trainer says in PET_*
variables. Its own exit code is 1 whatever a worker's was; this one's is the worker's that failed
first, whose last line it leaves as the container's last word.
"""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

WORKER = "modelyard.pipeline.worker"
LAST_WORD = Path("/dev/termination-log")
"""Where Kubernetes looks for a container's last word."""
STOP_SECONDS = 90
"""How long workers may save after SIGTERM; less than the pod's grace."""
STOPPED = 75
SHOWN_LINES = 40


def main(arguments: Sequence[str], worker: str = WORKER) -> int:
    """Runs the workers of this node; 0, or the exit code of the one that failed first."""
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    torchrun: Any = importlib.import_module("torch.distributed.run")  # it has no types
    # Plain lines: one worker speaks.
    os.environ.setdefault("TORCHELASTIC_LOG_LINE_PREFIX_TEMPLATE", " ")
    with tempfile.TemporaryDirectory(prefix="modelyard-") as logs:
        options = ["--tee", "3", "--local-ranks-filter", "0", "--log-dir", logs]
        # No restarts here: a job that lost a worker begins another attempt from its checkpoint.
        options += ["--max-restarts", "0", "--shutdown-timeout", str(STOP_SECONDS)]
        try:
            torchrun.run(torchrun.parse_args([*options, "-m", worker, *arguments]))
        except SignalException:
            return STOPPED
        except ChildFailedError as error:
            rank, failure = error.get_first_failure()
            code = failure.exitcode
            if code < 0:  # ended by a signal: as a shell has it
                code = 128 - code
            _tell_end(Path(logs), failure.local_rank, f"worker {rank} exited with code {code}")
            return code
    return 0


def _tell_end(logs: Path, local_rank: int, otherwise: str) -> None:
    """Prints the end of a worker's log, and leaves its last line as the container's last word."""
    lines: list[str] = []
    for file in logs.rglob(f"{local_rank}/stderr.log"):
        lines += filter(str.strip, file.read_text("utf-8", "replace").splitlines())
    lines = lines[-SHOWN_LINES:] or [otherwise]
    last = lines[-1]
    sys.stdout.flush()
    # The first worker's lines are there already.
    print("\n".join(lines) if local_rank else last, file=sys.stderr, flush=True)
    if LAST_WORD.is_file():
        LAST_WORD.write_text(last[:4000])  # Kubernetes keeps 4,096 bytes of it


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
