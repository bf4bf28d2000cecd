"""export: the trained model as ONNX, compared with the original, measured."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from modelyard.compress.policy import choose
from modelyard.compress.recipes import RECIPES
from modelyard.errors import BrokenArtifact
from modelyard.host import Host
from modelyard.judging.evaluation import Evaluation, judge
from modelyard.packages.package import Variant
from modelyard.runtimes.opening import open_variant
from modelyard.runtimes.types import Graph, Runtime
from modelyard.stages.judged import evaluated
from modelyard.stages.run import Run, stage
from modelyard.store.artifact import In, Out, write_json

LEAST_ROUNDS = 3
"""Timed rounds, whatever the time limit."""


@stage(reads=("export", "gate", "seed", "evaluation"))
def export(run: Run, features: In, model: In, graphs: Out) -> str:
    """Makes each variant that applies, compares it with the trained model, judges it on
    validation, and times it."""
    pieces, native = run.family.graphs(model), run.family.native(model)
    files = _compiled(run, pieces, graphs)
    opened = {name: open_variant(graphs, name, found) for name, found in files.items()}
    differences = {
        name: max(check_parity(piece, native, one) for piece in pieces)
        for name, one in opened.items()
    }
    measured = _measure(
        run, run.entry.open(model / "assets"), features, {"native": native, **opened}
    )
    variants = [
        Variant(
            name="native", graphs={}, bytes=_size(model), max_difference=0.0, **measured["native"]
        )
    ]
    for name, found in files.items():
        size = sum((graphs / file).stat().st_size for file in found.values())
        difference = differences[name]
        variants.append(
            Variant(
                name=name, graphs=found, bytes=size, max_difference=difference, **measured[name]
            )
        )
    variants = choose(variants)
    write_json(graphs / "variants.json", [variant.model_dump() for variant in variants])
    best = next(variant for variant in variants if variant.chosen)
    return f"{best.name}, {best.bytes / 1e3:,.0f} kB, differs by {best.max_difference:.1e} at most"


def _compiled(run: Run, pieces: Sequence[Graph], graphs: Path) -> dict[str, dict[str, str]]:
    """File by graph, relative to `graphs`, of every variant whose recipe applies."""
    recipes = [recipe for recipe in RECIPES if not recipe.refusal(pieces)]
    files: dict[str, dict[str, str]] = {}
    for number, recipe in enumerate(recipes):
        made = files.setdefault(recipe.name, {})
        for place, piece in enumerate(pieces):
            file = recipe.make(piece, graphs / recipe.name, run.config.export.opset)
            made[piece.name] = file.relative_to(graphs).as_posix()
            run.progress("export")(number * len(pieces) + place + 1, len(recipes) * len(pieces))
    return files


def check_parity(graph: Graph, native: Runtime, compiled: Runtime) -> float:
    """Largest |difference| / max(1, |value - median|) between two runtimes on the graph's example:
    its first row, and all of it.

    The median of an output is taken off, so that figures around 2e9 are held against how far they
    lie from each other, not against their size.

    Raises:
        BrokenArtifact: it is over the graph's tolerance: which graph and output, and by how much.
    """
    worst = 0.0
    middle = {
        name: float(np.median(value)) if value.size else 0.0
        for name, value in native(graph.name, graph.example).items()
    }
    for rows in (1, len(next(iter(graph.example.values())))):
        batch = {name: array[:rows] for name, array in graph.example.items()}
        expected, seen = native(graph.name, batch), compiled(graph.name, batch)
        for name, value in expected.items():
            gap = _gap(value.astype(np.float64), seen[name], middle[name])
            if not gap <= graph.tolerance:
                raise BrokenArtifact(
                    f"graph {graph.name!r}: output {name!r} differs from the trained model by {gap:.2e}, "
                    f"allowed {graph.tolerance:.0e}. Raise the family's Graph.tolerance if that is acceptable"
                )
            worst = max(worst, gap)
    return worst


def _gap(expected: np.ndarray, seen: np.ndarray, middle: float) -> float:
    size = np.maximum(1, np.abs(expected - middle))
    return float(np.max(np.abs(expected - seen) / size, initial=0))


def _measure(
    run: Run, host: Host, features: Path, runtimes: dict[str, Runtime]
) -> dict[str, dict[str, Any]]:
    """The gate's metric on the validation split with the number of its rows, and the median
    milliseconds of one prediction, by variant."""
    repeats = run.config.export.latency_repeats
    bodies = run.reader.requests(features, "validation", repeats)
    requests = [host.Request.model_validate(body) for body in bodies]
    seconds: dict[str, list[float]] = {name: [] for name in runtimes}
    ends = time.perf_counter() + run.config.export.latency_seconds
    # In turn, so that what else the machine does weighs on all alike; the first round warms up.
    for number in range(repeats + 1):
        if number > LEAST_ROUNDS and time.perf_counter() > ends:
            break
        for name, runtime in runtimes.items():
            start = time.perf_counter()
            host.predict(runtime, [requests[number % len(requests)]])
            seconds[name].append(time.perf_counter() - start)
    measured = {}
    first: Evaluation | None = None
    for name, runtime in runtimes.items():
        result = evaluated(run, host, runtime, features, "validation", like=first)
        first = first or result
        p50 = statistics.median(seconds[name][1:]) * 1e3
        measured[name] = {
            "metric": judge(run.config.gate, result).value,
            "rows": result.rows,
            "p50_ms": round(p50, 4),
        }
    return measured


def _size(model: Path) -> int:
    return sum(
        file.stat().st_size for file in model.iterdir() if file.is_file() and file.suffix != ".json"
    )
