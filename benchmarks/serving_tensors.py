"""Rows a second over the Open Inference Protocol's binary tensors, beside the bare ONNX Runtime
loop.

    python benchmarks/serving_tensors.py PACKAGE [--graph NAME] [--seconds 3]

Both at the batch that is best for the loop, on one core, in turn: the loop runs in this process,
bound to core 0 as the service is; Triton's wire format is sent by one client on core 1 that always
has a few requests under way.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from serving_load import closed
from serving_throughput import HERE, cpu_seconds, free_port, ours, running

from modelyard.home import slug
from modelyard.packages.package import Package

TYPES = {"float": ("FP32", np.float32), "int64": ("INT64", np.int64), "bool": ("BOOL", np.bool_)}


def example(package: Package, graph: str) -> dict[str, np.ndarray]:
    """One row of the graph's inputs: what the host hands over for the golden request."""
    seen: list[dict[str, np.ndarray]] = []

    def spy(name, arrays):
        if name == graph:
            seen.append({key: array[:1] for key, array in arrays.items()})
        return package.run(name, arrays)

    package.host.predict(spy, [package.parse(package.golden()["request"])])
    assert seen, f"the golden request does not run graph {graph!r}"
    return seen[0]


def repeated(row: dict[str, np.ndarray], rows: int) -> dict[str, np.ndarray]:
    return {name: np.repeat(array, rows, axis=0) for name, array in row.items()}


def loop(
    package: Package, graph: str, batch: dict[str, np.ndarray], seconds: float
) -> tuple[float, float]:
    """Rows a second of the bare loop, and rows a second of processor time."""
    rows = len(next(iter(batch.values())))
    done, start, cpu = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - start < seconds:
        package.run(graph, batch)
        done += rows
    return done / (time.perf_counter() - start), done / (time.process_time() - cpu)


def best(package: Package, graph: str, row: dict[str, np.ndarray], largest: int) -> int:
    """The batch with the most rows a second."""
    sizes = [2**power for power in range(largest.bit_length())]
    return max(
        sizes,
        key=lambda rows: max(loop(package, graph, repeated(row, rows), 0.15)[1] for _ in range(2)),
    )


def message(address: str, model: str, batch: dict[str, np.ndarray]) -> bytes:
    """The request as it goes over the wire, with binary tensors both ways."""
    inputs, blobs = [], []
    kinds = {np.dtype(dtype): name for name, dtype in TYPES.values()}
    for name, array in batch.items():
        blobs.append(np.ascontiguousarray(array).tobytes())
        inputs.append(
            {
                "name": name,
                "datatype": kinds[array.dtype],
                "shape": list(array.shape),
                "parameters": {"binary_data_size": len(blobs[-1])},
            }
        )
    head = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
    body = b"".join([head, *blobs])
    lines = [
        f"POST /v2/models/{model}/infer HTTP/1.1",
        f"host: {address.removeprefix('http://')}",
        f"content-length: {len(body)}",
        f"inference-header-content-length: {len(head)}",
        "",
        "",
    ]
    return "\r\n".join(lines).encode() + body


def compare(
    path: Path, graph: str | None, seconds: float, rounds: int, largest: int
) -> dict[str, object]:
    """Medians of rounds that alternate."""
    os.sched_setaffinity(0, {0})
    package = Package(path, threads=1)
    graph = graph or next(iter(package.info.chosen.graphs))
    row = example(package, graph)
    rows = best(package, graph, row, largest)
    batch, model = repeated(row, rows), f"{slug(package.info.family)}.{graph}"
    found: dict[str, list[float]] = {
        "loop": [],
        "loop_cpu": [],
        "service": [],
        "service_cpu": [],
        "p99": [],
    }
    with tempfile.TemporaryDirectory() as work:
        port = free_port()
        command, env, cwd = ours(path, Path(work), port, "serve")
        address = f"http://127.0.0.1:{port}"
        with running(command, env, f"{address}/readyz", cwd=cwd) as (root, _):
            file = Path(work) / "request"
            file.write_bytes(message(address, model, batch))
            for _ in range(rounds):
                wall, cpu = loop(package, graph, batch, seconds)
                found["loop"].append(wall)
                found["loop_cpu"].append(cpu)
                before = cpu_seconds(root)
                client = [
                    "taskset",
                    "-c",
                    "1",
                    sys.executable,
                    __file__,
                    "--client",
                    address,
                    str(file),
                    str(seconds),
                ]
                told = json.loads(subprocess.run(client, check=True, capture_output=True).stdout)
                found["service"].append(told["rate"] * rows)
                found["service_cpu"].append(told["answers"] * rows / (cpu_seconds(root) - before))
                found["p99"].append(told["p99"])
    return {"family": package.info.family, "graph": graph, "rows": rows} | {
        key: statistics.median(values) for key, values in found.items()
    }


def draw(found: dict[str, object], file: Path) -> None:
    """Two bars."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axis = pyplot.subplots(figsize=(6, 2.2))
    axis.barh(["service", "bare loop"], [found["service"], found["loop"]], color=["C0", "C1"])
    axis.set_title(
        f"{found['family']}: rows a second as binary tensors, {found['rows']} rows a request"
    )
    figure.tight_layout()
    figure.savefig(file, dpi=110)


def client(address: str, file: str, seconds: str) -> None:
    """The process that asks."""
    result = closed(address, [Path(file).read_bytes()], 4, float(seconds))
    assert set(result.statuses) == {200}, result.statuses
    print(
        json.dumps(
            {"rate": result.rate(), "answers": result.statuses[200], "p99": result.quantile(0.99)}
        )
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--client"]:
        client(*sys.argv[2:])
        sys.exit()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("package", type=Path)
    parser.add_argument("--graph")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--largest", type=int, default=1024, help="largest batch that is tried")
    asked = parser.parse_args()
    got = compare(asked.package.resolve(), asked.graph, asked.seconds, asked.rounds, asked.largest)
    print(
        f"{got['family']}, graph {got['graph']}, {got['rows']} rows a request: bare loop {got['loop']:,.0f} rows/s, "
        f"service {got['service']:,.0f} rows/s, p99 {got['p99']:.1f} ms: {got['service'] / got['loop']:.2f}; "
        f"of processor time {got['service_cpu'] / got['loop_cpu']:.2f}"
    )
    plots = HERE / "plots"
    plots.mkdir(exist_ok=True)
    (plots / f"serving-tensors-{got['family']}.json").write_text(json.dumps(got, indent=1) + "\n")
    draw(got, plots / f"serving-tensors-{got['family']}.png")
