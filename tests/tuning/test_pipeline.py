"""The tuning pipeline: its steps as functions, its graph, and the whole of it on this machine."""

import json
import re
from pathlib import Path

import pytest
import yaml

from modelyard.cost.meters import memory_limit
from modelyard.errors import ModelyardError
from modelyard.family import load
from modelyard.packages.package import read_info
from modelyard.settings.carried import received
from modelyard.settings.family import resolve
from modelyard.settings.search import nested
from modelyard.stages.features import features
from modelyard.stages.ingest import ingest
from modelyard.stages.run import Run
from modelyard.tuning import batch

NAME = "tests.tuning.descent:Descent"
DYING = "tests.tuning.dying:Dying"
CONFIG = {"features": {"points": 60}}
FIXED = ["features.points", "model.bias"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    run = Run.of(NAME, CONFIG)
    ingest(run, dataset=folder / "dataset")
    features(run, dataset=folder / "dataset", features=folder / "features")
    return folder


def tried(made, proposals: list[str], config: dict | None = None) -> list[str]:
    return [
        batch.trial(NAME, config or CONFIG, one, made / "dataset", made / "features")
        for one in proposals
    ]


def test_the_first_batch_begins_with_the_starting_settings():
    proposals = [json.loads(text) for text in batch.suggest(NAME, CONFIG, FIXED, 4, [])]
    assert proposals[0] == {"number": 0, "settings": {}}
    assert [one["number"] for one in proposals] == [0, 1, 2, 3]
    assert all(
        set(one["settings"]) == {"model.kind", "training.learning_rate"} for one in proposals[1:]
    )


def test_a_second_batch_follows_from_the_first_ones_results(made):
    first = tried(made, batch.suggest(NAME, CONFIG, FIXED, 3, []))
    second = [json.loads(text) for text in batch.suggest(NAME, CONFIG, FIXED, 3, first)]
    assert [one["number"] for one in second] == [3, 4, 5]
    assert second == [json.loads(text) for text in batch.suggest(NAME, CONFIG, FIXED, 3, first)]


def test_a_trial_is_judged_on_the_validation_split_and_leaves_no_file(made, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path.cwd()))
    monkeypatch.chdir(tmp_path)
    (text,) = tried(made, [json.dumps({"number": 0, "settings": {}})])
    assert json.loads(text)["result"]["metric"] == "mae"
    (text,) = tried(made, [json.dumps({"number": 1, "settings": {"features.points": 120}})])
    assert "result" in json.loads(text)
    assert list(tmp_path.iterdir()) == []


def test_settings_that_cannot_be_trained_are_a_result_too(made):
    (text,) = tried(made, [json.dumps({"number": 1, "settings": {"training.learning_rate": 1e5}})])
    assert "not finite" in json.loads(text)["error"]
    assert len(
        batch.suggest(
            NAME,
            CONFIG,
            FIXED,
            2,
            [*tried(made, [json.dumps({"number": 0, "settings": {}})]), text],
        )
    )


def test_a_trial_whose_process_is_killed_is_one_failed_trial_and_the_page_says_why(made, tmp_path):
    proposals = [
        json.dumps({"number": 0, "settings": {}}),
        json.dumps({"number": 1, "settings": {"model.bias": False}}),
        json.dumps({"number": 2, "settings": {"training.learning_rate": 0.2}}),
    ]
    done = [
        batch.trial(DYING, CONFIG, one, made / "dataset", made / "features") for one in proposals
    ]
    error = json.loads(done[1])["error"]
    assert error.startswith("the trial's process ended by SIGKILL, as Linux does where memory runs")
    assert len(batch.suggest(DYING, CONFIG, FIXED, 2, done)) == 2
    found = batch.best(DYING, CONFIG, FIXED, done, tmp_path)
    assert found["training"]["learning_rate"] == 0.2
    page = (tmp_path / "tune.html").read_text()
    assert "1 of 3 trials failed and were left out:" in page
    assert "Trial 2: the trial&#x27;s process ended by SIGKILL" in page


def test_a_trial_is_stopped_before_it_takes_the_whole_memory_of_its_step(made, monkeypatch, capsys):
    monkeypatch.setattr(batch, "memory_limit", lambda: 30 * 2**20)
    (text,) = tried(made, [json.dumps({"number": 0, "settings": {}})], {"model": {"pause": 0.5}})
    error = json.loads(text)["error"]
    assert re.match(r"it held [\d,]+ MB of the step's 30 MB of memory and was stopped. Give", error)


@pytest.mark.parametrize(
    ("files", "limit"),
    [
        ({"memory.max": "2147483648\n"}, 2**31),
        ({"memory.max": "max\n"}, None),
        ({"memory/memory.limit_in_bytes": "1073741824\n"}, 2**30),
        ({"memory/memory.limit_in_bytes": "9223372036854771712\n"}, None),
        ({}, None),
    ],
)
def test_the_memory_that_a_container_may_hold_is_read_from_its_cgroup(tmp_path, files, limit):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert memory_limit(tmp_path) == limit


