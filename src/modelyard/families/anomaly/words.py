"""Columns that hold words: labels where one of the words means normal. The others, and empty columns,
are no measurements."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np
import pyarrow.compute as pc

from modelyard.errors import BadData, first_of
from modelyard.kit.classes.positive import says_absence, says_event
from modelyard.kit.numerals import numeral
from modelyard.kit.tables import PLACEHOLDERS, Table, flags, is_dated, is_text

MOST_WORDS = 20
"""Different words of a column of labels, at most."""
_CALLED = re.compile(
    r"label|status|class|verdict|health|condition|anomal|fault|attack|outlier", re.IGNORECASE
)
"""In the names of columns of labels."""
MOSTLY_WORDS = 0.5
"""Share of a column's different cells: with fewer words it holds measurements, and the words are errors."""
_LOOKED_AT = 1_000
"""Different cells that are looked at, before a column counts as one of words."""
_FLAGS = frozenset({"true", "false"})
_EMPTY = PLACEHOLDERS - {"none"}
"""Words for an empty cell. Among labels, none is a word for normal."""
_NAMED = 5
"""Words in a message."""


def holds_words(table: Table, name: str) -> bool:
    """Whether no cell is a number, a date, or true or false."""
    words = _different(table, name)
    if not words or is_dated(table, name):
        return False
    return not any(map(_is_value, words))


def _mostly_words(table: Table, name: str) -> bool:
    """Whether half of the different cells or more are words: of a name, which may be a number now and then."""
    cells = table.column(name).drop_null()
    if not is_text(cells) or is_dated(table, name):
        return False
    different = pc.unique(cells).slice(0, _LOOKED_AT).to_pylist()
    words = [word for word in different if word.lower() not in _EMPTY and not _is_value(word)]
    return len(words) >= MOSTLY_WORDS * len(different)


def holds_flags(table: Table, name: str) -> bool:
    """Whether each cell is 0, 1, false, true or empty."""
    try:
        flags(table, name)
    except BadData:
        return False
    return True


def _is_value(word: str) -> bool:
    return numeral(word) is not None or word.lower() in _FLAGS


def unmeasured(tables: list[Table], names: Iterable[str]) -> dict[str, str]:
    """Columns that hold words or nothing in all tables, and why they are left out."""
    found = {}
    for name in names:
        having = [table for table in tables if name in table.names]
        filled = [table for table in having if _different(table, name)]
        if not filled:
            found[name] = "empty in every row"
        elif all(_mostly_words(table, name) for table in filled):
            found[name] = "words, not measurements"
    return found


def perhaps_labels(tables: list[Table], names: Iterable[str]) -> list[str]:
    """Those of these columns of words of which a word means normal."""
    found = []
    for name in names:
        if any(says_absence(word) for word in _words(tables, name)):
            found.append(name)
    return found


def labelled_in_words(tables: list[Table], names: Iterable[str]) -> list[str]:
    """Columns of a few words of which one means normal and another an event; or does not mean normal,
    in a column that is called as labels are: the mode normal, next to eco and sport, is none."""
    found = []
    for name in names:
        words = _words(tables, name)
        others = [word for word in words if not says_absence(word)]
        if not others or not len(others) < len(words) <= MOST_WORDS:
            continue
        if _CALLED.search(name) or any(says_event(word) for word in others):
            found.append(name)
    return found


def check_words(tables: list[Table], name: str) -> None:
    """Refuses labels in words of which none means normal.

    Raises:
        BadData: with the words.
    """
    words = _words(tables, name)
    if not words or any(says_absence(word) for word in words):
        return
    problem = f"holds words of which none means normal: {first_of(words, _NAMED)}"
    hint = "Write normal, ok or healthy in rows that are, or 0 and 1 (1 is an anomaly)"
    raise BadData(problem, file=tables[0].file, column=name, hint=hint)


def meaning(tables: list[Table], name: str) -> str:
    """A sentence on what the labels of a column mean."""
    words = _words(tables, name)
    if not words:
        return f"The labels are the column {name!r}: 1 is an anomaly."
    normal = first_of([word for word in words if says_absence(word)], _NAMED)
    others = first_of([word for word in words if not says_absence(word)], _NAMED)
    return f"The labels are the column {name!r}: {normal} is normal; anomalies: {others}."


def labels_of_words(cells: list[str | None]) -> np.ndarray:
    """Int8 (rows,): 0 where a word means normal, 1 for any other word, -1 where a cell is empty."""
    found = np.full(len(cells), -1, np.int8)
    for row, word in enumerate(cells):
        if word is not None and word.lower() not in _EMPTY:
            found[row] = not says_absence(word)
    return found


def kinds_of_words(cells: list[str | None]) -> list[str | None]:
    """The words that are anomalies as kinds of them, where there are several."""
    anomalies = set()
    for word in cells:
        if word is not None and word.lower() not in _EMPTY and not says_absence(word):
            anomalies.add(word)
    if len(anomalies) < 2:
        return [None] * len(cells)
    return [word if word in anomalies else None for word in cells]


def _words(tables: list[Table], name: str) -> list[str]:
    """The different words of a column, sorted; none where it holds anything else in a table, but for
    marks of 0 and 1, or nothing: each machine's log may be labelled in its own way, or not at all."""
    filled = [table for table in tables if name in table.names and _different(table, name)]
    found: set[str] = set()
    others = []
    for table in filled:
        if holds_words(table, name):
            found.update(_different(table, name))
        else:
            others.append(table)
    if not found or not all(holds_flags(table, name) for table in others):
        return []
    return sorted(found)


def _different(table: Table, name: str) -> list[str]:
    """The first different texts of a column, without words for an empty cell; none where it holds no
    text."""
    cells = table.column(name).drop_null()
    if not is_text(cells):
        # An empty column of Parquet has a type of its own.
        return ["0"] if len(cells) else []
    # Most columns are of numbers, as few cells show: the others need no look.
    for some in (cells.slice(0, _LOOKED_AT), cells):
        different = pc.unique(some).slice(0, _LOOKED_AT).to_pylist()
        words = [word for word in different if word.lower() not in _EMPTY]
        if any(map(_is_value, words)):
            break
    return words
