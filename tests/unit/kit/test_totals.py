"""Last rows that sum up the others."""

from __future__ import annotations

from pathlib import Path

import openpyxl
import pytest

from modelyard.kit.tables import numbers, read_table

ROWS = ["North,10,2.5", "South,20,3.5", "East,30,4.5", "West,40,"]


def table(folder: Path, *rows: str) -> Path:
    file = folder / "a.csv"
    file.write_text("\n".join(["area,sold,price", *ROWS, *rows]) + "\n")
    return file


@pytest.mark.parametrize(
    "last",
    [
        ["Total,100,10.5"],
        ["Total:,100,"],
        ["Total,100.4,10.5"],
        ["Total,100,3.49"],
        ["Summe,100,"],
        ["Average,25,3.5"],
        ["Grand total,100,10.5", "Mean,25,3.5"],
    ],
)
def test_rows_that_sum_up_the_others_are_left_out_and_said(tmp_path: Path, last: list[str]) -> None:
    found = read_table(table(tmp_path, *last))
    assert numbers(found, "sold").tolist() == [10, 20, 30, 40]
    (note,) = found.notes
    assert "below the rows of a.csv" in note
    assert last[0].split(",")[0] in note


@pytest.mark.parametrize(
    "last",
    [
        "Total,50,3.1",
        "Total,,",
        "Totaltown,100,10.5",
        "Sum,100,3.4",
        "Total,many,10.5",
        "100,100,10.5",
    ],
)
def test_a_last_row_that_does_not_stays(tmp_path: Path, last: str) -> None:
    """A person, a place or a brand may be called so."""
    found = read_table(table(tmp_path, last))
    assert (found.rows, found.notes) == (5, [])


@pytest.mark.parametrize(
    ("header", "rows"),
    [
        ("company,founded,listed", "Acme,1960,2001 Bolt,1950,1999 Cog,1970,2010 Total,1962,2003"),
        ("media,since,listed", "Web,1960,2001 Radio,1950,1999 TV,1970,2010 Media,1962,2003"),
        ("sector,year", "Food,2019 Cars,2020 Banks,2021 Media,2020"),
        ("word,label", "kind,1 nice,1 good,1 mean,1"),
        ("word,label", "kind,0 nice,0 good,0 sum,0"),
        ("word,a,b,c", "kind,0,0,1 nice,0,0,0 good,0,2,0 sum,0,1,0"),
        ("user,item,rating", "1,Up,4 2,Jaws,4 3,Big,4 2,Total,4"),
        ("item,stars", "Up,5 Jaws,4 Big,3 average,4"),
        ("item,stars,views", "Up,5,7 Jaws,4,8 Big,2,9 average,24,3"),
    ],
)
def test_a_last_row_whose_figures_are_like_those_above_stays(tmp_path: Path, header, rows) -> None:
    file = tmp_path / "a.csv"
    file.write_text("\n".join([header, *rows.split()]) + "\n")
    assert read_table(file).rows == 4


def test_a_total_among_separators_of_thousands_and_in_a_workbook(tmp_path: Path) -> None:
    file = tmp_path / "b.csv"
    file.write_text("area;sold\nNorth;1.000,5\nSouth;2.000,5\nEast;3.000,5\nGesamt;6.001,5\n")
    assert read_table(file).rows == 3
    book = openpyxl.Workbook()
    assert book.active is not None
    for row in (["area", "sold"], ["North", 10], ["South", 20], ["East", 30], ["Total", 60]):
        book.active.append(row)
    book.save(tmp_path / "c.xlsx")
    assert read_table(tmp_path / "c.xlsx").rows == 3


def test_means_next_to_a_sum_count_for_a_total(tmp_path: Path) -> None:
    rows = (
        "area,code,sold,price",
        "North,3,10,2.5",
        "South,5,20,3.5",
        "East,8,30,6.9",
        "Total,9,60,4.3",
    )
    (tmp_path / "a.csv").write_text("\n".join(rows) + "\n")
    assert read_table(tmp_path / "a.csv").rows == 3
