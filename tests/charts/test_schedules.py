"""Schedules of the platform's releases, against an API that keeps runs and who owns them."""

from __future__ import annotations

import copy
import random
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from modelyard.errors import UsageError
from modelyard.pipeline import pipelines
from tests.charts.kubeflow import Kubeflow, running
from tests.charts.test_platform_scripts import script
from tests.sampled import sampled

SPEC = """
pipelineInfo: {{name: modelyard-{family}-{kind}, description: Does {kind}.}}
deploymentSpec:
  executors:
    exec-a:
      container: {{args: [{code}]}}
root:
  inputDefinitions:
    parameters:
      image: {{defaultValue: any}}
"""
SCHEDULES = {
    "payments": {"family": "tabular", "cron": "0 0 * * * *"},
    "retina": {"family": "image", "cron": "0 30 6 * * *", "enabled": False},
    "texts": {"family": "language", "cron": "0 */5 * * * *", "settings": {"seed": 3}},
}


class Place:
    """Kubeflow Pipelines, the chart's script, and what people do to both."""

    def __init__(self, kubeflow: Kubeflow, register: ModuleType) -> None:
        self.kubeflow, self.register = kubeflow, register
        self.code = "c1"

    def plan(self, release: str, **change: Any) -> dict[str, Any]:
        plan = {
            "owner": f"models/{release}",
            "chart": "0.4.0",
            "image": "modelyard/trainer:1",
            "families": ["tabular"],
            "experiment": "modelyard",
            "namespace": "",
            "schedules": {"payments": SCHEDULES["payments"]},
            "waitMinutes": 0.1,
            "settleSeconds": 0,
            "account": f"{release}-launcher",
        }
        return copy.deepcopy(plan | change)

    def apply(self, plan: dict[str, Any]) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # kfp's word on old servers
            self.register.register(plan)

    def uninstall(self, plan: dict[str, Any]) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.register.remove(plan)

    def by_hand(self, name: str) -> dict[str, Any]:
        """A schedule that a person made on the page, called as ours are."""
        experiment = self.kubeflow.experiments[0]["experiment_id"]
        row = {
            "recurring_run_id": f"hand-{name}",
            "display_name": name,
            "experiment_id": experiment,
            "mode": "ENABLE",
            "status": "ENABLED",
        }
        self.kubeflow.recurring.append(row)
        return row

    def enabled(self) -> dict[str, dict[str, Any]]:
        return {
            one["display_name"]: one for one in self.kubeflow.recurring if one["mode"] == "ENABLE"
        }


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    with running() as kubeflow:
        found = Place(kubeflow, script("register"))

        def of_families(wanted: list[tuple[str, str]]) -> list[Path]:
            files = [tmp_path / f"{family}-{kind}-{found.code}.yaml" for family, kind in wanted]
            for file, (family, kind) in zip(files, wanted, strict=True):
                file.write_text(SPEC.format(family=family, kind=kind, code=found.code))
            return files

        monkeypatch.setattr(pipelines, "of_families", of_families)
        monkeypatch.setenv("KFP_HOST", kubeflow.url)
        monkeypatch.delenv("KFP_TOKEN_FILE", raising=False)
        yield found


def test_an_upgrade_with_the_same_values_leaves_schedule_and_run_alone(place):
    plan = place.plan("yard", schedules=SCHEDULES)
    place.apply(plan)
    place.kubeflow.tick()
    before = copy.deepcopy(place.kubeflow.recurring)
    versions = len(place.kubeflow.versions)
    place.apply(plan)
    assert place.kubeflow.recurring == before
    assert len(place.kubeflow.versions) == versions
    assert place.kubeflow.broken == []


@pytest.mark.parametrize("change", ["cron", "settings", "image", "code", "account"])
def test_a_changed_schedule_is_replaced_and_its_run_goes_on(place, change, capsys):
    plan = place.plan("yard")
    place.apply(plan)
    place.kubeflow.tick()
    (old,) = place.kubeflow.recurring
    after = place.plan("yard")
    if change == "cron":
        after["schedules"]["payments"]["cron"] = "0 15 * * * *"
    elif change == "settings":
        after["schedules"]["payments"]["settings"] = {"seed": 7}
    elif change == "code":
        place.code = "c2"
    else:
        after[change] = "other:2"
    place.apply(after)
    assert place.kubeflow.broken == []
    assert old["mode"] == "DISABLE"
    (new,) = place.enabled().values()
    assert new["recurring_run_id"] != old["recurring_run_id"]
    assert "goes on and is left" in capsys.readouterr().out
    place.kubeflow.runs[0]["state"] = "SUCCEEDED"
    place.apply(after)
    assert place.kubeflow.recurring == [new]


