"""Answers whose label came: the log joined with what `/feedback` brought, late and out of order as
it comes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from modelyard.predictions.files import FEEDBACK
from modelyard.predictions.readable import take_readable
from modelyard.predictions.window import LogFile, LogPlace, Skipped, groups
from modelyard.store.tables import connect, identifier

LONGEST_WAIT = timedelta(days=31)
"""How long before its label an answer may have been given."""
READ = "read_parquet($files, union_by_name = true, hive_partitioning = false)"
INSERT = "INSERT INTO labels SELECT _id, _time, CAST(_label AS VARCHAR)"
DESCRIBE = f"DESCRIBE SELECT * FROM {READ}"  # noqa: S608
WITH_LABEL = f"last._label FROM {READ} AS log JOIN last USING (_id)"
LAST = """
    CREATE TABLE last AS
    SELECT _id, arg_max(_label, _came) AS _label, max(_came) AS _came
    FROM labels GROUP BY _id ORDER BY _came DESC LIMIT ?
"""


@dataclass(frozen=True)
class Labelled:
    """Logged rows with their label, and what was looked at to find them."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    """One an answer, the oldest first: the columns that were asked for with `_id`, `_time` and
    `_label`."""
    labels: int = 0
    """Requests that a label came for."""
    skipped: list[Skipped] = field(default_factory=list)
    """Files that could not be read."""

    @property
    def unmatched(self) -> int:
        """Labels whose answer is not in the log: of another package, too long ago, or unknown."""
        return self.labels - len(self.rows)


def read_labels(
    place: str | Path,
    since: datetime,
    package: str | None = None,
    *,
    most: int,
    columns: Sequence[str] | None = None,
) -> Labelled:
    """The answers whose label came from `since` on, however long before the answer was given (at
    most LONGEST_WAIT).

    Of several labels of a request the last counts, of several answers with one id the last too.

    Args:
        place: folder or URI of the prediction log.
        package: the version that answered; None: any.
        most: rows, those with the newest labels.
        columns: of the log, besides `_id` and `_time`; None: all.

    Raises:
        Unavailable: the place cannot be read, or the object store does not answer.
    """
    database = connect()
    try:
        # Labels as text: a file of numbers and one of words are read together.
        database.execute("CREATE TABLE labels (_id VARCHAR, _came VARCHAR, _label VARCHAR)")
        stamp = since.astimezone(UTC).isoformat(timespec="milliseconds")

        def take(files: Sequence[Path]) -> None:
            given = {"files": [str(file) for file in files], "since": stamp}
            database.execute(f"{INSERT} FROM {READ} WHERE _time >= $since", given)

        feedback = LogPlace(f"{str(place).rstrip('/')}/{FEEDBACK}")
        skipped = _each(feedback, *feedback.window(since, FEEDBACK), take)
        database.execute(LAST, [most])
        ((labels,),) = database.execute("SELECT count(*) FROM last").fetchall()
        if not labels:
            return Labelled(skipped=skipped)
        found: dict[str, dict[str, Any]] = {}

        def join(files: Sequence[Path]) -> None:
            for row in _joined(database, files, columns):
                before = found.get(row["_id"])
                if before is None or before["_time"] <= row["_time"]:
                    found[row["_id"]] = row

        log = LogPlace(place)
        skipped += _each(log, *log.window(since - LONGEST_WAIT, package), join)
        rows = sorted(found.values(), key=lambda row: (row["_time"], row["_id"]))
        return Labelled(rows, labels, skipped)
    finally:
        database.close()


def _each(
    log: LogPlace,
    files: list[LogFile],
    skipped: list[Skipped],
    take: Callable[[Sequence[Path]], None],
) -> list[Skipped]:
    """Hands all files to `take`, a group at a time; returns those that were skipped."""
    for group in groups(files):
        with log.here(group) as (local, vanished):
            skipped = [*skipped, *vanished, *take_readable(local, take)]
    return skipped


def _joined(
    database: Any, files: Sequence[Path], columns: Sequence[str] | None
) -> list[dict[str, Any]]:
    """Rows of these files that have a label."""
    given = {"files": [str(file) for file in files]}
    chosen = "log.*"
    if columns is not None:
        # A column that held nothing in all of these files is in none of them.
        described = database.execute(DESCRIBE, given).fetchall()
        there = {row[0] for row in described}
        wanted = [name for name in ("_id", "_time", *columns) if name in there]
        chosen = ", ".join(f"log.{identifier(name)}" for name in wanted)
    result = database.execute(f"SELECT {chosen}, {WITH_LABEL}", given)
    names = [column[0] for column in result.description]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]
