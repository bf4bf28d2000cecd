"""A process that ends with the one that started it, however that one ends, and leaves no temporary
files."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import time

PARENT = "MODELYARD_PARENT"
"""Variable with the number of the process to end with."""
TEMPORARY = "MODELYARD_TEMPORARY"
"""Variable with the folder of temporary files that goes with that process."""


def temporary_files() -> tempfile.TemporaryDirectory[str]:
    """A folder for the temporary files of a process that is about to start, to be removed when it
    has ended: libraries leave some, and so does whoever is killed."""
    return tempfile.TemporaryDirectory(prefix="modelyard-", ignore_cleanup_errors=True)


def into(folder: str) -> dict[str, str]:
    """Variables of a process that keeps its temporary files in a folder of `temporary_files`."""
    # PyTorch keeps what it compiled next to other temporary files; the next run takes it again.
    compiled = f"{tempfile.gettempdir()}/torchinductor_{os.getuid()}"
    return {
        "TMPDIR": folder,
        TEMPORARY: folder,
        "TORCHINDUCTOR_CACHE_DIR": os.environ.get("TORCHINDUCTOR_CACHE_DIR", compiled),
    }


def die_with_parent() -> None:
    """Ends this process when the one named by MODELYARD_PARENT ends: a killed run leaves no step
    behind, nor the files that it was given a folder for.

    Polled, since a shell may stand between the two and the kernel's own signal follows the direct
    parent only.
    """
    parent = int(os.environ.get(PARENT, "0"))
    if parent:
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while True:
        try:
            os.kill(parent, 0)
        except OSError:
            if folder := os.environ.get(TEMPORARY):
                shutil.rmtree(folder, ignore_errors=True)
            os._exit(137)
        time.sleep(0.3)
