"""Which rows train, which tune and which judge."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np

from modelyard.errors import BadData
from modelyard.families.tabular.config import TabularFeatures
from modelyard.kit.splits import draw

LEAST_ROWS = 20

_SHARES = "Change features.test_share or validation_share, or unset features."
_DIVIDED: Mapping[str, tuple[str, str]] = {
    "time_column": ("by time", f"{_SHARES}time_column"),
    "group": ("by groups", f"{_SHARES}group"),
    "newest_rows": ("at random", "Raise or unset features.newest_rows, or add rows of the class"),
}
"""By what rows are divided, and what to do where a split is without a class."""

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
    before_test = 1 - settings.test_share
    before_validation = before_test - settings.validation_share
    test = _start(later, round(len(order) * before_test))
    validation = _start(later, round(len(order) * before_validation))
    return {"train": order[:validation], "validation": order[validation:test], "test": order[test:]}


def check(
    rows: Rows,
    y: np.ndarray,
    classes: list[str] | None,
    file: Path,
    column: str | None,
    setting: Literal["time_column", "group", "newest_rows"] = "time_column",
) -> None:
    """Every split has rows, and of every class at least one.

    Args:
        column: what the rows are divided by.
        setting: the one of `features` that can leave a split without; `newest_rows` where rows are
            divided at random.

    Raises:
        BadData: a split that has not.
    """
    by, hint = _DIVIDED[setting]
    for split, part in rows.items():
        if len(part) < 2:
            problem = f"dividing {by} leaves {len(part)} rows for the {split} split"
            raise BadData(problem, file=file, column=column)
        for index, name in enumerate(classes or []):
            if not (y[part] == index).any():
                problem = (
                    f"dividing {by} leaves the {split} split ({len(part)} rows) without class "
                    f"{name!r}"
                )
                raise BadData(problem, file=file, column=column, hint=hint)


def _start(later: np.ndarray, position: int) -> int:
    """The nearest position at which a new time begins."""
    position = min(max(position, 1), len(later) - 1)
    first = int(np.searchsorted(later, later[position], "left"))
    last = int(np.searchsorted(later, later[position], "right"))
    # From 0 or the end on, one side would be empty.
    if first == 0:
        return last
    if last == len(later) or position - first <= last - position:
        return first
    return last
