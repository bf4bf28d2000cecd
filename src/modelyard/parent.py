"""A process that ends with the one that started it, however that one ends."""

from __future__ import annotations

import os
import threading
import time

PARENT = "MODELYARD_PARENT"
"""Variable with the number of the process to end with."""


def die_with_parent() -> None:
    """Ends this process when the one named by MODELYARD_PARENT ends: a killed run leaves no step
    behind.

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
            os._exit(137)
        time.sleep(0.3)
