"""The column to predict: a quantity, or classes in index order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from modelyard.errors import BadData, UsageError, choices
from modelyard.families.tabular.config import TabularConfig
from modelyard.families.tabular.schema import TableSchema
from modelyard.kit.classes.positive import Positive, positive_class
from modelyard.kit.classes.rare import LEAST_OF_CLASS, left_out, rare_classes, too_rare
from modelyard.kit.columns.edits import Edits
from modelyard.kit.columns.infer import is_numeric
from modelyard.kit.columns.schema import Column
from modelyard.kit.columns.values import numbers
from modelyard.kit.tables import Notation, Table, as_texts, leading_zero, notation, plainly

MOST_CLASSES = 100
LARGEST = 1e150
"""Squares of larger targets leave float64."""
REGRESSION_FROM = 20
"""A numeric target with more different values than this is a quantity."""
FEW_CLASSES = 4
"""A numeric target of so many different values or fewer is no quantity."""


@dataclass(frozen=True)
class Target:
    """The column to predict, as it was understood."""

    schema: TableSchema
    """Without columns yet."""
    y: np.ndarray
    """Float64 (rows,): a value or a class index; NaN where it is missing."""
    headline: str = ""
    """A clause for the stage's line: what was decided without a person."""
    notes: list[str] = field(default_factory=list)
    positive: Positive | None = None
    """Of two classes."""
    rare: int = 0
    """Rows of classes that are left out for having too few; their `y` is NaN."""


def read_target(table: Table, target: str, edits: Edits, config: TabularConfig) -> Target:
    """What is predicted, and what a person should know of it."""
    cells = table.column(target)
    written = notation(table, target)
    plain = plainly(cells, written).cells
    there = np.flatnonzero(cells.is_valid().to_numpy(zero_copy_only=False))
    if not len(there):
        raise BadData("the target is empty in every row", file=table.file, column=target)
    task = config.features.task
    headline, notes = "", []
    if task == "auto":
        if leading_zero(cells):
            # Codes, such as 007.
            guess = _Guess("classification")
        else:
            guess = _guess_task(plain)
        task = edits.task or guess.task
        if edits.task is None and guess.note:
            headline = f"; {guess.note}"
            notes = [f"{target}: {guess.note}"]
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
        values = _quantities(table, target, written)
        return Target(TableSchema(target=target, task=task, columns=[]), values, headline, notes)
    labels = as_texts(cells)
    counts = Counter(label for label in labels if label is not None)
    wanted = list(edits.classes or ())
    if config.features.positive is not None:
        wanted.append(config.features.positive)
    rare = rare_classes(counts, wanted)
    if rare:
        lost = left_out(rare, counts, "rows")
        headline += f"; {lost}"
        notes.append(f"{target}: {lost}. To learn them, add rows.")
    common = Counter({name: count for name, count in counts.items() if name not in rare})
    _check_classes(table, target, common, edits)
    classes, positive = _in_order(common, edits, config.features.positive)
    index: dict[str | None, float] = {name: float(code) for code, name in enumerate(classes)}
    y = np.array([index.get(label, np.nan) for label in labels])
    schema = TableSchema(target=target, task="classification", classes=classes, columns=[])
    left = sum(counts[name] for name in rare)
    return Target(schema, y, headline, notes, positive, left)


def _quantities(table: Table, target: str, written: Notation) -> np.ndarray:
    """The targets of a regression, float64 (rows,), NaN where one is empty."""
    column = Column(name=target, role="numeric", format=written.format, unit=written.unit)
    values = numbers(column, table, "Fix the cell, or empty it to leave the row out")
    large = np.flatnonzero(np.abs(values) > LARGEST)
    if len(large):
        row = int(large[0])
        problem = f"{values[row]:g} is too large: its square is no 64-bit number"
        raise table.fault(target, row, problem, "Scale the target, or take its log")
    return values


@dataclass(frozen=True)
class _Guess:
    task: Literal["classification", "regression"]
    note: str = ""


def _guess_task(cells: pa.Array) -> _Guess:
    """A quantity where numbers have many different values; or some, of which one has too few rows
    for a class: ratings, counts and ages end in such a tail, codes seldom do."""
    there = cells.drop_null()
    different = len(pc.unique(there))
    if not is_numeric(cells) or different <= FEW_CLASSES:
        return _Guess("classification")
    fewest = pc.min(pc.value_counts(there).field("counts")).as_py()
    ask = "for classes: features.task=classification"
    if different > REGRESSION_FROM:
        if different <= MOST_CLASSES and fewest >= LEAST_OF_CLASS:
            # They could be classes as well.
            return _Guess("regression", f"{different} numbers, taken as a quantity ({ask})")
        return _Guess("regression")
    if fewest < LEAST_OF_CLASS:
        return _Guess("regression", f"{different} numbers, some rare, taken as a quantity ({ask})")
    return _Guess(
        "classification",
        f"{different} numbers, taken as classes (for a quantity: features.task=regression)",
    )


def _check_classes(table: Table, target: str, counts: Counter[str], edits: Edits) -> None:
    """Refuses classes that cannot be predicted.

    Raises:
        BadData: one class, too many, or one with too few rows.
    """
    where: dict[str, Any] = {"file": table.file, "column": target}
    if len(counts) < 2:
        (only,) = counts
        problem = f"the target has only one class, {only!r}; a classifier needs at least two"
        raise BadData(problem, **where)
    if len(counts) > MOST_CLASSES:
        plain = plainly(table.column(target), notation(table, target)).cells
        if is_numeric(plain):
            hint = "Type --set features.task=regression"
        else:
            hint = "Is it the right column?"
        problem = f"the target has {len(counts)} classes; at most {MOST_CLASSES} are allowed"
        raise BadData(problem, hint=hint, **where)
    if rare := too_rare(counts):
        rarest = rare[0]
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


def _in_order(
    counts: Mapping[str, int], edits: Edits, positive: str | None
) -> tuple[list[str], Positive | None]:
    """Class names in index order; of two, the positive one last.

    Raises:
        UsageError: features.positive is not a class.
    """
    if positive is not None and positive not in counts:
        raise UsageError(f"setting 'features.positive': {choices('class', positive, counts)}")
    if len(counts) > 2:
        if edits.classes:
            return list(edits.classes), None
        # Ratings by their value: as text, 10 would stand before 9.
        return sorted(counts, key=lambda name: (_number(name), name)), None
    setting = "features.positive"
    if positive is None and edits.classes:
        positive, setting = edits.classes[1], "the schema's order of classes"
    found = positive_class(counts, positive, setting)
    return [found.other, found.name], found


def _number(name: str) -> float:
    try:
        return float(name)
    except ValueError:
        return float("inf")
