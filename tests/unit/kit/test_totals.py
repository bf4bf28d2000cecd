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
