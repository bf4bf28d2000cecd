"""Judging within a run: the first model within the time that the config allows, every other on the
rows that the first was judged on."""

from __future__ import annotations

import time
from pathlib import Path

from modelyard.family import Split
from modelyard.host import Host
from modelyard.judging.evaluation import Evaluation, Part
from modelyard.runtimes.types import Runtime
from modelyard.stages.run import Run


def evaluated(
    run: Run,
    host: Host,
    runtime: Runtime,
    features: Path,
    split: Split,
    like: Evaluation | None = None,
) -> Evaluation:
    """A model on a split, or on the part of it that the model of `like` was judged on.

    The notes say where it was a part, and where a family that judges whole splits only took longer
    than `evaluation.seconds`.
    """
    limit = run.config.evaluation.seconds
    if like is None:
        part = Part(seconds=limit)
    else:
        part = Part(rows=like.part)
    started = time.perf_counter()
    result = run.family.evaluate_part(host, runtime, features, split, part)
    taken = time.perf_counter() - started
    note = ""
    if result.part is not None:
        note = (
            f"Judged on the first {result.rows:,} {result.unit} of the {result.split} split, not on "
            f"all of it, as is every model that it is compared with: evaluation.seconds = {limit:g}."
        )
    elif like is None and taken > limit:
        note = (
            f"Judging took {taken:.0f} s, more than evaluation.seconds = {limit:g}: this family "
            "judges whole splits."
        )
    if not note:
        return result
    return result.model_copy(update={"notes": [*result.notes, note]})
