"""Columns of times as seconds: dates of a calendar, with zones or without, and numbers."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from modelyard.kit.moments import as_utc, is_written_out, moment
from modelyard.kit.tables.columns import are_placeholders, as_numbers, texts
from modelyard.kit.tables.notation import MOSTLY, is_text, notation, plainly, say
from modelyard.kit.tables.orders import Reading, reading_of, seconds_in
from modelyard.kit.tables.table import Table

_DAY = r"(?:0?[1-9]|[12]\d|3[01])"
_DATED = re.compile(
    r"\d{4}-\d\d-\d\d|\d{1,2}[./-]\d{1,2}[./-]\d{4}"
    # A year of two digits, not the beginning of an address such as 10.0.12.1.
    rf"|{_DAY}[./-]{_DAY}[./-]\d\d(?![\d.])"
)
_OFFSET = re.compile(r"\d[T ]\d\d.*(?:Z| UTC| GMT|[-+]\d\d:?\d\d(?::\d\d)?)$", re.IGNORECASE)
_COUNTED = re.compile(r"(?P<year>[1-9]\d?)-(?P<month>0[1-9]|1[0-2])")
_DAY_SECONDS = 86_400
_EXAMPLES = "2026-03-31T08:00:00 or 31.03.2026 08:00"
_EPOCH = 6e8, 4.2e9
"""Seconds since 1970 from 1989 to 2103: what a time counted since then is taken for."""
_UNITS = {"seconds": 1.0, "milliseconds": 1e3, "microseconds": 1e6, "nanoseconds": 1e9}


def times(table: Table, name: str, required: bool = True, *, in_utc: bool = True) -> np.ndarray:
    """Float64 (rows,): seconds since 1970 for dates and times, numbers as they are; NaN for an
    empty cell where none is `required`.

    Times without an offset are taken for UTC; a caller that knows their zone turns the note about
    it off (`in_utc`). Numbers that count from 1970 in several units are seconds, each by its size.
    Dates such as 01/31/2026 have the day or the month first, as the whole column shows, and where it
    does not, as `table.dates` says. All are noted.

    Raises:
        BadData: a required cell that is empty, or one that is neither, or dates that may have the
            day or the month first; with file, row and column.
    """
    cells = table.column(name)
    empty = cells.is_null().to_numpy(zero_copy_only=False)
    if required and empty.any():
        row = int(np.flatnonzero(empty)[0])
        raise table.fault(name, row, "the time is missing", "Fill it in, or remove the row")
    if is_dates(cells):
        micro = cells.cast(pa.timestamp("us"), safe=False).cast(pa.int64())
        return np.asarray(micro.to_numpy(zero_copy_only=False) / 1e6)
    written = notation(table, name)
    plain = plainly(cells, written)
    values = as_numbers(plain.cells)
    numeric = np.isfinite(values)
    if not required:
        empty |= are_placeholders(plain.cells)
    if (numeric | empty).all():
        say(table, name, written, plain)
        return _in_one_unit(table, name, values)
    # Numbers may be in any unit, so a column holds one or the other: as its first cell does.
    is_numeric = numeric[~empty][0]
    if is_numeric:
        found = np.where(empty, np.nan, values)
    else:
        found = _in_calendar(table, name)
        found[empty] = np.nan
    wrong = np.flatnonzero(~empty & ~np.isfinite(found))
    if len(wrong):
        row = int(wrong[0])
        seen = table.shown(name, row)
        problem = f"{seen} is neither a number nor a time such as {_EXAMPLES}"
        if numeric[row]:
            problem = f"{seen} is a number, and the cells above are dates"
        raise table.fault(name, row, problem)
    note_offsets(table, name, in_utc=in_utc)
    return found


def _in_calendar(table: Table, name: str) -> np.ndarray:
    """Seconds of each row, NaN where a cell is no date. Different texts are read once: the series
    of a table share their times."""
    encoded = pa.array(texts(table, name), pa.string()).dictionary_encode()
    different = encoded.dictionary.to_pylist()
    moments = _counted_months(different)
    if moments is not None:
        table.note(f"{name}: {different[0]!r} and so on are months of counted years")
    else:
        reading = reading_of(table, name, different)
        moments = [_seconds(text, reading) for text in different]
    # An empty cell looks up the last place, -1.
    index = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    return np.asarray(np.array([*moments, np.nan])[index])


def _counted_months(texts: list[str]) -> list[float] | None:
    """Seconds of `1-01` to `3-12`, months of years that are counted from the first one, as a text-book's
    series have them; None where a text is anything else, or they do not ascend."""
    found = []
    for text in texts:
        match = _COUNTED.fullmatch(text)
        if match is None:
            return None
        month = datetime(int(match["year"]), int(match["month"]), 1, tzinfo=UTC)
        found.append(month.timestamp())
    # As days of a month, 1-02 to 1-12 would be followed by 2-02.
    months_apart = np.diff(np.array(found)) / _DAY_SECONDS
    if len(found) <= 12 or not ((months_apart >= 28) & (months_apart <= 31)).all():
        return None
    return found


def _in_one_unit(table: Table, name: str, values: np.ndarray) -> np.ndarray:
    """Numbers of time as seconds where they count from 1970 in several units, each by its size;
    others as they are. NaN stays.

    Raises:
        BadData: most do, and one counts in none of the units.
    """
    there = ~np.isnan(values)
    unit = np.zeros(len(values))
    counts = {}
    for what, factor in _UNITS.items():
        within = (values >= _EPOCH[0] * factor) & (values <= _EPOCH[1] * factor)
        unit[within] = factor
        if within.any():
            counts[what] = int(within.sum())
    strange = np.flatnonzero(there & (unit == 0))
    if len(counts) < 2 or len(strange) > (1 - MOSTLY) * there.sum():
        return values
    units = ", ".join(f"{count} {what}" for what, count in counts.items())
    if len(strange):
        row = int(strange[0])
        problem = f"{table.shown(name, row)} is no time since 1970 as the others are ({units})"
        raise table.fault(name, row, problem, "Write all times in one unit")
    table.note(f"{name}: times since 1970 in several units, each by its size: {units}")
    # An empty cell has no unit, and nothing is divided by 0.
    unit[~there] = 1.0
    return values / unit


def note_offsets(table: Table, name: str, *, in_utc: bool = True) -> None:
    """Notes how many times of a column have no offset where others have one, or are in an hour that
    their zone has twice."""
    cells = table.column(name)
    without = int(np.sum(without_offset(cells)))
    count = table.rows - cells.null_count
    if in_utc and 0 < without < count:
        table.note(f"{name}: {without} of {count} times have no offset, and were taken for UTC")
    if not is_text(cells) or not _names_zones(cells):
        return
    twice = sum(_stands_twice(text) for text in cells.drop_null().to_pylist())
    if twice:
        table.note(
            f"{name}: {twice} times are in an hour that their zone has twice or skips, and were read "
            "with the offset from before the change; write the offset to leave no doubt"
        )


def is_local(table: Table, name: str) -> bool:
    """Whether the times of a column are those of a calendar and none has an offset."""
    return is_dated(table, name) and bool(without_offset(table.column(name)).all())


def with_offsets(cells: pa.Array) -> pa.Array:
    """Text in which times with a zone's name (RFC 9557) have the offset in its place; other cells
    as they are."""
    if not is_text(cells) or not _names_zones(cells):
        return cells
    changed: list[str | None] = []
    for text in cells.to_pylist():
        changed.append(None if text is None else _with_offset(text))
    return pa.array(changed, pa.string())


def is_dates(cells: pa.Array) -> bool:
    """Whether a Parquet column holds dates or times of a calendar."""
    return bool(pa.types.is_timestamp(cells.type) or pa.types.is_date(cells.type))


def is_dated(table: Table, name: str) -> bool:
    """Whether the column's first cell is a date or time, as a file or as ISO 8601 holds it."""
    cells = table.column(name)
    if pa.types.is_temporal(cells.type):
        return True
    there = cells.drop_null()
    if not is_text(cells) or not len(there):
        return False
    if _COUNTED.fullmatch(there[0].as_py()):
        return _counted_months(pc.unique(there).to_pylist()) is not None
    text = there[0].as_py()
    return _DATED.match(text) is not None or is_written_out(text)


