"""Headers of several lines: units, questions, groups of columns."""

from __future__ import annotations

from pathlib import Path

import openpyxl
import pytest

from modelyard.errors import BadData
from modelyard.kit.tables import numbers, read_table

ROWS = ["Rome,1.5,2,3,4,yes", "Oslo,2.5,3,4,5,no", "Rome,3.5,4,5,6,yes", "Oslo,4.5,5,6,7,no"] * 3
NAMES = ["city", "2025 size", "2025 cost", "2026 size", "2026 cost", "late"]


def table(folder: Path, *lines: str) -> Path:
    file = folder / "a.csv"
    file.write_text("\n".join(lines) + "\n")
    return file


@pytest.mark.parametrize(
    "line", [",m,EUR,m,EUR,", "-,[m],[EUR],[m],[EUR],-", "where,how,of,it,is,so"]
)
def test_a_line_of_units_is_no_row(tmp_path: Path, line: str) -> None:
    found = read_table(table(tmp_path, "city,size,cost,width,price,late", line, *ROWS))
    assert (found.names[:3], found.rows) == (["city", "size", "cost"], 12)
    assert numbers(found, "size")[:2].tolist() == [1.5, 2.5]
    (note,) = found.notes
    assert note.startswith("1 line below the header is no part of the table: '")


def test_questions_and_their_import_are_no_rows(tmp_path: Path) -> None:
    head = "Q1,Q2,Q3,Q4,Q5,Q6", "Where?,How long?,How dear?,And then?,At last?,Late?"
    imported = ",".join(f'"{{""ImportId"":""QID{n}""}}"' for n in range(6))
    found = read_table(table(tmp_path, *head, imported, *ROWS))
    assert (found.names, found.rows) == ([f"Q{n}" for n in range(1, 7)], 12)
    assert found.notes == [
        "2 lines below the header are no part of the table, the first "
        "'Where?, How long?, How dear?, And then?, At last?, Late?'"
    ]


@pytest.mark.parametrize(
    "head",
    [
        (",2025,,2026,,", "city,size,cost,size,cost,late"),
        ("city,2025,,2026,,late", ",size,cost,size,cost,"),
        ("city,2025,2025,2026,2026,late", "city,size,cost,size,cost,late"),
    ],
)
def test_names_of_groups_stand_before_names_that_repeat(tmp_path: Path, head) -> None:
    found = read_table(table(tmp_path, *head, *ROWS))
    assert (found.names, found.rows) == (NAMES, 12)
    assert found.dropped == {}


