import pytest

from modelyard.store.tables import read_parquet, write_parquet


def test_rows_come_back_as_columns(tmp_path):
    rows = [{"a": 1, "it's": "x", "none": None}, {"a": 2.5, "it's": None, "none": None}]
    write_parquet(rows, tmp_path / "deep" / "it's.parquet")
    assert read_parquet(tmp_path / "deep" / "it's.parquet") == {
        "a": [1.0, 2.5],
        "it's": ["x", None],
        "none": [None, None],
    }


def test_files_with_other_columns_are_united(tmp_path):
    write_parquet([{"a": 1}], tmp_path / "1.parquet")
    write_parquet([{"a": 2, "b": "x"}], tmp_path / "2.parquet")
    assert read_parquet(tmp_path / "*.parquet") == {"a": [1.0, 2.0], "b": [None, "x"]}


def test_a_failed_write_leaves_nothing(tmp_path):
    with pytest.raises(TypeError):
        write_parquet([{"a": object()}], tmp_path / "t.parquet")
    assert list(tmp_path.iterdir()) == []
