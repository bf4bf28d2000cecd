"""Tables as people save them are read with the place of each row, or refused with it."""

from __future__ import annotations

import csv
import gzip
import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from modelyard.errors import BadData, BrokenArtifact
from modelyard.kit.assets import Asset
from modelyard.kit.tables import Table, flags, numbers, read_table, remarks, texts, times
from modelyard.kit.tables.table import NO_HEADER

CELLS = {"town": ["Köln", "Oslo"], "size": ["1.5", "2.5"]}
PLAIN = "town,size\nKöln,1.5\nOslo,2.5\n"
ROWS = "".join(f"{n % 7}.5,{'ab'[n % 2]},{n % 3}\n" for n in range(60))
GOOD = "x,y,z\n" + ROWS


def read(tmp_path: Path, content: str | bytes, name: str = "table.csv") -> Table:
    (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return read_table(tmp_path / name)


def refused(tmp_path: Path, content: str | bytes, name: str = "table.csv") -> str:
    with pytest.raises(BadData) as caught:
        read(tmp_path, content, name)
    assert "\n" not in str(caught.value)
    return str(caught.value)


ALIGNED = """
 unit  cycle   s_1     note
    1      1  -0.0018  ok
    1      2   2.5e-3  NA
    12    13   .5      ok
"""


def test_columns_that_spaces_align_are_read_with_a_note(tmp_path):
    table = read(tmp_path, ALIGNED)
    assert table.names == ["unit", "cycle", "s_1", "note"]
    assert numbers(table, "s_1").tolist() == [-0.0018, 0.0025, 0.5]
    assert texts(table, "note") == ["ok", None, "ok"]
    assert "table.csv is separated by spaces" in table.notes


@pytest.mark.parametrize(
    "content",
    [
        "full name\nAda Lovelace\nAlan Turing\n",
        "product name\nApollo 11\nApollo 13\n",
        "words\n1 2\n3 4\n",
        'two words\n"1 2"\n"3 4"\n',
    ],
)
def test_a_single_column_of_words_stays_one(tmp_path, content):
    assert len(read(tmp_path, content).names) == 1


@pytest.mark.parametrize(
    "content",
    [
        json.dumps([{"a": 1, "b": "x"}, {"a": 2, "b": None}], indent=1),
        '{"a": 1, "b": "x"}\n{"a": 2}\n',
        '[{"a": 1, "b": "x"}, {"a": 2}]',
    ],
)
def test_a_json_file_may_hold_a_list_or_lines(tmp_path, content):
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "README.md").write_text("about")
    table = read(tmp_path / "raw", content, "rows.json")
    assert numbers(table, "a").tolist() == [1, 2]
    assert texts(table, "b") == ["x", None]
    assert read_table(tmp_path / "raw").rows == 2  # the only file of its folder that can be one


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{\n "rows": []\n}', "holds one value, not rows. Write a list of objects"),
        ('[{"a": 1},\n {"a": }]', "row 2: is not JSON"),
        ("[1, 2]", "row 1: must be a JSON object, seen 1"),
        ("[]", "holds no object with a field"),
        ('{"a": {"0": 1, "1": 2}, "b": {"0": 3, "1": 4}}', "every field holds objects or lists"),
    ],
)
def test_a_json_file_without_rows_is_refused(tmp_path, content, said):
    assert said in refused(tmp_path, content, "rows.json")


def test_json_beside_a_table_is_not_read(tmp_path):
    (tmp_path / "about.json").write_text('[{"a": 1}]')
    (tmp_path / "table.csv").write_text(PLAIN)
    assert read_table(tmp_path).names == ["town", "size"]


