"""Dates such as 01/02/2026: the whole column says whether the day or the month is first, or nothing
is read."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from modelyard.errors import BadData
from modelyard.kit.tables import Table, is_dated, read_file, share_date_orders, table_files, times


def table(folder: Path, *cells: str, name: str = "table.csv") -> Table:
    folder.mkdir(exist_ok=True)
    rows = "".join(f'"{cell}",{number}\n' for number, cell in enumerate(cells))
    (folder / name).write_text("date,value\n" + rows)
    return next(read_file(file) for file in table_files(folder) if file.name == name)


def moment(*parts: int) -> float:
    return datetime(*parts, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("cells", "expected", "words"),
    [
        (("01/02/2026", "01/31/2026"), ((2026, 1, 2), (2026, 1, 31)), "month/day/year"),
        (("01/02/2026", "31/01/2026"), ((2026, 2, 1), (2026, 1, 31)), "day/month/year"),
        (("1/2/2026", "1/13/2026"), ((2026, 1, 2), (2026, 1, 13)), "month/day/year"),
        (("01-02-2026", "13-02-2026"), ((2026, 2, 1), (2026, 2, 13)), "day/month/year"),
    ],
)
def test_a_day_above_12_decides_for_the_whole_column(
    tmp_path: Path, cells: tuple[str, ...], expected: tuple[tuple[int, ...], ...], words: str
) -> None:
    found = table(tmp_path / "raw", *cells)
    assert times(found, "date").tolist() == [moment(*parts) for parts in expected]
    assert found.notes == [f"date: dates were read as {words}: {cells[1]!r} decides"]


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("01/31/2026 16:05", (2026, 1, 31, 16, 5)),
        ("01/31/2026 4:05 PM", (2026, 1, 31, 16, 5)),
        ("01/31/2026 04:05:30 pm", (2026, 1, 31, 16, 5, 30)),
        ("01/31/2026 12:00 AM", (2026, 1, 31)),
        ("01/31/2026 12:00 PM", (2026, 1, 31, 12)),
        ("01/31/2026, 9:30 a.m.", (2026, 1, 31, 9, 30)),
        ("01/31/2026", (2026, 1, 31)),
        ("2026-01-31T16:05:00+02:00", (2026, 1, 31, 14, 5)),
        ("31.01.2026 08:00", (2026, 1, 31, 8)),
    ],
)
def test_clocks_of_12_and_24_hours_are_read(
    tmp_path: Path, cell: str, expected: tuple[int, ...]
) -> None:
    assert times(table(tmp_path / "raw", cell), "date").tolist() == [moment(*expected)]


def test_an_unclear_column_asks_for_the_setting_and_follows_it(tmp_path: Path) -> None:
    cells = ("", "03/03/2026", "01/02/2026", "04/05/2026")
    with pytest.raises(BadData) as caught:
        times(table(tmp_path / "raw", *cells), "date", required=False)
    assert str(caught.value).endswith(
        "table.csv, row 3, column 'date': '01/02/2026' may have the day or the month first: no day of "
        "the column is above 12. Type: --set features.dates=month_first (or day_first)"
    )
    for setting, day in (("month_first", (2026, 1, 2)), ("day_first", (2026, 2, 1))):
        found = table(tmp_path / "raw", *cells)
        share_date_orders([found], setting)
        seconds = times(found, "date", required=False)
        assert np.isnan(seconds[0])
        assert seconds[2] == moment(*day)
        assert "features.dates says so" in found.notes[0]


def test_days_that_are_the_same_either_way_need_no_setting(tmp_path: Path) -> None:
    found = table(tmp_path / "raw", "02/02/2026", "03/03/2026")
    assert times(found, "date").tolist() == [moment(2026, 2, 2), moment(2026, 3, 3)]


def test_a_column_that_contradicts_itself_or_the_setting_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        BadData, match="row 2.*'31/01/2026' has the day first, and '01/31/2026' the"
    ):
        times(table(tmp_path / "raw", "01/31/2026", "31/01/2026"), "date")
    found = table(tmp_path / "raw", "01/02/2026", "31/01/2026")
    share_date_orders([found], "month_first")
    with pytest.raises(BadData, match="cannot be month/day/year. Type: .*features.dates=day_first"):
        times(found, "date")


def test_what_one_file_shows_holds_for_the_others(tmp_path: Path) -> None:
    first = table(tmp_path / "raw", "01/02/2026", name="a.csv")
    second = table(tmp_path / "raw", "01/31/2026", name="b.csv")
    share_date_orders([first, second], "auto")
    assert times(first, "date").tolist() == [moment(2026, 1, 2)]
    assert first.notes == ["date: dates were read as month/day/year: another file decides"]
    third = table(tmp_path / "raw", "01/02/2026", name="c.csv")
    share_date_orders([third], "auto", {"date": "day_first"})
    assert times(third, "date").tolist() == [moment(2026, 2, 1)]


@pytest.mark.parametrize("cell", ["02/30/2026", "13/13/2026", "01/31/2026 13:00 PM", "01/31/26"])
def test_what_is_no_day_or_hour_is_named(tmp_path: Path, cell: str) -> None:
    with pytest.raises(BadData, match="row 2, column 'date': .*is neither a number nor a time"):
        times(table(tmp_path / "raw", "01/31/2026", cell), "date")


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (("01/31/26", "02/01/26 4:05 PM"), ((2026, 1, 31), (2026, 2, 1, 16, 5))),
        (("31/01/26", "01/02/26", "02/02/26"), ((2026, 1, 31), (2026, 2, 1), (2026, 2, 2))),
        (("31-01-68", "01-02-69", "01-02-99"), ((2068, 1, 31), (1969, 2, 1), (1999, 2, 1))),
        (("31.01.26", "1.2.26 08:00"), ((2026, 1, 31), (2026, 2, 1, 8))),
        (("01.02.26", "02.02.26"), ((2026, 2, 1), (2026, 2, 2))),
    ],
)
def test_two_digit_years_are_read_as_posix_reads_them(
    tmp_path: Path, cells: tuple[str, ...], expected: tuple[tuple[int, ...], ...]
) -> None:
    found = table(tmp_path / "raw", *cells)
    assert is_dated(found, "date")
    assert times(found, "date").tolist() == [moment(*parts) for parts in expected]
    assert "date: two-digit years were read as 1969 to 2068" in found.notes


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (("01/02/26", "04/02/26"), "'01/02/26' may have the day or the month first"),
        (("26-01-30", "26-01-31", "26-02-01"), "'26-01-30' may have the year first"),
        (("26.01.30", "26.01.31"), "'26.01.30' may have the year first"),
        (("31/01/26", "01/31/26"), "'31/01/26' has the day first, and '01/31/26' the month"),
        (("01/31/2026", "02/01/26"), "'02/01/26' is neither a number nor a time"),
    ],
)
def test_two_digit_years_that_could_be_something_else_are_named(
    tmp_path: Path, cells: tuple[str, ...], message: str
) -> None:
    with pytest.raises(BadData, match=message) as caught:
        times(table(tmp_path / "raw", *cells), "date")
    assert "row" in str(caught.value)


def test_the_setting_says_how_unclear_dates_with_short_years_are_read(tmp_path: Path) -> None:
    found = table(tmp_path / "raw", "01/03/25", "01/04/26")
    with pytest.raises(BadData, match="Type: --set features.dates|type: --set features.dates"):
        times(found, "date")
    share_date_orders([found], "day_first")
    assert times(found, "date").tolist() == [moment(2025, 3, 1), moment(2026, 4, 1)]


@pytest.mark.parametrize("cell", ["10.0.12.1", "1-2-3", "45/12/26", "555-12-26"])
def test_addresses_and_numbers_of_parts_are_no_dates(tmp_path: Path, cell: str) -> None:
    assert not is_dated(table(tmp_path / "raw", cell), "date")


def months_of(*years: int) -> list[str]:
    return [f"01/{month:02}/{year}" for year in years for month in range(1, 13)]


def test_months_written_as_their_first_days_have_the_day_where_the_number_stays(
    tmp_path: Path,
) -> None:
    found = table(tmp_path / "raw", *months_of(2024, 2025))
    assert times(found, "date")[:2].tolist() == [moment(2024, 1, 1), moment(2024, 2, 1)]
    assert "date: dates were read as day/month/year" in found.notes[0]
    first = [f"{month}/1/{year}" for year in (2024, 2025) for month in range(1, 13)]
    other = table(tmp_path / "other", *first)
    assert times(other, "date")[:2].tolist() == [moment(2024, 1, 1), moment(2024, 2, 1)]


def test_the_twelve_first_days_of_a_year_may_be_its_months(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="may have the day or the month first"):
        times(table(tmp_path / "raw", *months_of(2026)), "date")


def test_a_setting_is_stronger_than_a_number_that_stays(tmp_path: Path) -> None:
    found = table(tmp_path / "raw", *months_of(2024, 2025))
    share_date_orders([found], "month_first")
    assert times(found, "date")[1] == moment(2024, 1, 2)
    again = table(tmp_path / "again", *months_of(2024, 2025))
    share_date_orders([again], "auto", {"date": "month_first"})
    assert times(again, "date")[1] == moment(2024, 1, 2)


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("2026-3-1", (2026, 3, 1)),
        ("2026/03/01 01:30:00", (2026, 3, 1, 1, 30)),
        ("2026/3/1 8:05", (2026, 3, 1, 8, 5)),
        ("Mar 1 2026", (2026, 3, 1)),
        ("March 1, 2026 08:00", (2026, 3, 1, 8)),
        ("01-Mar-2026", (2026, 3, 1)),
        ("Mar 1, 2026 4:05 PM", (2026, 3, 1, 16, 5)),
        ("2026/03/01 12:05:30 a.m.", (2026, 3, 1, 0, 5, 30)),
        ("1 Mar. 2026", (2026, 3, 1)),
        ("Mar 2026", (2026, 3, 1)),
        ("March-2026", (2026, 3, 1)),
        ("2026 Mar", (2026, 3, 1)),
        ("2026-Mar-01 8:05", (2026, 3, 1, 8, 5)),
        ("2026 March 1", (2026, 3, 1)),
    ],
)
def test_dates_with_the_year_first_or_a_month_by_its_name_are_read(
    tmp_path: Path, cell: str, expected: tuple[int, ...]
) -> None:
    found = table(tmp_path / "raw", cell)
    assert is_dated(found, "date")
    assert times(found, "date").tolist() == [moment(*expected)]
    assert found.notes == []


@pytest.mark.parametrize("cell", ["Mayor 2026", "2026-13-1", "Mar 32 2026", "2026.1.1.1", "Mar 26"])
def test_what_only_looks_like_such_a_date_is_none(tmp_path: Path, cell: str) -> None:
    with pytest.raises(BadData, match="neither a number nor a time"):
        times(table(tmp_path / "raw", cell), "date")
