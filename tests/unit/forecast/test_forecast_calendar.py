"""Times in several columns, and columns that say nothing which the time does not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from modelyard.families.forecast.bodies import read_bodies
from tests.unit.forecast.test_forecast_reading import DAYS, read, wave

HOURS = pd.date_range("2025-01-01", periods=200, freq="h")


def parts_of_hours() -> pd.DataFrame:
    columns = {"year": HOURS.year, "month": HOURS.month, "day": HOURS.day, "hour": HOURS.hour}
    return pd.DataFrame({"No": range(1, 201), **columns, "pm2.5": wave()})


def test_a_time_in_its_parts_is_one_in_training_and_in_a_file_to_answer(tmp_path: Path) -> None:
    panel, schema, summary = read(tmp_path, parts_of_hours())
    assert (schema.time_column, schema.target, schema.past) == ("time", "pm2.5", [])
    assert summary["headline"].startswith("200 steps of 1 hour, 1 series")
    np.testing.assert_array_equal(panel.y, wave())
    (body,) = read_bodies(tmp_path / "raw" / "table.csv", schema)
    assert body["times"][-1] == "2025-01-09T07:00:00"


def test_months_by_name_are_no_series(tmp_path: Path) -> None:
    months = pd.date_range("2010-01-01", periods=100, freq="MS")
    table = {"year": months.year, "month": months.month_name(), "passengers": wave()[:100]}
    panel, schema, _ = read(tmp_path, pd.DataFrame(table))
    assert (schema.target, schema.series_columns) == ("passengers", [])
    assert len(panel.start) == 2


def test_the_calendar_of_a_date_is_neither_a_series_nor_a_column_to_send(tmp_path: Path) -> None:
    calendar = {
        "year": DAYS.year,
        "mnth": DAYS.month,
        "monthday": DAYS.day,
        "weekday": (DAYS.dayofweek + 1) % 7,
    }
    wide = pd.DataFrame({"date": DAYS, **calendar, "births": wave(), "deaths": wave(1)})
    (tmp_path / "wide").mkdir()
    panel, schema, summary = read(tmp_path / "wide", wide)
    assert len(panel.start) == 3
    assert summary["left_out"] == list(calendar)
    assert len(read_bodies(tmp_path / "wide/raw/table.csv", schema)) == 2
    one = wide.drop(columns="deaths").rename(columns={"births": "sales"})
    (tmp_path / "one").mkdir()
    _, schema, _ = read(tmp_path / "one", one, known=("weekday",))
    assert ([column.name for column in schema.known], schema.past) == (["weekday"], [])


def test_what_only_follows_the_calendar_stays(tmp_path: Path) -> None:
    closed = (DAYS.dayofweek == 6).astype(int)
    table = {"date": DAYS, "sales": wave(), "closed": closed, "twice": 2 * DAYS.day, "price": 25}
    _, schema, _ = read(tmp_path, pd.DataFrame(table))
    assert [column.name for column in schema.past] == ["closed", "twice", "price"]


def test_rows_that_no_column_dates_are_said_to_be_equally_spaced(tmp_path: Path) -> None:
    _, schema, summary = read(tmp_path, pd.DataFrame({"y": wave()}))
    assert schema.time_column is None
    assert "no column is the time: rows count as equally spaced" in summary["headline"]
