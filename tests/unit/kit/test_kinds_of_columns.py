"""What a column is taken for: codes with letters, numbers that end in a plus, months, seasons."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from modelyard.families.tabular.config import TabularConfig
from modelyard.kit.columns.infer import infer_column
from modelyard.kit.columns.schema import Column
from modelyard.kit.columns.values import convert
from modelyard.kit.numerals import numeral
from modelyard.kit.tables import Table, read_table


def column(tmp_path: Path, cells: Sequence[object]) -> tuple[Column, Table]:
    file = tmp_path / "table.csv"
    file.write_text("x,y\n" + "".join(f"{cell},1\n" for cell in cells))
    table = read_table(file)
    return infer_column(table, "x", TabularConfig().features, {}), table


@pytest.mark.parametrize(
    "marked",
    [
        ["C539104", "C555935", "A563185"],
        ["V57", "E909", "V4501"],
        ["85123A", "79323P", "15056BL"],
        ["043965548X", "439023X", "006088X"],
    ],
    ids=["invoices", "diagnoses", "stock", "ISBN"],
)
def test_numbers_among_which_some_have_letters_are_codes(tmp_path: Path, marked: list[str]) -> None:
    found, table = column(tmp_path, [*range(536_000, 536_060), *marked] * 2)
    assert (found.role, found.words) == ("category", [])
    (note,) = table.notes
    assert note.startswith("x: taken for codes, not numbers: ")
    assert note.endswith(" is a number with letters")


@pytest.mark.parametrize(
    "slips",
    [
        ["53610o"],
        ["C539104", "C555935"],
        ["1500W", "1600W", "1700W"],
        ["Rs1500", "Rs1600", "Rs1700"],
        ["ca1500", "ca1600", "ca1700"],
    ],
)
def test_a_slip_or_a_unit_makes_no_codes(tmp_path: Path, slips: list[str]) -> None:
    found, _ = column(tmp_path, [*range(536_000, 536_060), *slips])
    assert found.role == "numeric"


def test_numbers_that_end_in_a_plus_are_bounds(tmp_path: Path) -> None:
    found, table = column(tmp_path, ["0", "1", "2", "0", "3+", "0", "1", "2", "0", "1"] * 6)
    assert found.role == "numeric"
    assert convert(found, table, required=True).tolist()[:5] == [0, 1, 2, 0, 3]
    assert "x: 6 cells such as '3+' read as the number itself" in table.notes


def test_grades_are_categories(tmp_path: Path) -> None:
    found, table = column(tmp_path, ["1+", "1", "1-", "2+", "2", "2-", "3"] * 10)
    assert (found.role, table.notes) == ("category", [])


@pytest.mark.parametrize("cell", ["5" + " " * 3_000 + "!", "<" + " " * 3_000 + "!"])
def test_blanks_next_to_a_number_are_read_at_once(cell: str) -> None:
    begun = time.monotonic()
    assert numeral(cell) is None
    assert time.monotonic() - begun < 1


def test_ranges_of_which_the_last_is_open_are_categories(tmp_path: Path) -> None:
    assert column(tmp_path, ["0-17", "18-64", "65+"] * 20)[0].role == "category"
    assert column(tmp_path, [">3+", "1", "2"] * 20)[0].role == "category"


def test_months_are_times_and_seasons_are_none(tmp_path: Path) -> None:
    months = [f"{year}-{month:02}" for year in range(2001, 2009) for month in range(1, 13)]
    found, table = column(tmp_path, months)
    assert found.role == "time"
    assert str(convert(found, table, required=True)[13])[:10] == "2002-02-01"
    names = ["Jan 2001", "Feb 2001", "Mar 2001", "Apr 2001"] * 12
    assert column(tmp_path, names)[0].role == "time"
    seasons = [f"{year}-{(year + 1) % 100:02}" for year in range(2001, 2012)]
    assert column(tmp_path, seasons * 4)[0].role == "category"


@pytest.mark.parametrize(
    "form", ["%d-%b-%Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y %H:%M", "%Y/%m/%d %I:%M %p"]
)
def test_dates_that_name_their_month_are_times(tmp_path: Path, form: str) -> None:
    days = [datetime(2026, 1, 31, 8, 0) + timedelta(days=place) for place in range(60)]
    found, table = column(tmp_path, [f'"{day.strftime(form)}"' for day in days])
    assert found.role == "time"
    assert str(convert(found, table, required=True)[1])[:10] == "2026-02-01"


@pytest.mark.parametrize("form", ["{}-{:02}", "May 20{1:02} report {0} of a market in motion"])
def test_codes_and_headlines_are_no_dates(tmp_path: Path, form: str) -> None:
    cells = [form.format(4700 + place % 9, 1 + place % 12) for place in range(90)]
    assert column(tmp_path, cells)[0].role in ("category", "text")


def test_a_sign_for_an_empty_cell_is_no_category(tmp_path: Path) -> None:
    odds = [f"{n}.5" for n in range(30)]
    assert column(tmp_path, [*odds, *["--"] * 39])[0].role == "numeric"
    assert column(tmp_path, [*odds, *["none"] * 39])[0].role == "category"
