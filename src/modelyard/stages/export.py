"""export: the trained model as ONNX, compared with the original, measured."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np

from modelyard.artifact import In, Out, write_json
from modelyard.errors import BrokenArtifact
from modelyard.evaluation import judge
from modelyard.family import Family, Graph, Host, Runtime
from modelyard.package import Variant
from modelyard.run import Run, stage


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
    measure = _Measure(run, family.host(model / "assets"), features)
    variants = [
        measure(native, name="native", graphs={}, bytes=_size(model), max_difference=0.0),
        measure(
            compiled,
            name="onnx-fp32",
            graphs={name: file.relative_to(graphs).as_posix() for name, file in files.items()},
            bytes=sum(file.stat().st_size for file in files.values()),
            max_difference=difference,
            chosen=True,
        ),
    ]
    write_json(graphs / "variants.json", [variant.model_dump() for variant in variants])
    return f"onnx-fp32, {variants[1].bytes / 1e3:,.0f} kB, differs by {difference:.1e} at most"


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


class _Measure:
    """Judges a runtime on the validation split and times single predictions."""

    def __init__(self, run: Run, host: Host, features: Path) -> None:
        self.family: Family[Any] = run.family
        self.config, self.host, self.features = run.config, host, features
        bodies = run.family.requests(features, "validation", run.config.export.latency_repeats)
        self.requests = [host.Request.model_validate(body) for body in bodies]

    def __call__(self, runtime: Runtime, **fields: Any) -> Variant:
        result = self.family.evaluate(self.host, runtime, self.features, "validation")
        metric = judge(self.config.gate, result).value
        return Variant(metric=metric, p50_ms=self._latency(runtime), **fields)

    def _latency(self, runtime: Runtime) -> float:
        self.host.predict(runtime, self.requests[:1])
        seconds = []
        for number in range(self.config.export.latency_repeats):
            start = time.perf_counter()
            self.host.predict(runtime, [self.requests[number % len(self.requests)]])
            seconds.append(time.perf_counter() - start)
        return round(statistics.median(seconds) * 1e3, 4)


def _size(model: Path) -> int:
    return sum(file.stat().st_size for file in model.iterdir() if file.is_file() and file.suffix != ".json")