@pytest.mark.parametrize(
    "content",
    [
        "5.1,3.5,setosa\n4.9,3.5,setosa\n5.1,3.0,versicolor\n",
        "39, State-gov, Bachelors\n50, Private, Bachelors\n39, State-gov, Masters\n",
        "51,Private,Bachelors,low\n32,Private,Bachelors,high\n40,Private,Bachelors,low\n",
        "ham\tgo until the end of the road\nspam\twin\nham\tok\n",
        '3,short,"a longer text of some seven words"\n4,other,x\n3,third,y\n',
        "1,2.5\n3,4.5\n5,6.5\n",
        "1949-01,112\n1949-02,118\n1949-12,132\n",
        "3/9/2024,a\n12/10/2024,b\n4/1/2024,c\n",
        "2024-01-01 00:00,a\n2024-01-01 01:00,b\n2024-01-01 02:00,c\n",
        # Numbers as they name no columns; rows that are there twice; cells that are equal.
        "28.7,16.0,2.6,g\n31.6,11.7,2.5,g\n162.1,136.0,4.1,h\n",
        "5,1,5,-2,n\n6,2,5,3,n\n7,2,4,2,p\n",
        # In order by chance, and all different, next to a class.
        "5.1,3.5,1.4,a\n4.9,3.0,1.5,a\n6.3,3.3,6.0,b\n",
        "1,5,9,a\n2,4,3,a\n3,4,9,b\n",
        "45,2,70,yes\n33,4,1,no\n40,3,6,yes\n",
        "0,1,yes\n0,0,yes\n1,1,no\n",
        "?,5,1,5,n\n6,2,?,5,n\n7,2,4,?,p\n",
        "a,x,1\nb,x,1\na,x,1\n",
        "yes,no,x,1,2,3,no\nno,no,x,1,2,3,yes\nyes,yes,y,2,2,4,no\n",
        "x, x, o,yes\nx, o, x,no\no, x, o,yes\n",
    ],
)
def test_where_the_first_row_is_data_the_columns_get_names(tmp_path, content):
    table = read(tmp_path, content)
    first = next(csv.reader(content.splitlines(), delimiter="\t" if "\t" in content else ","))
    assert table.names == [f"c{place}" for place in range(1, len(first) + 1)]
    assert [column[0].as_py() for column in table.arrow.columns] == [cell.strip() for cell in first]
    assert table.rows == 3
    assert "has no header: its columns are called c1" in remarks(table.notes)


def test_rows_of_a_table_without_header_count_from_its_first_line(tmp_path):
    assert "row 2: 4 cells" in refused(tmp_path, "1.5,2,3\n4,5,6,7\n")


@pytest.mark.parametrize(
    "content",
    [
        "word,meaning\nword,a sound with a meaning\nfree,unbound\n",
        "2020,2021,2022\n1,2020,3\n".replace("2020,2021", "land,2021"),
        "How happy were you with us this year?,How likely will you come again to us?\n1,2\n",
        "person,1,2,3,4,5\nann,5,2,1,4,5\nbob,1,3,3,5,2\n",
        "0,1,2,3,y\n0,2,2,1,b\n1,1,0,3,a\n",
        "0,1,2,3\n0.5,2,2,1\n1.5,1,0,3\n",
        "2015,2020\n0.5,2\n1.5,1\n",
        "1_1,1_2,2_1\n5,2,1\n4,1,1\n",
        ",".join(str(900 + 4 * n) for n in range(12)) + "\n" + ",".join(["0.1"] * 12) + "\n",
        "sample,908.1,912.4,930.0\na,0.1,0.2,0.4\n",
        "day,1045,998,1203\n1,5,6,7\n2,4,6,8\n",
        "sample,10,5,2.5\na,1,2,3\nb,2,3,4\n",
        "id,0.5,0.05,0.95\n1,1,2,3\n2,2,3,4\n",
        "angle,0,90,180,270,-90\n?,1,2,3,4,5\n2,2,3,4,5,6\n",
        "2022,2020,2018\n1,2,3\n2,3,4\n",
        "id,0,1\na,1,0\nb,0,1\n",
        "town,2024-01,2024-02\na,5,7\nb,6,8\n",
        "town,2019,2020,2021\na,2019,2018,2021\nb,2017,2020,1999\n",
        "basket,milk,bread,butter\n1,milk,,butter\n2,,bread,\n3,milk,bread,\n",
    ],
)
def test_names_that_stand_below_by_chance_are_names(tmp_path, content):
    table = read(tmp_path, content)
    assert NO_HEADER not in remarks(table.notes)
    assert table.rows == len(content.splitlines()) - 1


