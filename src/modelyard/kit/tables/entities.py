"""Several series in one file: which column tells them apart, and the rows of each."""

from __future__ import annotations

import re
from collections.abc import Sequence, Set

import numpy as np

from modelyard.kit.clock import through_autumn
from modelyard.kit.tables.columns import as_numbers, texts
from modelyard.kit.tables.notation import notation, plainly
from modelyard.kit.tables.table import Table
from modelyard.kit.tables.times import is_local, times

MOST_SHARE = 0.1
"""A series has ten rows or more on average: a column with more values is no name of series."""


def find_entity(
    tables: Sequence[Table], time_column: str, called: re.Pattern[str], aside: Set[str]
) -> str | None:
    """The column that tells the series of a file apart, if there is one.

    A column of text that is named as series are, or one in whose groups the time ascends while it
    goes back or repeats over the whole file. A column of numbers needs both.

    Args:
        called: what such columns are usually named, as a whole.
        aside: columns that are none.
    """
    first = tables[0]
    candidates = [name for name in first.names if name not in aside and name != time_column]
    time, local = None, False
    if time_column in first.names:
        # What is to be said of the times, their reader says.
        time = times(first, time_column, in_utc=False)
        local = is_local(first, time_column)
    # The rows of one series are mostly sorted: times that go back or repeat are of several.
    mixed = time is not None and not _ascends(time, local)
    # Named ones first, then those with the fewest series.
    found: list[tuple[bool, int, str]] = []
    for name in candidates:
        named = bool(called.fullmatch(name.strip()))
        plain = plainly(first.column(name), notation(first, name)).cells
        # Numbers may name series, as those of stores do, and are mostly what was measured.
        measured = bool(np.isfinite(as_numbers(plain)).any())
        # Of a name, and of times that several series mix, text needs one and numbers need both.
        signs = int(named) + int(mixed)
        if signs < 1 + int(measured) or not may_name(first, name):
            continue
        groups = rows_of(first, name)
        resolved = False
        if time is not None:
            resolved = all(_ascends(time[rows], local) for rows in groups.values())
        if resolved or (named and not measured):
            found.append((not named, len(groups), name))
    if not found:
        return None
    _, _, best = min(found)
    return best


def may_name(table: Table, name: str) -> bool:
    """Whether a column has so few different cells that they may name series."""
    return len(table.column(name).unique()) <= max(1, MOST_SHARE * table.rows)


def rows_of(table: Table, entity: str) -> dict[str | None, np.ndarray]:
    """Rows of each series in the order of the file, by its name; None where the cell is empty."""
    rows: dict[str | None, list[int]] = {}
    for row, name in enumerate(texts(table, entity)):
        rows.setdefault(name, []).append(row)
    return {name: np.array(places) for name, places in rows.items()}


def _ascends(time: np.ndarray, local: bool) -> bool:
    # Clocks on the wall go back by an hour in autumn, in a series that is sorted.
    if local:
        time, _ = through_autumn(time)
    return bool((np.diff(time) > 0).all())
