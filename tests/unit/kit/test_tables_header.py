"""Tables whose first row is data, and headers that look like it."""

from __future__ import annotations

import csv

import pytest

from modelyard.errors import BadData
from modelyard.kit.tables import read_table, remarks
from modelyard.kit.tables.table import NO_HEADER
from tests.unit.kit.reading import PLAIN, read, refused


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