def test_joined_cells_of_a_workbook_name_groups(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    for line in (",2025,,2026,,", "city,size,cost,size,cost,late"):
        sheet.append([cell or None for cell in line.split(",")])
    for row in ROWS:
        city, *figures, late = row.split(",")
        sheet.append([city, *map(float, figures), late])
    sheet.merge_cells("B1:C1")
    sheet.merge_cells("D1:E1")
    book.save(tmp_path / "a.xlsx")
    assert read_table(tmp_path / "a.xlsx").names == NAMES


def test_rows_are_counted_from_the_first_line_of_the_header(tmp_path: Path) -> None:
    lines = "city,size,cost,width,price,late", ",m,EUR,m,EUR,", *ROWS, "Rome,x,1,1,1,yes"
    found = read_table(table(tmp_path, *lines))
    with pytest.raises(BadData, match="row 14, column 'size': 'x' is not a number"):
        numbers(found, "size")


@pytest.mark.parametrize(
    "first",
    [
        "Rome,broken,2,3,4,yes",
        "Rome,,,3,,yes",
        "Rome,#DIV/0!,#DIV/0!,#DIV/0!,#DIV/0!,yes",
        "Rome,NA,-,?,n/a,yes",
        r"Bonn,null,\N,<NA>,N/A,maybe",
        "Bonn,absent,absent,absent,absent,maybe",
        "Bonn,inf,-inf,inf,inf,maybe",
        "Rome,ND,BDL,NR,ND,maybe",
    ],
)
def test_a_first_row_with_faults_stays_a_row(tmp_path: Path, first: str) -> None:
    found = read_table(table(tmp_path, "city,size,cost,width,price,late", first, *ROWS))
    assert found.rows == 13


def test_a_first_row_in_which_both_figures_are_absent_stays_a_row(tmp_path: Path) -> None:
    lines = "name,a,b", "Bob,absent,absent", "Ann,3,4", "Eve,2,1", "Jim,3,3", "Joe,1,1"
    assert read_table(table(tmp_path, *lines)).rows == 5


def test_few_rows_do_not_show_that_those_above_them_are_none(tmp_path: Path) -> None:
    lines = "name,a,b", "Ann,late,ill", "Bob,ill,away", "Eve,1,2", "Jim,3,4"
    assert read_table(table(tmp_path, *lines)).rows == 4


def test_first_rows_of_addresses_without_a_number_stay_rows(tmp_path: Path) -> None:
    houses = "Ann,Rose House,Garden flat", "Bob,The Lodge,Top floor", "Cy,12 Main St,2nd floor"
    others = "Di,3 Elm St,1st floor", "Ed,5 Oak St,3rd floor", "Fi,7 Oak St,2nd floor"
    assert read_table(table(tmp_path, "name,street,part", *houses, *others)).rows == 6


def test_units_in_each_of_several_joined_files_are_refused_as_their_headers_are(
    tmp_path: Path,
) -> None:
    file = "city,size,cost,width,price,late", ",m,EUR,m,EUR,", *ROWS * 9
    with pytest.raises(BadData, match="row 110: repeats the names of the columns"):
        read_table(table(tmp_path, *file, *file))


@pytest.mark.parametrize(
    ("head", "names"),
    [
        (["-,2025,,2026,,-", "city,size,cost,size,cost,late"], NAMES),
        (["city,2025,,2026,,late", "-,size,cost,size,cost,-"], NAMES),
        ([",2025,,2026,,", "city,size,cost,size,cost,"], NAMES[:-1]),
        (["city,2025,,,,", "city,size,cost,width,,"], "city,size,cost,width"),
        (["city,wind,temp,temp,rain,late", ",km/h,C,F,mm,"], "city,wind km/h,C,F,rain mm,late"),
        ([",size,cost,width,price,late", "Unit,m,EUR,m,EUR,"], "Unit,size,cost,width,price,late"),
    ],
)
def test_each_column_has_the_name_that_a_line_gives_it(tmp_path: Path, head, names) -> None:
    if isinstance(names, str):
        names = names.split(",")
    assert read_table(table(tmp_path, *head, *ROWS)).names == names


def test_the_name_of_an_index_below_those_of_the_columns_is_that_of_the_first(
    tmp_path: Path,
) -> None:
    """As pandas writes columns of two levels."""
    days = [f"2026-01-{day:02},1.5,2.5" for day in range(1, 9)]
    prices = table(tmp_path, "Price,Close,High", "Ticker,AAPL,AAPL", "Date,,", *days)
    found = read_table(prices)
    assert (found.names, found.rows) == (["Date", "Close", "High"], 8)
    levels = ",2025,2025,2026,2026,late", ",size,cost,size,cost,", "city,,,,,"
    found = read_table(table(tmp_path, *levels, *ROWS))
    assert (found.names, found.rows) == (NAMES, 12)
    of_a_town = "city,size,cost,width,price,late", ",m,EUR,m,EUR,", "Bonn,,,,,"
    assert read_table(table(tmp_path, *of_a_town, *ROWS)).rows == 13


def test_rows_without_a_header_have_no_further_lines_of_one(tmp_path: Path) -> None:
    file = table(tmp_path, "city,a,b,c,d,late", *ROWS)
    assert read_table(file, has_header=False).rows == 13
