"""The process that executes a run's pipeline: `python -m modelyard.pipeline.process RUN_FOLDER`."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from modelyard import events
from modelyard.cost.usage import measure
from modelyard.errors import ModelyardError
from modelyard.parent import PARENT, die_with_parent
from modelyard.pipeline.local import RunFolder, remove_unfinished
from modelyard.pipeline.pipelines import generic, run_here
from modelyard.pipeline.warm import forked_steps, modules_of
from modelyard.settings.family import resolve


def main(path: str) -> int:
    """Executes the run; 0 when all of its stages finished, else 1. Stages tell their own
    failures."""
    die_with_parent()
    # Steps are told to stop with this process, which waits for what they still save. A handler that
    # does nothing: a signal that is ignored would be ignored by the steps too.
    signal.signal(signal.SIGTERM, lambda number, frame: None)
    os.environ[PARENT] = str(os.getpid())
    folder = RunFolder(Path(path))
    record = folder.record
    try:
        with folder.lock():
            remove_unfinished(folder)
            _execute(folder)
    except ModelyardError as error:
        events.emit("failed", record.kind, kind=type(error).__name__, message=str(error))
        return 1
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _execute(folder: RunFolder) -> None:
    from modelyard.family import load

    record = folder.record
    entry = load(record.family)
    config = resolve(entry.Config, ("config", record.config))
    modules = modules_of(entry, config, record.kind)
    settings = record.config
    if record.data_rev:
        settings = {**settings, "data": {**settings.get("data", {}), "rev": record.data_rev}}
    arguments = {
        "family": record.family,
        "settings": settings,
        "nodes": record.nodes,
        "gpus_per_node": record.gpus_per_node,
    }
    with measure() as meter:
        try:
            with forked_steps(folder.path, modules):
                run_here(generic(record.kind), folder.artifacts, arguments)
        finally:
            events.emit("executed", record.kind, cost=meter.stop().model_dump(mode="json"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
