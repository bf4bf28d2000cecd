"""Steps in time: their length is found, and what comes after a time lies on them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from modelyard.families.forecast.grid import Grid, seconds, seconds_of, texts


def grid_of(*dates: str) -> Grid:
    times = np.array([seconds_of(date) for date in dates])
    return Grid.of(np.diff(times), times, dated=True)


def after(grid: Grid, date: str, steps: int) -> list[str]:
    return [text[:10] for text in texts(grid.after(seconds_of(date), np.arange(1, steps + 1)))]


def test_last_days_of_months_stay_last_days() -> None:
    grid = grid_of("2026-01-31", "2026-02-28", "2026-03-31", "2026-04-30")
    assert grid == Grid(unit="months", every=1)
    assert grid.season == 12
    assert after(grid, "2027-12-31", 3) == ["2028-01-31", "2028-02-29", "2028-03-31"]


def test_quarters_that_begin_on_a_day_keep_it() -> None:
    grid = grid_of("2025-01-01", "2025-04-01", "2025-07-01", "2025-10-01")
    assert (grid.unit, grid.every, grid.season) == ("months", 3, 4)
    assert after(grid, "2025-10-01", 2) == ["2026-01-01", "2026-04-01"]


def test_the_thirtieth_is_in_february_its_last_day() -> None:
    assert after(Grid(unit="months", every=1), "2026-01-30", 2) == ["2026-02-28", "2026-03-30"]


def test_business_days_are_those_of_pandas() -> None:
    days = pd.bdate_range("2026-01-01", periods=40)
    grid = grid_of(*(day.isoformat() for day in days))
    assert (grid.unit, grid.season) == ("business days", 5)
    times = np.array([day.timestamp() for day in days])
    np.testing.assert_array_equal(grid.places(times), np.arange(40))
    np.testing.assert_array_equal(grid.after(times[0], np.arange(40)), times)


def test_days_without_a_weekend_in_between_are_not_business_days() -> None:
    """A week of a service that is new has no weekend yet."""
    assert grid_of("2026-03-02", "2026-03-03", "2026-03-04", "2026-03-05").unit == "seconds"


@pytest.mark.parametrize(
    ("step", "season"), [("15min", 96), ("h", 24), ("D", 7), ("7D", 52), ("6h", None)]
)
def test_the_usual_season_follows_from_the_step(step: str, season: int | None) -> None:
    times = seconds(pd.date_range("2026-01-01", periods=10, freq=step).to_numpy())
    assert Grid.of(np.diff(times), times, dated=True).season == season


def test_a_time_between_two_steps_has_no_whole_place() -> None:
    grid = Grid(unit="seconds", every=3600)
    places = grid.places(np.array([0.0, 3600.0, 3601.0, 9000.0]))
    np.testing.assert_allclose(places, [0, 1, 1, 2.5])


def test_the_calendar_repeats_after_a_week_and_tells_days_apart() -> None:
    grid = Grid(unit="seconds", every=86_400)
    monday = seconds_of("2026-03-02")
    found = grid.calendar(monday + 86_400 * np.arange(8))
    assert found.shape == (8, grid.parts)
    np.testing.assert_allclose(found[0, :2], found[7, :2], atol=1e-6)
    assert len(np.unique(found[:7, :2].round(3), axis=0)) == 7


def test_short_steps_stay_on_their_grid_for_hours() -> None:
    """Moments since 1970 are known to a fifth of a microsecond, which may not add up."""
    times = seconds_of("2025-01-06T00:00:00") + np.arange(200_000) * 0.1
    grid = Grid.of(np.diff(times), times, dated=True)
    np.testing.assert_array_equal(grid.places(times), np.arange(200_000))
