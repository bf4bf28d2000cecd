"""The monitor on logs of growing size, next to what it replaces and to what others do.

Each line is a process of its own, from its start to its end; MB are its peak resident memory.

    python benchmarks/monitor.py --folder /tmp/logs                     # 10^5, 10^6 and 10^7 rows
    python benchmarks/monitor.py --folder /tmp/logs --rows 100000       # one size

Logs are written by the service's own writer, 2,000 rows a file, and stay in the folder: 10^7 rows of
50 columns are 2.3 GB and take ten minutes to write.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from modelyard.drift.statistics import compare
from modelyard.drift.traffic import Side, reference_of, served
from modelyard.drift.verdict import Verdict, Window, judge
from modelyard.host import LOG_COLUMNS
from modelyard.predictions.files import Writer, read_log
from modelyard.settings.monitor import MonitorSettings
from modelyard.store.tables import connect, read_parquet, write_parquet

FILE_ROWS = 2_000
PACKAGE = "0123456789ab"
DAY = "2026-01-31"
SINCE = datetime(2026, 1, 31, tzinfo=UTC)
SETTINGS = MonitorSettings()
FEW = np.array([f"kind-{number}" for number in range(8)], object)
MANY = np.array([f"category-{number}" for number in range(400)], object)
LIMITS = {"ours": 10**8, "exact": 10**6, "scipy": 10**6, "evidently": 10**5}
"""The most rows that each can bear on this machine."""
FIGURES = ("seconds", "cpu", "mb", "load", "verdict_s", "verdict_cpu")
PLOT = Path(__file__).parent / "plots" / "monitor"


def described(rng: np.random.Generator, rows: int) -> dict[str, list[Any]]:
    """50 columns: 31 of numbers, 18 of categories, one of ids."""
    columns: dict[str, list[Any]] = {}
    for at in range(30):
        numbers = rng.normal(size=rows)
        if at % 5 == 2:
            numbers = rng.lognormal(size=rows)
        if at % 5 == 3:
            numbers = rng.integers(0, 20, rows).astype(float)
        if at % 5 == 4:
            numbers[rng.random(rows) < 0.05] = np.nan
        columns[f"n{at}"] = numbers.tolist()
    for at in range(18):
        values = MANY if at % 3 == 0 else FEW
        columns[f"c{at}"] = values[rng.integers(0, len(values), rows)].tolist()
    columns["id"] = [f"customer-{number}" for number in rng.integers(0, 10**9, rows)]
    columns["score"] = rng.random(rows).tolist()
    return columns


def write_log(folder: Path, rows: int) -> None:
    """A day of traffic, as the service writes it."""
    writer, rng = Writer(folder), np.random.default_rng(0)
    files = rows // FILE_ROWS
    for at in range(files):
        hour = f"{DAY}T{at * 24 // files:02d}"
        own: dict[str, list[Any]] = {
            "_id": [f"call-{at}-{row}" for row in range(FILE_ROWS)],
            "_time": [f"{hour}:{row % 60:02d}:00.000+00:00" for row in range(FILE_ROWS)],
            "_package": [PACKAGE] * FILE_ROWS,
            "_family": ["tabular"] * FILE_ROWS,
            "_latency_ms": [1.5] * FILE_ROWS,
        }
        writer.write(described(rng, FILE_ROWS) | own, hour, PACKAGE)
    writer.close()


def write_reference(folder: Path) -> None:
    """2,000 reference rows, from which the traffic drifted in five columns."""
    columns = described(np.random.default_rng(1), 20_000)
    columns["n0"] = [value - 0.3 for value in columns["n0"]]
    columns["n1"] = [value * 2**0.5 for value in columns["n1"]]
    columns["n4"] = [0.0 if np.isnan(value) else value for value in columns["n4"]]
    columns["c1"] = ["kind-0" if value == "kind-1" else value for value in columns["c1"]]
    columns["n3"] = [value + 100 for value in columns["n3"]]
    names = list(columns)
    rows = [
        {name: None if value != value else value for name, value in zip(names, cells, strict=True)}
        for cells in zip(*columns.values(), strict=True)
    ]
    write_parquet(rows, folder / "reference.parquet")


def ours(folder: Path, package: Path) -> dict[str, Any]:
    """Reading, verdict and report, as the monitor stage does them."""
    from modelyard.drift.report import write_report

    start = time.monotonic()
    reference = reference_of(package, frozenset())
    current, seen = served(folder, SINCE, PACKAGE, reference, frozenset())
    verdict = _judged(reference, current, seen=seen)
    until_verdict = {"verdict_s": time.monotonic() - start, "verdict_cpu": time.process_time()}
    with tempfile.TemporaryDirectory() as work:
        write_report(
            Path(work) / "report.html", reference.sample, current.sample, verdict, SETTINGS
        )
    return _said(verdict) | until_verdict


def exact(folder: Path, package: Path) -> dict[str, Any]:
    """All rows as Python lists, all values in the tests."""
    rows = read_parquet(package / "reference.parquet")
    logged = read_log(folder, SINCE, PACKAGE)
    current = {name: values for name, values in logged.items() if name not in LOG_COLUMNS}
    columns = compare(rows, current, SETTINGS)
    return {
        "drifted": sorted(one.name for one in columns if one.drifted),
        "effects": {one.name: one.effect for one in columns},
    }


def scipy(folder: Path, package: Path) -> dict[str, Any]:
    """Each column's test by scipy on numpy arrays, nothing else."""
    from scipy.stats import chi2_contingency, ks_2samp

    database = connect()
    effects = {}
    for name, before in read_parquet(package / "reference.parquet").items():
        found = database.execute(
            f'SELECT "{name}" AS v FROM read_parquet($files) WHERE "{name}" IS NOT NULL',  # noqa: S608
            {"files": f"{folder}/*/*/*.parquet"},
        ).fetchnumpy()["v"]
        present = [value for value in before if value is not None]
        if found.dtype.kind == "f":
            effects[name] = float(ks_2samp(present, np.asarray(found)).statistic)
        else:
            old, new = (
                np.unique(np.asarray(side, str), return_counts=True) for side in (present, found)
            )
            every = np.union1d(old[0], new[0])
            counts = np.zeros((2, len(every)))
            for row, (values, number) in enumerate((old, new)):
                counts[row, np.searchsorted(every, values)] = number
            effects[name] = float(chi2_contingency(counts).pvalue)
    return {"effects": effects}


