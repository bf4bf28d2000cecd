"""Whether rows are divided by time or at random: as the settings say, or as the rows show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from modelyard.errors import BadData, UsageError, option
from modelyard.families.tabular import divide
from modelyard.families.tabular.config import TabularConfig, TabularFeatures
from modelyard.families.tabular.groups import likely_group
from modelyard.families.tabular.schema import TableSchema
from modelyard.kit import tables
from modelyard.kit.columns.infer import is_numeric
from modelyard.kit.columns.schema import Column
from modelyard.kit.columns.values import convert
from modelyard.kit.tables import Table, is_dated, notation, plainly
from modelyard.kit.times import NEARLY_ALL, TIME_NAMES, Dependence, dependence, in_order

if TYPE_CHECKING:
    from modelyard.families.tabular.prepare import Prepared

NAMES = frozenset({*TIME_NAMES, "hour", "day", "week", "month", "quarter", "year", "period", "t"})
"""A column of numbers called so may be the time: not another one that grows, such as an id."""


@dataclass(frozen=True)
class Clock:
    """The time of the rows, where there is one to divide them by or to speak of."""

    column: str = ""
    times: np.ndarray | None = None
    """Float64 (rows,), NaN where a cell is empty. None: the rows are divided at random."""
    found: bool = False
    """Recognised, not named in the settings."""
    follows: Dependence = "none"
    """How the target follows the column that was looked at."""

    def of(self, keep: np.ndarray) -> Clock:
        """Of some of the rows."""
        if self.times is None:
            return self
        return replace(self, times=self.times[keep])


@dataclass(frozen=True)
class SplitBy:
    """What a person is to know of the division."""

    headline: str = ""
    """A clause for the stage's line, or empty."""
    notes: list[str] = field(default_factory=list)
    by_time: bool = False
    """The test rows are the latest ones."""


def find_clock(
    table: Table,
    y: np.ndarray,
    schema: TableSchema,
    columns: Sequence[Column],
    settings: TabularFeatures,
) -> Clock:
    """What to divide the rows by.

    Args:
        y: the target of every row, NaN where there is none.
        columns: all but the target, as they were judged.

    Raises:
        UsageError: `features.split` asks for a division by time, and no column is the time.
    """
    if settings.group is not None:
        return Clock()
    if settings.time_column is not None:
        return Clock(settings.time_column, _times(table, settings.time_column))
    if settings.split == "random":
        return Clock()
    clocks = _candidates(table, columns)
    if settings.split == "time":
        return _wanted(clocks)
    there = ~np.isnan(y)
    for name, times in clocks.items():
        own = times[there]
        if np.isnan(own).any() or in_order(own) < NEARLY_ALL:
            continue
        follows = dependence(own, y[there], len(schema.classes or ()))
        if follows == "series":
            return Clock(name, times, True, follows)
        return Clock(name, None, True, follows)
    return Clock()


def divide_rows(
    prepared: Prepared, table: Table, config: TabularConfig, keys: np.ndarray
) -> tuple[divide.Rows, SplitBy]:
    """Which rows train, which validate and which test, and what to say of it.

    Args:
        keys: what the rows hold, uint64 (rows,).

    Raises:
        BadData: a division by time or groups that was asked for leaves a split without rows or a class.
    """
    settings, schema = config.features, prepared.schema
    clock, y, groups = prepared.clock, prepared.y, prepared.groups
    classes = y if schema.classes else None
    if groups is not None:
        rows = divide.at_random(settings, classes, groups)
        divide.check(rows, y, schema.classes, table.file, settings.group, "group")
        return rows, _by_group(str(settings.group), groups, rows)
    if clock.times is not None:
        rows = divide.by_time(settings, clock.times)
        try:
            divide.check(rows, y, schema.classes, table.file, clock.column)
        except BadData as error:
            if not clock.found:
                raise
            rows = divide.at_random(settings, classes, keys)
            return rows, _impossible(clock, schema, error)
        if clock.found:
            return rows, _by_time(clock)
        return rows, SplitBy(by_time=True)
    rows = divide.at_random(settings, classes, keys)
    # Each class had rows enough, but the newest ones may be without.
    divide.check(rows, y, schema.classes, table.file, None, "newest_rows")
    group = likely_group(table, schema.target)
    if group:
        return rows, _torn(group)
    return rows, _at_random(clock, schema)


