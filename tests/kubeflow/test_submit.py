"""What `submit` sends: settings arrive as they were written, and what cannot work is refused before."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import fsspec
import pytest
from typer.testing import CliRunner

from modelyard.cli import options
from modelyard.cli.app import app
from modelyard.cli.submitting import arguments_of, uploaded
from modelyard.errors import UsageError
from modelyard.pipeline.pipelines import submit
from modelyard.settings.carried import LONGEST, MARK, carried, received
from tests.kubeflow.conftest import kept_logs, recording

FAMILY = "tests.toy.family:Line"
STEP = """
import json, sys
from modelyard.pipeline.form import FIELDS, configured
from modelyard.family import load
form = json.loads(sys.argv[1])
config = configured(load(sys.argv[2]), {name: form[name] for name in FIELDS if name in form}, form["settings"])
print(json.dumps(config.model_dump(mode="json")))
"""
TEXTS = {
    "a name of Argo's": "price {{workflow.name}}",
    "an input": "{{inputs.parameters.a}} and }} and {{",
    "dollars": "$$ $ $$$$ $(HOME) $HOME",
    "quotes and newlines": "a \"b\" 'c' \\ \\n\n\r\n\ttab",
    "signs": "é ü 日本 😀",
    "the mark itself": f"{MARK}nothing",
    "200 kB": "one sentence of a prompt with $$ and {{x}}; " * 4545,
}


def on_the_backend(parameters: Any) -> Any:
    """As Argo and Kubernetes pass a parameter on: `{{…}}` filled in, `$$` halved, `$(NAME)` expanded."""
    text = json.dumps(parameters)
    text = re.sub(r"\{\{workflow\.name\}\}", "tabular-training-x1", text)
    text = re.sub(r"\{\{[^}]*\}\}", "", text)
    text = text.replace("$$", "$").replace("$(HOME)", "/root")
    return json.loads(text)


def in_a_step(parameters: Any) -> Any:
    """The config that a step gets, by the arguments of its process, as the launcher passes them."""
    command = [sys.executable, "-c", STEP, json.dumps(parameters), FAMILY]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def submitted(pipelines, *settings: str) -> Any:
    """The parameters of the run that `submit` starts."""
    given = [word for setting in settings for word in ("--set", setting)]
    done = CliRunner().invoke(app, ["submit", FAMILY, "--no-follow", *given])
    assert done.exit_code == 0, done.exception
    return pipelines.submitted[-1]["runtime_config"]["parameters"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.setenv("MODELYARD_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MODELYARD_IMAGE", "registry.example/toy:1")
    monkeypatch.chdir(Path(__file__).parents[2])


def test_settings_arrive_in_the_step_as_they_were_submitted(pipelines):
    values = {f"k {number}": text for number, text in enumerate(TEXTS.values())}
    values["{{workflow.name}} $$"] = ["{{x}}", {"deep": "$$"}]
    sent = submitted(pipelines, f"serve.values={json.dumps(values)}", "serve.packages=s3://a/{{b}}")
    config = in_a_step(on_the_backend(sent))
    assert config["serve"]["values"] == values
    assert config["serve"]["packages"] == "s3://a/{{b}}"


@pytest.mark.parametrize("name", TEXTS)
def test_each_text_is_carried_unchanged(name):
    values = {"section": {"text": TEXTS[name], TEXTS[name][:50]: [TEXTS[name], 3, True, 0.5]}}
    sent = on_the_backend(carried(values))
    assert received(sent) == values


def test_settings_without_special_signs_stay_readable():
    values = {"data": {"uri": "s3://b/é.csv"}, "model": {"kind": "xgboost", "trees": 3}}
    assert carried(values) == values
    assert carried({"a": "b", "c": "$$"})["a"] == "b"


def test_settings_that_no_step_could_take_are_refused():
    source = random.Random(0)
    noise = "".join(chr(source.randrange(33, 0x3000)) for _ in range(LONGEST))
    with pytest.raises(UsageError, match=r"takes 100,000.*serve\.values_file"):
        carried({"a": noise})


def test_a_damaged_value_is_refused_in_the_step():
    with pytest.raises(UsageError, match="encoded and damaged"):
        received({"a": f"{MARK}eJx"})


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("--data", "{here}/a.csv"),
            "is on this machine, which no pod reaches. Type: --upload s3://",
        ),
        (("--data", "file://{here}/a.csv"), "is on this machine"),
        (("--data", "nowhere.csv"), "'nowhere.csv' is not there"),
        (("--data", "git+file:///repo#a.csv"), "is a repository on this machine"),
        (("--nodes", "2"), "--set cluster.scratch=s3://"),
        (("--set", "serve.release=churn"), "Type: --set serve.packages=s3://BUCKET"),
        (("--params", "{here}/none.yaml"), "none.yaml: there is no such file"),
        (("--monitoring",), "--set monitor.log=s3://"),
        (
            ("--monitoring", "--set", "monitor.log=runs/log"),
            "monitor.log runs/log: a pod does not reach",
        ),
    ],
)
def test_what_a_laptop_can_know_is_refused_on_the_laptop(pipelines, tmp_path, arguments, said):
    (tmp_path / "a.csv").write_text("x,y\n1,2\n")
    given = [word.replace("{here}", str(tmp_path)) for word in arguments]
    done = CliRunner().invoke(app, ["submit", FAMILY, "--no-follow", *given])
    assert isinstance(done.exception, UsageError)
    assert said in str(done.exception)
    assert len(str(done.exception).splitlines()) == 1
    assert pipelines.seen == []


def test_local_data_are_brought_to_a_store_once_and_trained_on_there(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text("x,y\n1,2\n")
    config = options.settings(FAMILY, data=str(file))
    first, second = uploaded(config, "memory://team/data"), uploaded(config, "memory://team/data/")
    assert first.data.uri == second.data.uri
    assert str(first.data.uri).startswith("memory://team/data/")
    store = fsspec.filesystem("memory")
    assert store.cat_file(str(first.data.uri)) == file.read_bytes()
    file.write_text("x,y\n1,3\n")
    assert uploaded(config, "memory://team/data").data.uri != first.data.uri
    sent = arguments_of(FAMILY, first, nodes=1, gpus=0)
    assert sent["data"] == first.data.uri
    assert sent["settings"] == {}


def test_a_folder_is_brought_whole_and_nothing_to_bring_is_refused(tmp_path):
    (tmp_path / "set" / "deep").mkdir(parents=True)
    for name in ("a.csv", "deep/b.csv"):
        (tmp_path / "set" / name).write_text(name)
    config = options.settings(FAMILY, data=str(tmp_path / "set"))
    uri = str(uploaded(config, "memory://team/folder").data.uri)
    found = fsspec.filesystem("memory").find(uri)
    assert [Path(name).name for name in found] == ["a.csv", "b.csv"]
    with pytest.raises(UsageError, match="--data names none"):
        uploaded(options.settings(FAMILY), "memory://team")
    with pytest.raises(UsageError, match="is no store"):
        uploaded(config, "/tmp/folder")


def test_the_image_that_is_named_is_a_field_of_the_form(pipelines):
    image = "registry.example/team/trainer:7"
    done = CliRunner().invoke(app, ["submit", FAMILY, "--no-follow", "--image", image])
    assert done.exit_code == 0, done.exception
    parameters = pipelines.submitted[-1]["runtime_config"]["parameters"]
    assert parameters["image"] == image
    assert parameters["settings"] == {}


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [
        ("succeeded", 0, "✓ done in 195 s"),
        (
            "data-missing",
            1,
            "✗ step ingest: data.uri 's3://settings/data/special $ {{a}}.csv': nothing",
        ),
    ],
)
def test_submit_follows_its_run_to_the_end(pipelines, monkeypatch, tmp_path, name, code, said):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "nowhere"))
    found = recording(name)
    pipelines.runs["r1"] = found["record"]
    kept_logs(pipelines, found)
    done = CliRunner().invoke(app, ["submit", FAMILY, "--set", "seed=3"])
    assert done.exit_code == code
    assert "· run r1" in done.output
    assert said in done.output
    assert f"page     {pipelines.url}/#/runs/details/r1" in done.output


def test_a_client_that_fails_without_a_word_is_still_told(tmp_path):
    """Time-outs of urllib3 have no message."""

    class Silent:
        def create_run_from_pipeline_package(self, *_: Any, **__: Any) -> None:
            raise TimeoutError

    with pytest.raises(UsageError, match="refused the run: TimeoutError"):
        submit(Silent(), tmp_path, {}, name="n", experiment="e", cache=True)
