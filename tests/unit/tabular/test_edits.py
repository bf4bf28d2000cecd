"""The schema that a run writes next to the data binds in nothing but what a person edits."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from modelyard.errors import BadData
from modelyard.families.tabular.schema import TableSchema
from modelyard.kit.columns.edits import companions, find_edits, write_back
from tests.unit.tabular.conftest import built, customers, roles, write


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A table that was run once: the inferred schema lies next to it."""
    frame = customers()
    frame["plan"] = ["free", "paid"] * 200
    file = write(tmp_path, frame)
    _, out = built(tmp_path, file, target="churn")
    (written,) = write_back(out, file)
    assert written == schema_of(file)
    return file


def schema_of(file: Path) -> Path:
    return file.parent / "customers.schema.json"


def edit(file: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Changes the content of the schema file as a person does."""
    content = json.loads(schema_of(file).read_text())
    change(content)
    schema_of(file).write_text(json.dumps(content))


def column(content: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = (column for column in content["columns"] if column["name"] == name)
    assert isinstance(found, dict)
    return found


def test_what_was_inferred_stands_in_one_line_at_the_end(table: Path) -> None:
    *shown, copy, _ = schema_of(table).read_text().splitlines()
    inferred = json.loads("{" + copy + "}")["inferred"]
    assert json.loads("\n".join(shown).removesuffix(",") + "}") == inferred
    assert TableSchema.model_validate(inferred).target == "churn"


def test_an_unedited_schema_is_as_none(table: Path) -> None:
    assert find_edits(table, None).file is None
    assert find_edits(table.parent, None).file is None
    assert companions(str(table), None) == {}


def test_another_target_works_with_the_unedited_schema(tmp_path: Path, table: Path) -> None:
    summary, out = built(tmp_path, table, target="plan")
    assert summary["classes"].keys() == {"free", "paid"}
    assert roles(out)["churn"] == "category"


def test_a_later_empty_cell_works_with_the_unedited_schema(tmp_path: Path, table: Path) -> None:
    frame = pd.read_csv(table)
    assert frame["age"].notna().all()
    frame.loc[3, "age"] = None
    _, out = built(tmp_path, write(tmp_path, frame), target="churn")
    (age,) = (one for one in TableSchema.load(out / "assets").columns if one.name == "age")
    assert age.nullable


def test_a_later_column_or_one_that_is_gone_works_with_the_unedited_schema(
    tmp_path: Path, table: Path
) -> None:
    frame = pd.read_csv(table).drop(columns="city")
    frame["region"] = ["north", "south"] * 200
    _, out = built(tmp_path, write(tmp_path, frame), target="churn")
    assert roles(out)["region"] == "category"


def test_an_edited_field_binds_and_nothing_else_of_its_file(tmp_path: Path, table: Path) -> None:
    edit(table, lambda content: column(content, "age").update(role="category"))
    assert companions(str(table), None) == {"customers.schema.json": schema_of(table)}
    edits = find_edits(table, None)
    assert edits.columns == {"age": {"role": "category"}}
    assert (edits.task, edits.classes) == (None, None)
    summary, out = built(tmp_path, table, target="plan")
    assert roles(out)["age"] == "category"
    assert any("columns follow customers.schema.json" in note for note in summary["notes"])


def test_an_edited_schema_names_the_target_where_none_is_typed(tmp_path: Path, table: Path) -> None:
    edit(table, lambda content: content.update(target="plan"))
    summary, _ = built(tmp_path, table)
    assert summary["classes"].keys() == {"free", "paid"}


def test_edited_classes_hold_for_the_files_own_target(tmp_path: Path, table: Path) -> None:
    edit(table, lambda content: content.update(classes=["left", "stayed"]))
    _, out = built(tmp_path, table, target="churn")
    assert TableSchema.load(out / "assets").classes == ["left", "stayed"]
    summary, _ = built(tmp_path, table, target="plan")
    assert any("those of churn, not of plan" in note for note in summary["notes"])


def test_a_schema_without_a_copy_of_what_was_inferred_binds_whole(
    tmp_path: Path, table: Path
) -> None:
    edit(table, lambda content: content.pop("inferred"))
    assert companions(str(table), None) == {"customers.schema.json": schema_of(table)}
    edits = find_edits(table, None)
    assert edits.classes == ["stayed", "left"]
    assert edits.columns["age"]["role"] == "numeric"
    frame = pd.read_csv(table)
    frame.loc[3, "age"] = None
    with pytest.raises(BadData, match=r'empty.*; customers.schema.json says.*"nullable": false'):
        built(tmp_path, write(tmp_path, frame), target="churn")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda content: column(content, "city").update(nullable=False),
            r"customers\.csv, row \d+, column 'city': the cell is empty.*; "
            r'customers.schema.json says "nullable": false\. Fill it',
        ),
        (
            lambda content: column(content, "city").update(role="numeric"),
            r"'Paris' is not a number; customers.schema.json says \"role\": \"numeric\"",
        ),
        (
            lambda content: content.update(classes=["left", "lost"]),
            r"customers\.schema\.json, column 'churn': the schema's classes are left, lost",
        ),
        (
            lambda content: content.update(task="regression"),
            r'it is no regression; customers.schema.json says "task": "regression"',
        ),
        (
            lambda content: content.update(target="churned"),
            r"customers\.schema\.json, column 'churned': the table has no such column",
        ),
        (
            lambda content: content["columns"].append({"name": "Age", "role": "numeric"}),
            r"customers\.schema\.json, column 'Age': the schema names a column that the table lacks",
        ),
        (
            lambda content: content.update(inferred=[]),
            r"customers\.schema\.json: 'inferred' must be an object, seen list. Delete it",
        ),
    ],
    ids=["nullable", "role", "classes", "task", "target", "column", "inferred"],
)
def test_an_error_that_comes_from_an_edit_names_its_file(
    tmp_path: Path, table: Path, change: Callable[[dict[str, Any]], object], said: str
) -> None:
    edit(table, change)
    own = json.loads(schema_of(table).read_text())["target"] != "churn"
    with pytest.raises(BadData, match=said):
        built(tmp_path, table, target=None if own else "churn")


def test_a_schema_named_by_the_setting_is_called_so_once_it_was_fetched(tmp_path: Path) -> None:
    file = write(tmp_path, customers())
    mine = tmp_path / "mine.json"
    mine.write_text('{"columns": [{"name": "Age", "role": "numeric"}]}')
    (brought,) = companions(str(file), str(mine))
    (file.parent / brought).write_text(mine.read_text())
    with pytest.raises(BadData, match=r"mine\.json, column 'Age'"):
        built(tmp_path, file.parent, target="churn", table_schema=str(mine))


def test_a_schema_saved_with_a_byte_order_mark_is_read(table: Path) -> None:
    """As Windows' editor does."""
    edit(table, lambda content: content["columns"][1].update(role="drop"))
    file = schema_of(table)
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    edits = find_edits(table, None)
    assert [fields["role"] for fields in edits.columns.values()] == ["drop"]
