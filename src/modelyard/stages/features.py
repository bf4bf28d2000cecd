"""features: raw data to splits and assets."""

from __future__ import annotations

from modelyard.errors import BadData, UsageError
from modelyard.judging.evaluation import figure
from modelyard.packages.package import PackageInfo
from modelyard.registry import start, teacher
from modelyard.registry.versions import model_name
from modelyard.stages.lost import losses
from modelyard.stages.run import Run, stage
from modelyard.store.artifact import In, Out, write_json
from modelyard.store.base import Base


def _others(run: Run) -> str:
    """Digests of the models that the run starts from and is taught by."""
    digests = start.digest(run)
    taught_by = teacher.digest(run)
    if taught_by:
        digests += f" taught by {taught_by}"
    return digests


@stage(reads=("data", "features", "seed"), halves=("data",), outside=_others)
def features(run: Run, dataset: In, features: Out) -> str:
    """Reads the raw data, splits it and fits what turns it into model inputs, on the training split
    only.

    Brings the model that the run starts from, if it starts from one: what that one fitted is kept.
    Brings the one that teaches, too.
    """
    _check_trained_by_the_loop(run)
    # Copied into the outputs: training then reads nothing but its inputs, on whatever machine.
    base = start.bring(run, features)
    taught_by = teacher.bring(run, features)
    (features / "assets").mkdir()
    try:
        summary = run.reader.features(dataset / "raw", features)
    except BadData as error:
        raise error.within(dataset / "raw", run.config.data.uri or "the built-in data") from None
    if run.config.continual.start is not None:
        summary["notes"] = [_told(run, base), *summary.get("notes", ())]
    if taught_by is not None:
        summary["notes"] = [_lesson(taught_by), *summary.get("notes", ())]
    headline = str(summary.get("headline") or f"{sum(summary['rows'].values()):,} rows")
    headline += losses(summary)
    write_json(features / "summary.json", {**summary, "headline": headline})
    return headline


def _check_trained_by_the_loop(run: Run) -> None:
    """Raises UsageError where sections are set that only the shared training loop reads, and this
    model is fitted by a library of its own."""
    reason = run.config.refuses_warm_start()
    if reason and run.config.continual.wanted:
        raise UsageError(f"section 'continual': {reason}")
    if reason and run.config.compress.wanted:
        raise UsageError(f"section 'compress' shapes the training of networks, and {reason}")


def _told(run: Run, base: Base | None) -> str:
    if base is None:
        return f"Starts from scratch: nothing serves as {model_name(run)!r} yet."
    return (
        f"Goes on from {base.version} (run {base.run}): what it fitted on its own data turns this data into inputs. "
        "Every figure is on this data; how the earlier data fares is not seen here."
    )


def _lesson(teacher: PackageInfo) -> str:
    return (
        f"Taught by {teacher.version} (run {teacher.run}), which had {teacher.gate.metric} "
        f"{figure(teacher.gate.value)} on the test split of its own data."
    )
