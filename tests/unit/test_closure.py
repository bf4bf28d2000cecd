"""What a stage's key covers: the code that computes, and no more."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from modelyard.family import load, names
from modelyard.stages import STAGES, TRAINING, closure

PACKAGE = Path("src/modelyard")
READING, MODELLING = {"ingest", "features"}, {"train", "evaluate", "export", "package"}
ASK = (
    "import json; from modelyard.family import load; from modelyard.stages import TRAINING\n"
    "print(json.dumps({stage.name: stage.code(load('image')) for stage in TRAINING}))"
)


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("source") / "modelyard"
    return Path(shutil.copytree(PACKAGE, folder, ignore=shutil.ignore_patterns("__pycache__")))


def codes(copy: Path) -> dict[str, str]:
    """Each stage's digest for the image family, by a fresh interpreter on the copy."""
    environment = {**os.environ, "PYTHONPATH": str(copy.parent)}
    done = subprocess.run(
        [sys.executable, "-c", ASK], env=environment, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def before(copy) -> dict[str, str]:
    """Each stage's digest of the copy as it is."""
    return codes(copy)


@pytest.fixture
def changed(copy, before):
    """Adds text to files of the copy; returns the stages whose key that changes. The edits are
    undone."""

    def edit(*files: str, new: str = "\n") -> set[str]:
        texts = {copy / file: (copy / file).read_text() for file in files}
        for path, text in texts.items():
            path.write_text(text + new)
        after = codes(copy)
        for path, text in texts.items():
            path.write_text(text)
        return {name for name in before if before[name] != after[name]}

    return edit


def test_a_page_a_command_the_server_or_another_family_changes_no_key(changed):
    files = [
        "families/image/README.md",
        "card/card.css",
        "serving/page/page.js",
        "cli/show.py",
        "serving/app.py",
        "families/recommender/model.py",
    ]
    assert changed(*files) == set()


def test_a_constant_of_the_network_changes_training_and_what_follows(changed):
    found = changed("families/image/network.py", new="A = 1\n")
    assert READING.isdisjoint(found)
    assert found >= MODELLING


def test_an_edit_of_the_reader_changes_every_stage_that_rests_on_it(changed):
    assert changed("kit/classifier/folders.py", new="A = 1\n") >= {
        "ingest",
        "features",
        "train",
        "package",
    }


def test_an_edit_of_the_training_loop_changes_training_and_not_reading(changed):
    found = changed("training/engine.py", new="A = 1\n")
    assert found >= {"train"}
    assert READING.isdisjoint(found)


def test_another_version_of_a_library_that_computes_is_other_code(monkeypatch):
    entry = load("image")
    before = {stage.name: stage.code(entry) for stage in TRAINING}
    installed = closure.library_version
    monkeypatch.setattr(
        closure, "library_version", lambda name: "9.9" if name == "torch" else installed(name)
    )
    after = {stage.name: stage.code(entry) for stage in TRAINING}
    assert before["train"] != after["train"]
    monkeypatch.setattr(
        closure,
        "library_version",
        lambda name: "9.9" if name in ("psutil", "rich") else installed(name),
    )
    assert {stage.name: stage.code(entry) for stage in TRAINING} == before


@pytest.mark.parametrize("family", names())
def test_reading_data_rests_on_no_training_code(family):
    entry = load(family)
    sources, _ = closure.closure([STAGES["features"].function.__module__, entry.module_of("data")])
    assert entry.module_of("data") in sources
    assert entry.module_of("build") not in sources
    assert "modelyard.training.engine" not in sources


@pytest.mark.parametrize("family", names())
def test_the_keys_of_stages_follow_every_module_of_a_family(family):
    entry = load(family)
    halves = [entry.module_of(half) for half in ("data", "build", "host")]
    sources, _ = closure.closure(halves)
    own = (PACKAGE / "families" / family).rglob("*.py")
    modules = [
        ".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts)
        for file in own
        if file.name != "__init__.py"
    ]
    assert modules
    assert [module for module in modules if module not in sources] == []


def test_relative_imports_late_imports_and_types_are_told_apart(tmp_path, monkeypatch):
    package = tmp_path / "sunny"
    package.mkdir()
    (package / "__init__.py").write_text("from .late import nothing\n")
    (package / "early.py").write_text(
        "def f():\n    from . import late\n    import json, numpy as np\n"
    )
    (package / "late.py").write_text(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from sunny.types import T\n"
        "\nnothing = 0  # import sunny.types\n"
    )
    (package / "types.py").write_text("T = int\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    sources, libraries = closure.closure(["sunny.early"])
    assert set(sources) == {"sunny.early", "sunny.late"}
    assert libraries == {"numpy"}
