"""Columns of a table as numbers, times and flags."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from modelyard.errors import BadData
from modelyard.kit.tables import Table, flags, numbers, read_table, texts, times
from tests.unit.kit.reading import read


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
