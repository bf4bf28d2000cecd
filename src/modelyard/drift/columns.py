"""What the tests of drift need of one column on one side: bounded, however many rows there are."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

Kind = Literal["numeric", "category", "missing"]

LONGEST_VALUE = 200
"""Bytes of a category; of a longer one the beginning and a checksum stand for it."""
BEGINNING = 160
"""Characters of that beginning."""


@dataclass(frozen=True)
class Column:
    """One column on one side. Counts are of all rows; `numbers` may be a sample of them, and
    `counts` too where the values are too many to count."""

    kind: Kind
    rows: int
    present: int
    """Rows that hold a value: not None, not NaN."""
    numbers: np.ndarray = field(default_factory=lambda: np.empty(0))
    """float64, shape (present,) or that of a sample."""
    counts: Counter[str] = field(default_factory=Counter)
    """Rows by category."""
    least: float = 0.0
    most: float = 0.0
    mean: float = 0.0
    """Least, largest and mean number of all rows."""
    least_share: float = 1.0
    """Of the least effect that others must have, where a smaller one matters already."""

    @property
    def missing(self) -> float:
        """Share of the rows without a value."""
        if self.rows:
            return 1 - self.present / self.rows
        return 0.0


Rows = Mapping[str, Sequence[Any]]
"""Rows by column: numbers, text or None, as `Host.describe` gives them."""
Columns = Mapping[str, Sequence[Any] | Column]
"""Rows by column, or what sums them up."""


def rows_of(columns: Columns) -> int:
    """Rows of a side."""
    rows = 0
    for values in columns.values():
        size = values.rows if isinstance(values, Column) else len(values)
        rows = max(rows, size)
    return rows


def column(values: Sequence[Any] | Column | None, numeric: bool = False) -> Column:
    """Sums up the values of a column. `numeric`: read as numbers, where all of them are some."""
    if isinstance(values, Column):
        return values
    if values is None:
        return Column("missing", 0, 0)
    present = [value for value in values if value is not None]
    # True is 1 to numpy, and a category here.
    has_words = not numeric and bool({str, bool} & set(map(type, present)))
    if not has_words:
        try:
            # Numbers come back as text from a log in which a file had nothing but None in the
            # column.
            array = np.array(present, np.float64)
        except ValueError:
            pass
        else:
            return numbers_column(array[~np.isnan(array)], len(values))
    counts = Counter(shortened(str(value)) for value in present)
    return Column("category", len(values), len(present), counts=counts)


def numbers_column(numbers: np.ndarray, rows: int) -> Column:
    """The column of all `numbers`, of which none is NaN, in so many rows."""
    if not len(numbers):
        return Column("missing", rows, 0)
    # Callers may send infinities, and numbers whose sum is one.
    with np.errstate(invalid="ignore", over="ignore"):
        mean = float(numbers.mean())
    least, most = float(numbers.min()), float(numbers.max())
    return Column("numeric", rows, len(numbers), numbers, least=least, most=most, mean=mean)


def shortened(value: str) -> str:
    """A category as it is counted. The sketch of a log does the same in SQL."""
    content = value.encode()
    if len(content) <= LONGEST_VALUE:
        return value
    checksum = hashlib.md5(content, usedforsecurity=False).hexdigest()
    return f"{value[:BEGINNING]}…{checksum}"
