"""Tables of people become series: by their columns' names, on a grid of time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from modelyard.errors import BadData, UsageError
from modelyard.families.forecast.config import ForecastConfig, ForecastFeatures
from modelyard.families.forecast.data import ForecastData
from modelyard.families.forecast.host import ForecastHost
from modelyard.families.forecast.panel import Panel
from modelyard.families.forecast.window import Schema

DAYS = pd.date_range("2025-01-01", periods=200)


def read(
    tmp_path: Path, table: pd.DataFrame | str, **settings: object
) -> tuple[Panel, Schema, dict]:
    raw, out = tmp_path / "raw", tmp_path / "out"
    raw.mkdir(parents=True)
    out.mkdir()
    text = table if isinstance(table, str) else table.to_csv(index=False)
    (raw / "table.csv").write_text(text)
    features = ForecastFeatures(**{"horizon": 7, **settings})
    summary = ForecastData(ForecastConfig(features=features)).features(raw, out)
    return Panel.load(out), Schema.load(out / "assets"), summary


def wave(phase: float = 0.0) -> np.ndarray:
    return (10 + 3 * np.sin(2 * np.pi * np.arange(200) / 7 + phase)).round(3)


def long_table() -> pd.DataFrame:
    parts = [
        pd.DataFrame({"date": DAYS, "store": store, "sales": wave(place), "price": 2.5})
        for place, store in enumerate(("north", "south"))
    ]
    return pd.concat(parts)


def test_a_long_table_is_a_series_a_store(tmp_path: Path) -> None:
    panel, schema, summary = read(tmp_path, long_table(), known=("price",))
    assert (schema.target, schema.series_columns, schema.season) == ("sales", ["store"], 7)
    assert [column.name for column in schema.known] == ["price"]
    np.testing.assert_array_equal(panel.start, [0, 200, 400])
    np.testing.assert_array_equal(panel.y[200:], wave(1))
    assert summary["headline"] == "400 steps of 1 day, 2 series"


def test_rows_in_any_order_are_the_same_series(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    panel, _, _ = read(tmp_path / "a", long_table())
    shuffled, _, _ = read(tmp_path / "b", long_table().sample(frac=1, random_state=0))
    ends = {tuple(panel.y[:200]), tuple(panel.y[200:])}
    assert {tuple(shuffled.y[:200]), tuple(shuffled.y[200:])} == ends


def test_a_wide_table_is_a_series_a_column(tmp_path: Path) -> None:
    table = pd.DataFrame({"timestamp": DAYS, "MT_001": wave(), "MT_002": wave(2)})
    panel, schema, _ = read(tmp_path, table)
    assert schema.wide
    assert not schema.past
    np.testing.assert_array_equal(panel.y[200:], wave(2))


def test_prices_are_forecast_by_their_close_on_business_days(tmp_path: Path) -> None:
    days = pd.bdate_range("2025-01-01", periods=200)
    table = pd.DataFrame({"Date": days, "Open": wave(), "High": wave() + 1, "Close": wave(1)})
    _, schema, _ = read(tmp_path, table)
    assert schema.target == "Close"
    assert [column.name for column in schema.past] == ["Open", "High"]
    assert (schema.grid.unit, schema.season) == ("business days", 5)


def test_decimal_commas_and_dates_with_points_are_read(tmp_path: Path) -> None:
    lines = [
        f"{day:%d.%m.%Y};{str(value).replace('.', ',')}"
        for day, value in zip(DAYS, wave(), strict=True)
    ]
    panel, schema, _ = read(tmp_path, "Datum;y\n" + "\n".join(lines) + "\n")
    assert schema.time_column == "Datum"
    np.testing.assert_allclose(panel.y, wave())


def test_a_step_without_a_row_is_missing_or_nothing_as_the_settings_say(tmp_path: Path) -> None:
    table = pd.DataFrame({"date": DAYS, "sales": wave()}).drop(index=[50, 51])
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    panel, _, summary = read(tmp_path / "a", table)
    assert np.isnan(panel.y[[50, 51]]).all()
    assert len(panel.y) == 200
    assert any("2 steps have no value" in note for note in summary["notes"])
    panel, _, _ = read(tmp_path / "b", table, missing="zero")
    assert (panel.y[[50, 51]] == 0).all()


def test_rows_ahead_of_the_last_value_are_counted_and_no_part_of_it(tmp_path: Path) -> None:
    table = pd.DataFrame({"date": DAYS, "sales": wave(), "holiday": 0})
    table.loc[190:, "sales"] = None
    panel, _, summary = read(tmp_path, table, known=("holiday",))
    assert len(panel.y) == 190
    assert summary["dropped"] == {"rows: ahead of the last value": 10}


def test_series_that_are_too_short_are_named_and_counted(tmp_path: Path) -> None:
    table = pd.concat([long_table(), long_table().head(20).assign(store="new")])
    panel, _, summary = read(tmp_path, table)
    assert len(panel.usual) == 2
    assert summary["dropped"]["of series with too few steps"] == 20
    assert any("too few steps: new" in note for note in summary["notes"])


def test_a_series_that_is_too_short_is_told_which_horizon_fits(tmp_path: Path) -> None:
    table = pd.DataFrame({"date": DAYS[:24], "sales": wave()[:24]})
    with pytest.raises(BadData, match=r"--set features.horizon=3$") as error:
        read(tmp_path, table, season=7, horizon=9)
    assert "24 steps; about 41 are needed" in str(error.value)
    _, schema, _ = read(tmp_path / "shorter", table, season=7, horizon=3)
    assert schema.horizon == 3


def test_a_season_that_is_too_long_is_named_too(tmp_path: Path) -> None:
    months = pd.date_range("2020-01-01", periods=36, freq="MS")
    table = pd.DataFrame({"date": months, "sales": wave()[:36]})
    with pytest.raises(BadData, match=r"--set features.horizon=6 --set features.season=1$"):
        read(tmp_path, table)
    read(tmp_path / "shorter", table, horizon=6, season=1)


def test_months_of_counted_years_are_months(tmp_path: Path) -> None:
    """So the sales of shampoo stand in text-books."""
    cells = [f"{1 + month // 12}-{1 + month % 12:02}" for month in range(72)]
    _, schema, summary = read(tmp_path, pd.DataFrame({"Month": cells, "Sales": wave()[:72]}))
    assert schema.season == 12
    assert "72 steps of 1 month" in summary["headline"]
    assert any("are months of counted years" in note for note in summary["notes"])


@pytest.mark.parametrize("cells", [["1-02", "1-03"] * 10, [f"{n}-01" for n in range(1, 21)]])
def test_pairs_of_numbers_that_are_no_months_are_no_times(tmp_path: Path, cells: list[str]) -> None:
    with pytest.raises(BadData, match="'1-0.' is neither a number nor a time"):
        read(tmp_path, pd.DataFrame({"Month": cells, "Sales": wave()[:20]}))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            lambda t: pd.concat([t, t.tail(1)]),
            "row 201, column 'date': the time '2025-07-19' stands twice",
        ),
        (
            lambda t: t.assign(date=t.date.astype(str).where(t.index != 7, "2025-01-08T11:00:00")),
            "row 8, column 'date': the time '2025-01-08T11:00:00' of 'table' lies between two steps",
        ),
        (
            lambda t: t.assign(sales=t.sales.astype(str).where(t.index != 3, "many")),
            "row 4, column 'sales': 'many' is not a number",
        ),
        (lambda t: t.head(15), "the longest series has 15 steps; about"),
        (
            lambda t: t.assign(date=t.date.astype(str).where(t.index != 199, "2525-01-01")),
            "row 200, column 'date': the time '2525-01-01' of 'table' comes",
        ),
        (
            lambda t: t.assign(date=t.date.astype(str).where(t.index != 5, "soon")),
            "'soon' is neither",
        ),
    ],
)
def test_what_is_no_series_is_named_with_its_place(change, says: str, tmp_path: Path) -> None:
    table = pd.DataFrame({"date": DAYS, "sales": wave()})
    with pytest.raises(BadData) as error:
        read(tmp_path, change(table))
    assert says in str(error.value)


def test_a_target_that_could_be_several_is_asked_for(tmp_path: Path) -> None:
    table = long_table().rename(columns={"sales": "visits"})
    with pytest.raises(BadData, match=r"which column is to be forecast.*--target visits"):
        read(tmp_path, table)


def test_a_column_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"features\.target.*'turnover'"):
        read(tmp_path, long_table(), target="turnover")


def test_a_series_without_a_value_is_left_out(tmp_path: Path) -> None:
    table = pd.concat([long_table(), long_table().head(150).assign(store="empty")])
    table.loc[table.store == "empty", "sales"] = np.nan
    panel, _, summary = read(tmp_path, table)
    assert len(panel.usual) == 2
    assert summary["dropped"] == {"of series without a value": 150}


@pytest.mark.parametrize("unit", [1, 1_000, 1_000_000_000])
def test_times_since_1970_are_dates_in_any_unit(unit: int, tmp_path: Path) -> None:
    moments = (DAYS.as_unit("s").astype("int64") * unit).astype("int64")
    _, schema, _ = read(tmp_path, pd.DataFrame({"ts": moments, "y": wave()}))
    assert (schema.grid.words, schema.season) == ("1 day", 7)


def test_numbers_that_count_have_the_season_of_their_values(tmp_path: Path) -> None:
    _, schema, _ = read(tmp_path, pd.DataFrame({"time": range(200), "y": wave()}))
    assert (schema.grid.unit, schema.season) == ("steps", 7)


def test_a_step_is_a_time_where_it_counts(tmp_path: Path) -> None:
    counted = pd.DataFrame({"step": range(0, 400, 2), "y": wave()})
    _, schema, _ = read(tmp_path / "counted", counted)
    assert schema.time_column == "step"
    measured = pd.DataFrame({"step": wave(1), "value": wave()})
    _, schema, _ = read(tmp_path / "measured", measured)
    assert (schema.time_column, [column.name for column in schema.past]) == (None, ["step"])


def test_several_columns_name_a_series_where_one_does_not(tmp_path: Path) -> None:
    parts = [
        pd.DataFrame({"date": DAYS, "store": store, "item": item, "sales": wave(item)})
        for store in ("north", "south")
        for item in (1, 2)
    ]
    panel, schema, summary = read(tmp_path, pd.concat(parts))
    assert schema.series_columns == ["store", "item"]
    assert [row[0] for row in summary["tables"][0]["rows"]] == [
        "north, 1",
        "north, 2",
        "south, 1",
        "south, 2",
    ]
    np.testing.assert_array_equal(panel.y[200:400], wave(2))


@pytest.mark.parametrize(
    ("periods", "season"),
    [
        (pd.period_range("2009-01", periods=200, freq="M").astype(str), 12),
        (pd.period_range("1970Q1", periods=200, freq="Q").astype(str), 4),
    ],
)
def test_months_and_quarters_without_a_day_are_read(
    periods: pd.Index, season: int, tmp_path: Path
) -> None:
    panel, schema, _ = read(tmp_path, pd.DataFrame({"period": periods, "y": wave()}))
    assert (schema.grid.unit, schema.season) == ("months", season)
    assert len(panel.y) == 200


def test_a_row_that_names_no_series_is_told(tmp_path: Path) -> None:
    table = long_table()
    table.iloc[3, 1] = None
    with pytest.raises(BadData, match="row 4, column 'store': the cell is empty"):
        read(tmp_path, table)


def test_forecasts_follow_the_clock_of_the_last_row_after_summer_time(tmp_path: Path) -> None:
    moments = pd.date_range("2025-10-10", periods=24 * 40, freq="h", tz="Europe/Berlin")
    clock = moments.strftime("%Y-%m-%d %H:%M")
    frame = pd.DataFrame({"time": clock, "load": 10 + np.sin(moments.hour)})
    panel, schema, summary = read(tmp_path, frame, horizon=6)
    assert any("the clock goes back at '2025-10-26 02:00'" in note for note in summary["notes"])
    assert len(panel.y) == len(frame)
    assert np.isfinite(panel.y).all()
    # All windows end on the file's own clock, and their hours are an hour apart.
    origins = panel.origins(schema, "train")
    times = panel.windows(schema, origins).times
    assert (np.diff(times, axis=1) == 3600).all()
    last = times[:, schema.context - 1] / 3600 % 24
    assert last.tolist() == [moments[origin - 1].hour for origin in origins]
    frame.to_csv(tmp_path / "new.csv", index=False)
    (body,) = ForecastHost(tmp_path / "out/assets").read_file(tmp_path / "new.csv")
    assert body["times"][-1] == clock[-1].replace(" ", "T") + ":00"


def test_a_word_in_a_column_of_numbers_is_named_whatever_the_column_is_called(
    tmp_path: Path,
) -> None:
    table = pd.DataFrame({"Zeit": DAYS, "Verbrauch kWh": wave().astype(str), "Zähler": "Z 1"})
    table.loc[20, "Verbrauch kWh"] = "Ausfall"
    with pytest.raises(BadData, match="row 21, column 'Verbrauch kWh': 'Ausfall' is not a number"):
        read(tmp_path, table)


def test_a_target_to_type_stands_as_a_shell_takes_it(tmp_path: Path) -> None:
    table = long_table().rename(columns={"sales": "Units Sold"})
    with pytest.raises(BadData, match="Units Sold, price. Type: --target 'Units Sold'"):
        read(tmp_path, table)


def test_a_number_of_each_row_names_no_series(tmp_path: Path) -> None:
    numbered = pd.concat([long_table()] * 3)
    numbered["id"] = range(len(numbered))
    with pytest.raises(
        BadData, match="row 401, column 'date': .*stands twice in the series 'north'"
    ):
        read(tmp_path, numbered)


@pytest.mark.parametrize("split", ["train", "test"])
def test_series_with_a_gap_in_every_stretch_are_refused_with_what_to_do(
    tmp_path: Path, split: str
) -> None:
    """A forecast needs all values of its steps: else nothing is left to learn from or to judge."""
    values = wave()
    if split == "train":
        values[::2] = np.nan
    else:
        values[160::5] = np.nan
    with pytest.raises(BadData, match=f"no stretch of 7 steps in the {split} split") as error:
        read(tmp_path, pd.DataFrame({"date": DAYS, "sales": values}))
    assert error.value.column == "sales"
    assert "features.missing=zero" in str(error.value)


def test_series_whose_names_read_alike_are_two(tmp_path: Path) -> None:
    parts = []
    for phase, (store, item) in enumerate((("a, b", "c"), ("a", "b, c"))):
        parts.append(
            pd.DataFrame({"date": DAYS, "store": store, "item": item, "sales": wave(phase)})
        )
    panel, _, _ = read(tmp_path, pd.concat(parts), series=("store", "item"))
    np.testing.assert_array_equal(panel.start, [0, 200, 400])


def test_a_column_that_one_file_lacks_may_be_left_out(tmp_path: Path) -> None:
    raw, out = tmp_path / "raw", tmp_path / "out"
    raw.mkdir()
    out.mkdir()
    table = pd.DataFrame({"date": DAYS, "sales": wave()})
    table.to_csv(raw / "north.csv", index=False)
    table.assign(note=1.5).to_csv(raw / "south.csv", index=False)
    data = ForecastData(ForecastConfig(features=ForecastFeatures(horizon=7)))
    with pytest.raises(BadData, match=r"'note' is only in.*--set features.drop=\[note\]"):
        data.features(raw, out)
    settings = ForecastFeatures(horizon=7, drop=("note",))
    summary = ForecastData(ForecastConfig(features=settings)).features(raw, out)
    assert "2 series" in summary["headline"]
