"""export: the trained model as ONNX, compared with the original, measured."""

from __future__ import annotations

import statistics
import time
from pathlib import Path

import numpy as np

from modelyard.errors import BrokenArtifact
from modelyard.family import Host
from modelyard.judging.evaluation import judge
from modelyard.packages.package import Variant
from modelyard.runtimes.types import Graph, Runtime
from modelyard.stages.run import Run, stage
from modelyard.store.artifact import In, Out, write_json


@stage(reads=("export", "gate", "seed"))
def export(run: Run, features: In, model: In, graphs: Out) -> str:
    """Writes `graphs/<variant>/<graph>.onnx`, checks each against the trained model, judges each on validation."""
    from modelyard.runtimes.export import to_onnx
    from modelyard.runtimes.onnx import OnnxRuntime

    family = run.family
    pieces, native = family.graphs(model), family.native(model)
    files = {piece.name: graphs / "onnx-fp32" / f"{piece.name}.onnx" for piece in pieces}
    for number, piece in enumerate(pieces):
        to_onnx(piece, files[piece.name], run.config.export.opset)
        run.progress("export")(number + 1, len(pieces))
    compiled = OnnxRuntime(files)
    difference = max(check_parity(piece, native, compiled) for piece in pieces)
    measured = _measure(run, run.entry.open(model / "assets"), features, {"native": native, "onnx-fp32": compiled})
    names = {name: file.relative_to(graphs).as_posix() for name, file in files.items()}
    size = sum(file.stat().st_size for file in files.values())
    variants = [
        Variant(name="native", graphs={}, bytes=_size(model), max_difference=0.0, **measured["native"]),
        Variant(
            name="onnx-fp32", graphs=names, bytes=size, max_difference=difference, chosen=True, **measured["onnx-fp32"]
        ),
    ]
    write_json(graphs / "variants.json", [variant.model_dump() for variant in variants])
    return f"onnx-fp32, {size / 1e3:,.0f} kB, differs by {difference:.1e} at most"


def check_parity(graph: Graph, native: Runtime, compiled: Runtime) -> float:
    """Largest |difference| / max(1, |value|) between two runtimes on the graph's example, alone and as a batch.

    Raises:
        BrokenArtifact: it is over the graph's tolerance: which graph and output, and by how much.
    """
    worst = 0.0
    for rows in (1, len(next(iter(graph.example.values())))):
        batch = {name: array[:rows] for name, array in graph.example.items()}
        expected, seen = native(graph.name, batch), compiled(graph.name, batch)
        for name, value in expected.items():
            gap = float(np.max(np.abs(value - seen[name]) / np.maximum(1, np.abs(value)), initial=0))
            if not gap <= graph.tolerance:
                raise BrokenArtifact(
                    f"graph {graph.name!r}: output {name!r} differs from the trained model by {gap:.2e}, "
                    f"allowed {graph.tolerance:.0e}. Raise the family's Graph.tolerance if that is acceptable"
                )
            worst = max(worst, gap)
    return worst


def _measure(run: Run, host: Host, features: Path, runtimes: dict[str, Runtime]) -> dict[str, dict[str, float]]:
    """The gate's metric on the validation split, and the median milliseconds of one prediction, by variant."""
    repeats = run.config.export.latency_repeats
    bodies = run.reader.requests(features, "validation", repeats)
    requests = [host.Request.model_validate(body) for body in bodies]
    seconds: dict[str, list[float]] = {name: [] for name in runtimes}
    # In turn, so that what else the machine does weighs on all alike; the first round warms up.
    for number in range(repeats + 1):
        for name, runtime in runtimes.items():
            start = time.perf_counter()
            host.predict(runtime, [requests[number % len(requests)]])
            seconds[name].append(time.perf_counter() - start)
    measured = {}
    for name, runtime in runtimes.items():
        result = run.family.evaluate(host, runtime, features, "validation")
        p50 = statistics.median(seconds[name][1:]) * 1e3
        measured[name] = {"metric": judge(run.config.gate, result).value, "p50_ms": round(p50, 4)}
    return measured


def _size(model: Path) -> int:
    return sum(file.stat().st_size for file in model.iterdir() if file.is_file() and file.suffix != ".json")
