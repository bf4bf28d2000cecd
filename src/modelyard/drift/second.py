"""Evidently's own verdict and drawings of two samples: its tests, its thresholds."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from modelyard.card import pages
from modelyard.drift.columns import Rows
from modelyard.drift.statistics import ColumnDrift
from modelyard.drift.traffic import DRAWN_ROWS
from modelyard.errors import MissingExtra

DRAWN_COLUMNS = 40
"""Columns that Evidently is given, the most changed first: each costs about 0.2 s and 60 kB."""
DRAWN_CATEGORIES = 30
LONGEST_NAME, LONGEST_CATEGORY = 80, 60
"""Characters of a column's name and of a category in a drawing."""
LARGEST_NUMBER = 1e100
"""Evidently squares numbers and cubes them; callers may send up to 1e308."""
FINEST_STEPS = 1_000
"""Least width of a histogram, in steps between neighbouring floats: its bins need edges that differ."""


@dataclass(frozen=True)
class ColumnOpinion:
    """What Evidently says of a column."""

    drifted: bool
    method: str
    score: float
    """A p-value or a distance, as `method` says."""
    threshold: float
    """A p-value below it, or a distance from it on, is drift."""


@dataclass(frozen=True)
class Opinion:
    """What Evidently says of two samples."""

    page: str
    """Its own HTML page."""
    columns: dict[str, ColumnOpinion]
    """By the column's name."""
    drifted: bool
    """Whether it says that the data drifted."""
    rows_reference: int
    rows_current: int


def ask(columns: Sequence[ColumnDrift], reference: Rows, current: Rows) -> Opinion | None:
    """Evidently on a sample of the rows; None where no column has values on both sides.

    Raises:
        MissingExtra: Evidently is not installed.
    """
    try:
        import pandas as pd
        from evidently import DataDefinition, Dataset, Report
        from evidently.presets import DataDriftPreset
    except ModuleNotFoundError:
        raise MissingExtra("the drift report", "monitor") from None

    labels = _labels([column.name for column in columns], LONGEST_NAME)
    sample = _Sample(reference, current)
    before, after = pd.DataFrame(), pd.DataFrame()
    kinds: dict[str, list[str]] = {"numeric": [], "category": []}
    for column in columns:
        if len(before.columns) == DRAWN_COLUMNS:
            break
        values = sample.of(column)
        if values is not None:
            label = labels[column.name]
            before[label], after[label] = values
            kinds[column.kind].append(label)
    if before.empty:
        return None
    shape = DataDefinition(
        numerical_columns=kinds["numeric"], categorical_columns=kinds["category"]
    )
    report = Report([DataDriftPreset(columns=list(before.columns))], include_tests=True)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        found = report.run(Dataset.from_pandas(after, shape), Dataset.from_pandas(before, shape))
        page: str = found.get_html_str(as_iframe=False)
    result = found.dict()
    said = _said(result)
    return Opinion(
        page=page,
        columns={name: said[label] for name, label in labels.items() if label in said},
        drifted=_data_drifted(result),
        rows_reference=len(before),
        rows_current=len(after),
    )


class _Sample:
    """Rows of both sides, from a fixed seed."""

    def __init__(self, reference: Rows, current: Rows) -> None:
        self._sides = [(side, chosen(side)) for side in (reference, current)]

    def of(self, column: ColumnDrift) -> list[np.ndarray] | None:
        """A column's values, reference first; None where a side holds none, or of another type,
        where they cannot be drawn, and for the columns that come of labels: a sampled row has none.
        """
        if any(column.name not in side for side, _ in self._sides):
            return None
        if column.test in ("presence", "type") or column.kind == "missing":
            return None
        read = _numbers if column.kind == "numeric" else _categories
        found = []
        for side, rows in self._sides:
            values = side[column.name]
            found.append(read([values[row] for row in rows]))
        if not all(map(_has_values, found)):
            return None
        # Evidently draws each side, and takes its bins from both.
        drawn = [*found, np.concatenate(found)]
        if column.kind == "numeric" and not all(map(_has_histogram, drawn)):
            return None
        return found


def chosen(side: Rows) -> list[int]:
    """Which rows of a side are drawn: at random, from a fixed seed, where they are many."""
    rows = max((len(values) for values in side.values()), default=0)
    if rows <= DRAWN_ROWS:
        return list(range(rows))
    found: list[int] = np.random.default_rng(0).choice(rows, DRAWN_ROWS, replace=False).tolist()
    return found


def _has_values(values: np.ndarray) -> bool:
    if values.dtype.kind == "f":
        return bool(np.isfinite(values).any())
    return any(value is not None for value in values)


def _has_histogram(numbers: np.ndarray) -> bool:
    """Whether numpy can put these numbers, NaN left out, into bins."""
    low, high = float(np.nanmin(numbers)), float(np.nanmax(numbers))
    largest = max(abs(low), abs(high))
    if largest > LARGEST_NUMBER:
        return False
    # Of a single number numpy makes a histogram of width 1.
    width = high - low or 1.0
    return width >= FINEST_STEPS * float(np.spacing(largest))


def _said(found: dict[str, Any]) -> dict[str, ColumnOpinion]:
    """By label, from Evidently's metrics and its tests on them."""
    failed = {}
    for test in found["tests"]:
        settings = test["metric_config"]["params"]
        if "column" in settings:
            failed[settings["column"]] = test["status"] == "FAIL"
    said = {}
    for metric in found["metrics"]:
        label = metric["config"].get("column")
        if label is not None:
            said[label] = ColumnOpinion(
                drifted=failed[label],
                method=str(metric["config"]["method"]),
                score=float(metric["value"]),
                threshold=float(metric["config"]["threshold"]),
            )
    return said


def _data_drifted(found: dict[str, Any]) -> bool:
    for test in found["tests"]:
        is_of_column = "column" in test["metric_config"]["params"]
        if not is_of_column and test["status"] == "FAIL":
            return True
    return False


def _numbers(values: Sequence[Any]) -> np.ndarray:
    # Of an infinity numpy makes no histogram.
    numbers = np.array(values, np.float64)
    return np.where(np.isfinite(numbers), numbers, np.nan)


def _categories(values: Sequence[Any]) -> np.ndarray:
    counts = Counter("" if value is None else str(value) for value in values)
    frequent = [value for value, _ in counts.most_common(DRAWN_CATEGORIES)]
    known = _labels(frequent, LONGEST_CATEGORY)
    labels = np.empty(len(values), dtype=object)
    for place, value in enumerate(values):
        if value is not None:
            labels[place] = known.get(str(value), "(rare)")
    return labels


def _labels(names: Sequence[str], longest: int) -> dict[str, str]:
    """A label for each name, all different, in which Evidently and plotly find no markup."""
    found: dict[str, str] = {}
    taken: set[str] = set()
    for name in names:
        plain = pages.harmless(name, longest) or "(blank)"
        label = plain
        number = 1
        while label in taken:
            number += 1
            label = f"{plain} ({number})"
        taken.add(label)
        found[name] = label
    return found
