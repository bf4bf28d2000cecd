"""Seconds until the command line answers, beside a bare Python: `python benchmarks/cli_startup.py`.

Whole processes, run in turn; medians. The ratio is to `python -c pass` of the same round.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "modelyard --help": [sys.executable, "-m", "modelyard", "--help"],
    "modelyard families": [sys.executable, "-m", "modelyard", "families"],
}


def measure(rounds: int = 11) -> dict[str, float]:
    """Median seconds by command."""
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(rounds + 1):
        for name, command in COMMANDS.items():
            start = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values[1:]) for name, values in seconds.items()}


if __name__ == "__main__":
    medians = measure()
    bare = medians["python -c pass"]
    for name, value in medians.items():
        print(f"{name:<20} {value:.3f} s  {value / bare:5.1f}×")
