"""Times that stand in several columns are joined into one, which a note names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from modelyard.kit.tables import Table, read_table, texts, with_time


def table(folder: Path, header: str, rows: Sequence[str]) -> Table:
    (folder / "table.csv").write_text("\n".join([header, *rows]) + "\n")
    return read_table(folder / "table.csv")


def rows(form: str, days: int = 2, hours: int = 3) -> list[str]:
    return [
        form.format(day=day, hour=hour, value=day + hour)
        for day in range(1, days + 1)
        for hour in range(hours)
    ]


@pytest.mark.parametrize(
    ("header", "form", "column", "expected"),
    [
        ("Date,Time,y", "2026-03-0{day},{hour}:00:00,{value}", "Date", "2026-03-01 1:00:00"),
        ("Date,Time,y", "0{day}/03/2026,0{hour}.00.00,{value}", "Date", "01/03/2026 01:00:00"),
        ("dteday,hr,y", "2026-03-0{day},{hour},{value}", "dteday", "2026-03-01 01:00"),
        ("year,month,day,hour,y", "2026,3,{day},{hour},{value}", "time", "2026-03-01 01:00"),
        ("Year,Month,y", "202{day},{hour}9,{value}", "", ""),
    ],
)
def test_a_date_and_a_clock_are_one_time(
    tmp_path: Path, header: str, form: str, column: str, expected: str
) -> None:
    before = table(tmp_path, header, rows(form))
    found = with_time(before)
    if not column:
        # A month of 29 is none.
        assert found.names == before.names
        return
    assert found.names == [column, "y"]
    assert texts(found, column)[1] == expected
    (note,) = (note for note in found.notes if "the time stands in" in note)
    assert note.startswith(f"{column}: the time stands in {header.split(',')[0]}")


def test_parts_may_stand_in_any_order_behind_other_columns(tmp_path: Path) -> None:
    found = with_time(table(tmp_path, "y,month,year", ["112,1,1949", "118,2,1949"]))
    assert texts(found, "time") == ["1949-01-01", "1949-02-01"]
    assert found.names == ["y", "time"]


def test_months_may_be_named(tmp_path: Path) -> None:
    found = with_time(table(tmp_path, "year,month,y", ["1949,January,112", "1949,Feb,118"]))
    assert texts(found, "time") == ["1949-01-01", "1949-02-01"]
    assert found.names == ["time", "y"]


@pytest.mark.parametrize(
    ("header", "form"),
    [
        # A date a row is the time; the hour is that of something else.
        ("date,hour,y", "2026-{hour}{day}-01,7,{value}"),
        ("date,hour,y", "2026-03-0{day},24,{value}"),
        ("date,hour,y", "2026-03-0{day} 08:00,{hour},{value}"),
        ("year,y", "2026,{value}"),
        ("yr,mnth,y", "0,{day},{value}"),
        ("time,year,month,y", "{value},2026,{day},{value}"),
        ("timestamp,year,month,day,y", "{hour},2026,3,{day},{value}"),
        ("Time,Year,Month,y", "{hour},2026,{day},{value}"),
        ("date,hour,y", "2026-03-0{day},9,{value}"),
    ],
)
def test_what_is_no_time_in_parts_stays(tmp_path: Path, header: str, form: str) -> None:
    days = rows(form, hours=1) if "{hour}{day}" in form else rows(form)
    before = table(tmp_path, header, days)
    assert with_time(before).names == before.names


def test_hours_far_apart_are_those_of_what_happened(tmp_path: Path) -> None:
    hours = [(1, 8), (1, 17), (1, 20), (2, 9), (2, 12), (2, 14), (3, 7), (3, 8), (3, 19)]
    before = table(tmp_path, "date,hour,y", [f"2026-03-0{day},{hour},1" for day, hour in hours])
    assert with_time(before).names == ["date", "hour", "y"]


def test_a_time_that_a_setting_names_stands_in_one_column(tmp_path: Path) -> None:
    clock = table(tmp_path, "t,date,hour,y", rows("{value},2026-03-0{day},{hour},1"))
    assert with_time(clock, (), "t").names == ["t", "date", "hour", "y"]
    assert with_time(clock, (), "date").names == ["t", "date", "y"]
    parts = table(tmp_path, "t,year,month,y", rows("{value},2026,{day},1"))
    assert with_time(parts, (), "t").names == ["t", "year", "month", "y"]


def test_columns_that_a_setting_names_stay(tmp_path: Path) -> None:
    parts = table(tmp_path, "year,month,y", ["1949,1,112", "1949,2,118"])
    assert with_time(parts, {"month"}).names == ["year", "month", "y"]
    clock = table(tmp_path, "date,hour,y", rows("2026-03-0{day},{hour},{value}"))
    assert with_time(clock, {"date"}).names == ["date", "y"]
    assert with_time(clock, {"hour"}).names == ["date", "hour", "y"]
