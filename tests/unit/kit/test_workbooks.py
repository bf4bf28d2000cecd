"""Workbooks of Excel and LibreOffice: one sheet, several, and what people leave around their tables."""

from __future__ import annotations

import datetime as dt
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from modelyard.errors import BadData
from modelyard.families.anomaly.config import AnomalyConfig
from modelyard.families.anomaly.data import AnomalyData
from modelyard.kit.classifier.parts import rows_in
from modelyard.kit.tables import numbers, read_table, times
from modelyard.store.files import files_of

HEADER = ["town", "size", "opened", "code", "large"]
ROWS: list[list[Any]] = []
for n in range(12):
    ROWS.append([f"town {n}", n * 1.5, dt.datetime(2026, 1, 1 + n), f"00{n}", n > 5])


def workbook(
    folder: Path, sheets: Mapping[str, Sequence[Sequence[Any]]], name: str = "a.xlsx"
) -> Path:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for title, rows in sheets.items():
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(list(row))
    book.save(folder / name)
    return folder / name


def test_cells_of_a_sheet_are_those_of_its_csv(tmp_path: Path) -> None:
    table = read_table(workbook(tmp_path, {"Towns": [HEADER, *ROWS]}))
    assert (table.names, table.rows, table.notes) == (HEADER, 12, [])
    assert numbers(table, "size").tolist() == [n * 1.5 for n in range(12)]
    # A number of a workbook is a float: what is whole is written so.
    assert table.column("size").to_pylist()[:3] == ["0", "1.5", "3"]
    assert table.column("code").to_pylist()[1] == "001"
    assert table.column("large").to_pylist()[5:7] == ["False", "True"]
    assert times(table, "opened")[1] - times(table, "opened")[0] == 86_400


def test_a_time_of_day_is_read_with_its_date(tmp_path: Path) -> None:
    rows = [["when", "x"], [dt.datetime(2026, 1, 1, 8, 30), 1], [dt.datetime(2026, 1, 2), 2]]
    table = read_table(workbook(tmp_path, {"a": rows}))
    assert table.column("when").to_pylist()[0] == "2026-01-01 08:30:00"
    assert times(table, "when")[1] - times(table, "when")[0] == 15.5 * 3_600


def test_a_title_blank_rows_and_a_source_around_the_table_are_left_out(tmp_path: Path) -> None:
    rows = [["Towns of 2026"], [], HEADER, *ROWS, [], ["Source: the ministry"]]
    shifted = [["", *row] for row in rows]
    table = read_table(workbook(tmp_path, {"Towns": shifted}))
    assert (table.names, table.rows) == (HEADER, 12)
    above, below = table.notes
    assert above == "1 line above is no part of the table: 'Towns of 2026'"
    assert below == "1 line below is no part of the table: 'Source: the ministry'"


def test_a_row_is_named_as_in_the_sheet_below_its_header(tmp_path: Path) -> None:
    rows = [*ROWS[:4], [], *ROWS[4:], ["town", "many"]]
    with pytest.raises(BadData, match="a.xlsx, row 14, column 'size': 'many' is not a number"):
        numbers(read_table(workbook(tmp_path, {"Towns": [HEADER, *rows]})), "size")


def test_empty_and_hidden_sheets_are_no_tables(tmp_path: Path) -> None:
    file = workbook(tmp_path, {"Towns": [HEADER, *ROWS], "Empty": [], "Old": [["x"], [1]]})
    book = openpyxl.load_workbook(file)
    book["Old"].sheet_state = "hidden"
    book.save(file)
    table = read_table(file)
    assert (table.names, table.notes) == (HEADER, [])


def test_a_sheet_with_a_header_only_is_no_table(tmp_path: Path) -> None:
    file = workbook(tmp_path, {"Towns": [HEADER, *ROWS], "Next year": [["river"]]})
    assert read_table(file).notes == []


def test_a_number_beyond_what_a_cell_holds_exactly_is_not_written_out(tmp_path: Path) -> None:
    table = read_table(workbook(tmp_path, {"a": [["x", "y"], [1e300, 1], [2.0**53, 2]]}))
    assert table.column("x").to_pylist() == ["1e+300", "9007199254740992"]


def test_a_workbook_next_to_a_readme_is_the_table_of_a_folder(tmp_path: Path) -> None:
    workbook(tmp_path, {"Towns": [HEADER, *ROWS]})
    (tmp_path / "README.md").write_text("Towns.\n")
    assert read_table(tmp_path).rows == 12


def test_sheets_with_the_same_columns_are_one_table_and_each_names_its_rows(tmp_path: Path) -> None:
    broken = [*ROWS[:2], ["x", "many", None, "", None]]
    table = read_table(workbook(tmp_path, {"2025": [HEADER, *ROWS], "2026": [HEADER, *broken]}))
    assert table.rows == 15
    assert "2 sheets were read as one table" in table.notes
    with pytest.raises(BadData, match=r"a.xlsx\[2026\], row 3, column 'size'"):
        numbers(table, "size")


def test_sheets_may_have_their_columns_in_another_order(tmp_path: Path) -> None:
    turned = [row[::-1] for row in ROWS]
    table = read_table(workbook(tmp_path, {"a": [HEADER, *ROWS], "b": [HEADER[::-1], *turned]}))
    assert numbers(table, "size").tolist() == [n * 1.5 for n in range(12)] * 2


