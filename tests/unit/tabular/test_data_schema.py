"""A schema that a person edited is followed, or refused by field."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from modelyard.errors import BadData
from modelyard.families.tabular.schema import TableSchema
from modelyard.kit.columns.edits import write_back
from modelyard.kit.columns.encode import Encoder
from tests.unit.tabular.conftest import built, customers, roles, write


def test_an_edited_schema_beside_the_data_is_followed(tmp_path: Path) -> None:
    file = write(tmp_path, customers())
    _, out = built(tmp_path, file, target="churn")
    (written,) = write_back(out, file)
    assert written.name == "customers.schema.json"
    schema = json.loads(written.read_text())
    assert list(schema)[:4] == ["target", "task", "classes", "columns"], "the few on top"
    for column in schema["columns"]:
        if column["name"] == "age":
            column.update(role="category", transform=None)
        if column["name"] == "income":
            column.update(transform="log", description="before tax, EUR a year")
        if column["name"] == "note":
            column.update(role="drop", transform=None)
    written.write_text(json.dumps(schema))
    summary, out = built(tmp_path, file)
    assert roles(out) | {"age": "category", "note": "drop"} == roles(out)
    income = next(c for c in TableSchema.load(out / "assets").columns if c.name == "income")
    assert (income.transform, income.description) == ("log", "before tax, EUR a year")
    assert any("follow customers.schema.json" in note for note in summary["notes"])
    raw_folder, _ = built(tmp_path, file.parent)
    assert raw_folder["columns"] == summary["columns"]


def test_a_schema_may_name_some_columns_only(tmp_path: Path) -> None:
    frame = customers()
    frame["grade"] = np.random.default_rng(0).choice(["low", "middle", "high"], 400)
    schema = tmp_path / "mine.json"
    choices = ["low", "middle", "high"]
    column = {"name": "grade", "role": "category", "transform": "ordinal", "choices": choices}
    schema.write_text(json.dumps({"columns": [column]}))
    _, out = built(tmp_path, write(tmp_path, frame), target="churn", table_schema=str(schema))
    part = Encoder.load(out / "assets").parts["grade"]
    assert part.categories == choices  # type: ignore[union-attr]
    assert part.names == ["grade: rank", "grade=(other)"]


def test_a_new_role_alone_brings_its_own_transform(tmp_path: Path) -> None:
    file = write(tmp_path, customers())
    (file.parent / "schema.json").write_text('{"columns": [{"name": "age", "role": "category"}]}')
    _, out = built(tmp_path, file, target="churn")
    age = next(
        column for column in TableSchema.load(out / "assets").columns if column.name == "age"
    )
    assert (age.role, age.transform) == ("category", "onehot")
    member = {"columns": [{"name": "member", "role": "category"}]}
    (file.parent / "schema.json").write_text(json.dumps(member))
    _, out = built(tmp_path, file, target="churn")
    assert set(pd.read_parquet(out / "train.parquet")["member"]) == {"true", "false"}


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        (
            '{"columns": [{"name": "age", "role": "number"}]}',
            "column 'age': role 'number' is unknown.*numeric",
        ),
        (
            '{"columns": [{"name": "age", "transform": "onehot"}]}',
            "'age'.*'onehot' does not suit role 'numeric'",
        ),
        (
            '{"columns": [{"name": "age", "rule": 1}]}',
            "column 'age': field 'rule' is unknown.*'role'",
        ),
        (
            '{"columns": [{"name": "Age"}]}',
            "column 'Age': the schema names a column.*Did you mean 'age'",
        ),
        ('{"columns": [{"role": "text"}]}', r"columns\[0\] must be an object with a 'name'"),
        (
            '{"columns": [{"name": "age", "nullable": "perhaps"}]}',
            "column 'age': field 'nullable' = 'perhaps'",
        ),
        ('{"kolumns": []}', "field 'kolumns' is unknown. Did you mean 'columns'"),
        ('{"task": "guess"}', "task 'guess' is unknown"),
        (
            '{"classes": ["left", "lost"]}',
            "schema's classes are left, lost, the data's left, stayed",
        ),
        ('{"columns": [{"name": "city", "nullable": false}]}', "column 'city': the cell is empty"),
        ("{", "is not JSON"),
    ],
)
def test_a_wrong_schema_is_told_by_field(tmp_path: Path, schema: str, said: str) -> None:
    file = write(tmp_path, customers())
    (file.parent / "schema.json").write_text(schema)
    with pytest.raises(BadData, match=said):
        built(tmp_path, file, target="churn")
