"""The column to predict: a quantity, or classes in index order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from modelyard.errors import BadData, UsageError, choices
from modelyard.families.tabular.config import TabularConfig
from modelyard.families.tabular.divide import LEAST_OF_CLASS
from modelyard.families.tabular.infer import as_written, is_numeric, numbers
from modelyard.families.tabular.schema import Column, Edits, TableSchema
from modelyard.families.tabular.written import as_text
from modelyard.kit.tables import Table

if TYPE_CHECKING:
    import pandas as pd

MOST_CLASSES = 100
YES_NO = (
    ("yes", "no"),
    ("y", "n"),
    ("true", "false"),
    ("t", "f"),
    ("1", "0"),
    ("positive", "negative"),
    ("ja", "nein"),
)
"""Pairs of classes of which the first is the positive one, however many rows it has."""
LARGEST = float(np.finfo(np.float32).max)
REGRESSION_FROM = 20
"""A numeric target with more different values than this is a quantity."""


def read_target(
    table: Table, target: str, edits: Edits, config: TabularConfig
) -> tuple[TableSchema, np.ndarray]:
    """The schema without columns yet, and the encoded target: float64 with NaN where it is
    missing."""
    cells = table.frame[target]
    unit, style, plain = as_written(cells, table.delimiter)
    there = cells.dropna()
    if not len(there):
        raise BadData("the target is empty in every row", file=table.file, column=target)
    task = (
        config.features.task if config.features.task != "auto" else edits.task or _guess_task(plain)
    )
    if task == "regression":
        if not is_numeric(plain):
            raise BadData(
                f"the target holds no numbers ({str(there.iloc[0])[:40]!r}), so it is no regression",
                **table.place(int(there.index[0])),
                column=target,
                hint="Type --set features.task=classification, or choose another target",
            )
        hint = "Fix the cell, or empty it to leave the row out"
        column = Column(name=target, role="numeric", format=style, unit=unit)
        values = numbers(column, cells, table, hint).to_numpy(np.float64, na_value=np.nan)
        large = np.flatnonzero(np.abs(values) > LARGEST)
        if len(large):
            problem = f"{values[large[0]]:g} is too large for a 32-bit number"
            raise BadData(
                problem,
                **table.place(int(large[0])),
                column=target,
                hint="Scale the target, or take its log",
            )
        return TableSchema(target=target, task=task, columns=[]), values
    classes = _classes(table, target, as_text(cells), edits, config)
    index = {name: float(code) for code, name in enumerate(classes)}
    y = as_text(cells).map(index).to_numpy(np.float64, na_value=np.nan)
    return TableSchema(target=target, task="classification", classes=classes, columns=[]), y


def _guess_task(cells: pd.Series[Any]) -> Literal["classification", "regression"]:
    return (
        "regression"
        if is_numeric(cells) and cells.nunique() > REGRESSION_FROM
        else "classification"
    )


def _classes(
    table: Table, target: str, labels: pd.Series[Any], edits: Edits, config: TabularConfig
) -> list[str]:
    """Class names in index order; of two, the positive one last.

    Raises:
        BadData: one class, too many, or one with too few rows.
        UsageError: features.positive is not a class.
    """
    counts = {str(name): int(count) for name, count in labels.value_counts().items()}
    where: dict[str, Any] = {"file": table.file, "column": target}
    if len(counts) < 2:
        raise BadData(
            f"the target has one class alone, {next(iter(counts))!r}; two are needed", **where
        )
    if len(counts) > MOST_CLASSES:
        hint = (
            "Type --set features.task=regression"
            if is_numeric(as_written(labels, table.delimiter)[2])
            else "Is it the right column?"
        )
        raise BadData(
            f"the target has {len(counts)} classes; at most {MOST_CLASSES} are allowed",
            hint=hint,
            **where,
        )
    rarest = min(counts, key=lambda name: counts[name])
    if counts[rarest] < LEAST_OF_CLASS:
        raise BadData(
            f"class {rarest!r} has {counts[rarest]} of {sum(counts.values())} rows; "
            f"each class needs {LEAST_OF_CLASS}, two for every split",
            hint="Add rows of it, merge it with another class, or empty its target cells to leave it out",
            **where,
        )
    if edits.classes is not None and set(edits.classes) != set(counts):
        strange = sorted(set(edits.classes) ^ set(counts))[0]
        raise BadData(
            f"the schema's classes are {', '.join(edits.classes)}, the data's {', '.join(sorted(counts))}: "
            f"they differ in {strange!r}",
            **where,
        )
    return _in_order(counts, edits, config.features.positive)


def _in_order(counts: dict[str, int], edits: Edits, positive: str | None) -> list[str]:
    if positive is not None and positive not in counts:
        raise UsageError(f"setting 'features.positive': {choices('class', positive, counts)}")
    if len(counts) > 2:
        return list(edits.classes or sorted(counts, key=lambda name: (_number(name), name)))
    first, second = edits.classes or sorted(counts)
    if positive is None and not edits.classes:
        positive = _affirmed(first, second) or (
            second if counts[second] <= counts[first] else first
        )
    elif positive is None:
        positive = second
    return [first, second] if positive == second else [second, first]


def _affirmed(first: str, second: str) -> str | None:
    """The class that says yes where the other says no."""
    named = {first.casefold(): first, second.casefold(): second}
    return next((named[yes] for yes, no in YES_NO if named.keys() == {yes, no}), None)


def _number(name: str) -> float:
    try:
        return float(name)
    except ValueError:
        return float("inf")