def test_a_header_that_stands_again_between_two_files_is_named_by_its_row(tmp_path):
    said = refused(tmp_path, PLAIN + PLAIN)
    assert "row 3: repeats the names of the columns" in said
    assert said.endswith("Delete the row")


@pytest.mark.parametrize("name", ["iris.data", "power.TXT", "u.dat", "SMSSpamCollection"])
def test_a_single_file_of_any_other_name_is_a_table(tmp_path, name):
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / name).write_text(PLAIN)
    assert read_table(raw).names == read_table(raw / name).names == ["town", "size"]


def test_several_files_of_names_that_say_nothing_are_no_tables(tmp_path):
    raw = tmp_path / "raw"
    raw.mkdir()
    for name in ("a.data", "a.names"):
        (raw / name).write_text(PLAIN)
    with pytest.raises(BadData, match="holds no table"):
        read_table(raw)
    (raw / "a.names").unlink()
    (raw / "b.csv").write_text(PLAIN)
    assert read_table(raw).rows == 2


@pytest.mark.parametrize(
    ("content", "note"),
    [
        (PLAIN, ""),
        (PLAIN.encode("utf-8-sig"), ""),
        (PLAIN.encode("utf-16"), "UTF-16"),
        (PLAIN.encode("cp1252"), "first seen in row 1.*Windows-1252"),
        (PLAIN.replace("\n", "\r\n"), ""),
        (PLAIN + "\x1a", ""),
        ("\n\n" + PLAIN, ""),
        (PLAIN.replace(",", "\t"), "separated by tabs"),
        (PLAIN.replace(",", "|"), "separated by bars"),
        (PLAIN.replace(",", ";"), "separated by semicolons"),
        ("sep=;\n" + PLAIN.replace(",", ";"), "separated by semicolons"),
        (
            "\ufeffsep=;\r\n" + PLAIN.replace(",", ";").replace("\n", "\r\n"),
            "separated by semicolons",
        ),
        ('"sep=^"\n' + PLAIN.replace(",", "^"), "separated by"),
        ("sep=,\n" + PLAIN, ""),
        ("sep=\t\n" + PLAIN.replace(",", "\t"), "separated by tabs"),
    ],
)
def test_however_a_table_is_saved_its_cells_are_the_same(
    tmp_path: Path, content: str | bytes, note: str
) -> None:
    table = read(tmp_path, content)
    assert table.arrow.to_pydict() == CELLS
    assert re.search(note, " ".join(table.notes))
    assert bool(table.notes) == bool(note)


def test_a_compressed_table_is_the_same(tmp_path: Path) -> None:
    assert read(tmp_path, gzip.compress(PLAIN.encode()), "table.csv.gz").arrow.to_pydict() == CELLS


def test_a_table_of_one_column_is_a_table(tmp_path: Path) -> None:
    assert read(tmp_path, "size\n1.5\n").arrow.to_pydict() == {"size": ["1.5"]}


def test_a_quoted_cell_may_hold_what_separates_and_line_ends(tmp_path: Path) -> None:
    table = read(tmp_path, 'town,size\n"Köln, ""am Rhein""\nlinks",1.5\nOslo,2.5\n')
    assert table.arrow["town"].to_pylist() == ['Köln, "am Rhein"\nlinks', "Oslo"]
    assert table.place(1)["row"] == 2


