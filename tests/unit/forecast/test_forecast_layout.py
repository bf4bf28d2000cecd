"""Tables in which each row is a series, as competitions and spreadsheets hold them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from modelyard.errors import BadData, UsageError
from modelyard.families.forecast.bodies import read_bodies
from tests.unit.forecast.test_forecast_reading import DAYS, read, wave


def numbered() -> str:
    """A series of 200 steps and one of 150, as M4 has them: identifiers, no time, empty to the right."""
    first, second = (",".join(map(str, wave(phase).tolist())) for phase in (0, 1))
    short = ",".join(second.split(",")[:150]) + "," * 50
    header = ",".join(f'"V{place}"' for place in range(1, 202))
    return f'{header}\n"M1",{first}\n"M2",{short}\n'


def dated(names: list[str]) -> pd.DataFrame:
    """A page and an access for each row of daily visits."""
    rows = [[f"page {n}", "all", *wave(n).tolist()] for n in range(3)]
    return pd.DataFrame(rows, columns=["Page", "Access", *names])


def test_numbered_columns_are_steps_and_rows_are_series(tmp_path: Path) -> None:
    panel, schema, summary = read(tmp_path, numbered())
    assert schema.row_names == ("V1",)
    assert schema.season == 7
    np.testing.assert_array_equal(panel.start, [0, 200, 350])
    np.testing.assert_array_equal(panel.y[:200], wave())
    np.testing.assert_array_equal(panel.y[200:], wave(1)[:150])
    assert any("each row is a series named by V1" in note for note in summary["notes"])


def test_dates_as_names_of_columns_are_the_time(tmp_path: Path) -> None:
    table = dated([f"{day:%Y-%m-%d}" for day in DAYS])
    table.iloc[1, 2:12] = np.nan  # a page that was not there yet
    table.iloc[2, 50] = np.nan  # a day without a count
    panel, schema, summary = read(tmp_path, table)
    assert (schema.row_names, schema.grid.words) == (("Page",), "1 day")
    np.testing.assert_array_equal(np.diff(panel.start), [200, 190, 200])
    assert np.flatnonzero(np.isnan(panel.y)).tolist() == [390 + 48]
    assert any("left out: Access" in note for note in summary["notes"])


def test_months_and_dates_of_both_orders_may_name_columns(tmp_path: Path) -> None:
    months = [f"{2001 + n // 12}-{n % 12 + 1:02d}" for n in range(200)]
    _, schema, _ = read(tmp_path, dated(months), horizon=3, season=12)
    assert schema.grid.words == "1 month"
    (tmp_path / "days").mkdir()
    _, schema, _ = read(tmp_path / "days", dated([f"{day:%d/%m/%Y}" for day in DAYS]))
    assert (schema.grid.words, schema.dates) == ("1 day", "day_first")


def test_files_to_answer_may_have_further_steps(tmp_path: Path) -> None:
    _, schema, _ = read(tmp_path, numbered())
    more = tmp_path / "more.csv"
    steps = ",".join(f"V{place}" for place in range(2, 303))
    more.write_text(f"V1,{steps}\nM7,{','.join(map(str, range(301)))}\n")
    (body,) = read_bodies(more, schema)
    assert body["series"] == "M7"
    assert body["values"][-1] == 300.0


def test_the_columns_that_name_rows_can_be_set(tmp_path: Path) -> None:
    table = dated([f"{day:%Y-%m-%d}" for day in DAYS])
    table["Page"] = ["a", "a", "b"]
    table["Access"] = ["x", "y", "x"]
    with pytest.raises(
        BadData, match=r"no column names them: equal cells in Page, Access.*series="
    ):
        read(tmp_path, table)
    (tmp_path / "b").mkdir()
    _, schema, summary = read(tmp_path / "b", table, series=("Page", "Access"))
    assert schema.row_names == ("Page", "Access")
    assert [row[0] for row in summary["tables"][0]["rows"]] == ["a, x", "a, y", "b, x"]
    (tmp_path / "c").mkdir()
    with pytest.raises(UsageError, match=r"features.series.*'Pag' is unknown"):
        read(tmp_path / "c", table, series=("Pag",))


def test_a_cell_that_is_no_number_is_named_with_its_row_and_step(tmp_path: Path) -> None:
    table = dated([f"{day:%Y-%m-%d}" for day in DAYS]).astype(object)
    table.iloc[2, 30] = "many"
    with pytest.raises(BadData, match=r"row 3, column '2025-01-29': 'many' is not a number"):
        read(tmp_path, table)


def test_numbered_columns_without_a_name_for_the_rows_are_series_themselves(tmp_path: Path) -> None:
    table = pd.DataFrame({f"sensor_{n}": wave(n) for n in range(15)})
    _, schema, _ = read(tmp_path, table)
    assert schema.wide
    assert schema.row_names is None


@pytest.mark.parametrize("name", ["week", "row"])
def test_numbers_of_rows_leave_the_numbered_columns_series(tmp_path: Path, name: str) -> None:
    table = pd.DataFrame({name: range(200)})
    for number in range(15):
        table[f"shop{number}"] = wave(number)
    _, schema, _ = read(tmp_path, table)
    assert schema.wide
    assert schema.row_names is None


def test_months_under_any_name_leave_each_row_a_step(tmp_path: Path) -> None:
    months = [f"{2001 + n // 12}-{n % 12 + 1:02d}" for n in range(200)]
    table = pd.DataFrame({"Monat": months, **{f"shop{n}": wave(n) for n in range(15)}})
    _, schema, _ = read(tmp_path, table, horizon=3, season=12)
    assert (schema.row_names, schema.time_column) == (None, "Monat")


def test_columns_can_be_left_out_of_a_series_in_a_row(tmp_path: Path) -> None:
    table = dated([f"{day:%Y-%m-%d}" for day in DAYS])
    panel, schema, summary = read(tmp_path, table, drop=("Access", "2025-01-01"))
    assert schema.row_names == ("Page",)
    np.testing.assert_array_equal(np.diff(panel.start), [199] * 3)
    assert not any("left out" in note for note in summary["notes"])


def test_the_fewest_columns_that_tell_the_series_apart_name_them(tmp_path: Path) -> None:
    parts = []
    for store in (1, 2):
        for family in ("bread", "cars"):
            one = {"date": DAYS, "store_nbr": store, "family": family, "city": "Quito"}
            parts.append(pd.DataFrame({**one, "sales": wave(store)}))
    table = pd.concat(parts)
    table.insert(0, "number", range(len(table)))
    _, schema, summary = read(tmp_path, table)
    assert schema.series_columns == ["store_nbr", "family"]
    assert schema.past == []
    assert summary["left_out"] == ["number", "city"]
