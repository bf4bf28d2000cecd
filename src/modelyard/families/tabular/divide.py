"""Which rows train, which tune and which judge."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from modelyard.errors import BadData
from modelyard.families.tabular.config import TabularFeatures
from modelyard.kit.splits import draw

LEAST_ROWS = 20
LEAST_OF_CLASS = 6
"""Rows a class needs: two in every split."""

Rows = dict[str, np.ndarray]
"""Row numbers by split: train, validation, test."""


def at_random(settings: TabularFeatures, classes: np.ndarray | None, keys: np.ndarray) -> Rows:
    """As if drawn, by what the rows hold; with `classes` (index by row) each class is divided in the
    same shares. Rows of equal `keys`, uint64 (rows,), stay together."""
    shares = {"test": settings.test_share, "validation": settings.validation_share}
    return draw(keys, shares, classes, least=2)


def by_time(settings: TabularFeatures, times: np.ndarray) -> Rows:
    """The latest rows test, those before them validate. Rows of the same time stay in one split."""
    order = np.argsort(times, kind="stable")
    later = times[order]
    rows, last = len(order), 1 - settings.test_share
    test = _start(later, round(rows * last))
    validation = _start(later, round(rows * (last - settings.validation_share)))
    return {"train": order[:validation], "validation": order[validation:test], "test": order[test:]}


def check(
    rows: Rows,
    y: np.ndarray,
    classes: list[str] | None,
    file: Path,
    column: str | None,
    setting: str = "time_column",
) -> None:
    """Every split has rows, and of every class at least one.

    Args:
        column: what the rows are divided by, and `setting` the one of `features` that names it.

    Raises:
        BadData: a split that has not; it can happen when dividing by time or by groups.
    """
    by = "groups" if setting == "group" else "time"
    for split, part in rows.items():
        if len(part) < 2:
            problem = f"dividing by {by} leaves {len(part)} rows for the {split} split"
            raise BadData(problem, file=file, column=column)
        for index, name in enumerate(classes or []):
            if not (y[part] == index).any():
                problem = f"dividing by {by} leaves the {split} split ({len(part)} rows) without class {name!r}"
                hint = (
                    f"Change features.test_share or validation_share, or unset features.{setting}"
                )
                raise BadData(problem, file=file, column=column, hint=hint)


def _start(later: np.ndarray, position: int) -> int:
    """The nearest position at which a new time begins."""
    position = min(max(position, 1), len(later) - 1)
    first = int(np.searchsorted(later, later[position], "left"))
    last = int(np.searchsorted(later, later[position], "right"))
    if position - first <= last - position and first > 0:
        return first
    return last
