"""Labelled requests of a prediction log as part of a data set."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from modelyard.errors import UsageError
from modelyard.predictions.labels import Labelled, read_labels
from modelyard.stages.run import Run
from modelyard.store import artifact
from modelyard.store.labelled import FILE, LabelledRequest, write_labelled

REQUEST = "_request"


def bring_labelled(run: Run, dataset: Path) -> tuple[str, str]:
    """Writes the labelled requests of `data.labels` next to the raw data.

    Returns:
        A clause for the stage's line, and what identifies them.

    Raises:
        UsageError: the family does not learn from requests, or the log does not hold them.
        Unavailable: the log cannot be read.
    """
    data = run.config.data
    assert data.labels is not None, "asked for by the setting"
    if not run.reader.learns_from_labels:
        raise UsageError(
            f"setting 'data.labels': the family {run.name} does not learn from labelled requests. "
            "Type: --set data.labels=null"
        )
    since = datetime.now(UTC) - timedelta(days=data.labels_days)
    read = read_labels(data.labels, since, most=data.most_labels)
    requests = []
    for row in read.rows:
        # Logged without its request: by a service that did not log requests (`log_requests`).
        if row.get(REQUEST) is None or row["_label"] is None:
            continue
        request = LabelledRequest(
            id=row["_id"],
            time=row["_time"],
            request=json.loads(row[REQUEST]),
            label=str(row["_label"]),
            row={name: cell for name, cell in row.items() if not name.startswith("_")},
        )
        requests.append(request)
    if read.rows and not requests:
        raise UsageError(
            f"setting 'data.labels': {data.labels} holds {len(read.rows):,} labelled answers and none of "
            "their requests. Start the service with MODELYARD_LOG_REQUESTS=on"
        )
    write_labelled(dataset, requests)
    if requests:
        digest = artifact.sha256(dataset / FILE)[:12]
    else:
        digest = "none"
    return _in_words(read, len(requests)), f"labels {digest}"


def _in_words(read: Labelled, used: int) -> str:
    counts = {
        "answers without their request": len(read.rows) - used,
        "labels without an answer": read.unmatched,
        "files that cannot be read": len(read.skipped),
    }
    left_out = [f"{what} {number:,}" for what, number in counts.items() if number]
    said = f"{used:,} labelled requests"
    if left_out:
        said += f" (left out: {', '.join(left_out)})"
    return said
