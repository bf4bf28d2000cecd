"""The values of a column on one side of a comparison, without the empty cells."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

Columns = Mapping[str, Sequence[Any]]
"""Rows by column: numbers, text or None, as `Host.describe` gives them."""

SAMPLE_ROWS = 100_000
"""A column with more rows is compared on so many of them, drawn without replacement from a fixed
seed: D is then known within about 0.005, far below any effect worth an alarm."""


@dataclass(frozen=True)
class Column:
    """The values of one column on one side, None and NaN taken out."""

    values: np.ndarray
    """float64 or text, shape (present,)."""
    rows: int

    @property
    def kind(self) -> Literal["numeric", "category", "missing"]:
        if not len(self.values):
            return "missing"
        return "numeric" if self.values.dtype.kind == "f" else "category"

    @property
    def missing(self) -> float:
        return 1 - len(self.values) / self.rows if self.rows else 0.0


def column(values: Sequence[Any] | None, numeric: bool = False) -> Column:
    """The values that are there. `numeric`: read as numbers, where all of them are some."""
    if values is None:
        return Column(np.empty(0), 0)
    if len(values) > SAMPLE_ROWS:
        values = [values[index] for index in _sample(len(values))]
    present = [value for value in values if value is not None]
    if numeric or not {str, bool} & set(map(type, present)):
        try:
            # Numbers come back as text from a log in which a file had nothing but None in the
            # column.
            array = np.array(present, np.float64)
            return Column(array[~np.isnan(array)], len(values))
        except ValueError:
            pass
    return Column(np.array([str(value) for value in present], dtype=object), len(values))


@functools.lru_cache(maxsize=2)
def _sample(rows: int) -> list[int]:
    chosen: list[int] = np.random.default_rng(0).choice(rows, SAMPLE_ROWS, replace=False).tolist()
    return chosen