def evidently(folder: Path, package: Path) -> dict[str, Any]:
    """Evidently's DataDriftPreset on all rows and columns, and its page."""
    import pandas as pd
    from evidently import Dataset, Report
    from evidently.presets import DataDriftPreset

    before = pd.read_parquet(package / "reference.parquet")
    after = connect().execute(
        f"SELECT * EXCLUDE ({', '.join(LOG_COLUMNS[:5])}) FROM read_parquet($files)",  # noqa: S608
        {"files": f"{folder}/*/*/*.parquet"},
    )
    found = Report([DataDriftPreset()]).run(
        Dataset.from_pandas(after.df()[before.columns]), Dataset.from_pandas(before)
    )
    page = found.get_html_str(as_iframe=False)
    return {"page_mb": len(page) / 2**20}


METHODS: dict[str, Callable[[Path, Path], dict[str, Any]]] = {
    "ours": ours,
    "exact": exact,
    "scipy": scipy,
    "evidently": evidently,
}


def _judged(reference: Side, current: Side, **seen: Any) -> Verdict:
    window = Window(since=SINCE.isoformat(), until=SINCE.isoformat())
    named = {"family": "tabular", "package": PACKAGE, "digest": "", "window": window}
    return judge(reference.columns, current.columns, SETTINGS, **named, **seen)


def _said(verdict: Verdict) -> dict[str, Any]:
    return {
        "reason": verdict.reason,
        "alerts": [alert.in_words() for alert in verdict.alerts],
        "drifted": sorted(column.name for column in verdict.drifted),
        "effects": {column.name: column.effect for column in verdict.columns},
    }


