"""Requests a second and p99 of the service beside FastAPI around the same ONNX session, in turn, on
the same core.

    python benchmarks/serving_throughput.py PACKAGE [--peer session|host] [--clients 1 16 64] [--server serve]

Each server has core 0 to itself while it is asked, the clients have core 1; the prediction log is
on. Rounds alternate, so that what else the machine does weighs on both alike; medians of the
rounds. Writes benchmarks/plots/serving-<family>-<peer>.json and .png.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psutil

from modelyard.packages.package import Package

HERE = Path(__file__).parent
ROOT = HERE.parent


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def cpu_seconds(root: int) -> float:
    """Processor time of a process and all below it: a busy machine does not lengthen it as it
    does the wall's."""
    process = psutil.Process(root)
    seconds = 0.0
    for member in [process, *process.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):
            times = member.cpu_times()
            seconds += times.user + times.system
    return seconds


@contextmanager
def running(
    command: list[str], env: dict[str, str], url: str, core: str = "0", cwd: Path = ROOT
) -> Iterator[tuple[int, float]]:
    """A server on one core: its process, and the seconds until it answered."""
    start = time.perf_counter()
    process = subprocess.Popen(
        ["taskset", "-c", core, *command],
        env=os.environ | env,
        cwd=cwd,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        while True:
            assert process.poll() is None, f"{' '.join(command)} ended with {process.returncode}"
            try:
                urllib.request.urlopen(url, timeout=1)  # noqa: S310
                break
            except OSError:
                time.sleep(0.01)
        yield process.pid, time.perf_counter() - start
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


def ours(
    package: Path, log: Path, port: int, server: str
) -> tuple[list[str], dict[str, str], Path]:
    """Command, environment and folder of the service."""
    env = {
        "MODELYARD_PACKAGE": str(package),
        "MODELYARD_PREDICTIONS": str(log),
        "OMP_NUM_THREADS": "1",
        "BENTOML_DO_NOT_TRACK": "True",
        "BENTOML_HOME": str(log / "bentoml"),
    }
    if server == "bentoml":
        command = [
            sys.executable,
            "-m",
            "bentoml",
            "serve",
            "service:Model",
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
        ]
        return command, env, ROOT / "services"
    command = [sys.executable, "-m", "modelyard", "serve", str(package), "--port", str(port)]
    return command, env, ROOT


def ask(url: str, bodies: Path, clients: int, seconds: float, root: int) -> dict[str, float]:
    """One round, from core 1."""
    before = cpu_seconds(root)
    command = [
        "taskset",
        "-c",
        "1",
        sys.executable,
        HERE / "serving_load.py",
        url,
        bodies,
        str(clients),
        str(seconds),
    ]
    told = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    assert set(told["statuses"]) == {"200"}, told
    told["cpu_us"] = (cpu_seconds(root) - before) / told["statuses"]["200"] * 1e6
    return told


def compare(
    package: Path, peer: str, server: str, levels: list[int], seconds: float, rounds: int
) -> dict[str, object]:
    """Figures by number of clients and by side."""
    opened = Package(package, threads=1)
    found: dict[str, object] = {
        "family": opened.info.family,
        "peer": peer,
        "server": server,
        "levels": {},
    }
    with tempfile.TemporaryDirectory() as work, ExitStack() as stack:
        bodies = Path(work) / "bodies.json"
        bodies.write_text(json.dumps([opened.golden()["request"]]))
        ports = {side: free_port() for side in ("modelyard", "fastapi")}
        urls = {side: f"http://127.0.0.1:{port}" for side, port in ports.items()}
        command, env, cwd = ours(package, Path(work) / "log", ports["modelyard"], server)
        started = running(command, env, f"{urls['modelyard']}/readyz", cwd=cwd)
        roots = {}
        roots["modelyard"], found["ready_seconds"] = stack.enter_context(started)
        beside = [
            sys.executable,
            "-m",
            "uvicorn",
            "serving_peer:app",
            "--app-dir",
            str(HERE),
            "--no-access-log",
            "--log-level",
            "error",
            "--port",
            str(ports["fastapi"]),
        ]
        started = running(beside, env | {"PEER": peer}, f"{urls['fastapi']}/openapi.json")
        roots["fastapi"], _ = stack.enter_context(started)
        for clients in levels:
            seen: dict[str, list[dict[str, float]]] = {side: [] for side in urls}
            for turn in range(rounds + 1):
                for side, url in urls.items():
                    got = ask(
                        f"{url}/predict", bodies, clients, seconds if turn else 0.5, roots[side]
                    )
                    seen[side] += [got] if turn else []
            found["levels"][str(clients)] = {  # type: ignore[index]
                side: {
                    key: statistics.median(one[key] for one in all_)
                    for key in ("rate", "p50", "p99", "cpu_us")
                }
                for side, all_ in seen.items()
            }
    return found


def table(found: dict[str, object]) -> str:
    """The figures as text."""
    lines = [
        f"{found['family']}, {found['server']}, ready after {found['ready_seconds']:.2f} s; peer: {found['peer']}"
    ]
    for clients, sides in found["levels"].items():  # type: ignore[attr-defined]
        a, b = sides["modelyard"], sides["fastapi"]
        lines.append(
            f"{clients:>4} clients  {a['rate']:8.0f}/s p50 {a['p50']:6.2f} p99 {a['p99']:7.2f} ms   "
            f"FastAPI {b['rate']:8.0f}/s p50 {b['p50']:6.2f} p99 {b['p99']:7.2f} ms   {a['rate'] / b['rate']:.2f}× "
            f"(CPU an answer: {a['cpu_us']:.0f} and {b['cpu_us']:.0f} us, {b['cpu_us'] / a['cpu_us']:.2f}×)"
        )
    return "\n".join(lines)


def draw(found: dict[str, object], file: Path) -> None:
    """Bars side by side."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    levels = found["levels"]
    figure, axes = pyplot.subplots(1, 2, figsize=(9, 3.2))
    for axis, key, title in zip(
        axes, ("rate", "p99"), ("answers a second", "p99, ms"), strict=True
    ):
        for shift, side in ((-0.2, "modelyard"), (0.2, "fastapi")):
            values = [sides[side][key] for sides in levels.values()]  # type: ignore[attr-defined]
            axis.bar([place + shift for place in range(len(values))], values, 0.38, label=side)
        axis.set_xticks(range(len(levels)), [f"{clients} clients" for clients in levels])  # type: ignore[arg-type,attr-defined]
        axis.set_title(title)
    axes[0].legend()
    figure.suptitle(
        f"{found['family']}: {found['server']} beside FastAPI around the {found['peer']}"
    )
    figure.tight_layout()
    figure.savefig(file, dpi=110)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("package", type=Path)
    parser.add_argument("--peer", choices=("session", "host"), default="session")
    parser.add_argument("--server", choices=("serve", "bentoml"), default="serve")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 16, 64])
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    figures = compare(
        asked.package.resolve(),
        asked.peer,
        asked.server,
        asked.clients,
        asked.seconds,
        asked.rounds,
    )
    print(table(figures))
    plots = HERE / "plots"
    plots.mkdir(exist_ok=True)
    stem = f"serving-{figures['family']}-{asked.peer}-{asked.server}"
    (plots / f"{stem}.json").write_text(json.dumps(figures, indent=1) + "\n")
    draw(figures, plots / f"{stem}.png")
