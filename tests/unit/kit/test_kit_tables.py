"""Tables as people save them are read with the place of each row, or refused with it."""

from __future__ import annotations

import gzip
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from modelyard.errors import BadData, BrokenArtifact
from modelyard.kit.assets import Asset
from modelyard.kit.tables import numbers, read_table, texts
from tests.unit.kit.reading import CELLS, GOOD, PLAIN, read, refused

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
    assert "files named *.mat are not supported" in refused(tmp_path, b"MATLAB", "table.mat")
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
