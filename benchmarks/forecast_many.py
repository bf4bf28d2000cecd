"""How long a packaged forecaster takes over many series, as `modelyard predict` answers a file.

    python benchmarks/forecast_many.py PACKAGE [--series 10000] [--points 200] [--requests]

Writes a CSV of simulated series with the columns that the package wants (a column that is known ahead has rows behind
the last value), then reads it, checks each request and forecasts in batches, in this process. `--requests` starts from
JSON bodies instead, each with all its points, as a client sends them. Prints wall and processor seconds of each part,
and the most memory.
"""

from __future__ import annotations

import argparse
import csv
import resource
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from modelyard.cli.answer import CHUNK
from modelyard.families.forecast.grid import texts
from modelyard.families.forecast.host import ForecastHost
from modelyard.families.forecast.window import Schema
from modelyard.packages.package import Package


def simulated(
    schema: Schema, series: int, points: int
) -> Iterator[tuple[str, list[str] | list[int], np.ndarray, np.ndarray]]:
    """Name, times, values (points,) and other columns (points + horizon, columns) of each series."""
    rng = np.random.default_rng(0)
    steps = points + (schema.horizon if schema.known else 0)
    times = texts(schema.grid.after(schema.example_time, np.arange(steps)))
    season = 1 + 0.3 * np.sin(2 * np.pi * np.arange(points) / schema.season)
    columns = [*schema.past, *schema.known]
    for number in range(series):
        level = rng.uniform(schema.minimum, schema.maximum)
        values = level * season * rng.lognormal(0, 0.1, points)
        others = np.stack([rng.choice([c.minimum, c.maximum], steps) for c in columns], 1)
        yield f"series {number}", times, values, others


def write_csv(file: Path, schema: Schema, series: int, points: int) -> None:
    """All series one below the other."""
    columns = [column.name for column in (*schema.past, *schema.known)]
    with file.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow([*schema.series_columns, schema.time_column, schema.target, *columns])
        for name, times, values, others in simulated(schema, series, points):
            names = [name] * len(schema.series_columns)
            for step, when in enumerate(times):
                value = f"{values[step]:.2f}" if step < points else ""
                writer.writerow([*names, when, value, *others[step]])


def bodies(schema: Schema, series: int, points: int) -> list[dict[str, Any]]:
    """The same as JSON bodies."""
    found = []
    width = len(schema.past)
    for _, times, values, others in simulated(schema, series, points):
        body: dict[str, Any] = {"values": values.tolist()}
        if schema.grid.dated:
            body["times"] = times[:points]
        if schema.past:
            body["past"] = {c.name: others[:points, n].tolist() for n, c in enumerate(schema.past)}
        if schema.known:
            body["known"] = {
                c.name: others[:, width + n].tolist() for n, c in enumerate(schema.known)
            }
        found.append(body)
    return found


@contextmanager
def measured(what: str, series: int) -> Iterator[None]:
    """Prints seconds, and milliseconds a series."""
    wall, processor = time.perf_counter(), time.process_time()
    yield
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    each = 1e3 * processor / series
    print(f"{what:<10} wall {wall:6.1f} s   processor {processor:6.1f} s   {each:.2f} ms a series")


def main() -> None:
    """Writes, reads, checks, forecasts."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("package", type=Path)
    parser.add_argument("--series", type=int, default=10_000)
    parser.add_argument("--points", type=int, default=200)
    parser.add_argument("--requests", action="store_true")
    given = parser.parse_args()
    package = Package(given.package, threads=2)
    host = package.host
    assert isinstance(host, ForecastHost)
    print(f"{given.series:,} series of {given.points} points, variant {package.variant.name}")
    with tempfile.TemporaryDirectory() as folder, measured("all", given.series):
        if given.requests:
            found = bodies(host.schema, given.series, given.points)
        else:
            file = Path(folder) / "series.csv"
            with measured("write", given.series):
                write_csv(file, host.schema, given.series, given.points)
            with measured("read", given.series):
                found = host.read_file(file) or []
        with measured("check", given.series):
            requests = [
                package.parse({k: v for k, v in body.items() if k != "series"}) for body in found
            ]
        with measured("forecast", given.series):
            answers = []
            for start in range(0, len(requests), CHUNK):
                part = package.host.predict(package.run, requests[start : start + CHUNK])
                answers += [one.model_dump(mode="json") for one in part]
    assert len(answers) == given.series
    print(f"most memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")


if __name__ == "__main__":
    main()
