"""ingest: the raw data at a stated revision."""

from __future__ import annotations

from modelyard.stages.run import Done, Run, stage
from modelyard.store.artifact import Out, write_json


def _fingerprint(run: Run) -> str | None:
    from modelyard.sources.fingerprint import fingerprint

    if run.config.data.labels is not None:
        return None  # labels come at any time: only reading the log tells
    return fingerprint(run.config.data, run.reader.companions())


@stage(reads=("data", "features", "seed"), halves=("data",), outside=_fingerprint, computes=False)
def ingest(run: Run, dataset: Out) -> Done:
    """Fetches the data to `dataset/raw`, verifies its sums, records where it came from in
    `dataset/source.json`. Requests whose label came are examples too, where `data.labels` names a
    prediction log.

    Many files become a few shards: `modelyard.store.files` reads both alike. Fetched again when what
    lies behind the URI changed, or cannot tell.
    """
    from modelyard.sources import fetch

    source = fetch(
        run.config.data,
        dataset / "raw",
        sample=run.reader.sample,
        companions=run.reader.companions(),
        progress=run.progress("ingest"),
    )
    write_json(dataset / "source.json", source.record())
    if run.config.data.labels is None:
        return Done(source.headline, data_revision=source.revision)
    from modelyard.stages.labels import bring_labelled

    said, digest = bring_labelled(run, dataset)
    return Done(f"{source.headline}; {said}", data_revision=f"{source.revision} + {digest}")
