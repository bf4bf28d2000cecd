"""Folders of files whose names do not say what they hold, next to licences and notes."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from modelyard.errors import BadData
from modelyard.kit.tables import read_file, read_table, table_files

ROWS = "0.5,1\n0.25,2\n0.75,3\n"


def test_machines_of_a_benchmark_are_texts_next_to_a_licence(tmp_path: Path) -> None:
    for name in ("machine-1-1.txt", "machine-1-2.txt"):
        (tmp_path / name).write_text(ROWS)
    (tmp_path / "LICENSE").write_text("MIT\n")
    (tmp_path / "README.txt").write_text("Two machines.\n")
    found = table_files(tmp_path)
    assert [file.name for file in found] == ["machine-1-1.txt", "machine-1-2.txt"]
    assert read_table(tmp_path).rows == 6


def test_one_text_next_to_a_licence_is_the_table(tmp_path: Path) -> None:
    (tmp_path / "power.data").write_text(ROWS)
    (tmp_path / "LICENSE").write_text("MIT\n")
    assert read_table(tmp_path).rows == 3


def test_a_licence_in_an_inner_folder_does_not_hide_the_table_there(tmp_path: Path) -> None:
    (tmp_path / "iris").mkdir()
    (tmp_path / "iris/iris.data").write_text(ROWS)
    (tmp_path / "iris/LICENSE").write_text("MIT\n")
    assert read_table(tmp_path).rows == 3


@pytest.mark.parametrize("name", ["changes.data", "notices.txt", "readme.txt"])
def test_the_only_file_of_a_folder_may_have_any_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(ROWS)
    assert read_table(tmp_path).rows == 3


def test_texts_next_to_a_table_are_none(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("About the table.\n")
    (tmp_path / "table.csv").write_text("a,b\n" + ROWS)
    assert [file.name for file in table_files(tmp_path)] == ["table.csv"]


def test_a_compressed_text_is_read(tmp_path: Path) -> None:
    (tmp_path / "exchange_rate.txt.gz").write_bytes(gzip.compress(ROWS.encode()))
    (file,) = table_files(tmp_path / "exchange_rate.txt.gz")
    assert read_file(file).rows == 3


@pytest.mark.parametrize("name", ["train.npy", "A-1.NPY", "wage.rds"])
def test_arrays_of_programs_say_how_they_become_tables(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\x93NUMPY")
    with pytest.raises(BadData, match=r"are not supported.*Save its rows as CSV or Parquet"):
        table_files(tmp_path / name)
