"""The times of a table's rows, machine by machine: zones, clocks that change, order."""

from __future__ import annotations

from collections.abc import Iterable
from zoneinfo import ZoneInfo

import numpy as np

from modelyard.errors import UsageError
from modelyard.kit.clock import in_zone, through_autumn
from modelyard.kit.tables import Table, is_dated, is_local, times, without_offset


def moments(
    table: Table, column: str, machines: Iterable[np.ndarray], zone: str | None
) -> np.ndarray:
    """Seconds since 1970 in UTC, or numbers as they are, float64 (rows,).

    Args:
        machines: the rows of each machine, in the order of the file.
        zone: of times without an offset; None: UTC, but for the hour that stands twice.

    Raises:
        BadData: a cell that is no time, or one that the zone's clock never shows.
        UsageError: a zone for times that are numbers.
    """
    found = times(table, column, in_utc=zone is None)
    if zone is None:
        if is_local(table, column):
            for rows in machines:
                _through_autumn(table, column, found, rows)
        return found
    if not is_dated(table, column):
        problem = f"is for dates, and the column {column!r} holds numbers"
        raise UsageError(f"setting 'features.zone' = {zone!r} {problem}")
    local = without_offset(table.column(column))
    _read_in(table, column, found, [rows[local[rows]] for rows in machines], zone)
    return found


def _through_autumn(table: Table, column: str, time: np.ndarray, rows: np.ndarray) -> None:
    """Lets the time of a machine's rows go on where the clock goes back, with a note."""
    time[rows], again = through_autumn(time[rows])
    for place in again:
        table.note(
            f"{column}: the hour before {table.shown(column, int(rows[place - 1]))} stands twice, "
            "as when summer time ends: rows from its second pass on were taken for an hour later. "
            "Name the zone (features.zone), or write offsets, to leave no doubt"
        )


def _read_in(
    table: Table, column: str, time: np.ndarray, machines: list[np.ndarray], zone: str
) -> None:
    """Reads the times of these rows in the zone, in place, with a note on how its clock changed."""
    twice = back = forth = 0
    for rows in machines:
        found = in_zone(time[rows], ZoneInfo(zone))
        if found.skipped:
            row = int(rows[found.skipped[0]])
            seen = table.shown(column, row)
            problem = f"{seen} does not exist in {zone}: summer time skips that hour"
            hint = "The clock may not follow the zone. Write offsets, or a zone such as Etc/GMT-1"
            raise table.fault(column, row, problem, hint)
        time[rows] = found.utc
        twice += found.twice
        back += found.back
        forth += found.forth
    count = sum(len(rows) for rows in machines)
    said = f"{column}: {count:,} of {table.rows:,} times have no offset and were read in {zone}"
    if twice:
        said += (
            f"; {twice:,} lie in an hour that its clock shows twice, and belong to its first pass"
        )
        said += f" until the clock goes back ({back} times)"
    if forth:
        said += f"; it goes forth {forth} times, which leaves no gap"
    table.note(said)
