"""ingest: the raw data at a stated revision."""

from __future__ import annotations

from modelyard.artifact import Out, write_json
from modelyard.run import Run, stage


@stage(reads=("data", "features", "seed"), cached=False)
def ingest(run: Run, dataset: Out) -> str:
    """Fetches the data to `dataset/raw`, verifies its sums, records where it came from in `dataset/source.json`.

    Never answered from a cache: what lies behind a URI may have changed. Its digest decides what runs again.
    """
    from modelyard.sources import fetch

    source = fetch(run.config.data, dataset / "raw", sample=run.family.sample)
    write_json(dataset / "source.json", source)
    return source.headline
