"""Files with more in them than their table: comments, titles, sources; and two columns of one name."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from modelyard.errors import BadData
from modelyard.families.tabular.config import TabularConfig
from modelyard.families.tabular.prepare import target_name
from modelyard.kit.columns.edits import Edits
from modelyard.kit.tables import Table, numbers, read_table, remarks
from modelyard.kit.tables.header import distinct_names
from modelyard.settings.family import resolve

ROWS = "".join(f"{n},Rome,{n * 2},1.5,new\n" for n in range(1, 10))
HEADER = "id,city,sales,price,note\n"
NAMES = ["id", "city", "sales", "price", "note"]


def read(tmp_path: Path, content: str, name: str = "table.csv") -> Table:
    file = tmp_path / name
    file.write_text(content, newline="")
    return read_table(file)


ABOVE = {
    "an archive's comments": "# produced by X, at Y\n# COLUMN id: the key, of all\n#\n",
    "one comment": "# made on Monday\n",
    "a title": "Sales report\n",
    "a spreadsheet's title": "Sales report,,,,\nMarch 2026,,,,\n,,,,\n",
    "a source and blank lines": '"Data Source","World Development"\n\n"Updated","2026-01-01"\n\n',
    "a title in two lines": '"Sales\nreport"\n\n',
}


@pytest.mark.parametrize("above", ABOVE.values(), ids=list(ABOVE))
@pytest.mark.parametrize("line", ["\n", "\r\n"])
def test_lines_above_a_table_are_left_out_and_said(tmp_path: Path, above: str, line: str) -> None:
    table = read(tmp_path, (above + HEADER + ROWS).replace("\n", line))
    assert (table.names, table.rows) == (NAMES, 9)
    assert table.column("sales").to_pylist() == [str(n * 2) for n in range(1, 10)]
    (note,) = table.notes
    assert "above" in note
    assert "no part of the table" in note
    assert note in remarks(table.notes)


def test_lines_that_a_spreadsheet_fills_up_with_delimiters_are_no_rows(tmp_path: Path) -> None:
    below = ',,,,\n"Source: the ministry, 2026",,,,\n,,,,\n'
    table = read(tmp_path, HEADER + ROWS + below)
    assert (table.names, table.rows) == (NAMES, 9)
    assert table.notes == ["1 line below is no part of the table: '\"Source: the ministry, 2026\"'"]


@pytest.mark.parametrize(
    "rows",
    [
        "10,,,,\n11,,,,\n",
        "2026-04-01,,,,\n",
        "Rome,,,,\n",
        # As wordy as a source, and as a row above it.
        "the old town,,,,\n,,,,\nthe new town,,,,\n",
    ],
)
@pytest.mark.parametrize("blank", [",,,,\n", "\n"])
def test_rows_of_a_key_only_below_a_blank_line_stay(tmp_path: Path, rows: str, blank: str) -> None:
    table = read(tmp_path, HEADER + ROWS + blank + rows)
    filled = [row for row in rows.splitlines() if row.strip(",")]
    assert table.rows == 9 + len(filled)
    assert not any("below" in note for note in table.notes)


def test_a_title_and_a_blank_line_stand_above_two_columns(tmp_path: Path) -> None:
    rows = "day,sales\n2026-01-01,5\n2026-01-02,6\n2026-01-03,7\n"
    for above in ("Sales by day\n\n", "Sales by day,\nof 2026,\n,\n"):
        table = read(tmp_path, above + rows)
        assert (table.names, table.rows) == (["day", "sales"], 3)
    # Without the blank line a second name may be missing.
    assert read(tmp_path, "word,\nfoo,bar\nbaz,qux\nto,do\nin,out\n").names == ["word"]


def test_rows_without_a_filled_cell_are_counted_and_no_rows(tmp_path: Path) -> None:
    broken = "10,Rome,many,1.5,new\n"
    table = read(tmp_path, HEADER + ROWS + ",,,,\n , ,,,\n" + broken)
    assert table.rows == 10
    assert table.notes == ["2 rows are blank in table.csv and no part of the table"]
    # Their rows count where one is named, as a spreadsheet shows it.
    with pytest.raises(BadData, match="row 12, column 'sales'"):
        numbers(table, "sales")


def test_lines_that_are_blank_in_either_way_count_where_a_row_is_named(tmp_path: Path) -> None:
    table = read(tmp_path, HEADER + ROWS + "\n,,,,\n10,Rome,many,1.5,new\n")
    with pytest.raises(BadData, match="row 12, column 'sales'"):
        numbers(table, "sales")


def test_an_empty_cell_of_a_single_column_stays_a_row(tmp_path: Path) -> None:
    assert read(tmp_path, 'note\na\n""\nb\n').rows == 3


def test_a_text_a_line_below_one_name_may_hold_commas(tmp_path: Path) -> None:
    table = read(tmp_path, 'text\ngood\nbad, or so\n"quoted, too"\nwell, well, well\n')
    assert table.column("text").to_pylist() == [
        "good",
        "bad, or so",
        "quoted, too",
        "well, well, well",
    ]
    assert table.notes == ["table.csv has one column: commas in its lines separate nothing"]


def test_a_quote_at_the_start_of_a_text_a_line_stays(tmp_path: Path) -> None:
    table = read(tmp_path, 'text\n"No," she said, and left\n"never, I said\nwell\n')
    lines = ['"No," she said, and left', '"never, I said', "well"]
    assert table.column("text").to_pylist() == lines


def test_a_table_with_a_ragged_row_below_a_title_is_no_text_a_line(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="row 2: 3 cells where the header has 1"):
        read(tmp_path, "Sales\n\nname,price,qty\na,1,2\nb,1\nc,2,3\n")


def test_tabs_separate_sentences_that_have_as_many_commas(tmp_path: Path) -> None:
    table = read(tmp_path, "label\ttext, as sent\n" + "ham\tyes, please\nspam\tbuy, now\n" * 3)
    assert table.names == ["label", "text, as sent"]


def test_rows_of_one_width_below_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="name each of the 3 columns in the header"):
        read(tmp_path, "id\n1,2,3\n4,5,6\n")


def test_the_delimiter_is_the_tables_not_the_titles(tmp_path: Path) -> None:
    table = read(tmp_path, "Sales, by city, in March\n" + (HEADER + ROWS).replace(",", ";"))
    assert (table.names, table.rows) == (NAMES, 9)


def test_a_row_is_counted_from_the_header_below_a_title(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="row 46: 2 cells where the header has 5"):
        read(tmp_path, "Sales report\n" + HEADER + ROWS * 5 + "10,Rome\n" + ROWS * 5)


@pytest.mark.parametrize("delimiter", [" ", ","])
def test_the_last_of_several_comments_may_be_the_header(tmp_path: Path, delimiter: str) -> None:
    table_lines = "x y z\n" + "1 2 3.5\n" * 5
    table = read(tmp_path, "# run of Monday\n# " + table_lines.replace(" ", delimiter))
    assert (table.names, table.rows) == (["x", "y", "z"], 5)


def test_a_single_comment_may_be_the_header(tmp_path: Path) -> None:
    table = read(tmp_path, "# x y z\n" + "1 2 3.5\n" * 5)
    assert (table.names, table.rows, len(table.notes)) == (["x", "y", "z"], 5, 1)


@pytest.mark.parametrize("rows", ["1\n2\n3\n", "Rome\nOslo\nBonn\n"])
def test_a_hash_may_begin_the_name_of_the_only_column(tmp_path: Path, rows: str) -> None:
    table = read(tmp_path, "#id\n" + rows)
    assert (table.names, table.rows, table.notes) == (["#id"], 3, [])


def test_a_column_may_be_called_by_a_hash(tmp_path: Path) -> None:
    table = read(tmp_path, "#,Name,Type\n" + '1,"Bulba, saur",Grass\n2,Ivy,Grass\n' * 5)
    assert (table.names, table.notes) == (["#", "Name", "Type"], [])


def test_rows_that_begin_with_a_hash_are_no_comments(tmp_path: Path) -> None:
    rows = [f"#love {n}\tgood\n#hate {n}\tbad\nnothing {n}\tgood\n" for n in range(5)]
    table = read(tmp_path, "".join(rows), "tweets.tsv")
    assert (table.names, table.rows) == (["#love 0", "good"], 14)


def test_a_source_below_a_table_is_left_out_and_said(tmp_path: Path) -> None:
    source = "International Fund, Outlook of April"
    table = read(tmp_path, (HEADER + ROWS).replace(",", "\t") + f"\n{source}\n")
    assert table.rows == 9
    assert f"1 line below is no part of the table: {source!r}" in table.notes


def test_blanks_between_blank_lines_are_read_at_once(tmp_path: Path) -> None:
    padded = '9,Oslo,"x' + " " * 60_000 + 'y",1.5,new\n'
    begun = time.monotonic()
    table = read(tmp_path, HEADER + ROWS + "\n" + padded + "\n" + ROWS)
    assert time.monotonic() - begun < 2
    assert table.rows == 19


def test_the_end_of_a_cell_with_paragraphs_is_no_source(tmp_path: Path) -> None:
    table = read(tmp_path, "a,b,c\n" + "1,2,x\n" * 5 + '1,2,"hello\n\nbye"\n')
    assert table.column("c").to_pylist()[-1] == "hello\n\nbye"
    assert table.notes == []


def test_a_row_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="1 cell where the header has 5"):
        read(tmp_path, HEADER + ROWS + "10\n")


@pytest.mark.parametrize("row", ["1,2,x,y,z,", "bob,red,x,y,z,", "1999,2001,2002,2003,2004,"])
def test_a_header_with_names_for_some_columns_stays_one(tmp_path: Path, row: str) -> None:
    table = read(tmp_path, "a,b,,,,\n" + f"{row}\n" + "5,6,7,8,z,\n1,red,3,y,9,\n" * 3 + f"{row}\n")
    assert (table.names, table.rows) == (["a", "b"], 8)


def test_a_header_below_a_title_may_be_one_word_and_years(tmp_path: Path) -> None:
    rows = "".join(f"Land {n},{n},{n + 1},{n + 2}\n" for n in range(6))
    table = read(tmp_path, "People by year\ncountry,1960,1961,1962\n" + rows)
    assert (table.names, table.rows) == (["country", "1960", "1961", "1962"], 6)


def test_a_remark_behind_a_row_makes_no_header_of_it(tmp_path: Path) -> None:
    rows = [f"Ada {n},a{n}@example.org,,,,\n" for n in range(20)]
    rows[7] = "Bob,bob@example.org,,,,moved\n"
    table = read(tmp_path, "name,mail,,,,\n" + "".join(rows))
    assert (table.names, table.rows) == (["name", "mail"], 20)


def test_columns_of_one_name_are_told_apart_and_it_is_said(tmp_path: Path) -> None:
    content = "region,x,region,region.1,region\n" + "a,1,b,c,d\n" * 6
    table = read(tmp_path, content)
    assert table.names == ["region", "x", "region.2", "region.1", "region.3"]
    assert table.column("region.3").to_pylist() == ["d"] * 6
    said = "3 columns have the name 'region': the later are region.2, region.3"
    assert table.notes == [said]
    assert said in remarks(table.notes)


def test_the_names_of_many_columns_are_told_apart_at_once() -> None:
    header = [f"gene {place // 2}" for place in range(20_000)]
    begun = time.monotonic()
    names, renamed = distinct_names(header)
    assert time.monotonic() - begun < 1
    assert len(set(names)) == len(header)
    assert renamed["gene 9999.1"] == "gene 9999"


def test_a_target_with_a_namesake_is_refused(tmp_path: Path) -> None:
    table = read(tmp_path, "x,y,y\n" + "1,no,0\n2,yes,1\n" * 6)
    config = resolve(TabularConfig, ("--set", {"features": {"target": "y"}}))
    with pytest.raises(BadData, match=r"another column has its name \(y\.1 here\)"):
        target_name(table, Edits(), config)
