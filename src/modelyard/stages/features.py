"""features: raw data to splits and assets."""

from __future__ import annotations

from modelyard.errors import BadData, UsageError
from modelyard.registry.start import bring, digest
from modelyard.registry.versions import model_name
from modelyard.stages.lost import losses
from modelyard.stages.run import Run, stage
from modelyard.store.artifact import In, Out, write_json
from modelyard.store.base import Base


@stage(reads=("data", "features", "seed"), halves=("data",), outside=digest)
def features(run: Run, dataset: In, features: Out) -> str:
    """Reads the raw data, splits it and fits what turns it into model inputs, on the training split
    only.

    Brings the model that the run starts from, if it starts from one: what that one fitted is kept.
    """
    if run.config.continual.wanted and (reason := run.config.refuses_warm_start()):
        raise UsageError(f"section 'continual': {reason}")
    base = bring(run, features)
    (features / "assets").mkdir()
    try:
        summary = run.reader.features(dataset / "raw", features)
    except BadData as error:
        raise error.within(dataset / "raw", run.config.data.uri or "the built-in data") from None
    if run.config.continual.start is not None:
        summary["notes"] = [_told(run, base), *summary.get("notes", ())]
    headline = str(summary.get("headline") or f"{sum(summary['rows'].values()):,} rows")
    headline += losses(summary)
    write_json(features / "summary.json", {**summary, "headline": headline})
    return headline


def _told(run: Run, base: Base | None) -> str:
    if base is None:
        return f"Starts from scratch: nothing serves as {model_name(run)!r} yet."
    return (
        f"Goes on from {base.version} (run {base.run}): what it fitted on its own data turns this data into inputs. "
        "Every figure is on this data; how the earlier data fares is not seen here."
    )
