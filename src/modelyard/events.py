"""What a run reports while it works: JSON lines for the one who follows, a log line for the one who
reads.

A stage may run in a subprocess, a pod or this process; the process that started the run sets
MODELYARD_EVENTS to a file and follows it. Without it, events go to the `modelyard` logger.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from modelyard.credentials import redact

VARIABLE = "MODELYARD_EVENTS"
log = logging.getLogger("modelyard")


def emit(event: str, stage: str, **fields: Any) -> None:
    """Tells one event: started, progress, finished, reused, failed."""
    file = os.environ.get(VARIABLE)
    if file:
        entry = {"event": event, "stage": stage, "time": time.time(), **fields}
        line = redact(json.dumps(entry, default=str)) + "\n"
        # In one write: several processes may tell at once, and one may be killed. On a full disk it
        # takes a part only; the next write says why.
        left = line.encode()
        with Path(file).open("ab", buffering=0) as stream:
            while left:
                left = left[stream.write(left) :]
    elif event == "progress":
        figures = _figures(fields.get("figures", {}))
        log.info("%s %.4g of %.4g %s", stage, fields["done"], fields["total"], figures)
    else:
        log.info("%s %s %s", stage, event, redact(_figures(fields)))


def folder() -> Path | None:
    """The folder of the run that is followed, or None: nobody on this machine follows one."""
    file = os.environ.get(VARIABLE)
    return Path(file).parent if file else None


def read(file: Path, offset: int = 0) -> Iterator[tuple[int, dict[str, Any]]]:
    """Complete events after byte `offset`, each with the offset behind it."""
    if not file.is_file():
        return
    with file.open("rb") as stream:
        stream.seek(offset)
        for line in stream:
            if not line.endswith(b"\n"):
                return
            offset += len(line)
            event = _event(line)
            if event is not None:
                yield offset, event


def _event(line: bytes) -> dict[str, Any] | None:
    """None where a line holds no whole event."""
    # On a full disk the start of an event may stand in front of the next one.
    for start in (0, line.rfind(b'{"event": ')):
        with suppress(ValueError):
            event: dict[str, Any] = json.loads(line[start:])
            return event
    return None


FOLLOWED, READ = 0.2, 10.0
"""Seconds between two words on progress: to a file that a program follows, to a log that people
read."""


class Throttle:
    """A `Progress` for a stage that does not tell too often, and always the last one.

    In a log a whole epoch, with what the validation split says of it, goes before a part of the next
    one: epochs that end within the pause would be missing by chance.
    """

    def __init__(self, stage: str) -> None:
        self.stage = stage
        self._last = -READ
        self._whole: tuple[float, float, dict[str, float]] | None = None
        """The last whole epoch that the log lacks."""

    def __call__(self, done: float, total: float, **figures: float) -> None:
        followed = bool(os.environ.get(VARIABLE))
        if not followed and done == int(done) > 0:
            self._whole = (done, total, figures)
        pause = FOLLOWED if followed else READ
        if time.monotonic() - self._last < pause and done < total:
            return
        self._last = time.monotonic()
        done, total, figures = self._whole or (done, total, figures)
        self._whole = None
        emit("progress", self.stage, done=done, total=total, figures=figures)


def _figures(fields: dict[str, Any]) -> str:
    figures = []
    for name, value in fields.items():
        if isinstance(value, float):
            figures.append(f"{name}={value:.4g}")
        elif value not in (None, "", {}):
            figures.append(f"{name}={value}")
    return " ".join(figures)