def test_quotes_between_tabs_that_enclose_no_cells_are_part_of_them(tmp_path: Path) -> None:
    """Two cells that begin with one would else swallow what is between them."""
    rows = [('"No," she said', "x"), ('"Open', '"auf'), ("", '"'), ('say "a"', '"b" "c"')]
    table = read(tmp_path, "a\tb\n\n" + "".join(f"{a}\t{b}\n" for a, b in rows), "table.tsv")
    assert list(zip(texts(table, "a"), texts(table, "b"), strict=True)) == [
        (one or None, two) for one, two in rows
    ]
    assert any("they are read as they stand" in note for note in table.notes)
    quoted = 'a\tb\n"x ""y""\n\tz"\t"b"\nplain\t"one"\n'
    table = read(tmp_path, quoted, "table.tsv")
    assert texts(table, "a") == ['x "y"\n\tz', "plain"]
    assert texts(table, "b") == ["b", "one"]
    assert not any("as they stand" in note for note in table.notes)


def test_blank_lines_are_no_rows_and_count_in_the_place(tmp_path: Path) -> None:
    content = 'town,size\n\nKöln,1.5\n"a\n\nb",2\n\n\nOslo,2.5\n\n'
    table = read(tmp_path, content)
    assert table.arrow["size"].to_pylist() == ["1.5", "2", "2.5"]
    assert [table.place(row)["row"] for row in range(3)] == [2, 3, 6]
    assert "row 8: 1 cell where the header has 2" in refused(tmp_path, content + "Bergen\n")
    assert "row 1" in refused(tmp_path, "\n\ntown,size\nBergen\n")


