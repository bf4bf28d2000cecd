"""Cells of a column as values of its role: numbers, booleans, text, times."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from modelyard.errors import option
from modelyard.kit import tables
from modelyard.kit.columns.schema import Column
from modelyard.kit.tables import (
    SHORT_YEARS,
    Notation,
    Table,
    as_texts,
    cells_of,
    is_text,
    note_offsets,
    with_offsets,
)

if TYPE_CHECKING:
    import pandas as pd

_DAYS = (
    *("%Y-%m-%d", "%Y/%m/%d", "%m/%d/%Y", "%d/%m/%Y", "%d.%m.%Y", "%m-%d-%Y", "%d-%m-%Y"),
    # %b reads Mar and %B March.
    *("%d-%b-%Y", "%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%b %d %Y", "%b %Y", "%B %Y"),
    *("%Y %b", "%Y %B", "%Y-%b-%d", "%Y %b %d", "%Y %B %d"),
)
_SHORT_DAYS = ("%m/%d/%y", "%d/%m/%y", "%d.%m.%y", "%m-%d-%y", "%d-%m-%y")
_CLOCKS = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", " %I:%M %p", " %I:%M:%S %p")


def _with_clocks(days: Sequence[str]) -> tuple[str, ...]:
    formats: list[str] = []
    for day in days:
        formats += [day + clock for clock in _CLOCKS]
    return tuple(formats)


TIME_FORMATS = ("ISO8601", *_with_clocks(_DAYS))
"""Formats of dates that are tried."""
SHORT_FORMATS = _with_clocks(_SHORT_DAYS)
"""The same with years of two digits, for columns where `short_years` says that they are clear."""


def convert(column: Column, table: Table, required: bool) -> pd.Series[Any]:
    """A column's cells as values of its role: numbers, booleans, text or UTC times.

    Raises:
        BadData: a cell that is not of the role, infinite, or empty where one is `required`; with
            its row.
    """
    import pandas as pd

    if column.boolean:
        values = as_booleans(column, table)
    elif column.words:
        values = _numbers_or_words(column, table)
    elif column.role == "numeric":
        values = _with_integers(numbers(column, table), table.column(column.name))
    elif column.role == "time":
        values = times(column, table)
    else:
        values = pd.Series(as_texts(table.column(column.name)), dtype=object)
    missing = np.flatnonzero(values.isna().to_numpy())
    if required and len(missing):
        problem = "the cell is empty, but the column is not nullable"
        hint = 'Fill it, or set "nullable": true'
        raise table.fault(column.name, int(missing[0]), problem, hint)
    return values


def numbers(column: Column, table: Table, hint: str = "") -> np.ndarray:
    """The cells as float64 (rows,), NaN where one is empty.

    Raises:
        BadData: a cell that is no number, or infinite; with its row.
    """
    written = Notation(column.format, column.unit)
    return tables.numbers(table, column.name, hint or _mend(column.name), written, column.words)


def _numbers_or_words(column: Column, table: Table) -> pd.Series[Any]:
    """Text: of a number as Python writes it, or one of the column's words. Their counts are
    noted."""
    import pandas as pd

    values = numbers(column, table)
    counts: Counter[str] = Counter()
    found: list[str | None] = []
    for value, text in zip(values.tolist(), as_texts(table.column(column.name)), strict=True):
        if text in column.words:
            counts[text] += 1
            found.append(text)
        elif np.isnan(value):
            found.append(None)
        else:
            found.append(repr(value))
    shown = ", ".join(f"{word!r} ({count})" for word, count in counts.most_common())
    table.note(f"{column.name}: a word in place of a number in {cells_of(counts.total())}: {shown}")
    return pd.Series(found, dtype=object)


def _with_integers(values: np.ndarray, cells: pa.Array) -> pd.Series[Any]:
    """Numbers of a Parquet file in their type; of a CSV as integers where all are whole."""
    import pandas as pd

    # Of whole numbers with a gap pandas makes floats, unless their type has room for gaps.
    if pa.types.is_integer(cells.type) and cells.null_count:
        return pd.Series(cells.to_pylist(), dtype="Int64")
    if not is_text(cells):
        return pd.Series(cells.to_pandas())
    there = values[~np.isnan(values)]
    whole = bool(((there % 1 == 0) & (np.abs(there) < 2**53)).all())
    if whole and len(there):
        return pd.Series(values).astype("Int64")
    return pd.Series(values)


def as_booleans(column: Column, table: Table) -> pd.Series[Any]:
    """True, false or missing, from booleans or from the words.

    Raises:
        BadData: another word; with its row.
    """
    import pandas as pd

    known = {None: None, "true": True, "false": False}
    found = []
    for row, text in enumerate(as_texts(table.column(column.name))):
        word = text.lower() if text else None
        if word not in known:
            problem = f"{table.shown(column.name, row)} is neither true nor false"
            raise table.fault(column.name, row, problem)
        found.append(known[word])
    return pd.Series(found, dtype="boolean")


def times(column: Column, table: Table) -> pd.Series[Any]:
    """The cells as datetime64 without a zone, in UTC; one format for the whole column, its own
    where it has one.

    Raises:
        BadData: a cell that is not written so; with its row.
    """
    name, cells = column.name, table.column(column.name)
    styles = TIME_FORMATS
    if column.format:
        # pandas writes the name of the standard in one word.
        styles = (column.format.replace("ISO 8601", "ISO8601"), "ISO8601")
    values, style = to_times(cells, styles)
    note_offsets(table, name)
    if "%y" in style:
        table.note(f"{name}: {SHORT_YEARS}")
    bad = np.flatnonzero(values.isna().to_numpy() & cells.is_valid().to_numpy(zero_copy_only=False))
    if len(bad):
        row = int(bad[0])
        problem = f"{table.shown(name, row)} is not a date or time"
        if style != "ISO 8601":
            problem += f" of the form {style}"
        # What 64 bits of nanoseconds hold.
        raise table.fault(name, row, f"{problem} between the years 1678 and 2261", _mend(name))
    if style.startswith("%m"):
        day_first = style.replace("%m/%d", "%d/%m").replace("%m-%d", "%d-%m")
        swapped, _ = to_times(cells.drop_null(), [day_first])
        # No day above 12 decides: the first format of the list was taken.
        if not swapped.isna().any():
            example = cells.drop_null()[0].as_py()
            table.note(
                f"{name}: dates such as {example!r} were read as month/day/year; "
                "write them as year-month-day if that is wrong"
            )
    return values


def to_times(cells: pa.Array, styles: Sequence[str]) -> tuple[pd.Series[Any], str]:
    """Times or missing, in the format that reads the most cells; that format."""
    import pandas as pd

    if pa.types.is_timestamp(cells.type):
        # A zone of the file's own says the same moments in UTC.
        naive = cells.cast(pa.timestamp("us"), safe=False).to_pandas()
        return pd.Series(naive), "ISO 8601"
    text = pd.Series(as_texts(with_offsets(cells)), dtype=object)
    # Which formats read the first cells best, and of these which one reads all cells best.
    some = text.dropna().iloc[:200]
    counts = {style: int(_parsed(some, style).notna().sum()) for style in styles}
    most = max(counts.values())
    best, values = "", pd.Series(pd.NaT, index=text.index)
    for style, count in counts.items():
        if count < most:
            continue
        parsed = _parsed(text, style)
        if not best or parsed.notna().sum() > values.notna().sum():
            best, values = style, parsed
        # None reads any cell: reading all cells once shows as much as in forty formats.
        if not most:
            break
    return values, best.replace("ISO8601", "ISO 8601")


def _parsed(text: pd.Series[Any], style: str) -> pd.Series[Any]:
    import pandas as pd

    return pd.to_datetime(text, format=style, utc=True, errors="coerce").dt.tz_localize(None)


def _mend(name: str) -> str:
    return (
        f"Fix or empty the cell, or leave the column out ({option('features.drop', [name])}), or give it a role: "
        f'{{"columns": [{{"name": "{name}", "role": "category"}}]}} in schema.json next to the data'
    )
