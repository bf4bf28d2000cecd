"""`modelyard new`: a skeleton that keeps the contract as it is written."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from modelyard import scaffold
from modelyard.contract import CHECKS
from modelyard.errors import UsageError
from modelyard.family import names
from modelyard.kit import splits, tables
from modelyard.kit.columns import edits, fitting, frames
from modelyard.kit.columns.host import ColumnHost
from modelyard.kit.columns.schema import ColumnSchema
from modelyard.kit.columns.settings import ColumnFeatures

ROOT = Path(__file__).parents[2]
FILES = {
    "README.md",
    "__init__.py",
    "config.py",
    "data.py",
    "family.py",
    "host.py",
    "model.py",
    "test_flat_rent.py",
}


@pytest.mark.parametrize("classifier", [False, True])
def test_new_family_keeps_the_contract_as_it_is(tmp_path, classifier):
    scaffold.create("flat_rent", tmp_path, classifier)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-rs", "flat_rent"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
    passed = re.search(r"(\d+) passed in", done.stdout)
    assert passed, done.stdout
    assert int(passed[1]) >= 20


@pytest.mark.parametrize("classifier", [False, True])
def test_new_family_is_formatted_and_lint_free(tmp_path, classifier):
    files = scaffold.create("flat_rent", tmp_path, classifier)
    options = ["--no-cache", "--config", str(ROOT / "pyproject.toml")]
    ours = ["--config", "lint.isort.known-first-party=['modelyard']"]
    for command in (["check", *options, *ours], ["format", "--check", *options]):
        ruff = [sys.executable, "-m", "ruff", *command, *map(str, files[1:])]
        done = subprocess.run(ruff, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("classifier", [False, True])
def test_files_have_the_fixed_names_and_no_placeholder_is_left(tmp_path, classifier):
    files = scaffold.create("flat_rent", tmp_path, classifier)
    more = {"samples.py", "spec.py"} if classifier else set()
    assert (
        {file.name for file in files}
        == FILES | more
        == {file.name for file in (tmp_path / "flat_rent").iterdir()}
    )
    assert not [file for file in files if "$" in file.read_text() or "NAME" in file.read_text()]
    assert "class FlatRent(" in (tmp_path / "flat_rent" / "family.py").read_text()


def test_family_is_called_by_its_name_inside_modelyard_and_by_its_class_elsewhere(tmp_path):
    assert scaffold.family_name("flat_rent", ROOT / "src/modelyard/families") == "flat_rent"
    assert scaffold.family_name("flat_rent", tmp_path) == "flat_rent:FlatRent"
    assert '"flat_rent"' in scaffold.render("flat_rent", "flat_rent")["test_flat_rent.py"]
    assert (
        '"flat_rent:FlatRent"'
        in scaffold.render("flat_rent", "flat_rent:FlatRent")["test_flat_rent.py"]
    )


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("Flat", "lower-case"),
        ("flat-rent", "lower-case"),
        ("2flats", "lower-case"),
        ("../flat", "lower-case"),
        ("", "lower-case"),
        ("wohnungsgröße", "lower-case"),
        ("class", "Python keyword"),
        (names()[0], "comes with modelyard"),
        ("json", "Python has a module of that name"),
    ],
)
def test_unusable_name_is_refused_and_nothing_is_written(name, says, tmp_path):
    with pytest.raises(UsageError, match=says):
        scaffold.create(name, tmp_path)
    assert not list(tmp_path.rglob("*"))


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "flat_rent").mkdir()
    (tmp_path / "flat_rent" / "mine.txt").write_text("kept")
    with pytest.raises(UsageError, match="exists and is left as it is"):
        scaffold.create("flat_rent", tmp_path)
    assert (tmp_path / "flat_rent" / "mine.txt").read_text() == "kept"


def test_folder_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(UsageError, match="nowhere is not a folder"):
        scaffold.create("flat_rent", tmp_path / "nowhere")


def test_failure_half_way_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(scaffold, "render", lambda *_: {"a.py": "x = 1", "b.py": None})
    with pytest.raises(TypeError):
        scaffold.create("flat_rent", tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "block", re.findall(r"```python\n(.*?)```", (ROOT / "docs/families.md").read_text(), re.S)
)
def test_the_guide_quotes_the_skeletons(block):
    """docs/families.md shows real text: each of its Python blocks is in a file of a skeleton."""
    texts = [*scaffold.render("flat_rent", "flat_rent:FlatRent").values()]
    texts += scaffold.render("sounds", "sounds:Sounds", scaffold.CLASSIFIER).values()
    assert any(block.strip("\n") in text for text in texts)


class Rows(ColumnHost):
    """Only what reads requests."""

    def predict(self, run, requests):
        raise NotImplementedError

    def describe(self, request, response):
        raise NotImplementedError


def test_rows_of_a_table_are_read_as_the_guide_says(tmp_path):
    (code,) = re.findall(r"```py\n(.*?)```", (ROOT / "docs/families.md").read_text(), re.S)
    lines = [f"{number},{'red' if number % 3 else 'blue'},{number % 7}" for number in range(60)]
    (tmp_path / "table.csv").write_text("age,colour,price\n" + "\n".join(lines))
    given = {"raw": tmp_path, "out": tmp_path, "names": ["age", "colour"], "seed": 0}
    given |= {"settings": ColumnFeatures(), "pd": pd, "np": np, "ColumnSchema": ColumnSchema}
    for module in (edits, fitting, frames, splits, tables):
        given |= vars(module)
    exec(code, given)  # noqa: S102 - the guide's own lines
    schema = ColumnSchema.load(tmp_path / "assets")
    host = Rows(tmp_path / "assets", schema, "A row.")
    requests = [
        host.Request.model_validate(body)
        for body in frames.bodies(tmp_path / "test.parquet", schema, None)
    ]
    assert len(requests) == 12
    answered = host.encoder.transform(host.columns(requests))
    assert np.array_equal(answered, np.load(tmp_path / "test.npy"))


def test_the_guide_lists_every_check_with_its_own_words():
    guide = (ROOT / "docs/families.md").read_text()
    rows = [
        f"| `{name}` | {' '.join((check.__doc__ or '').split())} |"
        for name, check in CHECKS.items()
    ]
    assert [row for row in rows if row not in guide] == []
