"""features: raw data to splits and assets."""

from __future__ import annotations

from modelyard.artifact import In, Out, write_json
from modelyard.errors import BadData
from modelyard.run import Run, stage


@stage(reads=("data", "features", "seed"))
def features(run: Run, dataset: In, features: Out) -> str:
    """Reads the raw data, splits it and fits what turns it into model inputs, on the training split alone."""
    (features / "assets").mkdir()
    try:
        summary = run.family.features(dataset / "raw", features)
    except BadData as error:
        raise error.within(dataset / "raw", run.config.data.uri or "the built-in data") from None
    write_json(features / "summary.json", summary)
    return str(summary.get("headline") or f"{sum(summary['rows'].values()):,} rows")