def test_a_rollback_enables_the_schedule_that_it_had_replaced(place):
    first, second = place.plan("yard"), place.plan("yard", image="other:2")
    place.apply(first)
    place.kubeflow.tick()
    (old,) = place.kubeflow.recurring
    place.apply(second)
    place.apply(first)
    assert [one["recurring_run_id"] for one in place.enabled().values()] == [
        old["recurring_run_id"]
    ]


def test_the_values_say_whether_a_schedule_is_enabled(place, capsys):
    plan = place.plan("yard")
    place.apply(plan)
    (one,) = place.kubeflow.recurring
    place.kubeflow.switch(one["recurring_run_id"], "DISABLE")
    place.apply(plan)
    assert list(place.enabled()) == ["yard-payments"]
    assert "yard-payments: enabled again" in capsys.readouterr().out
    plan["schedules"]["payments"]["enabled"] = False
    place.apply(plan)
    assert place.enabled() == {}


def test_a_schedule_whose_run_outlived_an_uninstall_works_again_after_the_next_install(place):
    plan = place.plan("yard")
    place.apply(plan)
    place.kubeflow.tick()
    place.uninstall(plan)
    assert place.enabled() == {}
    place.apply(plan)
    assert list(place.enabled()) == ["yard-payments"]
    assert place.kubeflow.broken == []


def test_uninstall_removes_the_releases_own_and_says_what_it_leaves(place, capsys):
    mine, other = place.plan("yard", schedules=SCHEDULES), place.plan("other")
    place.apply(mine)
    place.apply(other)
    foreign = place.by_hand("yard-payments")
    place.kubeflow.tick()
    place.uninstall(mine)
    said = capsys.readouterr().out
    assert "disabled; its run" in said
    assert "left: pipelines and their versions" in said
    assert place.kubeflow.broken == []
    assert foreign in place.kubeflow.recurring
    assert set(place.enabled()) == {"other-payments", "yard-payments"}


def test_uninstall_goes_on_where_kubeflow_pipelines_does_not_answer(place, monkeypatch, capsys):
    monkeypatch.setenv("KFP_HOST", "http://127.0.0.1:9")
    place.uninstall(place.plan("yard", waitMinutes=0))
    assert "the schedules of release models/yard are left" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"family": "tabuler"}, r"schedules\.x\.family: family 'tabuler' is unknown"),
        (
            {"family": "nowhere:Mine"},
            r"family: family 'nowhere:Mine': no module.*image\.repository",
        ),
        ({"cron": "* * * * *"}, r"schedules\.x\.cron = '\* \* \* \* \*' is no cron expression"),
        ({"cron": "0 0 25 * * *"}, r"schedules\.x\.cron"),
        ({"cron": "0 0 * * * hourly"}, r"schedules\.x\.cron"),
        ({"settings": {"model.tree": 3}}, r"schedules\.x\.settings: .*'model\.tree'"),
        ({"settings": {"monitor.alpha": 7}}, r"schedules\.x\.settings: .*'monitor\.alpha' = 7"),
        ({"settings": {"monitor.log": "/data/log"}}, r"monitor\.log = '/data/log'"),
    ],
)
def test_a_plan_with_a_wrong_value_touches_nothing_and_names_it(place, change, said):
    good = place.plan("yard")
    place.apply(good)
    before = copy.deepcopy((place.kubeflow.recurring, place.kubeflow.versions))
    schedule = {"family": "tabular", "cron": "0 0 * * * *"} | change
    wrong = place.plan("yard", image="other:2", schedules={"x": schedule})
    with pytest.raises(UsageError, match=said) as raised:
        place.apply(wrong)
    assert len(str(raised.value).splitlines()) == 1
    assert (place.kubeflow.recurring, place.kubeflow.versions) == before


def test_a_family_of_ones_own_is_registered_and_watched_where_the_image_holds_it(place):
    own = "tests.toy.family:Line"
    schedule = {"family": own, "cron": "0 0 * * * *"}
    place.apply(place.plan("yard", families=[own], schedules={"lines": schedule}))
    assert len(place.kubeflow.pipelines) == 3
    (made,) = place.kubeflow.recurring
    assert made["runtime_config"]["parameters"]["family"] == own


@pytest.mark.parametrize("cron", ["0 0 * * * *", "0 */15 6-18 ? * mon-fri", "30 0,30 1 1 jan 0"])
def test_usual_cron_expressions_are_taken(place, cron):
    place.apply(place.plan("yard", schedules={"x": {"family": "tabular", "cron": cron}}))
    assert place.kubeflow.recurring[0]["trigger"]["cron_schedule"]["cron"] == cron


