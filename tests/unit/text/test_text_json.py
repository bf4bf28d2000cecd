"""Labelled texts in files of JSON, as published sets have them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from modelyard.errors import BadData
from modelyard.families.text.config import TextConfig
from modelyard.families.text.tasks.data import data as open_data
from modelyard.kit.tables import read_table


def built(raw: Path, **features: Any) -> dict[str, Any]:
    out = raw.parent / "out"
    (out / "assets").mkdir(parents=True, exist_ok=True)
    return open_data(TextConfig.model_validate({"features": features})).features(raw, out)


def intents(split: str, count: int) -> list[list[str]]:
    return [[f"{split} me {n} to Rome", f"go{n % 2}"] for n in range(count)]


def write(file: Path, value: Any, indent: int | None = None) -> Path:
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(value, indent=indent))
    return file.parent


@pytest.mark.parametrize("indent", [None, 1])
def test_an_object_whose_fields_are_splits(tmp_path: Path, indent: int | None) -> None:
    value = {"train": intents("fly", 30), "val": intents("get", 8), "test": intents("bring", 9)}
    value["oos_val"] = [["what is a circle", "go1"]]
    summary = built(write(tmp_path / "raw/small.json", value, indent))
    assert summary["rows"] == {"train": 30, "validation": 9, "test": 9}
    assert "The text is the column 'c1', the label 'c2'." in summary["notes"]


def test_rows_within_one_object_are_a_table(tmp_path: Path) -> None:
    rows = [{"size": n, "price": n * n} for n in range(1, 4)]
    for value in ({"data": rows}, {"schema": {"fields": [{"name": "size"}]}, "data": rows}):
        raw = write(tmp_path / "raw/homes.json", value, 1)
        assert read_table(raw).names == ["size", "price"]
    with pytest.raises(BadData, match="holds one value, not rows"):
        read_table(write(tmp_path / "raw/homes.json", {"name": "a", "children": rows}, 1))


def test_a_folder_of_lists_is_one_data_set(tmp_path: Path) -> None:
    for fold in range(3):
        rows = [{"text": text, "intents": [go]} for text, go in intents(f"fold{fold}", 20)]
        write(tmp_path / f"raw/fold{fold}.json", rows)
    summary = built(tmp_path / "raw", labels="many")
    assert sum(summary["rows"].values()) == 60


def test_lists_of_labels_ask_for_many(tmp_path: Path) -> None:
    rows = [{"text": text, "intents": [go]} for text, go in intents("fly", 20)]
    rows += [{"text": "fly", "intents": labels} for labels in (["a", "b"], ["b"])]
    with pytest.raises(
        BadData, match=r"every text of class '\[\"a\", \"b\"\]'.*features.labels=many"
    ):
        built(write(tmp_path / "raw/fold.json", rows))
