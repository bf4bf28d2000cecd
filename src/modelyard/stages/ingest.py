"""ingest: the raw data at a stated revision."""

from __future__ import annotations

from modelyard.artifact import Out, write_json
from modelyard.run import Done, Run, stage


@stage(reads=("data", "features", "seed"), cached=False)
def ingest(run: Run, dataset: Out) -> Done:
    """Fetches the data to `dataset/raw`, verifies its sums, records where it came from in `dataset/source.json`.

    Never answered from a cache: what lies behind a URI may have changed. Its digest decides what runs again.
    """
    from modelyard.sources import fetch

    raw, progress = dataset / "raw", run.progress("ingest")
    source = fetch(run.config.data, raw, sample=run.family.sample, progress=progress)
    write_json(dataset / "source.json", source)
    return Done(source.headline, data_revision=source.revision)
