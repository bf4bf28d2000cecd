"""Opens, judges and times the variants of a model, and chooses one: for the stage that makes them,
and for a package that gets further ones."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import BaseModel

from modelyard.compress.building import Files, one_line
from modelyard.compress.calibration import Recorded, record
from modelyard.compress.policy import change_interval, choice_of, decide
from modelyard.compress.timing import BATCHES, MANY, Timing, time_variants
from modelyard.errors import BrokenArtifact
from modelyard.host import Host
from modelyard.judging.evaluation import Evaluation, judge
from modelyard.packages.variant import BASE, NATIVE, LeftOut, Variant, Variants
from modelyard.runtimes.gpu import this_machine
from modelyard.runtimes.opening import open_variant
from modelyard.runtimes.types import Runtime
from modelyard.stages.judged import evaluated
from modelyard.stages.run import Run

ASKED = 7
"""Requests that a variant must answer before it is judged."""
POOL = 4_096
"""Training requests that those for calibration are drawn from."""


@dataclass(frozen=True)
class Compiled:
    """A variant that opens."""

    name: str
    files: Files
    runtime: Runtime
    size: int
    """Bytes."""
    load_ms: float
    difference: float = 0.0
    """The largest from the trained model."""

    def compared(self, likeness: Likeness) -> Compiled:
        """With its difference. Raises whatever `likeness` raises."""
        return replace(self, difference=likeness(self.runtime))


Likeness = Callable[[Runtime], float]
"""The largest difference of a runtime from the trained model; raises BrokenArtifact where it is no
likeness."""
Likenesses = Callable[[str], Likeness]
"""By the variant's name."""


def opened(folder: Path, name: str, files: Files) -> Compiled:
    """Opens a variant below `folder`.

    Raises:
        BrokenArtifact: it does not open.
    """
    started = time.perf_counter()
    runtime = open_variant(folder, name, files)
    load_ms = round((time.perf_counter() - started) * 1e3, 1)
    size = sum((folder / file).stat().st_size for file in files.values())
    return Compiled(name, files, runtime, size, load_ms)


def compiled_of(
    folder: Path, made: Mapping[str, Files], likenesses: Likenesses
) -> tuple[list[Compiled], list[LeftOut]]:
    """Opens and compares variants; those that do not open or compare are left out."""
    found: list[Compiled] = []
    left_out: list[LeftOut] = []
    for name, files in made.items():
        # Runtimes lack operators, and say so when the graph is opened or first called, each with
        # an exception of its own.
        try:
            variant = opened(folder, name, files)
        except Exception as error:
            left_out.append(LeftOut(name=name, verdict="failed", reason=one_line(error)))
            continue
        try:
            found.append(variant.compared(likenesses(name)))
        except BrokenArtifact as error:
            left_out.append(LeftOut(name=name, verdict="rejected", reason=one_line(error)))
        except Exception as error:
            left_out.append(LeftOut(name=name, verdict="failed", reason=one_line(error)))
    return found, left_out


def judge_variants(
    run: Run,
    host: Host,
    features: Path,
    native: Runtime,
    native_size: int,
    opened: Sequence[Compiled],
) -> Variants:
    """Judges all on the validation split, times them in turn, and chooses one.

    The first of the variants is `native`, which the others are compared with.
    """
    trained = evaluated(run, host, native, features, "validation")
    metric = judge(run.config.gate, trained).metric
    choice = choice_of(run.config.export, metric, trained)
    requests = _requests(run, host, features)
    first = Compiled(NATIVE, {}, native, native_size, 0.0, 0.0)
    found, left_out = _evaluations(run, host, features, opened, requests, trained)
    found[NATIVE] = trained
    able = [variant for variant in (first, *opened) if variant.name in found]
    runtimes = {variant.name: variant.runtime for variant in able}
    settings = run.config.export
    batches: tuple[int, ...] = BATCHES
    if choice.aim == "throughput":
        batches += (MANY,)
    timings = time_variants(
        host, runtimes, requests, settings.latency_repeats, settings.latency_seconds, batches
    )
    variants = []
    for variant in able:
        seen, timing = found[variant.name], timings[variant.name]
        variants.append(_variant(variant, metric, seen, trained, timing))
    larger_is_better = trained.directions[metric] == "max"
    decided = decide(variants, choice, metric, larger_is_better)
    return Variants(variants=decided, left_out=left_out, choice=choice)


def _evaluations(
    run: Run,
    host: Host,
    features: Path,
    opened: Sequence[Compiled],
    requests: Sequence[BaseModel],
    trained: Evaluation,
) -> tuple[dict[str, Evaluation], list[LeftOut]]:
    """Those of the variants on what the trained model was judged on, by name, and the variants that
    cannot be judged."""
    found: dict[str, Evaluation] = {}
    left_out: list[LeftOut] = []
    for variant in opened:
        name, runtime = variant.name, variant.runtime
        try:
            lost = _lost_answers(host, runtime, requests[:ASKED])
            # Nothing could serve without the base: it fails the stage, not itself only.
            if lost and name == BASE:
                raise BrokenArtifact(f"{BASE}: {lost}")
            if lost:
                left_out.append(LeftOut(name=name, verdict="failed", reason=lost))
                continue
            found[name] = evaluated(run, host, runtime, features, "validation", trained)
        except Exception as error:
            if name == BASE:
                raise
            # A variant that answers with infinities breaks metrics, each in its own way.
            reason = f"cannot be judged: {one_line(error)}"
            left_out.append(LeftOut(name=name, verdict="rejected", reason=reason))
    return found, left_out


def _lost_answers(host: Host, runtime: Runtime, requests: Sequence[BaseModel]) -> str:
    """How many answers came to how many requests, asked one by one and together; empty: as many."""
    for batch in (requests[:1], requests):
        count = len(host.predict(runtime, batch))
        if count != len(batch):
            return f"{count} answers to {len(batch)} requests"
    return ""


def calibration(run: Run, host: Host, features: Path, base: Runtime) -> Callable[[], Recorded]:
    """Calls of the graphs for requests of the training split, made when first asked for."""
    calls: list[Recorded] = []

    def recorded() -> Recorded:
        if not calls:
            bodies = run.reader.requests(features, "train", POOL)
            requests = [host.Request.model_validate(body) for body in bodies]
            calls.append(record(host, base, requests, run.config.export.calibration_rows))
        return calls[0]

    return recorded


def _requests(run: Run, host: Host, features: Path) -> list[BaseModel]:
    """Requests of the validation split to time."""
    bodies = run.reader.requests(features, "validation", run.config.export.latency_repeats)
    return [host.Request.model_validate(body) for body in bodies]


def _variant(
    compiled: Compiled, metric: str, seen: Evaluation, trained: Evaluation, timing: Timing
) -> Variant:
    change = interval = load_ms = built_for = None
    if compiled.name != NATIVE:
        change = seen.metrics[metric] - trained.metrics[metric]
        interval = change_interval(metric, seen, trained)
        load_ms = compiled.load_ms
    # An engine runs on the GPU type that it was built on, and on no other.
    if compiled.name.startswith("tensorrt-"):
        built_for = this_machine()
    return Variant(
        name=compiled.name,
        graphs=compiled.files,
        bytes=compiled.size,
        load_ms=load_ms,
        metric=seen.metrics[metric],
        change=change,
        change_interval=interval,
        rows=seen.rows,
        max_difference=compiled.difference,
        built_for=built_for,
        **timing.figures(),
    )
