"""Steps in time: a number of seconds, months, business days. Numpy only, so that it serves."""

from __future__ import annotations

from typing import Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict

from modelyard.kit.moments import as_utc, moment

Unit = Literal["seconds", "months", "business days", "steps"]

MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0
NEAR = 0.1
"""Share of a step by which a time may be off."""
MONTH = 27.5 * DAY, 31.5 * DAY
SEASONS = {HOUR: 24, DAY: 7, 7 * DAY: 52}
"""Steps of a season by the seconds of a step."""


class Grid(BaseModel):
    """What lies between a row and the next."""

    model_config = ConfigDict(frozen=True)

    unit: Unit
    """`steps`: the times are numbers that count, or there are none."""
    every: float
    """How many of the unit."""

    @classmethod
    def of(cls, apart: np.ndarray, times: np.ndarray, dated: bool) -> Self:
        """The step of series, from the usual time between their rows.

        Args:
            apart: seconds (or numbers) between neighbouring rows, above 0.
            times: all of them.
        """
        step = float(np.median(apart))
        if not dated:
            return cls(unit="steps", every=step)
        if step >= MONTH[0]:
            months = max(1, round(step / (30.44 * DAY)))
            return cls(unit="months", every=months)
        # Rows a day apart, none at a weekend, and gaps as long as one: a market, or an office.
        has_weekends = (weekday(times) >= 5).any()
        if step == DAY and not has_weekends and (apart >= 3 * DAY).any():
            return cls(unit="business days", every=1)
        # Since 1970 float64 holds moments to a fifth of a microsecond: over many steps that adds up.
        return cls(unit="seconds", every=round(step, 6))

    def places(self, times: np.ndarray) -> np.ndarray:
        """The number of each time's step, float64: whole where it lies on the grid of the first."""
        if self.unit == "months":
            months = dates(times).astype("datetime64[M]").astype(np.int64)
            return np.asarray((months - months[0]) / self.every)
        if self.unit == "business days":
            days = dates(times).astype("datetime64[D]")
            found = np.busday_count(days[0], days).astype(np.float64)
            # A weekend lies between two steps.
            return np.asarray(np.where(np.is_busday(days), found, found + 0.5))
        found = (times - times[0]) / self.every
        whole = np.round(found)
        return np.asarray(np.where(np.abs(found - whole) <= NEAR, whole, found))

    def after(self, time: float, steps: np.ndarray) -> np.ndarray:
        """Times that many steps after a time, seconds; steps below 0 lie before it."""
        if self.unit == "months":
            given = dates(np.array([time]))[0]
            month = given.astype("datetime64[M]")
            within = given - month.astype("datetime64[s]")
            months = month + (steps * int(self.every)).astype("timedelta64[M]")
            lasts = (months + 1).astype("datetime64[s]") - np.timedelta64(1, "D")
            # Of a series of last days of months, and of the 30th in February.
            last = (month + 1).astype("datetime64[s]") - given <= np.timedelta64(1, "D")
            found = months.astype("datetime64[s]") + within
            return seconds(np.where(last, lasts, np.minimum(found, lasts)))
        if self.unit == "business days":
            given = dates(np.array([time]))[0]
            day = given.astype("datetime64[D]")
            days = np.busday_offset(day, steps, roll="forward")
            return seconds(days.astype("datetime64[s]") + (given - day.astype("datetime64[s]")))
        return np.asarray(time + steps * self.every)

    @property
    def dated(self) -> bool:
        """Whether times are those of a calendar."""
        return self.unit != "steps"

    @property
    def season(self) -> int | None:
        """Steps of the usual season; None: nothing is usual."""
        if self.unit == "months":
            return max(1, round(12 / self.every))
        if self.unit == "business days":
            return 5
        if self.unit == "seconds":
            if self.every < HOUR:
                return max(1, round(DAY / self.every))
            for step, season in SEASONS.items():
                if abs(step - self.every) < MINUTE:
                    return season
        return None

    @property
    def words(self) -> str:
        """For people: `1 hour`, `2 months`."""
        if self.unit != "seconds":
            return _counted(self.every, self.unit.removesuffix("s"))
        for size, name in ((DAY, "day"), (HOUR, "hour"), (MINUTE, "minute"), (1.0, "second")):
            if self.every >= size:
                return _counted(self.every / size, name)
        return _counted(self.every, "second")

    def calendar(self, times: np.ndarray) -> np.ndarray:
        """Where in the day, the week and the year each time lies, float32 (…, `parts`): sine and
        cosine of each circle."""
        turns = []
        if self.unit == "seconds" and self.every < DAY:
            turns.append(times / DAY)
        if self.unit != "months" and self.every < 7 * DAY:
            turns.append((times / DAY + 3) / 7)  # 1970 began on a Thursday
        turns.append(times / (365.2425 * DAY))
        circles = []
        for turn in turns:
            # Of an angle the two stay near each other where the circle closes, at midnight or on
            # Sundays.
            circles += [np.sin(2 * np.pi * turn), np.cos(2 * np.pi * turn)]
        return np.stack(circles, axis=-1).astype(np.float32)

    @property
    def parts(self) -> int:
        """Width of `calendar`; 0 for numbers that count."""
        if not self.dated:
            return 0
        return int(self.calendar(np.zeros(1)).shape[1])


def _counted(count: float, name: str) -> str:
    if count == 1:
        return f"1 {name}"
    return f"{count:g} {name}s"


def weekday(times: np.ndarray) -> np.ndarray:
    """0 for Mondays, of seconds since 1970."""
    return np.asarray((np.floor(times / DAY).astype(np.int64) + 3) % 7)


def dates(times: np.ndarray) -> np.ndarray:
    """Seconds since 1970 as numpy's dates."""
    return np.asarray(times).astype(np.int64).astype("datetime64[s]")


def seconds(moments: np.ndarray) -> np.ndarray:
    """Numpy's dates as seconds since 1970."""
    return np.asarray(moments).astype("datetime64[s]").astype(np.int64).astype(np.float64)


def seconds_of(text: str) -> float:
    """Seconds since 1970 of a date or time; without an offset it is taken for UTC.

    Raises:
        ValueError: it is none.
    """
    return as_utc(moment(text)).timestamp()


def texts(times: np.ndarray) -> list[str]:
    """Times in ISO 8601, with microseconds where steps are shorter than a second."""
    if (times % 1 == 0).all():
        whole: list[str] = np.datetime_as_string(dates(times), unit="s").tolist()
        return whole
    micro = np.round(times * 1e6).astype(np.int64).astype("datetime64[us]")
    found: list[str] = np.datetime_as_string(micro, unit="us").tolist()
    return found
