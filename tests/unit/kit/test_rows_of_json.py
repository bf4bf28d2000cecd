"""Rows of JSON whose content is an object: one example of a classifier each."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from modelyard.errors import BadData
from modelyard.kit.classifier.config import RowFeatures
from modelyard.kit.classifier.kind import FileKind
from modelyard.kit.classifier.rows import read_rows

ROWS = [
    {"graph": {"nodes": 2}, "label": "small", "group": "a"},
    {"graph": {"nodes": 9}, "label": "large"},
    {"label": "large"},
]


def kind(suffix: str) -> FileKind:
    return FileKind("graph", "graph", "graph", frozenset({suffix}))


def written(folder: Path) -> Path:
    text = "\n".join(map(json.dumps, ROWS))
    (folder / "graphs.jsonl").write_text(text)
    return folder


def test_an_object_is_the_content_where_files_of_the_kind_hold_json(tmp_path: Path) -> None:
    raw = written(tmp_path)
    listing, _ = read_rows(raw, kind(".json"), RowFeatures(), lambda *_: ("graph", "label"))
    contents = [json.loads(example.file.read()) for example in listing.examples]
    assert contents == [{"nodes": 2}, {"nodes": 9}]
    assert [(one.label, one.group, one.row) for one in listing.examples] == [
        ("small", "a", 1),
        ("large", None, 2),
    ]
    assert listing.dropped == {"no graph": 1}


def test_an_object_is_refused_where_they_hold_text(tmp_path: Path) -> None:
    raw = written(tmp_path)
    with pytest.raises(BadData, match="holds lists or objects; a graph is a text"):
        read_rows(raw, kind(".txt"), RowFeatures(), lambda *_: ("graph", "label"))


def test_files_of_json_in_class_folders_are_examples(tmp_path: Path) -> None:
    for label in ("small", "large"):
        (tmp_path / label).mkdir()
        for number in range(3):
            (tmp_path / label / f"{number}.json").write_text(json.dumps({"nodes": number}))
    listing, _ = read_rows(tmp_path, kind(".json"), RowFeatures())
    assert sorted(example.label for example in listing.examples) == ["large"] * 3 + ["small"] * 3
