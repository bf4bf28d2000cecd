"""Which columns are the time and the label where the settings' own names are not in the table."""

from __future__ import annotations

import re

import numpy as np

from modelyard.errors import BadData, UsageError, choices, option
from modelyard.families.anomaly.cells import measurements
from modelyard.families.anomaly.config import AnomalyFeatures
from modelyard.families.anomaly.words import check_words, holds_flags, labelled_in_words
from modelyard.kit.tables import Table, find_entity, is_dated
from modelyard.kit.times import TIME_NAMES

MACHINE = re.compile(
    r"(machine|engine|unit|device|sensor|asset|equipment|turbine|pump|robot|node|host|station|entity|series)"
    r"([ _-]?(id|nr|no|name|number|key))?|id|hostname",
    re.IGNORECASE,
)
"""What a column that names machines is usually called."""
MARKS = frozenset(
    {
        "anomaly",
        "is_anomaly",
        "anomalous",
        "outlier",
        "is_outlier",
        "fault",
        "is_fault",
        "attack",
        "labels",
    }
)
"""Names of columns in which 1 is an anomaly: one of zeros and ones is the label."""
UNSURE = frozenset({"is_normal", "target", "class"})
"""Names of labels whose 1 may be the usual. A column of zeros and ones called so, or as MARKS where
there are several, is no measurement."""
SHORTEST_RUN = 10
"""Rows on average after which a count begins again."""


def named(tables: list[Table], settings: AnomalyFeatures) -> AnomalyFeatures:
    """The settings with the time column and the column of machines that the tables have.

    Raises:
        UsageError: a setting names a column that no table has.
    """
    columns = tables[0].names
    usual = AnomalyFeatures()
    for name in ("time_column", "label_column", "kind_column"):
        column = getattr(settings, name)
        if column != getattr(usual, name) and not any(column in table.names for table in tables):
            raise UsageError(f"setting 'features.{name}': {choices('column', column, columns)}")
    update: dict[str, str | None] = {
        "time_column": _time_column(columns, settings),
        "label_column": _label_column(tables, settings),
    }
    settings = settings.model_copy(update=update)
    check_words(tables, settings.label_column)
    # A column that names machines may hold the word normal too.
    settings = settings.model_copy(update={"entity": _entity(tables, settings)})
    return settings.model_copy(update={"label_column": _label_in_words(tables, settings)})


def _label_column(tables: list[Table], settings: AnomalyFeatures) -> str:
    """The label column's name: the settings', or the only column of zeros and ones that is called as
    marks of anomalies are."""
    usual = AnomalyFeatures().label_column
    known = _names(tables) - set(settings.drop)
    if settings.label_column != usual or usual in known:
        return settings.label_column
    called = [name for name in sorted(known) if name.casefold() in MARKS]
    if len(called) != 1:
        return usual
    (name,) = called
    for table in tables:
        if name in table.names and not holds_flags(table, name):
            return usual
    return name


def _label_in_words(tables: list[Table], settings: AnomalyFeatures) -> str:
    """The label column's name: the one that is known, or the only one whose words say what is
    normal."""
    known = _names(tables)
    if settings.label_column in known:
        return settings.label_column
    aside = {settings.time_column, settings.kind_column, settings.entity, *settings.drop}
    found = labelled_in_words(tables, sorted(known - aside))
    if len(found) == 1:
        return found[0]
    return settings.label_column


def _names(tables: list[Table]) -> set[str]:
    """All columns of all tables."""
    found: set[str] = set()
    for table in tables:
        found.update(table.names)
    return found


def _entity(tables: list[Table], settings: AnomalyFeatures) -> str | None:
    """The column that names machines: the settings', or the one that is recognised."""
    if settings.entity is None:
        aside = {settings.label_column, settings.kind_column, *settings.drop}
        return find_entity(tables, settings.time_column, MACHINE, aside)
    known = _names(tables)
    if settings.entity not in known:
        raise UsageError(f"setting 'features.entity': {choices('column', settings.entity, known)}")
    return settings.entity


def _time_column(columns: list[str], settings: AnomalyFeatures) -> str:
    """The time column's name: the settings', or the only one that is called as times are."""
    if settings.time_column in columns or settings.time_column != AnomalyFeatures().time_column:
        return settings.time_column
    aside = {settings.label_column, settings.kind_column, *settings.drop}
    free = [column for column in columns if column not in aside]
    known = [column for column in free if column.casefold() in TIME_NAMES]
    if len(known) == 1:
        return known[0]
    return settings.time_column


def check_measured(table: Table, names: list[str]) -> None:
    """Refuses columns that are plainly no measurements: times, labels, numbers of rows.

    Raises:
        BadData: with the setting to type.
    """
    for name in names:
        away = f"leave it out: {option('features.drop', [name])}"
        if is_dated(table, name):
            problem = "holds dates or times, not measurements"
            hint = f"Say that it is the time: {option('features.time_column', name)}; or {away}"
            raise BadData(problem, file=table.file, column=name, hint=hint)
        values = measurements(table, name)
        if name.casefold() in MARKS | UNSURE and np.isin(values, [0, 1]).all():
            problem = "is named as a label is, and would be measured"
            hint = f"Say so: {option('features.label_column', name)} (1 is an anomaly); or {away}"
            raise BadData(problem, file=table.file, column=name, hint=hint)
        if _counts(values):
            problem = "grows by the same with every row, as a time or a count does"
            if _begins_again(values):
                problem += ", and begins again, as that of each machine in a file does"
            hint = f"If it is the time: {option('features.time_column', name)}; else {away}"
            raise BadData(problem, file=table.file, column=name, hint=hint)


def _counts(values: np.ndarray) -> bool:
    """Whether values rise by equal steps all along, or from the first value on again and again.

    What begins again after as many rows each time, as the hour of a day does, may be a measurement,
    and what does so every few rows, as pulses and queues do.
    """
    steps = np.diff(values)
    if len(steps) < 2 or not steps[0] > 0:
        return False
    others = np.flatnonzero(steps != steps[0])
    if not (values[others + 1] == values[0]).all():
        return False
    if len(others) * SHORTEST_RUN > len(values):
        return False
    lengths = np.diff(others, prepend=-1)
    return len(lengths) == 0 or len(np.unique(lengths)) > 1


def _begins_again(values: np.ndarray) -> bool:
    return bool((np.diff(values) < 0).any())