def test_anomaly_and_text_take_several_sheets_too(tmp_path: Path) -> None:
    series = {}
    for year in (2025, 2026):
        series[str(year)] = [["time", "x"]]
        for n in range(200):
            series[str(year)].append([dt.datetime(year, 1, 1) + dt.timedelta(days=n), n % 7])
    summary = AnomalyData(AnomalyConfig()).features(workbook(tmp_path, series), tmp_path / "a")
    assert sum(summary["rows"].values()) <= 400
    assert "2 sheets were read as one table" in summary["notes"]
    texts = {}
    for name in ("old", "new"):
        texts[name] = [["text", "label"]]
        texts[name] += [[f"{name} word {n}", "ab"[n % 2]] for n in range(20)]
    file = workbook(tmp_path, texts, "texts.xlsx")
    (rows,) = [rows_in(file) for file in files_of(file)]
    assert rows.numbers == [*range(1, 21)] * 2


def test_a_legend_next_to_far_more_rows_is_left_out_and_said(tmp_path: Path) -> None:
    legend = [["column", "meaning"], ["size", "in km"]]
    table = read_table(workbook(tmp_path, {"Legend": legend, "Towns": [HEADER, *ROWS]}))
    assert (table.names, table.rows) == (HEADER, 12)
    assert table.notes == ["sheet 'Legend' is left out, with 1 row: it has other columns"]


def test_of_several_tables_none_is_guessed(tmp_path: Path) -> None:
    file = workbook(tmp_path, {"Towns": [HEADER, *ROWS], "Rivers": [["river"], ["Rhine"], ["Po"]]})
    with pytest.raises(BadData) as caught:
        read_table(file)
    assert "2 sheets with different columns: 'Towns' (12 rows), 'Rivers' (2 rows)" in str(
        caught.value
    )


def test_next_to_tables_a_workbook_describes_them(tmp_path: Path) -> None:
    workbook(tmp_path, {"Legend": [["column"], ["x"]]}, "legend.xlsx")
    (tmp_path / "data.csv").write_text("x,y\n1,2\n3,4\n")
    assert read_table(tmp_path).names == ["x", "y"]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"town,size\nOslo,1\n", "is not a workbook"),
        (b"PK\x03\x04 and no more", "is not a workbook"),
        (b"", "the file is empty"),
    ],
)
def test_what_is_no_workbook_is_refused_in_one_line(
    tmp_path: Path, content: bytes, problem: str
) -> None:
    (tmp_path / "a.xls").write_bytes(content)
    with pytest.raises(BadData, match=f"^{tmp_path}?.*a.xls: {problem}") as caught:
        read_table(tmp_path / "a.xls")
    assert "\n" not in str(caught.value)


def test_a_workbook_without_cells_or_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="no sheet holds a cell"):
        read_table(workbook(tmp_path, {"Empty": []}))
    with pytest.raises(BadData, match="a header but no row below it"):
        read_table(workbook(tmp_path, {"Towns": [["town", "size"]]}))


MANIFEST = """<?xml version="1.0"?><manifest:manifest
 xmlns:manifest="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0">
 <manifest:file-entry manifest:full-path="/"
  manifest:media-type="application/vnd.oasis.opendocument.spreadsheet"/>
</manifest:manifest>"""
CONTENT = """<?xml version="1.0"?><office:document-content
 xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0"
 xmlns:table="urn:oasis:names:tc:opendocument:xmlns:table:1.0"
 xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0"><office:body><office:spreadsheet>
 <table:table table:name="Towns">{rows}</table:table>
</office:spreadsheet></office:body></office:document-content>"""


def test_a_sheet_of_libreoffice_is_read(tmp_path: Path) -> None:
    """By the specification of OpenDocument 1.3, part 3, sections 9.1 and 19.385."""
    rows = ""
    for town, size in (("town", "size"), ("Oslo", 1.5), ("Köln", 2)):
        kind = "string" if isinstance(size, str) else "float"
        first = f'<table:table-cell office:value-type="string"><text:p>{town}</text:p></table:table-cell>'
        value = "" if kind == "string" else f' office:value="{size}"'
        second = f'<table:table-cell office:value-type="{kind}"{value}><text:p>{size}</text:p></table:table-cell>'
        rows += f"<table:table-row>{first}{second}</table:table-row>"
    with zipfile.ZipFile(tmp_path / "a.ods", "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        archive.writestr("META-INF/manifest.xml", MANIFEST)
        archive.writestr("content.xml", CONTENT.format(rows=rows))
    table = read_table(tmp_path / "a.ods")
    assert table.column("town").to_pylist() == ["Oslo", "Köln"]
    assert numbers(table, "size").tolist() == [1.5, 2.0]


def test_durations_are_seconds(tmp_path: Path) -> None:
    rows: list[list[Any]] = [["run", "took"]]
    rows += [[n, dt.timedelta(hours=30, minutes=n)] for n in range(3)]
    table = read_table(workbook(tmp_path, {"Runs": rows}))
    assert numbers(table, "took").tolist() == [108_000.0, 108_060.0, 108_120.0]
    assert table.notes == ["durations in a.xlsx were read as seconds"]
