"""How columns of numbers become model inputs, also those with words in the place of some.

Numpy, pydantic and the standard library only, so that it serves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from modelyard.kit.columns.cells import as_numbers
from modelyard.kit.columns.parts import ColumnPart, FittedColumn
from modelyard.kit.columns.schema import Column
from modelyard.kit.precision import tells_apart

_LARGEST = float(np.finfo(np.float32).max) / 4


class NumericPart(FittedColumn):
    """`(f(x) - center) / scale`, in 64 bits; an empty cell takes the training median.

    Without standardization center and scale are 0 and 1, unless 32 bits would then not tell the
    values apart: 1.5 · 10⁹ and the next whole number are one float32.
    """

    kind: Literal["numeric"] = "numeric"
    log: bool
    median: float
    center: float
    scale: float

    @classmethod
    def fit(cls, column: Column, values: Sequence[Any] | np.ndarray) -> NumericPart:
        """Median, mean and deviation of the training values that are there."""
        numbers = as_numbers(values)
        there = numbers[~np.isnan(numbers)]
        kept = there
        if column.transform == "log":
            kept = logged(there)
        median, center, scale = 0.0, 0.0, 1.0
        if len(there):
            median = float(np.median(there))
            if column.transform == "standardize" or not tells_apart(there, kept):
                # A constant has no deviation to divide by.
                center, scale = float(kept.mean()), float(kept.std()) or 1.0
        return cls(
            column=column.name,
            indicator=column.nullable or len(there) < len(numbers),
            log=column.transform == "log",
            median=median,
            center=center,
            scale=scale,
        )

    def _names(self) -> list[str]:
        return [self.column]

    def restored(self, output: float) -> float:
        """The column's value that becomes `output`; infinite bounds stay what they are."""
        value = self.center + self.scale * output
        if self.log:
            return float(np.sign(value) * np.expm1(abs(value)))
        return value


def logged(numbers: np.ndarray) -> np.ndarray:
    """log(1 + x), with its sign for x below 0."""
    return np.asarray(np.sign(numbers) * np.log1p(np.abs(numbers)))


class NumberBlock:
    """All numeric columns at once: a request has one row, and numpy's price is by call."""

    def __init__(self, parts: Sequence[NumericPart], groups: Mapping[str, Sequence[int]]) -> None:
        """`groups` says which outputs are each column's."""
        self._names = [part.column for part in parts]
        self._first = np.array([groups[part.column][0] for part in parts], np.intp)
        self._indicators: list[tuple[int, int]] = []
        logs = []
        for row, part in enumerate(parts):
            if part.indicator:
                self._indicators.append((row, groups[part.column][1]))
            if part.log:
                logs.append(row)
        self._log = np.array(logs, np.intp)
        self._median = np.array([[part.median] for part in parts])
        self._center = np.array([[part.center] for part in parts])
        self._scale = np.array([[part.scale] for part in parts])
        with np.errstate(over="ignore"):
            self._lowest = self._center - _LARGEST * self._scale
            self._highest = self._center + _LARGEST * self._scale

    def fill(self, columns: Mapping[str, Sequence[Any] | np.ndarray], out: np.ndarray) -> None:
        """Writes the columns' outputs into the zeroed float32 `out`, (rows, all outputs)."""
        if not self._names:
            return
        numbers = np.array([columns[name] for name in self._names], np.float64)  # None becomes NaN
        missing = np.isnan(numbers)
        numbers = np.where(missing, self._median, numbers)
        if len(self._log):
            numbers[self._log] = logged(numbers[self._log])
        # 1e300 is a float64 and would be an infinity as float32.
        numbers = np.minimum(np.maximum(numbers, self._lowest), self._highest)
        # In 64 bits up to here: 32 would lose what distinguishes large numbers that are close.
        out[:, self._first] = ((numbers - self._center) / self._scale).T
        for row, place in self._indicators:
            out[:, place] = missing[row]


class MixedPart(ColumnPart):
    """A number, and one output a word that may stand in its place; the number is then the training
    median."""

    kind: Literal["mixed"] = "mixed"
    number: NumericPart
    words: list[str]

    @classmethod
    def fit(cls, column: Column, values: Sequence[Any] | np.ndarray) -> MixedPart:
        """The numbers among the training values, and the schema's words."""
        number = NumericPart.fit(column, _numbers_alone(values))
        has_empty = any(_is_empty(value) for value in values)
        return cls(
            column=column.name,
            indicator=column.nullable or has_empty,
            number=number.model_copy(update={"indicator": False}),
            words=column.words,
        )

    def _names(self) -> list[str]:
        words = [f"{self.column}={word}" for word in self.words]
        return [self.column, *words]

    def fill(self, values: Sequence[Any] | np.ndarray, out: np.ndarray) -> None:
        block = NumberBlock([self.number], {self.column: [0]})
        block.fill({self.column: _numbers_alone(values)}, out)
        for row, value in enumerate(values):
            if value in self.words:
                out[row, 1 + self.words.index(value)] = 1.0
            elif self.indicator:
                out[row, -1] = _is_empty(value)


def _numbers_alone(values: Sequence[Any] | np.ndarray) -> list[Any]:
    return [None if isinstance(value, str) else value for value in values]


def _is_empty(value: Any) -> bool:
    return value is None or value != value