def without_offset(cells: pa.Array) -> np.ndarray:
    """Which cells of a column are times without an offset, bool (rows,)."""
    if not is_text(cells):
        zone = pa.types.is_timestamp(cells.type) and cells.type.tz is not None
        return np.full(len(cells), is_dates(cells) and not zone)
    # Different texts are looked at once: the series of a table share their times.
    encoded = with_offsets(cells).dictionary_encode()
    without = [not _OFFSET.search(text) for text in encoded.dictionary.to_pylist()]
    index = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    return np.asarray(np.array([*without, False])[index])


def _names_zones(cells: pa.Array) -> bool:
    return bool(pc.any(pc.match_substring(cells, "[")).as_py())


def _stands_twice(text: str) -> bool:
    """Whether it is a time of a clock that goes back or forward then."""
    try:
        time = moment(text)
    except ValueError:
        return False
    # PEP 495: `fold` chooses between the two readings, which differ in such an hour only.
    return time.tzinfo is not None and time.utcoffset() != time.replace(fold=1).utcoffset()


def _with_offset(text: str) -> str:
    if not text.endswith("]"):
        return text
    try:
        time = moment(text)
    except ValueError:
        return text
    if time.tzinfo is not None:
        return as_utc(time).isoformat()
    return time.isoformat()


def _seconds(text: str, reading: Reading) -> float:
    """Since 1970, of a date or time; NaN of another text."""
    turned = seconds_in(text, reading)
    if turned is not None:
        return turned
    try:
        return as_utc(moment(text)).timestamp()
    except (ValueError, OverflowError):
        return np.nan
