"""Last rows that sum up the others, as people add them in spreadsheets."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pyarrow as pa

from modelyard.errors import BadData
from modelyard.kit.numerals import numeral
from modelyard.kit.tables.around import left_out
from modelyard.kit.tables.columns import numbers
from modelyard.kit.tables.table import Table

_WORD = re.compile(
    r"(?:grand |sub)?totals?|sum|average|avg|mean|gesamt\w*|insgesamt|summe|durchschnitt|mittelwert"
    r"|somme|moyenne|suma|totale|media|promedio",
    re.IGNORECASE,
)
_MOST = 3
"""Such rows."""
_LEAST = 3
"""Rows that are summed up."""
_ROUNDED = 0.01
"""Of a figure, how far rounding may take it from that of the rows."""


def without_totals(table: Table) -> Table:
    """Without last rows that have a word for a total or a mean in their only cell of words, and figures
    that are those of the rows above; with a note."""
    first = table.rows
    while first > max(_LEAST, table.rows - _MOST) and _is_called_so(table.arrow, first - 1):
        first -= 1
    if first == table.rows:
        return table
    figures = _figures(table)
    lines = []
    for row in range(first, table.rows):
        if not _sums_up({name: (values[:first], values[row]) for name, values in figures.items()}):
            return table
        cells = table.arrow.slice(row, 1).to_pylist()[0].values()
        lines.append(", ".join(cell for cell in cells if cell is not None))
    kept = table.only(np.arange(table.rows) < first)
    kept.notes = [*table.notes, left_out(lines, f"below the rows of {table.file.name}")]
    return kept


def _is_called_so(rows: pa.Table, place: int) -> bool:
    cells = [cell for cell in rows.slice(place, 1).to_pylist()[0].values() if cell is not None]
    words = [cell for cell in cells if numeral(cell) is None]
    return len(words) == 1 and bool(_WORD.fullmatch(words[0].rstrip(" :")))


def _figures(table: Table) -> dict[str, np.ndarray]:
    """The columns of numbers."""
    # What is noted about them is for those who read them.
    seen = replace(table, notes=[], looks={})
    found = {}
    for name in table.names:
        try:
            found[name] = numbers(seen, name)
        except BadData:
            continue
    return found


def _sums_up(columns: dict[str, tuple[np.ndarray, np.ndarray]]) -> bool:
    """Whether a row's figures, one at least, are the sums of those above or their means, most of
    them: ids and years are summed up by nothing."""
    agree, differ = 0, 0
    for above, figure in columns.values():
        if np.isnan(figure) or np.isnan(above).all():
            continue
        close = _ROUNDED * abs(figure)
        if abs(np.nansum(above) - figure) <= close or abs(np.nanmean(above) - figure) <= close:
            agree += 1
        else:
            differ += 1
    return agree > differ
