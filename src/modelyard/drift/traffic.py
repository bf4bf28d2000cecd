"""The two sides of a comparison: what a package was judged on, and what it answered since."""

from __future__ import annotations

import tempfile
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from modelyard.drift.columns import Column, column
from modelyard.drift.sketch import Sketch
from modelyard.errors import UsageError
from modelyard.predictions.readable import take_readable
from modelyard.predictions.window import LogPlace, Seen, groups, seen
from modelyard.store.tables import read_parquet

DRAWN_ROWS = 2_000
"""Rows of each side that the report is drawn from: the page stays small."""


@dataclass(frozen=True)
class Side:
    """One side of a comparison, in bounded memory."""

    columns: dict[str, Column]
    sample: dict[str, list[Any]]
    """Rows by column; the report draws DRAWN_ROWS of them, at random."""
    repeated: float
    """Share of the rows with the content of another one near by."""


def reference_of(package: Path, hidden: frozenset[str]) -> Side:
    """The package's own rows, without the columns that must not be logged."""
    rows = read_parquet(package / "reference.parquet")
    values = {name: cells for name, cells in rows.items() if name not in hidden}
    contents = Counter(zip(*values.values(), strict=True))
    repeated = 0.0
    if contents:
        repeated = 1 - len(contents) / contents.total()
    columns = {name: column(cells) for name, cells in values.items()}
    return Side(columns, values, repeated)


def served(
    place: str | Path, since: datetime, package: str, reference: Side, hidden: frozenset[str]
) -> tuple[Side, Seen]:
    """What one package version answered from `since` on, and what was seen of the log.

    Raises:
        Unavailable: the place cannot be read, or the object store does not answer.
    """
    log = LogPlace(place)
    files, skipped = log.window(since, package)
    stamp = since.astimezone(UTC).isoformat(timespec="milliseconds")
    with tempfile.TemporaryDirectory() as spill:
        sketch = Sketch(reference.columns, Path(spill), since=stamp, hidden=hidden)
        read = 0
        try:
            for group in groups(files):
                with log.here(group) as (local, vanished):
                    broken = take_readable(local, sketch.add)
                    read += len(local) - len(broken)
                    skipped += [*vanished, *broken]
            side = Side(sketch.columns(), sketch.sample(DRAWN_ROWS), sketch.repeated)
        finally:
            sketch.close()
    found = seen(log, read, skipped, rows=sketch.rows, outside=sketch.outside, late=sketch.late)
    # What a person asks next: was there ever anything, and when did it end?
    if not sketch.rows:
        found = found.model_copy(update={"newest": log.newest(package)})
    return side, found


def require(place: str) -> None:
    """Refuses a folder that was named and is not there; an object store has no folders, and an
    empty place there is its own verdict."""
    if "://" not in place and not Path(place).is_dir():
        raise UsageError(
            f"setting 'monitor.log': no folder {place}. Give the folder that the service logs to"
        )
