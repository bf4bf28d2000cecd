"""A person's table as values: what its columns are, which is the target, which rows can be used."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from modelyard.errors import BadData, UsageError, choices
from modelyard.families.tabular import divide, order
from modelyard.families.tabular.config import TabularConfig
from modelyard.families.tabular.groups import groups_of
from modelyard.families.tabular.samples import TARGETS
from modelyard.families.tabular.schema import TableSchema
from modelyard.families.tabular.target import Target, read_target
from modelyard.kit.classes.positive import Positive
from modelyard.kit.columns.edits import Edits
from modelyard.kit.columns.frames import check_named, dropped_columns, judged, unlisted
from modelyard.kit.columns.schema import Column, near
from modelyard.kit.tables import Table, doubt, texts

if TYPE_CHECKING:
    import pandas as pd


OLDER = "older than the newest rows"
"""Why rows are left out where `features.newest_rows` is set."""


@dataclass
class Prepared:
    """A table whose cells are values: input columns and the target, rows without a target gone."""

    frame: pd.DataFrame
    schema: TableSchema
    y: np.ndarray
    """Class index, int64, or value, float64."""
    clock: order.Clock
    """What the rows are divided by, if by time."""
    dropped: dict[str, int] = field(default_factory=dict)
    """How many rows (and columns) were left out, by reason."""
    notes: list[str] = field(default_factory=list)
    headline: str = ""
    """A clause on the target for the stage's line."""
    positive: Positive | None = None
    """Of two classes, the one that metrics speak of."""
    groups: np.ndarray | None = None
    """The group of every row, uint64 (rows,), where they are divided by groups."""


def prepare(table: Table, edits: Edits, config: TabularConfig) -> Prepared:
    """Judges the columns, converts the cells and encodes the target.

    Raises:
        BadData: a column that cannot be used as its role asks, or a target that cannot be
        predicted.
    """
    names = table.names
    target = target_name(table, edits, config)
    check_columns(table, target, config)
    group = config.features.group
    others = [name for name in names if name not in (target, group)]
    columns, values = judged(table, others, edits, config.features)
    if group is not None:
        reason = "tells groups apart (features.group)"
        columns.append(Column(name=group, role="drop", description=reason))
    found = read_target(table, target, edits.of_target(target), config)
    schema, y = found.schema, found.y
    shown = texts(table, target) if schema.classes else y
    if not schema.classes and (question := doubt(table, target)):
        table.note(question)
    notes = [*found.notes, *unlisted(names, edits, [target])]
    if edits != edits.of_target(target):
        assert edits.file is not None
        of = f"those of {edits.target}, not of {target}"
        notes.append(f"task and classes in {edits.file.name} are {of}: they were not used")
    clock = order.find_clock(table, y, schema, columns, config.features)
    keep, dropped = _rows_to_keep(table, target, found, clock)
    if (old := _older(keep, clock, config.features.newest_rows)) is not None:
        keep[old] = False
        dropped[OLDER] = len(old)
    import pandas as pd

    frame = pd.DataFrame({**values, target: shown})[keep]
    columns, left_out = dropped_columns(columns)
    reasons = {**table.dropped, **left_out}
    schema = schema.model_copy(update={"columns": columns, "dropped": reasons})
    if not schema.inputs:
        why = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
        problem = f"no column is left to predict from ({why or 'the target is the only one'})"
        raise BadData(problem, file=table.file)
    for reason, count in Counter(reasons.values()).items():
        dropped[f"columns: {reason}"] = count
    y = y[keep].astype(np.int64 if schema.classes else np.float64)
    if group is None:
        groups = None
    else:
        groups = groups_of(table, group, config.data.split_seed)[keep]
    return Prepared(
        frame.reset_index(drop=True),
        schema,
        y,
        clock.of(keep),
        dropped,
        notes,
        found.headline,
        found.positive,
        groups,
    )


def check_columns(table: Table, target: str, config: TabularConfig) -> None:
    """Refuses settings that name a column which the table lacks.

    Raises:
        UsageError: which setting, and the columns that there are.
    """
    for name in config.features.drop:
        if name == target:
            raise UsageError(f"setting 'features.drop': column {name!r} is the target")
        check_named("drop", name, table.names)
    others = [name for name in table.names if name != target]
    for name in config.model.monotone:
        if name not in others:
            raise UsageError(f"setting 'model.monotone': {choices('column', name, others)}")
    if (group := config.features.group) is not None:
        check_named("group", group, table.names)
        if group == target:
            raise UsageError(f"setting 'features.group': column {group!r} is the target")
    if config.features.time_column is not None:
        check_named("time_column", config.features.time_column, table.names)


def target_name(table: Table, edits: Edits, config: TabularConfig) -> str:
    """The column to predict: as the settings, the schema or the built-in data name it.

    Raises:
        BadData: nothing names one, or the table lacks it.
    """
    names = table.names
    target = config.features.target or edits.target
    if target is None and config.data.uri is None:
        target = TARGETS[config.features.sample]
    # An error points to the file in which it is to be corrected.
    named_by = table.file
    if not config.features.target and edits.file is not None:
        named_by = edits.file
    if target is None:
        hint = f"Type --target NAME. {near('', names)}"
        raise BadData("say which column is to be predicted", file=table.file, hint=hint)
    if target not in names:
        problem = "the table has no such column to predict"
        raise BadData(problem, file=named_by, column=target, hint=near(target, names))
    twice = [own for own, name in table.renamed.items() if name == target]
    if twice:
        # The other one may hold the answers.
        problem = f"is the target, and another column has its name ({twice[0]} here)"
        hint = "Remove one of them, or give it a name of its own"
        raise BadData(problem, file=table.file, column=target, hint=hint)
    return target


def _older(keep: np.ndarray, clock: order.Clock, newest: int | None) -> np.ndarray | None:
    """Usable rows before the `newest` ones, by their time or their place in the table; None where
    there are none."""
    usable = np.flatnonzero(keep)
    if newest is None or len(usable) <= newest:
        return None
    if clock.times is None:
        # Tables grow at their end.
        return usable[:-newest]
    by_time = usable[np.argsort(clock.times[usable], kind="stable")]
    return by_time[:-newest]


def _rows_to_keep(
    table: Table, target: str, found: Target, clock: order.Clock
) -> tuple[np.ndarray, dict[str, int]]:
    """Which rows have a target (and a time, when divided by it), and how many have not."""
    y = found.y
    keep = np.ones(len(y), bool)
    dropped = {}
    columns = {target: y}
    if clock.times is not None:
        columns[clock.column] = clock.times
    for column, values in columns.items():
        missing = np.isnan(values) & keep
        if not missing.any():
            continue
        if missing.sum() > len(y) / 2:
            problem = f"{missing.sum()} of {len(y)} rows have no value; more than half"
            hint = "Is it the right column? If so, remove the rows without a value yourself"
            raise table.fault(column, int(missing.argmax()), problem, hint)
        without = int(missing.sum())
        if column == target and found.rare:
            dropped["of rare classes"] = found.rare
            without -= found.rare
        if without:
            dropped[f"without {column}"] = without
        keep &= ~missing
    if keep.sum() < divide.LEAST_ROWS:
        problem = f"{keep.sum()} rows can be used; at least {divide.LEAST_ROWS} are needed"
        raise BadData(problem, file=table.file)
    return keep, dropped
