"""How far a training is, by the events that it writes. Events come at most so often: not every
epoch has one."""

from __future__ import annotations

import json
from pathlib import Path


def epochs_done(events: Path) -> float:
    """The most epochs that a complete line of the file names; 0 where there is none."""
    if not events.exists():
        return 0.0
    lines = events.read_text().splitlines(keepends=True)
    found = [json.loads(line) for line in lines if line.endswith("\n")]
    return max((event.get("done", 0.0) for event in found), default=0.0)
