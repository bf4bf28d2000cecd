"""From a table's columns to model inputs: one code path for training splits and for a single
request.

Numpy, pydantic and the standard library only, so that it serves. Everything is fitted on the
training split.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field, TypeAdapter

from modelyard.errors import BadData
from modelyard.kit.columns.measures import MixedPart, NumberBlock, NumericPart
from modelyard.kit.columns.parts import CategoryPart, ColumnPart, TextPart, TimePart
from modelyard.kit.columns.schema import Column, ColumnSettings, HasColumns
from modelyard.store.artifact import write_text

Columns = Mapping[str, "Sequence[Any] | np.ndarray"]
"""Values by column: numbers (None or NaN is missing; a word may stand for one), strings or None, ISO strings or
datetime64."""

FILE = "encoders.json"
CHUNK = 4096
"""Rows that are encoded at once: all numeric columns together take memory."""

Part = NumericPart | MixedPart | CategoryPart | TextPart | TimePart
_PARTS: TypeAdapter[list[Part]] = TypeAdapter(list[Annotated[Part, Field(discriminator="kind")]])


class Encoder:
    """All columns of a table to one float32 matrix."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self.parts = {part.column: part for part in parts}
        self.names: list[str] = []
        """Output columns, in order."""
        self.groups: dict[str, list[int]] = {}
        """Which outputs stem from which column."""
        for part in parts:
            start = len(self.names)
            self.names += part.names
            self.groups[part.column] = list(range(start, len(self.names)))
        numbers = [part for part in parts if isinstance(part, NumericPart)]
        self._numbers = NumberBlock(numbers, self.groups)
        self._others = [part for part in parts if isinstance(part, ColumnPart)]

    @classmethod
    def fit(cls, columns: Columns, schema: HasColumns, settings: ColumnSettings) -> Encoder:
        """Learns medians, categories, vocabulary and calendar from training columns."""
        return cls([_fit(column, columns[column.name], settings) for column in schema.inputs])

    def transform(self, columns: Columns) -> np.ndarray:
        """Model inputs, finite float32 (rows, len(names)). Values that training never saw are
        taken in."""
        rows = len(columns[next(iter(self.parts))])
        out = np.zeros((rows, len(self.names)), np.float32)
        for start in range(0, rows, CHUNK):
            some = slice(start, start + CHUNK)
            cells = {name: columns[name][some] for name in self.parts}
            self._fill(cells, out[some])
        return out

    def _fill(self, columns: Columns, out: np.ndarray) -> None:
        self._numbers.fill(columns, out)
        for part in self._others:
            # A slice is a view, into which the part writes; a list of places would be a copy.
            if group := self.groups[part.column]:
                part.fill(columns[part.column], out[:, group[0] : group[-1] + 1])

    def save(self, assets: Path) -> None:
        """Writes `assets/encoders.json`."""
        write_text(
            Path(assets) / FILE,
            _PARTS.dump_json(list(self.parts.values()), indent=1).decode() + "\n",
        )

    @classmethod
    def load(cls, assets: Path) -> Encoder:
        """Reads `assets/encoders.json`."""
        return cls(_PARTS.validate_json((Path(assets) / FILE).read_bytes()))


def completed(columns: Columns, schema: HasColumns) -> Columns:
    """The columns with empty ones for those that are absent and may be empty.

    Raises:
        BadData: one is absent that may not be empty.
    """
    rows = len(next(iter(columns.values())))
    added: dict[str, list[None]] = {}
    for column in schema.inputs:
        if column.name in columns:
            continue
        if not column.nullable:
            problem = "the model needs this column, and it is not there"
            raise BadData(problem, column=column.name)
        added[column.name] = [None] * rows
    return {**columns, **added}


def _fit(column: Column, values: Sequence[Any] | np.ndarray, settings: ColumnSettings) -> Part:
    if column.words:
        return MixedPart.fit(column, values)
    if column.role == "numeric":
        return NumericPart.fit(column, values)
    if column.role == "category":
        return CategoryPart.fit(column, values, settings.max_categories)
    if column.role == "text":
        return TextPart.fit(column, values, settings.max_words)
    assert column.role == "time", column.role
    return TimePart.fit(column, values)