def measured(method: str, folder: Path, package: Path) -> dict[str, Any]:
    """One method in a process of its own."""
    start = time.monotonic()
    command = [sys.executable, __file__, "--one", method, "--folder", str(folder)]
    process = subprocess.run(
        [*command, "--package", str(package)], check=True, capture_output=True, text=True
    )
    found: dict[str, Any] = json.loads(process.stdout.splitlines()[-1])
    return found | {"seconds": time.monotonic() - start, "load": os.getloadavg()[0]}


def show(sizes: list[int], results: dict[str, dict[int, dict[str, Any]]]) -> None:
    """The table, the agreement with the exact computation, and the growth."""
    print("| rows | method | s | CPU s | MB | load |\n|---|---|---|---|---|---|")
    for rows in sizes:
        for method, found in results.items():
            if rows in found:
                one = found[rows]
                print(
                    f"| {rows:,} | {method} | {one['seconds']:.1f} | {one['cpu']:.1f} | "
                    f"{one['mb']:,.0f} | {one['load']:.1f} |"
                )
    for rows, one in results["exact"].items():
        mine = results["ours"][rows]
        apart = {
            name: abs(effect - mine["effects"][name]) for name, effect in one["effects"].items()
        }
        most = max(apart, key=lambda name: apart[name])
        same = "the same" if one["drifted"] == mine["drifted"] else "OTHER"
        print(
            f"{rows:,} rows: {same} drifted columns as the exact computation ({mine['drifted']}), "
            f"effects at most {apart[most]:.4f} apart ({most})"
        )
    mine = results["ours"]
    for rows, one in mine.items():
        print(
            f"{rows:,} rows: until the verdict {one['verdict_s']:.1f} s, {one['verdict_cpu']:.1f} "
            f"CPU s; {one['reason']}; alerts: {one['alerts']}"
        )
    if len(mine) > 1:
        for what in ("verdict_s", "verdict_cpu", "mb"):
            slope, start = np.polyfit(list(mine), [one[what] for one in mine.values()], 1)
            print(f"{what}: {start:.1f} and {slope * 1e6:.2f} a million rows")


def draw(results: dict[str, dict[int, dict[str, Any]]]) -> None:
    """Seconds of a processor, and memory, by rows."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
    for axis, what, label in ((axes[0], "cpu", "processor seconds"), (axes[1], "mb", "peak MB")):
        for method, found in results.items():
            axis.loglog(list(found), [one[what] for one in found.values()], "o-", label=method)
        axis.set_xlabel("rows of 50 columns")
        axis.set_ylabel(label)
        axis.grid(alpha=0.3)
    axes[0].legend()
    figure.savefig(PLOT.with_suffix(".png"), dpi=110)
    figures = {
        method: {
            rows: {name: round(one[name], 1) for name in FIGURES if name in one}
            for rows, one in found.items()
        }
        for method, found in results.items()
    }
    PLOT.with_suffix(".json").write_text(json.dumps(figures, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--rows", type=int, nargs="+", default=[10**5, 10**6, 10**7])
    parser.add_argument("--one", choices=METHODS)
    parser.add_argument("--package", type=Path)
    given = parser.parse_args()
    if given.one:
        found = METHODS[given.one](given.folder, given.package)
        usage = resource.getrusage(resource.RUSAGE_SELF)
        found |= {"cpu": usage.ru_utime + usage.ru_stime, "mb": usage.ru_maxrss / 1024}
        print(json.dumps(found))
        return
    write_reference(given.folder)
    results: dict[str, dict[int, dict[str, Any]]] = {method: {} for method in METHODS}
    for rows in given.rows:
        log = given.folder / f"log-{rows}"
        if not log.exists():
            write_log(log, rows)
        for method, limit in LIMITS.items():
            if rows <= limit:
                results[method][rows] = measured(method, log, given.folder)
    show(given.rows, results)
    draw(results)


if __name__ == "__main__":
    main()
