"""What of a row training never saw. Light: it serves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelyard.families.tabular.schema import MOST_CHOICES, TableSchema
from modelyard.host import Caution
from modelyard.kit.cautions import Ranges, empty, unseen

FAR = 1.0
"""Widths of the training range beyond it from which on a number is far outside."""


class Cautions:
    """The cautions of a row, looked for in as little time as a few comparisons take."""

    def __init__(self, schema: TableSchema, fields: Mapping[str, str]) -> None:
        """`fields` are a request's fields by column."""
        self._numbers = Ranges(FAR)
        self._categories: list[tuple[str, str, frozenset[str]]] = []
        self._texts: list[tuple[str, str]] = []
        for column in schema.inputs:
            name, field = column.name, fields[column.name]
            if column.role == "numeric" and not column.boolean:
                if column.minimum is not None and column.maximum is not None:
                    self._numbers.add(field, name, column.minimum, column.maximum)
            elif column.role == "category" and 0 < len(column.choices) < MOST_CHOICES:
                # A longer list names the most frequent ones only: another one may be rare, not new.
                self._categories.append((name, field, frozenset(column.choices)))
            if column.role in ("category", "text") and not column.nullable:
                self._texts.append((name, field))

    def of(self, values: Mapping[str, Any]) -> tuple[Caution, ...]:
        """Of a request's values by field."""
        found = self._numbers.cautions(values)
        for name, field, known in self._categories:
            value = values[field]
            if value and value not in known and (value := value.strip()) and value not in known:
                found.append(unseen(name, value))
        for name, field in self._texts:
            value = values[field]
            if not value or value.isspace():
                found.append(empty(name))
        return tuple(found)