def _candidates(table: Table, columns: Sequence[Column]) -> dict[str, np.ndarray]:
    """Columns that may be the time, the one whose order the rows follow most first.

    Those that are no inputs too: rows stay neighbours when the date is left out.
    """
    found: dict[str, np.ndarray] = {}
    for column in columns:
        if not _may_be_time(column, table):
            continue
        try:
            found[column.name] = _times(table, column.name)
        except BadData:
            # No dates that can be read: a column that was left out, or text with a time's name.
            continue
    return dict(sorted(found.items(), key=lambda item: -in_order(item[1])))


def _may_be_time(column: Column, table: Table) -> bool:
    if column.role == "time" or column.name.strip().casefold() in NAMES:
        return True
    return column.role == "drop" and is_dated(table, column.name)


def _wanted(clocks: dict[str, np.ndarray]) -> Clock:
    # The one whose order the rows follow is first.
    for name, times in clocks.items():
        if len(clocks) == 1 or in_order(times) >= NEARLY_ALL:
            return Clock(name, times, True)
    seen = ", ".join(clocks) or "none"
    problem = f"setting 'features.split' = 'time': which column is it? Dates and times: {seen}"
    raise UsageError(f"{problem}. Type: --set features.time_column=NAME")


def _times(table: Table, name: str) -> np.ndarray:
    """Float64 with NaN where a cell is empty: seconds for dates."""
    if is_numeric(plainly(table.column(name), notation(table, name)).cells):
        return tables.times(table, name, required=False)
    dates = convert(Column(name=name, role="time"), table, required=False)
    seconds = dates.to_numpy("datetime64[us]")
    return np.where(np.isnat(seconds), np.nan, seconds.astype(np.int64) / 1e6)


def _by_time(clock: Clock) -> SplitBy:
    name = clock.column
    return SplitBy(
        f"; split by time: the latest rows by {name} are the test (at random: --set features.split=random)",
        [
            f"The rows are split by time: the latest by {name} are the test split, those before them validate. "
            "They are in its order and the target follows it, so a random split would judge the model on the "
            "neighbours of its training rows. For that one: --set features.split=random"
        ],
        by_time=True,
    )


def _by_group(name: str, groups: np.ndarray, rows: divide.Rows) -> SplitBy:
    counts = {split: len(np.unique(groups[part])) for split, part in rows.items()}
    said = ", ".join(f"{count:,} {split}" for split, count in counts.items())
    return SplitBy(
        f"; split by {name} (features.group)",
        [f"No {name} is in two splits (features.group); of {sum(counts.values()):,}: {said}."],
    )


def _torn(name: str) -> SplitBy:
    together = option("features.group", name)
    return SplitBy(
        f"; rows of one {name} are in several splits (to keep them in one: {together})",
        [
            f"Rows of one {name} are in several splits, so the model is judged on some that it knows from training. "
            f"If it is for others, keep the rows of each in one split: {together}"
        ],
    )


def _impossible(clock: Clock, schema: TableSchema, error: BadData) -> SplitBy:
    name = clock.column
    return SplitBy(
        f"; split at random though {schema.target} follows the time ({name}): {error.problem}",
        [
            f"{schema.target} follows {name}, and the rows could not be split by it: {error.problem}. "
            "Judged on the neighbours of its training rows, a model looks better than on later ones."
        ],
    )


def _at_random(clock: Clock, schema: TableSchema) -> SplitBy:
    name, target = clock.column, schema.target
    if not name:
        return SplitBy()
    by_time = option("features.time_column", name)
    if clock.follows == "trend":
        return SplitBy(
            f"; split at random though {target} changes along {name} (by time: {by_time})",
            [
                f"The rows are in the order of {name}, and {target} rises or falls along it. They are split at "
                f"random. If the model is for rows later than these, split them by time: {by_time}"
            ],
        )
    note = f"The rows are in the order of {name}, which {target} hardly follows: split at random."
    return SplitBy(notes=[f"{note} To split by time: {by_time}"])
