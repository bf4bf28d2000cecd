"""What of a row training never saw. Light: it serves."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from modelyard.host import Caution
from modelyard.kit.cautions import Ranges, empty, unseen
from modelyard.kit.columns.cells import parse_time
from modelyard.kit.columns.encode import Encoder
from modelyard.kit.columns.parts import TimePart
from modelyard.kit.columns.schema import MOST_CHOICES, HasColumns
from modelyard.store.artifact import write_json

FAR = 1.0
"""Widths of the training range beyond it from which on a number is far outside."""

MOST_KNOWN = 5_000
"""Categories of a column that are remembered; of one with more, none is taken for new."""
FILE = "categories.json"


def save_categories(
    assets: Path,
    schema: HasColumns,
    columns: Mapping[str, Iterable[str | None]],
    earlier: Path | None,
) -> None:
    """Writes the training rows' categories of columns that have more than the schema names, with
    those of the model that the run continues (its assets)."""
    before: dict[str, list[str]] = {}
    if earlier is not None:
        before = _saved_categories(earlier)
    known = {}
    for column in schema.inputs:
        if column.role != "category" or len(column.choices) < MOST_CHOICES:
            continue
        found = {cell for cell in columns.get(column.name, ()) if isinstance(cell, str)}
        found.update(column.choices, before.get(column.name, ()))
        if len(found) <= MOST_KNOWN:
            known[column.name] = sorted(found)
    if known:
        write_json(assets / FILE, known)


def _saved_categories(assets: Path) -> dict[str, list[str]]:
    file = assets / FILE
    found: dict[str, list[str]] = {}
    if file.is_file():
        found = json.loads(file.read_text())
    return found


class Cautions:
    """The cautions of a row, looked for in as little time as a few comparisons take."""

    def __init__(
        self, schema: HasColumns, fields: Mapping[str, str], encoder: Encoder, assets: Path
    ) -> None:
        """`fields` are a request's fields by column."""
        long = _saved_categories(assets)
        self._numbers = Ranges(FAR)
        self._categories: list[tuple[str, str, frozenset[str]]] = []
        self._texts: list[tuple[str, str]] = []
        self._times: list[tuple[str, str, datetime, datetime, str]] = []
        for column in schema.inputs:
            name, field = column.name, fields[column.name]
            if column.role == "numeric" and not column.boolean:
                # Without a range no training row had a number there.
                if column.minimum is not None and column.maximum is not None:
                    self._numbers.add(field, name, column.minimum, column.maximum)
            elif column.role == "category":
                # A long list of choices names the most frequent ones only.
                known = column.choices
                if len(known) >= MOST_CHOICES:
                    known = long.get(name, [])
                if known:
                    self._categories.append((name, field, frozenset(known)))
            elif isinstance(part := encoder.parts.get(name), TimePart):
                self._times.append((name, field, *_bounds(part), part.latest[:10]))
            if column.role in ("category", "text") and not column.nullable:
                self._texts.append((name, field))

    def of(self, values: Mapping[str, Any]) -> tuple[Caution, ...]:
        """Of a request's values by field."""
        found = self._numbers.cautions(values)
        for name, field, known in self._categories:
            value = values[field]
            if not value or value in known:
                continue
            # Training knew cells without surrounding blanks.
            value = value.strip()
            if value and value not in known:
                found.append(unseen(name, value))
        for name, field in self._texts:
            value = values[field]
            if not value or value.isspace():
                found.append(empty(name))
        for name, field, first, last, latest in self._times:
            value = values[field]
            if value and not first <= parse_time(value) <= last:
                said = f"{value[:40]} is far outside the training data, which ends at {latest}"
                found.append(Caution(field=name, message=said))
        return tuple(found)


def _bounds(part: TimePart) -> tuple[datetime, datetime]:
    """Between which times one is not far outside. Of training the latest and the median are known:
    the earliest is taken to be as far before the median as the latest is behind it."""
    latest, median = parse_time(part.latest), parse_time(part.median)
    half = max(latest - median, timedelta(hours=12))
    width = 2 * half
    # A datetime has the years 1 to 9999 only, and raises beyond them.
    before = min(half + FAR * width, median - datetime.min)
    behind = min(FAR * width, datetime.max - latest)
    return median - before, latest + behind
