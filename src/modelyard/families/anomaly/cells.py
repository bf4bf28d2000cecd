"""Measurements, labels and kinds of anomaly in a table. A cell that is none is named with file,
row and column."""

from __future__ import annotations

import numpy as np

from modelyard.errors import option
from modelyard.families.anomaly.schema import LARGEST
from modelyard.families.anomaly.words import holds_words, kinds_of_words, labels_of_words
from modelyard.kit import tables
from modelyard.kit.tables import Notation, Table, notation


def measurements(table: Table, column: str, usual: Notation | None = None) -> np.ndarray:
    """Float64 (rows,), NaN where a cell is empty. `usual` is the notation of the training data.

    Raises:
        BadData: a cell that is no number, or one that 32 bits don't hold.
    """
    hint = f"Fix the cell, empty it, or leave the column out: {option('features.drop', [column])}"
    if usual is None:
        written = None
    else:
        written = notation(table, column, usual)
    values = tables.numbers(table, column, hint, written)
    wrong = np.flatnonzero(np.abs(values) > LARGEST)
    if len(wrong):
        row = int(wrong[0])
        problem = f"{values[row]:g} is too large for a measurement"
        raise table.fault(column, row, problem, "Scale the column, or empty the cell")
    return values


def labels(table: Table, column: str) -> np.ndarray:
    """Int8 (rows,): 0, 1, or -1 where nobody said; all -1 where the table has no such column."""
    if column not in table.names:
        return np.full(table.rows, -1, np.int8)
    if holds_words(table, column):
        return labels_of_words(tables.texts(table, column))
    found = tables.flags(table, column, hint="Allowed: 0 (normal), 1 (anomaly), empty")
    return np.where(np.isnan(found), -1, found).astype(np.int8)


def kinds(table: Table, column: str, label: str) -> list[str | None]:
    """Cells as text, None where empty. Where the table has no such column, the words of the column
    `label`; all None where that holds none either."""
    if column not in table.names:
        if label in table.names and holds_words(table, label):
            return kinds_of_words(tables.texts(table, label))
        return [None] * table.rows
    return [None if text == "None" else text for text in tables.texts(table, column)]
