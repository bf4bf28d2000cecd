"""Clocks on the wall, which go back an hour when summer time ends. Numpy only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np

HOUR = 3600.0
QUARTER = 900.0
"""Seconds; a zone's offset changes at multiples of it."""


def through_autumn(time: np.ndarray) -> tuple[np.ndarray, list[int]]:
    """Seconds of a series' rows, in their order, going on where the clock goes back; and the rows
    with which the hour begins a second time: from there on all are an hour later.

    Only times without an offset have an hour twice: on a Sunday night, a step after its end.
    """
    apart = np.diff(time)
    later = time.copy()
    again: list[int] = []
    if not (apart > 0).any():
        return later, again
    step = np.median(apart[apart > 0])
    # With the hour added it is the usual step again.
    close = np.abs(apart + HOUR - step) < step / 2
    for row in np.flatnonzero(close & (apart <= 0) & (step <= HOUR)).tolist():
        clock = datetime.fromtimestamp(time[row + 1], UTC)
        if clock.weekday() == 6 and clock.hour < 4:
            later[row + 1 :] += HOUR
            again.append(row + 1)
    return later, again


@dataclass(frozen=True)
class ZonedTimes:
    """Times of a clock on the wall, in a zone, as seconds since 1970."""

    utc: np.ndarray
    """Float64 (rows,)."""
    twice: int
    """Rows in an hour that the clock shows twice."""
    back: int
    """How often the clock went back between two rows of that hour."""
    forth: int
    """How often it went forth between two rows."""
    skipped: list[int]
    """Rows at times that the clock never shows."""


def in_zone(time: np.ndarray, zone: ZoneInfo) -> ZonedTimes:
    """What a series' rows mean, in their order.

    In the hour that stands twice when summer time ends, rows belong to its first pass until the
    clock goes back.

    Args:
        time: seconds since 1970 as if the clock were in UTC, float64 (rows,).
    """
    # Zones answer one moment at a time: each quarter of an hour is asked for once.
    quarters, place = np.unique(np.floor(time / QUARTER), return_inverse=True)
    offsets = np.array([_offsets(quarter * QUARTER, zone) for quarter in quarters.tolist()])
    before, after = offsets.reshape(-1, 2)[place].T
    # PEP 495: the first of two passes has the larger offset, and a skipped hour the smaller one.
    twice, skipped = before > after, before < after
    second = twice & _second_pass(time, twice)
    offset = np.where(second, after, before)
    forth = (np.diff(offset) > 0) & ~skipped[1:] & ~skipped[:-1]
    went_back = second[1:] & ~second[:-1] & twice[:-1]
    return ZonedTimes(
        utc=time - offset,
        twice=int(twice.sum()),
        back=int(went_back.sum()),
        forth=int(forth.sum()),
        skipped=np.flatnonzero(skipped).tolist(),
    )


def _offsets(seconds: float, zone: ZoneInfo) -> tuple[float, float]:
    """A clock time's offsets from UTC in seconds, before and after a change then; equal without
    one."""
    clock = (datetime(1970, 1, 1) + timedelta(seconds=seconds)).replace(tzinfo=zone)
    first, second = clock.utcoffset(), clock.replace(fold=1).utcoffset()
    assert first is not None
    assert second is not None
    return first.total_seconds(), second.total_seconds()


def _second_pass(time: np.ndarray, twice: np.ndarray) -> np.ndarray:
    """Which rows of hours that stand twice come after the clock went back, bool (rows,)."""
    apart = np.diff(time, prepend=time[:1])
    usual = 0.0
    if (apart > 0).any():
        usual = float(np.median(apart[apart > 0]))
    # Rows an hour apart show the same time twice; of others, such a row repeats the one before.
    back = (apart < 0) | ((apart == 0) & (usual >= HOUR))
    back &= twice & np.r_[False, twice[:-1]]
    passes = np.cumsum(back)
    # Each such hour counts from its own beginning.
    begins = twice & ~np.r_[False, twice[:-1]]
    latest = np.maximum.accumulate(np.where(begins, np.arange(len(time)), 0))
    return np.asarray(passes > passes[latest])
