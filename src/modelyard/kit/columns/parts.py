"""How one column becomes model inputs, by role: fitted on training values, kept as JSON.

Numpy, pydantic and the standard library only, so that it serves.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel

from modelyard.kit.columns.cells import as_strings, as_times, calendar, words
from modelyard.kit.columns.schema import Column

OTHER = "(other)"

_EPOCH = np.datetime64(0, "us")
_DAY = np.timedelta64(1, "D") / np.timedelta64(1, "us")
_PERIODS = {"month": 12.0, "weekday": 7.0, "hour": 24.0}


class FittedColumn(BaseModel, ABC):
    """What all four kinds of column share."""

    column: str
    indicator: bool
    """Whether a last output says that the cell was empty."""

    @property
    def names(self) -> list[str]:
        if not self.indicator:
            return self._names()
        return [*self._names(), f"{self.column} is missing"]

    @abstractmethod
    def _names(self) -> list[str]:
        """Names of the outputs but for the indicator."""


class ColumnPart(FittedColumn):
    """A column that is encoded by itself."""

    @abstractmethod
    def fill(self, values: Sequence[Any] | np.ndarray, out: np.ndarray) -> None:
        """Writes the outputs of `values` into the zeroed float32 `out`, (rows, len(names))."""


class CategoryPart(ColumnPart):
    """One output a category and one for rare and unseen ones; ordered, the rank and the same
    bucket."""

    kind: Literal["category"] = "category"
    ordinal: bool
    categories: list[str]
    median: float
    """Rank that an unseen or empty cell takes when ordered."""

    @classmethod
    def fit(cls, column: Column, values: Sequence[Any] | np.ndarray, most: int) -> CategoryPart:
        """The `most` frequent training categories; when ordered, in the order of the schema's
        choices."""
        cells = as_strings(values)
        counts = Counter(cell for cell in cells if cell is not None)
        # Ties by name, so that the order of the rows decides nothing.
        kept = sorted(counts, key=lambda name: (-counts[name], name))[:most]
        ordinal = column.transform == "ordinal"
        if ordinal:
            rank = {name: index for index, name in enumerate(column.choices)}
            kept.sort(key=lambda name: (rank.get(name, len(rank)), _natural(name)))
        index = {name: code for code, name in enumerate(kept)}
        codes = [index[cell] for cell in cells if cell in index]
        median = 0.0
        if codes:
            median = float(np.median(codes))
        return cls(
            column=column.name,
            indicator=column.nullable or None in cells,
            ordinal=ordinal,
            categories=kept,
            median=median,
        )

    def _names(self) -> list[str]:
        names = [f"{self.column}={category}" for category in self.categories]
        if self.ordinal:
            names = [f"{self.column}: rank"]
        return [*names, f"{self.column}={OTHER}"]

    @cached_property
    def _codes(self) -> dict[str | None, int]:
        """Category to its index, then the bucket of others, then empty cells."""
        codes: dict[str | None, int] = {name: code for code, name in enumerate(self.categories)}
        if self.indicator:
            codes[None] = len(self.categories) + 1
        return codes

    def fill(self, values: Sequence[Any] | np.ndarray, out: np.ndarray) -> None:
        known, lookup = len(self.categories), self._codes
        found = [lookup.get(cell, known) for cell in as_strings(values)]
        codes = np.array(found, np.int64)
        if not self.ordinal:
            out[np.arange(len(codes)), codes] = 1.0
            return
        out[:, 0] = np.where(codes < known, codes, self.median)
        out[:, 1] = codes == known
        if self.indicator:
            out[:, 2] = codes > known


class TextPart(ColumnPart):
    """TF-IDF with smoothed idf `ln((1 + n) / (1 + df)) + 1` and rows of unit length."""

    kind: Literal["text"] = "text"
    vocabulary: list[str]
    idf: list[float]

    @classmethod
    def fit(cls, column: Column, values: Sequence[Any] | np.ndarray, most: int) -> TextPart:
        """The `most` frequent words of the training cells."""
        cells = as_strings(values)
        total: Counter[str] = Counter()
        documents: Counter[str] = Counter()
        for cell in cells:
            found = words(cell)
            total.update(found)
            documents.update(set(found))
        frequent = sorted(total, key=lambda word: (-total[word], word))[:most]
        vocabulary = sorted(frequent)
        counts = np.array([documents[word] for word in vocabulary], np.float64)
        idf = np.log((1 + len(cells)) / (1 + counts)) + 1
        return cls(
            column=column.name,
            indicator=column.nullable or None in cells,
            vocabulary=vocabulary,
            idf=idf.tolist(),
        )

    def _names(self) -> list[str]:
        return [f"{self.column}: {word}" for word in self.vocabulary]

    @cached_property
    def _index(self) -> tuple[dict[str, int], np.ndarray]:
        codes = {word: code for code, word in enumerate(self.vocabulary)}
        return codes, np.array(self.idf, np.float32)

    def fill(self, values: Sequence[Any] | np.ndarray, out: np.ndarray) -> None:
        index, idf = self._index
        cells = as_strings(values)
        rows: list[int] = []
        codes: list[int] = []
        for row, cell in enumerate(cells):
            for word in words(cell):
                if word in index:
                    rows.append(row)
                    codes.append(index[word])
        weights = out[:, : len(idf)]
        if rows:
            # Not weights[rows, codes] += 1, which counts a word that stands twice once.
            np.add.at(weights, (rows, codes), 1.0)
            weights *= idf
            length = np.sqrt(np.einsum("ij,ij->i", weights, weights))
            weights /= np.where(length > 0, length, 1.0)[:, None]
        if self.indicator:
            out[:, -1] = [cell is None for cell in cells]


class TimePart(ColumnPart):
    """Calendar parts that vary in training, also as points on a circle, and the age in days."""

    kind: Literal["time"] = "time"
    parts: list[str]
    latest: str
    """ISO time of the latest training row: its age is 0."""
    median: str
    """ISO time that an empty cell takes."""

    @classmethod
    def fit(cls, column: Column, values: Sequence[Any] | np.ndarray) -> TimePart:
        """Which parts vary, the latest and the median time of training."""
        times = as_times(values)
        there = times[~np.isnat(times)]
        if not len(there):
            there = np.array([_EPOCH])
        # numpy has no median of times.
        middle = np.median((there - _EPOCH).astype(np.int64))
        # A part that is the same in all rows says nothing, and may be another one later.
        varying = [name for name, part in calendar(there).items() if np.ptp(part) > 0]
        return cls(
            column=column.name,
            indicator=column.nullable or bool(np.isnat(times).any()),
            parts=varying,
            latest=str(there.max()),
            median=str(_EPOCH + np.timedelta64(int(middle), "us")),
        )

    def _names(self) -> list[str]:
        names = [f"{self.column}: age in days"]
        for part in self.parts:
            names.append(f"{self.column}: {part}")
            if part in _PERIODS:
                names += [f"{self.column}: {part} (sin)", f"{self.column}: {part} (cos)"]
        return names

    def fill(self, values: Sequence[Any] | np.ndarray, out: np.ndarray) -> None:
        times = as_times(values)
        missing = np.isnat(times)
        times = np.where(missing, np.datetime64(self.median, "us"), times)
        out[:, 0] = self.age(times)
        parts, position = calendar(times), 1
        for name in self.parts:
            out[:, position] = parts[name]
            position += 1
            if name in _PERIODS:
                # On a circle December is next to January, as the numbers 12 and 1 are not.
                angle = 2 * np.pi * parts[name] / _PERIODS[name]
                out[:, position], out[:, position + 1] = np.sin(angle), np.cos(angle)
                position += 2
        if self.indicator:
            out[:, -1] = missing

    def age(self, times: np.ndarray) -> np.ndarray:
        """Days from each time to the latest training time; negative after it, NaN where there is
        none."""
        days = (np.datetime64(self.latest, "us") - times).astype(np.float64) / _DAY
        return np.where(np.isnat(times), np.nan, days)


def _natural(text: str) -> tuple[bool, float, str]:
    """Numbers by value, before words."""
    try:
        return False, float(text), text
    except ValueError:
        return True, 0.0, text
