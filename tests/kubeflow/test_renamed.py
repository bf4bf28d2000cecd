"""A cloned run, a schedule and a params.yaml outlive a release that calls a setting otherwise."""

from __future__ import annotations

import json
from typing import ClassVar

import pytest
from typer.testing import CliRunner

from modelyard.cli import options
from modelyard.cli.app import app
from modelyard.errors import UsageError
from modelyard.family import Entry
from modelyard.pipeline import form
from modelyard.settings.family import FamilyConfig
from tests.charts.test_platform_scripts import script
from tests.toy.family import LineConfig, LineFamily, LineHost

FAMILY = "tests.kubeflow.test_renamed:AFTER"


class AfterConfig(LineConfig):
    """As if this release had renamed a setting of the family, and the next a whole section."""

    renamed: ClassVar = {"features.dots": "features.points", "watching": "monitor"}


AFTER = Entry("after a release", AfterConfig, build=LineFamily, host=LineHost)
OLD = {"features": {"dots": 90}, "watching": {"alpha": 0.05}}


def test_a_cloned_run_goes_on_with_a_word_in_the_first_steps_log(caplog):
    fields = {"data": "", "target": "", "model": "", "name": "lines"}
    handed = form.prepare(FAMILY, fields, OLD, 1, 0, "any:1")
    assert handed["features"]["config"]["features"] == {"points": 90}
    assert handed["monitor"]["config"]["monitor"]["alpha"] == 0.05
    assert "features.dots" not in json.dumps(handed)
    assert [record.getMessage() for record in caplog.records] == [
        "setting 'features.dots' is called 'features.points' now; its old name still works",
        "setting 'watching' is called 'monitor' now; its old name still works",
    ]


def test_a_steps_own_settings_say_nothing_again(caplog):
    fields = {"data": "", "target": "", "model": "", "name": ""}
    handed = form.prepare(FAMILY, fields, OLD, 1, 0, "any:1")
    caplog.clear()
    form.prepare(FAMILY, fields, handed["package"]["config"], 1, 0, "any:1")
    assert caplog.records == []


def test_a_schedule_and_the_command_line_take_the_old_name(tmp_path, monkeypatch, pipelines):
    monkeypatch.setenv("MODELYARD_IMAGE", "registry.example/toy:1")
    monkeypatch.setenv("MODELYARD_HOME", str(tmp_path))
    settings = {"features.dots": 90, "watching.log": "s3://logs/lines"}
    schedule = {"family": FAMILY, "cron": "0 0 * * * *", "settings": settings}
    script("register").check_schedules({"schedules": {"lines": schedule}})
    params = tmp_path / "params.yaml"
    params.write_text(f"'{FAMILY}':\n  features: {{dots: 120}}\n")
    given = ["--params", str(params), "--set", "watching.alpha=0.05", "--no-follow"]
    done = CliRunner().invoke(app, ["submit", FAMILY, *given])
    assert done.exit_code == 0, done.exception
    sent = pipelines.submitted[-1]["runtime_config"]["parameters"]
    assert sent["settings"] == {"features": {"points": 120}, "monitor": {"alpha": 0.05}}


def test_a_later_source_wins_by_either_name(tmp_path):
    params = tmp_path / "params.yaml"
    params.write_text(f"'{FAMILY}':\n  features: {{points: 120}}\n")
    config = options.settings(FAMILY, assignments=["features.dots=90"], params=params)
    assert config.features.points == 90


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["features.dots=90", "features.points=80"], "both are given. Leave out 'features.dots'"),
        (["features.dot=90"], "setting 'features.dot' is unknown"),
        (["features.dots=2"], "'features.points' = 2"),
    ],
)
def test_both_names_and_other_mistakes_are_refused(given, said):
    with pytest.raises(UsageError) as raised:
        options.settings(FAMILY, assignments=given)
    assert said in str(raised.value)


def test_every_renamed_setting_exists_under_its_new_name_only():
    from modelyard.family import load, names
    from modelyard.settings.renamed import table_of

    for config in (AfterConfig, FamilyConfig, *(load(name).Config for name in names())):
        fields = config().model_dump()
        for old, new in table_of(config).items():
            assert _has(fields, new), f"{config.__name__}: {new}"
            assert not _has(fields, old), f"{config.__name__}: {old}"


def _has(values: dict, path: str) -> bool:
    for name in path.split("."):
        if not isinstance(values, dict) or name not in values:
            return False
        values = values[name]
    return True
