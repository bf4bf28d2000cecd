"""The rows of a machine in the order of time: files that begin with the latest row, times that go back or
stand twice."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from modelyard.errors import option
from modelyard.families.anomaly.naming import MACHINE
from modelyard.families.anomaly.words import holds_words
from modelyard.kit.tables import Table, is_local, texts, with_time
from modelyard.kit.tables.joining import TIME

MOST_TWICE = 0.01
"""Share of a series' rows that may stand at the time of another one, as loggers that restart write
them. More are of several machines."""
_MACHINES = "name the column of several machines: --set features.entity=NAME"


def timed(table: Table, asked: Collection[str | None], time_column: str | None) -> Table:
    """The table with the column of times that it has in several. Year, month and the like stay measurements,
    with a note, where rows do not follow each other by them and no column may name machines.

    Args:
        asked, time_column: as of `with_time`.
    """
    joined = with_time(table, asked, time_column)
    if TIME in table.names or TIME not in joined.names:
        return joined
    for name in joined.names:
        is_name = MACHINE.fullmatch(name) or holds_words(joined, name)
        if name != TIME and is_name:
            return joined
    # As they are written, later ones are greater.
    written = np.array(texts(joined, TIME), np.str_)
    forth = int((written[1:] > written[:-1]).sum())
    back = int((written[1:] < written[:-1]).sum())
    same = table.rows - 1 - forth - back
    if min(forth, back) + same <= MOST_TWICE * table.rows:
        return joined
    parts = ", ".join(name for name in table.names if name not in joined.names)
    table.note(
        f"{table.file.name}: {parts} are measurements: by them rows do not follow each other"
    )
    return table


def in_order(table: Table, column: str, time: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The rows of a machine as they are; from the last to the first, with a note, where their times only
    fall."""
    apart = np.diff(time[rows])
    if len(apart) < 2 or not (apart <= 0).all() or not (apart < 0).any():
        return rows
    table.note(f"{column}: the file begins with its latest row, and was read from its end")
    return rows[::-1]


def check_order(
    table: Table,
    column: str,
    time: np.ndarray,
    rows: np.ndarray,
    machine: str | None,
    zone: str | None,
) -> None:
    """Refuses a time that goes back.

    Raises:
        BadData: with the row, and what to do.
    """
    back = np.flatnonzero(np.diff(time[rows]) < 0)
    if not len(back):
        return
    before, row = rows[back[0] : back[0] + 2].tolist()
    seen = f"{table.shown(column, row)} after {table.shown(column, before)}"
    hint = "Sort the file by time" + ("" if machine else f", or {_MACHINES}")
    if zone is None and is_local(table, column):
        hint += ". Where clocks went back, name their zone: --set features.zone=Europe/Berlin"
    raise table.fault(column, row, f"the time{_of(machine)} goes back: {seen}", hint)


def repeated(
    table: Table,
    column: str,
    time: np.ndarray,
    x: np.ndarray,
    rows: np.ndarray,
    machine: str | None,
) -> np.ndarray:
    """Which of these rows say what the row before says, time included; bool (rows,). A few that say
    something else at the same time are kept, with a note.

    Args:
        x: measurements of all rows of the table, (rows of the table, columns).
        rows: ascending in time.

    Raises:
        BadData: many times stand twice with different measurements.
    """
    same = np.diff(time[rows]) == 0
    empty = np.isnan(x[rows])
    alike = (x[rows][1:] == x[rows][:-1]) | (empty[1:] & empty[:-1])
    says_the_same = same & alike.all(axis=1)
    twice = np.flatnonzero(same & ~says_the_same)
    if len(twice):
        row = int(rows[twice[0] + 1])
        seen = f"the time {table.shown(column, row)}{_of(machine)} stands twice"
        if len(twice) > MOST_TWICE * len(rows):
            hint = "Keep one of the rows" + ("" if machine else f", or {_MACHINES}")
            away = option("features.drop", [column])
            hint += f". Where rows do not follow each other, leave the time out: {away}"
            raise table.fault(column, row, f"{seen}, with different measurements", hint)
        table.note(
            f"{table.file.name}: {seen} ({len(twice)} such rows), with different measurements: both are "
            "rows, and no window crosses them"
        )
    return np.asarray(np.r_[False, says_the_same])


def _of(machine: str | None) -> str:
    return "" if machine is None else f" of {machine!r}"