def test_a_search_whose_start_cannot_be_trained_ends_with_the_cause(made, tmp_path):
    bad = {"training": {"learning_rate": 1e5}, **CONFIG}
    done = tried(made, [json.dumps({"number": 0, "settings": {}})], bad)
    with pytest.raises(ModelyardError, match="not finite"):
        batch.best(NAME, bad, FIXED, done, tmp_path)


def test_the_best_of_all_results_is_the_config_that_comes_out(made, tmp_path):
    rates = {0: {}, 1: {"training.learning_rate": 0.2}, 2: {"training.learning_rate": 0.01}}
    done = tried(
        made, [json.dumps({"number": number, "settings": one}) for number, one in rates.items()]
    )
    found = batch.best(NAME, CONFIG, FIXED, done[::-1], tmp_path)
    assert found["training"]["learning_rate"] == 0.2
    assert yaml.safe_load((tmp_path / "best.yaml").read_text())[NAME]["training"] == {
        "learning_rate": 0.2
    }
    assert len(json.loads((tmp_path / "trials.json").read_text())) == 3


@pytest.fixture(scope="module")
def compiled(tmp_path_factory) -> Path:
    from modelyard.pipeline.pipelines import compile_pipeline

    return compile_pipeline(NAME, "tuning", tmp_path_factory.mktemp("compiled") / "tuning.yaml")


def test_trials_fan_out_over_the_proposals_of_each_round(compiled):
    pipeline = next(yaml.safe_load_all(compiled.read_text()))
    tasks = pipeline["root"]["dag"]["tasks"]
    assert set(tasks) == {
        *("prepare", "ingest", "features", "round", "round-2", "best"),
        "condition-1",
    }
    assert "round" in tasks["round-2"]["dependentTasks"]
    inside = pipeline["components"][tasks["round"]["componentRef"]["name"]]["dag"]["tasks"]
    loop = next(task for name, task in inside.items() if name != "suggest")
    assert re.search("suggest-Output", loop["parameterIterator"]["items"]["inputParameter"])
    assert loop["iteratorPolicy"]["parallelismLimit"] == 4
    trial = pipeline["components"][loop["componentRef"]["name"]]["dag"]["tasks"]
    assert list(trial) == ["trial"]


@pytest.mark.slow
def test_the_pipeline_on_this_machine_finds_better_settings(compiled, tmp_path, monkeypatch):
    """Ingest, features, two rounds of three trials, best: about ten processes of kfp's local
    runner."""
    from modelyard.pipeline.pipelines import run_here

    monkeypatch.setenv("PYTHONPATH", str(Path.cwd()))
    given = {"settings": CONFIG, "trials": 3, "fixed": [*FIXED, "model.kind"], "register": False}
    run_here(compiled, tmp_path, given)
    assert not list(tmp_path.rglob("package.json"))
    (file,) = tmp_path.rglob("best.yaml")
    rows = json.loads(file.with_name("trials.json").read_text())
    assert [row["trial"] for row in rows] == list(range(1, 7))
    assert min(row["mae"] for row in rows) < rows[0]["mae"]
    block = yaml.safe_load(file.read_text())[NAME]
    best = min(rows, key=lambda row: row["mae"])["settings"]
    whole = resolve(load(NAME).Config, ("config", CONFIG), ("config", nested(best)))
    assert resolve(load(NAME).Config, ("params.yaml", block)) == whole


def test_what_a_trial_reached_is_a_metric_of_the_page_and_a_failed_one_has_none(made):
    done, failed = tried(
        made,
        [
            json.dumps({"number": 0, "settings": {}}),
            json.dumps({"number": 1, "settings": {"training.learning_rate": 1e5}}),
        ],
    )
    reached = json.loads(done)["result"]
    assert batch.figures(done) == {"mae": reached["value"]}
    assert "error" in json.loads(failed)
    assert batch.figures(failed) == {}


def test_the_best_settings_come_out_as_a_pipeline_carries_them(made, tmp_path):
    signs = {**CONFIG, "registry": {"name": "line"}, "serve": {"values": {"text": "$$ {{x}}"}}}
    done = tried(made, [json.dumps({"number": 0, "settings": {}})], signs)
    found = batch.best(NAME, signs, FIXED, done, tmp_path)
    assert "{{" not in json.dumps(found)
    assert received(found)["serve"]["values"] == {"text": "$$ {{x}}"}


@pytest.mark.slow
def test_the_best_settings_are_trained_judged_and_registered_at_the_end(
    compiled, tmp_path, monkeypatch
):
    from modelyard.pipeline.pipelines import run_here

    monkeypatch.setenv("PYTHONPATH", str(Path.cwd()))
    monkeypatch.setenv("MODELYARD_HOME", str(tmp_path / "home"))
    given = {"family": "tests.tuning.descent:Registered", "settings": CONFIG, "fixed": FIXED}
    run_here(compiled, tmp_path, {**given, "trials": 2})
    (file,) = tmp_path.rglob("trials.json")
    best = min(json.loads(file.read_text()), key=lambda row: row["mae"])["settings"]
    (package,) = tmp_path.rglob("package/package.json")
    whole = resolve(load(NAME).Config, ("config", CONFIG), ("config", nested(best)))
    assert read_info(package.parent).config == whole.model_dump(mode="json")
    (deployed,) = tmp_path.rglob("deployment.json")
    assert json.loads(deployed.read_text())["champion"]
