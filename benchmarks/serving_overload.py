"""A soak at 1.5 times what the service can take: accepted requests keep their deadline, the rest
hears 503 at once.

    python benchmarks/serving_overload.py PACKAGE [--minutes 10] [--factor 1.5] [--deadline-ms 1000]

The sustainable rate is measured first, with as many callers as it takes. Then so many times more
requests are sent every second, whether answers come or not. At the end it is asked gently again:
within 5 s all must be answered. Writes benchmarks/plots/serving-overload-<family>.json and .png.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

from serving_load import Result, closed, message, open_loop
from serving_throughput import HERE, family, free_port, ours, running

from modelyard.packages.package import Package

WINDOW = 10.0
"""Seconds of one row of the report."""


def memory(root: int) -> float:
    """MB that a process and all below it hold."""
    pages = sum(int(fields[21]) for _, fields in family(root))
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def recovery(url: str, requests: list[bytes]) -> float:
    """Seconds until ten requests in a row are answered."""
    start = time.perf_counter()
    while True:
        got = closed(url, requests, 1, 0.3)
        if set(got.statuses) == {200}:
            return time.perf_counter() - start - got.seconds


def soak(path: Path, minutes: float, factor: float, deadline: float) -> dict[str, object]:
    """The rows of the report."""
    package = Package(path, threads=1)
    os.sched_setaffinity(0, {1})
    rows: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as work:
        port = free_port()
        command, env, cwd = ours(path, Path(work), port, "serve")
        address = f"http://127.0.0.1:{port}"
        url = f"{address}/predict"
        body = json.dumps(package.golden()["request"]).encode()
        requests = [message(url, body, {"x-deadline-ms": f"{deadline:.0f}"})]
        with running(command, env, f"{address}/readyz", cwd=cwd) as (root, _):
            patient = [message(url, body)]
            closed(url, patient, 1_000, 2)
            sustainable = closed(url, patient, 1_000, 8).rate()
            print(
                f"sustainable: {sustainable:.0f}/s; now {factor} times as many for {minutes:g} minutes"
            )

            def each(got: Result) -> None:
                rows.append(
                    {
                        "sent": sum(got.statuses.values()),
                        "answered": got.statuses[200],
                        "refused": got.statuses[503],
                        "late": got.statuses[504],
                        "lost": got.statuses[0],
                        "p50": got.quantile(0.5),
                        "p99": got.quantile(0.99),
                        "most": got.quantile(1.0),
                        "mb": memory(root),
                    }
                )
                print({key: round(value, 1) for key, value in rows[-1].items()}, flush=True)

            open_loop(
                url,
                requests,
                sustainable * factor,
                WINDOW,
                max(1, round(minutes * 60 / WINDOW)),
                each,
            )
            recovered = recovery(url, requests)
    return {
        "family": package.info.family,
        "sustainable": sustainable,
        "factor": factor,
        "deadline_ms": deadline,
        "recovered_seconds": recovered,
        "windows": rows,
    }


def summary(found: dict[str, object]) -> str:
    """One paragraph."""
    rows: list[dict[str, float]] = found["windows"]  # type: ignore[assignment]
    total = {
        key: sum(row[key] for row in rows)
        for key in ("sent", "answered", "refused", "late", "lost")
    }
    slowest = max(row["p99"] for row in rows)
    return (
        f"{found['family']}: {total['sent']:.0f} sent, {total['answered']:.0f} answered, "
        f"{total['refused']:.0f} refused (503), {total['late']:.0f} late (504), {total['lost']:.0f} lost; "
        f"p99 of the answered {slowest:.0f} ms at most, deadline {found['deadline_ms']:.0f} ms; "
        f"memory {rows[0]['mb']:.0f} to {rows[-1]['mb']:.0f} MB; recovered in {found['recovered_seconds']:.1f} s"
    )


def draw(found: dict[str, object], file: Path) -> None:
    """What became of the requests, and memory, over time."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows: list[dict[str, float]] = found["windows"]  # type: ignore[assignment]
    minutes = [(number + 1) * WINDOW / 60 for number in range(len(rows))]
    figure, axes = pyplot.subplots(1, 3, figsize=(12, 3.2))
    kinds = ("answered", "refused", "late", "lost")
    axes[0].stackplot(
        minutes, [[row[kind] / WINDOW for row in rows] for kind in kinds], labels=kinds
    )
    axes[0].legend()
    axes[1].plot(minutes, [row["p99"] for row in rows])
    axes[1].axhline(found["deadline_ms"], linestyle="--")  # type: ignore[arg-type]
    axes[2].plot(minutes, [row["mb"] for row in rows])
    axes[2].set_ylim(bottom=0)
    for axis, title in zip(
        axes, ("requests a second", "p99 of the answered, ms", "memory, MB"), strict=True
    ):
        axis.set_title(title)
        axis.set_xlabel("minutes")
    figure.tight_layout()
    figure.savefig(file, dpi=110)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("package", type=Path)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--factor", type=float, default=1.5)
    parser.add_argument("--deadline-ms", type=float, default=1_000.0)
    asked = parser.parse_args()
    figures = soak(asked.package.resolve(), asked.minutes, asked.factor, asked.deadline_ms)
    print(summary(figures))
    plots = HERE / "plots"
    plots.mkdir(exist_ok=True)
    (plots / f"serving-overload-{figures['family']}.json").write_text(
        json.dumps(figures, indent=1) + "\n"
    )
    draw(figures, plots / f"serving-overload-{figures['family']}.png")
