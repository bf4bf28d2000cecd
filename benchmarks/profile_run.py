"""Where the time of a run goes, stage by stage: `python benchmarks/profile_run.py [FAMILY]`.

Runs `modelyard run FAMILY --fresh` in a folder of its own and reads the run's events. `between` is
what passed since the stage before ended: starting the step, imports, passing artifacts. Medians of
the rounds.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from modelyard import events

END = "ending"


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("family", nargs="?", default="tabular")
    options.add_argument("--rounds", type=int, default=3)
    given = options.parse_args()
    rounds = [profile(given.family) for _ in range(given.rounds)]
    total = 0.0
    print(f"{'stage':<10} {'between':>8} {'work':>8} {'processor':>10}   seconds")
    for stage in rounds[0]:
        between, work, processor = (
            statistics.median(one[stage][place] for one in rounds) for place in range(3)
        )
        total += between + work
        print(f"{stage:<10} {between:>8.2f} {work:>8.2f} {processor:>10.2f}")
    print(f"{'in all':<10} {total:>8.2f}")


def profile(family: str) -> Mapping[str, tuple[float, float, float]]:
    """Seconds between stages, of work, and of processors, by stage; the
    rest after the last under END."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "modelyard", "run", family, "--fresh"]
        environment = {**os.environ, "MODELYARD_HOME": "runs"}
        begun = time.time()
        subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
        ended = time.time()
        (file,) = Path(folder).glob("runs/*/*/events.jsonl")
        found: dict[str, tuple[float, float, float]] = {}
        last = begun
        for _, event in events.read(file):
            if event["event"] == "started":
                started = event["time"]
            elif event["event"] == "finished":
                cost = event["cost"]["cpu_seconds"]
                found[event["stage"]] = (started - last, event["time"] - started, cost)
                last = event["time"]
        return {**found, END: (ended - last, 0.0, 0.0)}


if __name__ == "__main__":
    main()