def test_parts_of_different_types_are_united_where_no_value_changes(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()

    def parts(*columns: list[Any]) -> None:
        for number, cells in enumerate(columns):
            pa.parquet.write_table(pa.table({"x": cells}), raw / f"{number}.parquet")

    parts([1, 2], [0.5, None], [None, None])
    table = read_table(raw)
    assert table.arrow["x"].to_pylist() == [1, 2, 0.5, None, None, None]
    assert (table.place(3)["file"].name, table.place(3)["row"]) == ("1.parquet", 2)
    parts([None, None], [1, 2], ["a", "b"])
    with pytest.raises(
        BadData, match=r"2\.parquet, column 'x': holds string here and int64 in the"
    ):
        read_table(raw)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "table.csv: the file is empty"),
        ("\n \n", "the file is empty"),
        ("sep=;\n", "the file is empty"),
        ("x,y,z\n", "a header but no row"),
        ("x,y,z", "a header but no row"),
        (GOOD + "1.5,a\n", "row 61: 2 cells where the header has 3"),
        (GOOD.replace("0.5,a,0\n", "0.5,a,0,9\n", 1), "row 1: 4 cells where the header has 3"),
        ("x,y\n1,2,3\n4,5,6\n", "row 1: 3 cells .* 2 .2 such rows.. Every row has as many: name"),
        (GOOD + '1.5,a,"1\n2.5,b,1\n', "row 61: a quote is opened and never closed"),
        (GOOD + '1.5,"a,1\n2.5,b,1\n', "row 61: a quote is opened and never closed"),
        (GOOD.encode() + b"\x00\x01", "binary, not text"),
        (GOOD.encode() + b"\x81\x8d\xff,a,1\n", "row 61: is not text in UTF-8 or Windows-1252"),
        (b"PK\x03\x04" + b"x" * 90, "is a zip or Excel file, not CSV text"),
        (np.random.default_rng(0).bytes(2000), "table.csv.*(binary|not text)"),
    ],
)
def test_a_file_that_is_no_table_is_refused(
    tmp_path: Path, content: str | bytes, said: str
) -> None:
    message = refused(tmp_path, content)
    assert re.search(said, message), message


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    packed = gzip.compress(GOOD.encode())
    assert "not a complete gzip file" in refused(
        tmp_path, packed[: len(packed) // 2], "table.csv.gz"
    )
    pa.parquet.write_table(pa.table({"x": list(range(1000))}), tmp_path / "whole.parquet")
    whole = (tmp_path / "whole.parquet").read_bytes()
    assert "not a complete Parquet file" in refused(tmp_path, whole[:-200], "cut.parquet")
    assert "not a complete Parquet file" in refused(
        tmp_path, b"PAR1 and nothing else", "cut.parquet"
    )
    assert "not a complete Parquet file" in refused(tmp_path, GOOD, "text.parquet")
    assert "is a Parquet file, not CSV text" in refused(tmp_path, whole, "table2.csv")


def test_other_files_and_folders_are_refused(tmp_path: Path) -> None:
    assert "files named *.xlsx are not supported" in refused(tmp_path, b"PK", "table.xlsx")
    folder = tmp_path / "raw"
    (folder / "data.csv").mkdir(parents=True)
    with pytest.raises(BadData, match=r"data\.csv: is a folder, not a file"):
        read_table(folder)
    with pytest.raises(BadData, match="no such file"):
        read_table(tmp_path / "absent.csv")
    (folder / "data.csv").rmdir()
    with pytest.raises(BadData, match=r"holds no table. Allowed: \.csv"):
        read_table(folder)
    (folder / "one.csv").write_text(GOOD)
    (folder / "two.csv").write_text(GOOD.replace("z", "w"))
    with pytest.raises(BadData, match=r"two\.csv: has other columns than one\.csv: 'w'"):
        read_table(folder)
    (folder / "two.csv").unlink()
    pa.parquet.write_table(pa.table({"x": [1]}), folder / "two.parquet")
    with pytest.raises(
        BadData, match=r"holds CSV and Parquet files at once: one\.csv, two\.parquet"
    ):
        read_table(folder)


def one_column(tmp_path: Path, *cells: str, delimiter: str = ";") -> Table:
    lines = [f'"{cell}"{delimiter}a' for cell in cells]
    return read(tmp_path, "\n".join([f"x{delimiter}y", *lines]))


@pytest.mark.parametrize(
    ("cells", "delimiter", "values"),
    [
        (("1.5", "+2", "-3e2", ""), ",", [1.5, 2, -300, np.nan]),
        (("1,5", "2", "-,25", "1,234"), ";", [1.5, 2, -0.25, 1.234]),
        (("1,5", "1,234"), ",", [1.5, 1.234]),
        (("0,125", "-0,250"), ",", [0.125, -0.25]),
        ((".5", "5.", "-1E+2"), ",", [0.5, 5, -100]),
        (("1,5", "n.a.", "?", "None"), ";", [1.5, np.nan, np.nan, np.nan]),
        (("1", "1.234,5"), ";", [1, 1234.5]),
        (("1.5", "1,234"), ";", [1.5, 1234]),
        (("\u22121.5", "\u20132", "3-", "(4)"), ",", [-1.5, -2, -3, -4]),
        (("1.5", "2", "<0.1", "> 100"), ",", [1.5, 2, 0.1, 100]),
        (("12 kg", "1,250.5 kg", "(3 kg)"), ",", [12, 1250.5, -3]),
    ],
)
def test_numbers_are_read_as_people_write_them(
    tmp_path: Path, cells: tuple[str, ...], delimiter: str, values: list[float]
) -> None:
    table = one_column(tmp_path, *cells, delimiter=delimiter)
    assert np.array_equal(numbers(table, "x"), values, equal_nan=True)
    empty = [note for note in table.notes if "read as empty" in note]
    assert bool(empty) == ("?" in cells)


def test_what_is_taken_for_granted_about_numbers_is_noted_with_its_count(tmp_path: Path) -> None:
    cells = (
        "1.5 kg",
        "<2 kg",
        "(3 kg)",
        "(4)",
        "5- kg",
        "\u20136 kg",
        "-7 kg",
        "\u22128 kg",
        "9 kg",
    )
    table = one_column(tmp_path, *cells, "10 kg", delimiter=",")
    assert numbers(table, "x").tolist() == [1.5, 2, -3, -4, -5, -6, -7, -8, 9, 10]
    assert table.notes == [
        "x: 1 cell such as '<2 kg' read as the number itself",
        "x: 2 cells such as '(3 kg)' read as less than nothing",
        "x: 2 cells such as '5- kg' read as less than nothing",
        "x: numbers were read without their unit 'kg'; 1 cell without one taken for the same",
    ]


def test_columns_of_parquet_are_read_in_their_types(tmp_path: Path) -> None:
    columns = {
        "float": pa.array([1.5, float("nan")], from_pandas=False),
        "text": ["2.5", "nan"],
        "whole": [3, None],
        "exact": pa.array([7, 1_000_000_001], pa.timestamp("ns")),
        "flag": [True, None],
    }
    pa.parquet.write_table(pa.table(columns), tmp_path / "table.parquet")
    table = read_table(tmp_path / "table.parquet")
    for name, first in {"float": 1.5, "text": 2.5, "whole": 3.0}.items():
        assert np.array_equal(numbers(table, name), [first, np.nan], equal_nan=True)
    assert times(table, "exact").tolist() == [0, 1]
    assert np.array_equal(flags(table, "flag"), [1, np.nan], equal_nan=True)
    assert texts(table, "flag") == ["true", None]
    assert texts(table, "float") == ["1.5", None]
    with pytest.raises(BadData, match="row 1, column 'exact': '1970.* is not a number"):
        numbers(table, "exact")


@pytest.mark.parametrize(
    ("cells", "delimiter", "said"),
    [
        (("1,5", "2.345", "1,000.5"), ";", "row 1, column 'x': '1,5' is not a number"),
        (("5", "<1", "<2", ">2"), ";", "row 2, column 'x': '<1' is not a number"),
        (("5 kg", "6 kg", "7 lb"), ";", "row 1, column 'x': '5 kg' is not a number"),
        (("1", "9007199254740993"), ";", "row 2, column 'x': .* is a code: numbers beyond 2"),
        (("1.5", "2,5"), ";", "row 2, column 'x': '2,5' is not a number"),
        (("1", "1_000"), ";", "row 2, column 'x': '1_000' is not a number"),
        (("1", "-Infinity"), ";", "row 2, column 'x': the cell is infinite"),
        (("1.5", "1.234,5"), ";", "row 2, column 'x': '1.234,5' is not a number"),
    ],
)
def test_a_number_that_could_be_another_is_refused(
    tmp_path: Path, cells: tuple[str, ...], delimiter: str, said: str
) -> None:
    with pytest.raises(BadData, match=said):
        numbers(one_column(tmp_path, *cells, delimiter=delimiter), "x")


def test_times_are_numbers_or_dates_and_not_both(tmp_path: Path) -> None:
    start = 1767225600.0
    assert times(one_column(tmp_path, "7", "8,5"), "x").tolist() == [7, 8.5]
    dates = one_column(tmp_path, "2026-01-01", "01.01.2026 00:01", "2026-01-01T01:02:00+01:00")
    assert times(dates, "x").tolist() == [start, start + 60, start + 120]
    with pytest.raises(BadData, match="row 2, column 'x': 'soon' is neither a number nor a time"):
        times(one_column(tmp_path, "7", "soon"), "x")
    with pytest.raises(
        BadData, match="row 2, column 'x': '7' is a number, and the cells above are dates"
    ):
        times(one_column(tmp_path, "2026-01-01", "7"), "x")
    with pytest.raises(BadData, match="row 2, column 'x': 'inf' is neither a number nor a time"):
        times(one_column(tmp_path, "7", "inf"), "x")
    with pytest.raises(BadData, match="row 2, column 'x': the time is missing"):
        times(one_column(tmp_path, "7", ""), "x")


def test_flags_are_zeros_and_ones_or_words_for_them(tmp_path: Path) -> None:
    table = one_column(tmp_path, "0", "1.0", "TRUE", "false", "")
    assert np.array_equal(flags(table, "x"), [0, 1, 1, 0, np.nan], equal_nan=True)
    with pytest.raises(BadData, match="row 2, column 'x': '2' is neither 0 nor 1. Write 0 or 1"):
        flags(one_column(tmp_path, "1", "2"), "x", "Write 0 or 1")


def test_cells_that_say_that_they_are_empty_are_counted(tmp_path: Path) -> None:
    table = read(tmp_path, "country,x,y\nNA,1,1\nDE,null,0\nNA,3,?\n,4,1\n")
    assert table.arrow["country"].to_pylist() == [None, "DE", None, None]
    assert table.notes == ["cells such as NA or null were read as empty: 2 in country, 1 in x"]
    flags(table, "y")
    assert table.notes[1:] == ["y: 1 cell such as '?' or 'unknown' read as empty"]


@pytest.mark.parametrize(
    ("cells", "seconds"),
    [
        (["2024-03-31T08:00:00+02:00[Europe/Berlin]"], [1711864800]),
        (["2024-03-31T08:00:00[Europe/Berlin]", "2024-03-31T06:00:00Z"], [1711864800] * 2),
        (["2024-03-31T08:00[!America/New_York][u-ca=gregory]"], [1711886400]),
        (["2024-03-31 08:00:00 [UTC]"], [1711872000]),
        (["1711872000", "1711872000000", "1711872000000000"], [1711872000] * 3),
        (["1711872000000", "1711872060000"], [1711872000000, 1711872060000]),
        (["1", "2000000000", "2000000000000"], [1, 2000000000, 2000000000000]),
    ],
)
def test_times_with_zones_and_in_several_units_are_their_moments(
    tmp_path: Path, cells: list[str], seconds: list[float]
) -> None:
    assert times(one_column(tmp_path, *cells), "x").tolist() == seconds


def test_an_hour_that_a_zone_has_twice_is_noted(tmp_path: Path) -> None:
    twice = ("2024-10-27T02:30:00[Europe/Berlin]", "2024-10-27T03:30:00[Europe/Berlin]")
    table = one_column(tmp_path, *twice, "2024-10-27T02:30:00+01:00[Europe/Berlin]")
    assert np.diff(times(table, "x")).tolist() == [7200, -3600]
    (note,) = (note for note in table.notes if note.startswith("x: "))
    assert note.startswith("x: 1 times are in an hour that their zone has twice or skips")


def test_an_unknown_zone_is_refused_with_its_row(tmp_path: Path) -> None:
    table = one_column(tmp_path, "2024-03-31", "2024-03-31T08:00:00[Europe/Atlantis]")
    with pytest.raises(
        BadData, match=r"row 2, column 'x': '2024-03-31T08:00:00\[Europe/Atlantis\]'"
    ):
        times(table, "x")


def test_codes_of_parquet_keep_their_digits(tmp_path: Path) -> None:
    code = 1582218195625938002
    columns = {
        "int64": pa.array([code, 1], pa.int64()),
        "uint64": pa.array([2**63 + 5, 1], pa.uint64()),
        "decimal": pa.array([Decimal(code), Decimal(1)], pa.decimal128(38, 0)),
        "money": pa.array([Decimal("12.34"), None], pa.decimal128(10, 2)),
    }
    pa.parquet.write_table(pa.table(columns), tmp_path / "table.parquet")
    table = read_table(tmp_path / "table.parquet")
    for name, first in {"int64": code, "uint64": 2**63 + 5, "decimal": code}.items():
        assert texts(table, name) == [str(first), "1"]
        with pytest.raises(BadData, match=f"row 1, column '{name}': '{first}' is a code"):
            numbers(table, name)
    assert np.array_equal(numbers(table, "money"), [12.34, np.nan], equal_nan=True)
    raw = tmp_path / "raw"
    raw.mkdir()
    for number, cells in enumerate((columns["int64"], pa.array([0.5, 1.0]))):
        pa.parquet.write_table(pa.table({"x": cells}), raw / f"{number}.parquet")
    with pytest.raises(BadData, match="numbers do not fit those of the other files"):
        read_table(raw)


def test_json_lines_keep_their_types_and_the_place_of_each_row(tmp_path: Path) -> None:
    lines = [
        '{"n": 1, "x": 1, "ok": true, "code": 9007199254740993, "either": 2, "why": [1]}',
        "",
        '{"n": 2, "x": NaN, "ok": null, "code": 7, "either": " two ", "late": "2026-01-31"}',
    ]
    table = read(tmp_path, "\n".join(lines), "table.jsonl")
    assert table.arrow.to_pydict() == {
        "n": [1, 2],
        "x": [1, None],
        "ok": [True, None],
        "code": ["9007199254740993", "7"],
        "either": ["2", "two"],
        "late": [None, "2026-01-31"],
    }
    assert table.dropped == {"why": "holds objects or lists"}
    assert table.fault("n", 1, "is wrong").row == 3


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"x": 1}\n[2]\n', "row 2: must be a JSON object, seen [2]"),
        ('{"x": 1}\n{"x"\n', "row 2: is not JSON"),
        ("\n", "the file is empty"),
    ],
)
def test_json_lines_that_are_none_are_refused(tmp_path: Path, content: str, said: str) -> None:
    assert said in refused(tmp_path, content, "table.ndjson")