def test_settings_with_signs_of_argo_are_encoded_in_a_schedule(place):
    from modelyard.settings.carried import received

    settings = {"serve.values": {"note": "{{x}} $$"}}
    schedule = SCHEDULES["payments"] | {"settings": settings}
    place.apply(place.plan("yard", schedules={"payments": schedule}))
    sent = place.kubeflow.recurring[0]["runtime_config"]["parameters"]["settings"]
    assert "{{x}}" not in str(sent)
    assert received(sent)["serve"] == {"values": {"note": "{{x}} $$"}}


def test_somebody_elses_pipeline_of_that_name_is_not_touched(place):
    row = {"pipeline_id": "p-hand", "display_name": "modelyard-tabular-training"}
    place.kubeflow.pipelines.append(row)
    version = {"pipeline_id": "p-hand", "pipeline_version_id": "v", "display_name": "mine"}
    place.kubeflow.versions.append(
        version | {"description": "mine", "created_at": "2026-01-01T00:00:00Z"}
    )
    with pytest.raises(UsageError, match="'modelyard-tabular-training' is there and not made by"):
        place.apply(place.plan("yard"))
    assert len(place.kubeflow.versions) == 1


def test_nor_is_one_that_only_a_schedule_would_add_a_version_to(place):
    row = {"pipeline_id": "p-hand", "display_name": "modelyard-language-monitoring"}
    place.kubeflow.pipelines.append(row)
    version = {"pipeline_id": "p-hand", "pipeline_version_id": "v", "display_name": "mine"}
    place.kubeflow.versions.append(
        version | {"description": "mine", "created_at": "2026-01-01T00:00:00Z"}
    )
    with pytest.raises(UsageError, match=r"'modelyard-language-monitoring'.*register\.schedules"):
        place.apply(place.plan("yard", schedules={"texts": SCHEDULES["texts"]}))
    assert len(place.kubeflow.versions) == 1
    assert place.kubeflow.recurring == []


@pytest.mark.parametrize("seed", sampled(range(50), 5))
def test_no_run_is_ended_and_no_foreign_schedule_touched_whatever_is_done(place, seed):
    """Installs, upgrades, rollbacks and uninstalls of two releases, runs that begin and end, people
    who make schedules of their own, in any order."""
    chance = random.Random(seed)
    history: dict[str, list[dict[str, Any]]] = {"yard": [], "shop": []}
    place.apply(place.plan("third", schedules={}))
    foreign = []
    for number in range(8):
        release = chance.choice(["yard", "shop"])
        act = chance.choice(["upgrade", "upgrade", "same", "rollback", "uninstall", "person"])
        past = history[release]
        if act == "person":
            name = chance.choice(["yard-payments", "shop-texts", "mine"])
            foreign.append(place.by_hand(f"{name}{number if name == 'mine' else ''}"))
            foreign[-1]["recurring_run_id"] += str(number)
        elif act == "uninstall" and past:
            place.uninstall(past[-1])
            marks = [one.get("description") or "" for one in place.enabled().values()]
            assert not any(f"models/{release}," in mark for mark in marks)
            past.clear()
        elif act in ("same", "rollback") and past:
            past.append(past[-1] if act == "same" else chance.choice(past))
            place.apply(past[-1])
        else:
            place.code = chance.choice(["c1", "c2", "c3"])
            names = chance.sample(sorted(SCHEDULES), chance.randint(0, 3))
            image = chance.choice(["modelyard/trainer:1", "modelyard/trainer:2"])
            schedules = {name: dict(SCHEDULES[name]) for name in names}
            for one in schedules.values():
                one["cron"] = chance.choice(["0 0 * * * *", "0 30 * * * *"])
            past.append(place.plan(release, image=image, schedules=schedules))
            place.apply(past[-1])
        for run in place.kubeflow.runs:
            if chance.random() < 0.3:
                run["state"] = "SUCCEEDED"
        if chance.random() < 0.7:
            place.kubeflow.tick()
        _check(place, history, foreign)


def _check(place: Place, history: dict[str, list[dict[str, Any]]], foreign: list[Any]) -> None:
    kubeflow = place.kubeflow
    assert kubeflow.broken == []
    for one in foreign:
        assert one in kubeflow.recurring
        assert one["mode"] == "ENABLE"
    for release, past in history.items():
        wanted = set()
        if past:
            schedules = past[-1]["schedules"]
            wanted = {name for name, one in schedules.items() if one.get("enabled", True)}
        working = [
            one
            for one in kubeflow.recurring
            if f"models/{release}," in (one.get("description") or "") and one["mode"] == "ENABLE"
        ]
        assert sorted(one["display_name"] for one in working) == sorted(
            f"{release}-{name}" for name in wanted
        )
