"""Tables in JSON: lists of objects, and an object a line."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from modelyard.kit.tables import numbers, read_table, texts
from tests.unit.kit.reading import GOOD, PLAIN, read, refused


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
    assert table.dropped == {"why": "holds lists"}
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


def test_fields_of_objects_are_columns_by_both_names(tmp_path: Path) -> None:
    lines = [
        '{"user": {"age": 3, "home": {"city": "Rome"}}, "price": 1, "seen": {}}',
        '{"user": {"age": 4, "tags": ["a"]}, "price": 2}',
        '{"user": null, "price": 3}',
    ]
    table = read(tmp_path, "\n".join(lines), "events.jsonl")
    assert table.arrow.to_pydict() == {
        "user.age": [3, 4, None],
        "user.home.city": ["Rome", None, None],
        "price": [1, 2, 3],
    }
    assert table.dropped == {"user.tags": "holds lists"}
    structs = pa.table({"user": [{"age": 3, "home": {"city": "Rome"}}, {"age": 4}], "x": [1, 2]})
    pq.write_table(structs, tmp_path / "events.parquet")
    table = read_table(tmp_path / "events.parquet")
    assert table.names == ["user.age", "user.home.city", "x"]
    assert numbers(table, "user.age").tolist() == [3, 4]


def test_objects_with_keys_for_fields_are_dropped_and_a_name_that_clashes_is_refused(
    tmp_path: Path,
) -> None:
    lines = []
    for day in range(120):
        lines.append(json.dumps({"sold": {f"2026-{day}": 1}, "x": day}))
    table = read(tmp_path, "\n".join(lines), "keys.jsonl")
    assert table.names == ["x"]
    assert table.dropped == {"sold": "holds objects with 120 different fields"}
    clash = '{"a": {"b": 1}}\n{"a": {"b": 1}, "a.b": 2}'
    said = "row 2, column 'a.b': stands twice in the row, by itself and in an object"
    assert said in refused(tmp_path, clash, "clash.jsonl")