def test_json_lines_and_csv_give_the_same_table(tmp_path: Path) -> None:
    as_csv = read(tmp_path, GOOD)
    names = as_csv.names
    rows = zip(*(texts(as_csv, name) for name in names), strict=True)
    lines = [json.dumps(dict(zip(names, row, strict=True))) for row in rows]
    as_json = read(tmp_path, "\n".join(lines), "same.jsonl")
    assert as_json.arrow.to_pydict() == as_csv.arrow.to_pydict()
    assert numbers(as_json, "x").tolist() == numbers(as_csv, "x").tolist()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"a": "x"}\n{"a": "\\ud83d"}\n', "row 2, column 'a': holds half of a surrogate pair"),
        ('{"\\ud83d": 1}\n', "row 1: the name of a field holds half of a surrogate pair"),
    ],
)
def test_json_lines_with_what_no_table_can_hold_are_refused(
    tmp_path: Path, content: str, said: str
) -> None:
    assert said in refused(tmp_path, content, "table.jsonl")
    pair = read(tmp_path, '{"a": "\\ud83d\\ude00"}\n', "pair.jsonl")
    assert texts(pair, "a") == ["\U0001f600"]


@pytest.mark.parametrize("rows", [6, 60_000])
def test_a_quote_that_is_opened_in_the_header_is_said(tmp_path: Path, rows: int) -> None:
    """All of the file is one cell then, which may be longer than Python's reader takes."""
    said = refused(tmp_path, '"size,town\n' + "1,Oslo\n" * rows)
    assert "opened" in said
    assert "never closed" in said


@pytest.mark.parametrize("content", [b'{"x": "K\xf6ln"}', b"\xff\xfe{", b"[]", b""])
def test_an_asset_that_is_damaged_is_said_to_be(tmp_path: Path, content: bytes) -> None:
    class Sizes(Asset):
        """An asset."""

        FILE = "sizes.json"
        x: str

    Sizes(x="Köln").save(tmp_path)
    assert Sizes.load(tmp_path).x == "Köln"
    (tmp_path / "sizes.json").write_bytes(content)
    with pytest.raises(BrokenArtifact, match="Run the stage that made it again"):
        Sizes.load(tmp_path)
