"""Cells of a column as numpy takes them: one reading for data frames and for requests. Numpy
only."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np

from modelyard.kit.moments import as_utc, moment

_WORD = re.compile(r"\b\w\w+\b")


def as_numbers(values: Sequence[Any] | np.ndarray) -> np.ndarray:
    """Float64; None becomes NaN, true and false 1 and 0."""
    return np.asarray(values, np.float64)


def number_or_word(cell: str | None, words: Sequence[str]) -> float | str | None:
    """A cell of a column of numbers and `words`, from its text."""
    if cell is None or cell in words:
        return cell
    return float(cell)


def as_strings(values: Sequence[Any] | np.ndarray) -> list[str | None]:
    """Cells without surrounding blanks; empty, None and NaN become None."""
    if isinstance(values, np.ndarray):
        values = values.tolist()
    # A comprehension, for whole columns of training go through here.
    return [(value.strip() or None) if isinstance(value, str) else None for value in values]


def as_times(values: Sequence[Any] | np.ndarray) -> np.ndarray:
    """datetime64 in microseconds, UTC; None becomes NaT."""
    if isinstance(values, np.ndarray) and values.dtype.kind == "M":
        return values.astype("datetime64[us]")
    # Of None numpy makes NaT.
    parsed = [None if value is None else parse_time(value) for value in values]
    return np.array(parsed, "datetime64[us]")


def as_json(value: Any) -> Any:
    """A number or text as it is, a time in ISO 8601; None for what is missing."""
    # NaN and NaT differ from themselves.
    if value is None or value != value:
        return None
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return value


def parse_time(text: str) -> datetime:
    """An ISO 8601 date or time, also with a zone's name behind it, as naive UTC; without an offset
    or zone it is taken for UTC.

    Raises:
        ValueError: not ISO 8601.
    """
    try:
        return as_utc(moment(text.strip())).replace(tzinfo=None)
    except (ValueError, OverflowError):
        raise ValueError(
            f"{text[:40]!r} is not an ISO 8601 date or time such as 2026-03-31T08:00:00"
        ) from None


def calendar(times: np.ndarray) -> dict[str, np.ndarray]:
    """Year, month (1 to 12), weekday (Monday is 0) and hour with its fraction, of datetime64
    without NaT."""
    # numpy counts from the first of January 1970, a Thursday.
    days = times.astype("datetime64[D]")
    return {
        "year": days.astype("datetime64[Y]").astype(np.int64) + 1970.0,
        "month": days.astype("datetime64[M]").astype(np.int64) % 12 + 1.0,
        "weekday": (days.astype(np.int64) + 3) % 7 + 0.0,
        "hour": (times - days) / np.timedelta64(1, "h"),
    }


def words(text: str | None) -> list[str]:
    """Lower-case words of two characters or more."""
    if text:
        return _WORD.findall(text.lower())
    return []
