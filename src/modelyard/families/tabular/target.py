"""The column to predict: a quantity, or classes in index order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from modelyard.errors import BadData, UsageError, choices
from modelyard.families.tabular.config import TabularConfig
from modelyard.families.tabular.divide import LEAST_OF_CLASS
from modelyard.families.tabular.edits import Edits
from modelyard.families.tabular.infer import as_written, is_numeric, numbers
from modelyard.families.tabular.schema import Column, TableSchema
from modelyard.kit.tables import Table, as_texts

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
LARGEST = 1e150
"""Squares of larger targets leave float64."""
REGRESSION_FROM = 20
"""A numeric target with more different values than this is a quantity."""


def read_target(
    table: Table, target: str, edits: Edits, config: TabularConfig
) -> tuple[TableSchema, np.ndarray]:
    """The schema without columns yet, and the encoded target: float64 with NaN where it is
    missing."""
    cells = table.column(target)
    unit, style, plain = as_written(cells, table.delimiter)
    there = np.flatnonzero(cells.is_valid().to_numpy(zero_copy_only=False))
    if not len(there):
        raise BadData("the target is empty in every row", file=table.file, column=target)
    task = config.features.task
    if task == "auto":
        task = edits.task or _guess_task(plain)
    if task == "regression":
        if not is_numeric(plain):
            row = int(there[0])
            problem = (
                f"the target holds no numbers ({table.shown(target, row)}), so it is no regression"
            )
            if edits.file is not None and config.features.task == "auto":
                problem += f'; {edits.file.name} says "task": "regression"'
            hint = "Type --set features.task=classification, or choose another target"
            raise table.fault(target, row, problem, hint)
        column = Column(name=target, role="numeric", format=style, unit=unit)
        values = numbers(column, table, "Fix the cell, or empty it to leave the row out")
        large = np.flatnonzero(np.abs(values) > LARGEST)
        if len(large):
            row = int(large[0])
            problem = f"{values[row]:g} is too large: its square is no 64-bit number"
            raise table.fault(target, row, problem, "Scale the target, or take its log")
        return TableSchema(target=target, task=task, columns=[]), values
    labels = as_texts(cells)
    classes = _classes(table, target, labels, edits, config)
    index: dict[str | None, float] = {name: float(code) for code, name in enumerate(classes)}
    y = np.array([index.get(label, np.nan) for label in labels])
    return TableSchema(target=target, task="classification", classes=classes, columns=[]), y


def _guess_task(cells: pa.Array) -> Literal["classification", "regression"]:
    different = len(pc.unique(cells.drop_null()))
    return "regression" if is_numeric(cells) and different > REGRESSION_FROM else "classification"


def _classes(
    table: Table, target: str, labels: list[str | None], edits: Edits, config: TabularConfig
) -> list[str]:
    """Class names in index order; of two, the positive one last.

    Raises:
        BadData: one class, too many, or one with too few rows.
        UsageError: features.positive is not a class.
    """
    counts = Counter(label for label in labels if label is not None)
    where: dict[str, Any] = {"file": table.file, "column": target}
    if len(counts) < 2:
        (only,) = counts
        problem = f"the target has only one class, {only!r}; a classifier needs at least two"
        raise BadData(problem, **where)
    if len(counts) > MOST_CLASSES:
        _, _, plain = as_written(table.column(target), table.delimiter)
        numeric = is_numeric(plain)
        hint = "Type --set features.task=regression" if numeric else "Is it the right column?"
        problem = f"the target has {len(counts)} classes; at most {MOST_CLASSES} are allowed"
        raise BadData(problem, hint=hint, **where)
    rarest = min(counts, key=lambda name: counts[name])
    if counts[rarest] < LEAST_OF_CLASS:
        found = f"class {rarest!r} has {counts[rarest]} of {counts.total()} rows"
        problem = f"{found}; each class needs {LEAST_OF_CLASS}, two for every split"
        hint = (
            "Add rows of it, merge it with another class, or empty its target cells to leave it out"
        )
        raise BadData(problem, hint=hint, **where)
    if edits.classes is not None and set(edits.classes) != set(counts):
        strange = sorted(set(edits.classes) ^ set(counts))[0]
        named, seen = ", ".join(edits.classes), ", ".join(sorted(counts))
        problem = f"the schema's classes are {named}, the data's {seen}: they differ in {strange!r}"
        raise BadData(problem, file=edits.file, column=target)
    return _in_order(counts, edits, config.features.positive)


def _in_order(counts: Mapping[str, int], edits: Edits, positive: str | None) -> list[str]:
    if positive is not None and positive not in counts:
        raise UsageError(f"setting 'features.positive': {choices('class', positive, counts)}")
    if len(counts) > 2:
        return list(edits.classes or sorted(counts, key=lambda name: (_number(name), name)))
    first, second = edits.classes or sorted(counts)
    if positive is None and edits.classes:
        positive = second
    elif positive is None:
        rarer = second if counts[second] <= counts[first] else first
        positive = _affirmed(first, second) or rarer
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
