"""Seconds from the command until the model answers: `python benchmarks/serving_ready.py PACKAGE
[--rounds 5]`.

`modelyard serve` and `bentoml serve` in turn, each with both cores; medians, and the processor time
beside them.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

from serving_throughput import cpu_seconds, free_port, ours, running


def measure(package: Path, rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Seconds and processor seconds by server, one pair a round; the first round warms the disk
    up."""
    seen: dict[str, list[tuple[float, float]]] = {"serve": [], "bentoml": []}
    for turn in range(rounds + 1):
        for server, pairs in seen.items():
            with tempfile.TemporaryDirectory() as work:
                port = free_port()
                command, env, cwd = ours(package, Path(work), port, server)
                ready = running(
                    command, env, f"http://127.0.0.1:{port}/readyz", core="0,1", cwd=cwd
                )
                with ready as (root, seconds):
                    pairs += [(seconds, cpu_seconds(root))] if turn else []
    return seen


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("package", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    for name, found in measure(asked.package.resolve(), asked.rounds).items():
        wall, processor = (statistics.median(column) for column in zip(*found, strict=True))
        print(f"{name:<8} ready after {wall:.2f} s, {processor:.2f} s of processor time")
