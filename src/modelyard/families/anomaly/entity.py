"""Several machines in one file: which column tells them apart, and the rows of each."""

from __future__ import annotations

import re

import numpy as np

from modelyard.errors import UsageError, choices
from modelyard.families.anomaly.clock import through_autumn
from modelyard.families.anomaly.config import AnomalyFeatures
from modelyard.kit.tables import Table, as_numbers, is_local, notation, plainly, texts, times

MOST_SHARE = 0.1
"""A machine has ten rows or more on average: a column with more values is no name of machines."""
_MACHINE = re.compile(
    r"(machine|engine|unit|device|sensor|asset|equipment|turbine|pump|robot|node|host|station|entity|series)"
    r"([ _-]?(id|nr|no|name|number|key))?|id|hostname",
    re.IGNORECASE,
)
"""What a column that names machines is usually called."""


def find_entity(tables: list[Table], settings: AnomalyFeatures) -> str | None:
    """The column that tells the machines of a file apart, if there is one.

    A column of text that is named as machines are, or one in whose groups the time ascends while it
    goes back or repeats over the whole file. A column of numbers needs both.

    Raises:
        UsageError: `features.entity` names a column that no table has.
    """
    known = {name for table in tables for name in table.names}
    if settings.entity is not None:
        if settings.entity not in known:
            raise UsageError(
                f"setting 'features.entity': {choices('column', settings.entity, known)}"
            )
        return settings.entity
    first = tables[0]
    aside = {settings.time_column, settings.label_column, settings.kind_column, *settings.drop}
    candidates = [name for name in first.names if name not in aside]
    time, local = None, False
    if settings.time_column in first.names:
        time = times(first, settings.time_column)
        local = is_local(first, settings.time_column)
    mixed = time is not None and not _ascends(time, local)
    found: list[tuple[bool, int, str]] = []
    for name in candidates:
        called = bool(_MACHINE.fullmatch(name.strip()))
        plain = plainly(first.column(name), notation(first, name)).cells
        measured = bool(np.isfinite(as_numbers(plain)).any())
        if not called and (measured or not mixed):
            continue
        if called and measured and not mixed:
            continue
        groups = rows_of(first, name)
        if len(groups) > max(1, MOST_SHARE * first.rows):
            continue
        resolved = time is not None and all(_ascends(time[rows], local) for rows in groups.values())
        if resolved or (called and not measured):
            found.append((not called, len(groups), name))
    return min(found)[2] if found else None


def rows_of(table: Table, entity: str) -> dict[str | None, np.ndarray]:
    """Rows of each machine in the order of the file, by its name; None where the cell is empty."""
    rows: dict[str | None, list[int]] = {}
    for row, name in enumerate(texts(table, entity)):
        rows.setdefault(name, []).append(row)
    return {name: np.array(places) for name, places in rows.items()}


def _ascends(time: np.ndarray, local: bool) -> bool:
    if local:
        time, _ = through_autumn(time)
    return bool((np.diff(time) > 0).all())
