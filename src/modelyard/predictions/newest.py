"""A window by count: since when a package answered its newest rows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import groupby
from operator import attrgetter
from pathlib import Path

from modelyard.predictions.readable import take_readable
from modelyard.predictions.window import LogPlace, groups
from modelyard.store.tables import connect

INSERT = """
    INSERT INTO times
    SELECT _time FROM read_parquet($files, union_by_name = true, hive_partitioning = false)
    WHERE _time >= $since
"""
NTH = "SELECT _time FROM times ORDER BY _time DESC LIMIT 1 OFFSET ?"


def newest_since(place: str | Path, since: datetime, package: str, rows: int) -> datetime:
    """The time of the oldest of a package's newest `rows` answers after `since`; `since` itself where
    there are fewer.

    Reads hour by hour from the newest on, until there are enough. Files that cannot be read are
    passed over here: who reads the window names them.

    Raises:
        Unavailable: the place cannot be read, or the object store does not answer.
    """
    log = LogPlace(place)
    files, _ = log.window(since, package)
    database = connect()
    try:
        database.execute("CREATE TABLE times (_time VARCHAR)")
        stamp = since.astimezone(UTC).isoformat(timespec="milliseconds")

        def take(local: Sequence[Path]) -> None:
            given = {"files": [str(file) for file in local], "since": stamp}
            database.execute(INSERT, given)

        for _, hour in groupby(reversed(files), key=attrgetter("hour")):
            for group in groups(list(hour)):
                with log.here(group) as (local, _):
                    take_readable(local, take)
            found = database.execute(NTH, [rows - 1]).fetchone()
            if found is not None:
                return datetime.fromisoformat(str(found[0]))
        return since
    finally:
        database.close()
