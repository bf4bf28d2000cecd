"""Settings as people see them: in the terminal, and on a page that is written from the code."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path

from typer.testing import CliRunner

from modelyard.cli.app import app
from modelyard.family import load
from modelyard.settings.listing import USUAL, markdown, settings_of, shared, usual

ROOT = Path(__file__).parents[2]


def test_the_page_of_settings_is_what_the_code_says():
    page = runpy.run_path(str(ROOT / "docs" / "settings.py"))["page"]()
    assert (ROOT / "docs" / "settings.md").read_text() == page, "type: make docs"


def test_every_setting_that_people_change_exists_and_every_setting_has_a_meaning():
    every = settings_of(load("tabular").Config)
    assert set(USUAL) <= {one.name for one in every}
    assert [one.name for one in every if not one.meaning] == []


def test_a_family_shows_its_own_settings_and_few_others():
    every = settings_of(load("image").Config)
    names = {one.name for one in usual(every)}
    assert {"model.kind", "features.size", "data.uri", "seed"} <= names
    assert "cluster.timeout_hours" not in names
    assert len(names) < len(every) / 2


def test_settings_of_a_section_that_are_its_own_come_before_those_that_families_share():
    names = [one.name for one in settings_of(load("tabular").Config)]
    assert names.index("features.target") < names.index("features.max_words")
    assert names.index("features.test_share") < names.index("features.table_schema")
    assert names.index("data.uri") < names.index("features.target")


def test_the_command_shows_the_few_and_with_all_the_rest():
    few = CliRunner().invoke(app, ["families", "image"], env={"COLUMNS": "200"})
    everything = CliRunner().invoke(app, ["families", "image", "--all"], env={"COLUMNS": "200"})
    assert few.exit_code == everything.exit_code == 0
    assert "model.kind" in few.output
    assert "modelyard families image --all" in few.output
    assert "cluster.timeout_hours" not in few.output
    assert "cluster.timeout_hours" in everything.output


def test_a_bar_in_a_meaning_does_not_break_the_table():
    rows = markdown(shared()).splitlines()
    assert all(row.count("|") - row.count("\\|") == 4 for row in rows)


def test_titles_are_those_of_the_entries_and_import_no_config():
    code = (
        "import sys\n"
        "from modelyard.cli.catalogue import title_of\n"
        "from modelyard.family import load, names\n"
        "found = {name: title_of(name) for name in names()}\n"
        "assert not [one for one in sys.modules if one.startswith('modelyard.families.')]\n"
        "assert found == {name: load(name).title for name in names()}\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
