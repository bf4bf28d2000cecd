"""Last rows that sum up the others, as people add them in spreadsheets."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from modelyard.errors import BadData
from modelyard.kit.numerals import numeral
from modelyard.kit.tables.around import left_out
from modelyard.kit.tables.columns import numbers
from modelyard.kit.tables.table import Table

_TOTAL = re.compile(
    r"(?:grand |sub)?totals?|sum|gesamt\w*|insgesamt|summe|somme|suma|totale", re.IGNORECASE
)
_MEAN = re.compile(
    r"average|avg|mean|durchschnitt|mittelwert|moyenne|media|promedio", re.IGNORECASE
)
_MOST = 3
"""Such rows."""
_LEAST = 3
"""Rows that are summed up."""
_ROUNDED, _OF_SPREAD = 0.01, 0.1
"""Of a figure, and of the spread of its column, how far rounding may take it from that of the rows."""


def without_totals(table: Table) -> Table:
    """Without last rows that have a word for a total or a mean in their only cell of words, and figures
    that are those of the rows above; with a note."""
    words: list[str] = []
    first = table.rows
    while first > max(_LEAST, table.rows - _MOST):
        word = _only_word(table.arrow, first - 1)
        if not (_TOTAL.fullmatch(word) or _MEAN.fullmatch(word)):
            break
        words.insert(0, word)
        first -= 1
    if not words:
        return table
    figures = _figures(table)
    lines = []
    for row, word in enumerate(words, first):
        columns = [(values[:first], float(values[row])) for values in figures.values()]
        if not _sums_up(columns, are_means=_MEAN.fullmatch(word) is not None):
            return table
        cells = table.arrow.slice(row, 1).to_pylist()[0].values()
        lines.append(", ".join(cell for cell in cells if cell is not None))
    kept = table.only(np.arange(table.rows) < first)
    kept.notes = [*table.notes, left_out(lines, f"below the rows of {table.file.name}")]
    return kept


def _only_word(rows: pa.Table, place: int) -> str:
    """The only cell of a row that is neither empty nor a number; empty where there are others."""
    cells = [cell for cell in rows.slice(place, 1).to_pylist()[0].values() if cell is not None]
    words = [cell for cell in cells if numeral(cell) is None]
    if len(words) != 1:
        return ""
    return str(words[0].rstrip(" :"))


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


def _sums_up(columns: Sequence[tuple[np.ndarray, float]], *, are_means: bool) -> bool:
    """Whether a row's figures are the sums of those above or their means, most of them: ids and years
    are summed up by nothing. One at least is what the row is called for.

    A figure that stands in its column above proves nothing: the mean of classes or of years is one of
    them, and the sum of zeros too.
    """
    sums, means, others = 0, 0, 0
    for cells, figure in columns:
        above = cells[~np.isnan(cells)]
        if np.isnan(figure) or not len(above) or figure in above:
            continue
        close = _ROUNDED * abs(figure)
        if abs(above.sum() - figure) <= close:
            sums += 1
        elif abs(above.mean() - figure) <= min(close, _OF_SPREAD * above.std()):
            means += 1
        else:
            others += 1
    if are_means:
        return means > sums + others
    return sums > 0 and sums + means > others
