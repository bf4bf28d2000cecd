"""What Kubeflow's cache answers of a second run, and what it must not."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from modelyard.family import load
from modelyard.pipeline import form
from modelyard.registry.versions import model_name
from modelyard.stages import TRAINING
from modelyard.stages.run import Run, code_version
from tests.pipeline.cache import Backend
from tests.pipeline.driver import documents

ALL = ["ingest", "features", "train", "evaluate", "export", "package"]
"""All steps but the first and the last, which act on the world."""


@pytest.fixture(scope="module")
def pipeline(compiled) -> Any:
    return documents(compiled["tabular", "training"])[0]


def prepare(inputs: dict[str, Any]) -> dict[str, Any]:
    """The first step, as its component calls it."""
    fields = {name: inputs[name] for name in form.FIELDS}
    nodes, gpus = inputs["nodes"], inputs["gpus_per_node"]
    image = inputs["image"]
    size = (inputs["cpu"], inputs["memory"])
    return form.prepare(inputs["family"], fields, inputs["settings"], nodes, gpus, image, *size)


def second(pipeline, first: dict[str, Any], then: dict[str, Any]) -> list[str]:
    """The steps that the second of two runs has answered."""
    backend = Backend()
    assert backend.run(pipeline, first, prepare) == []
    return backend.run(pipeline, then, prepare)


def test_the_same_run_again_has_all_steps_answered_but_the_first_and_deploy(pipeline):
    assert second(pipeline, {}, {}) == ALL
    asked = {"settings": {"model": {"trees": 50}, "training": {"epochs": 3}}, "model": "xgboost"}
    assert second(pipeline, asked, copy.deepcopy(asked)) == ALL


@pytest.mark.parametrize(
    ("then", "answered"),
    [
        ({"model": "xgboost"}, 2),
        ({"settings": {"model": {"trees": 50}}}, 2),
        ({"settings": {"training": {"epochs": 3}}}, 2),
        ({"settings": {"gate": {"threshold": 0.5}}}, 3),
        ({"settings": {"export": {"opset": 17}}}, 4),
        ({"settings": {"monitor": {"alpha": 0.05}}}, 5),
        ({"settings": {"features": {"sample_rows": 500}}}, 0),
        ({"settings": {"seed": 3}}, 0),
        ({"gpus_per_node": 1}, 2),
    ],
)
def test_a_changed_setting_leaves_what_does_not_read_it(pipeline, then, answered):
    assert second(pipeline, {}, then) == ALL[:answered]


def test_another_name_place_or_price_trains_nothing_again(pipeline):
    then = {"name": "churn", "settings": {"serve": {"timeout_minutes": 20.0}}}
    assert second(pipeline, {}, then) == ALL[:5]  # the package records all settings
    nodes = {"settings": {"cluster": {"cpu": "2"}}}
    assert second(pipeline, {}, nodes) == ALL[:5]


def test_a_code_change_answers_nothing_and_an_edited_page_everything(pipeline, monkeypatch):
    backend = Backend()
    backend.run(pipeline, {}, prepare)
    assert backend.run(pipeline, {}, prepare) == ALL
    monkeypatch.setattr(form, "code_version", lambda entry: "another")
    assert backend.run(pipeline, {}, prepare) == []


def test_a_familys_page_is_no_part_of_its_code(tmp_path, monkeypatch):
    folder = tmp_path / "ownfamily"
    folder.mkdir()
    (folder / "__init__.py").write_text(
        "from modelyard.family import Entry\nfrom tests.toy.family import LineConfig\n"
        "FAMILY = Entry('own', LineConfig, build='tests.toy.family:Line', host='tests.toy.family:Line')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    entry = load("ownfamily:FAMILY")
    before = code_version(entry)
    (folder / "README.md").write_text("A page.")
    code_version.cache_clear()
    assert code_version(entry) == before


def test_a_new_tag_of_the_image_answers_nothing(pipeline):
    assert second(pipeline, {}, {"image": "modelyard/trainer:newer"}) == []


def test_data_that_changed_are_fetched_again_and_those_that_did_not_are_not(pipeline, tmp_path):
    file = tmp_path / "a.csv"
    rows = "".join(f"{number},{number % 2}\n" for number in range(60))
    file.write_text("x,y\n" + rows)
    asked = {"data": str(file), "target": "y"}
    backend = Backend()
    backend.run(pipeline, asked, prepare)
    assert backend.run(pipeline, asked, prepare) == ALL
    file.write_text("x,y\n" + rows + "9,1\n")
    assert backend.run(pipeline, asked, prepare) == []


def test_data_whose_version_nobody_can_tell_are_fetched_each_time(pipeline):
    asked = {"data": "https://nowhere.invalid/a.csv", "target": "y"}
    assert second(pipeline, asked, asked) == []


def test_the_runs_id_is_no_parameter_but_a_variable_of_every_step(compiled):
    for path in compiled.values():
        first, platform = documents(path)
        assert "pipeline_job" not in json.dumps(first)
        executors = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
        for name in first["deploymentSpec"]["executors"]:
            fields = executors[name]["fieldPathAsEnv"]
            assert {
                "name": "MODELYARD_RUN_ID",
                "fieldPath": "metadata.labels['pipeline/runid']",
            } in fields


def test_each_step_is_handed_a_config_with_which_its_stage_has_the_same_key():
    settings = {"model": {"kind": "xgboost"}, "training": {"epochs": 7}, "gate": {"threshold": 0.5}}
    run = Run.of("tabular", settings)
    given = form.handed(run)
    for stage in TRAINING:
        own = Run.of(given[stage.name]["family"], given[stage.name]["config"])
        assert stage.key(own, {}) == stage.key(run, {})
    assert "gate" not in given["train"]["config"]
    assert "model" not in given["features"]["config"]
    assert Run.of("tabular", given["package"]["config"]).config == run.config


@pytest.mark.parametrize("asked", [{"continual": {"start": "champion"}}, {"seed": 1}])
def test_the_step_that_looks_for_the_champion_knows_the_name_it_serves_under(
    tmp_path, monkeypatch, asked
):
    """It looked for that of the data, and a run that was to go on began from scratch."""
    monkeypatch.setenv("MODELYARD_HOME", str(tmp_path))
    named = {"registry": {"name": "mine", "margin": 0.5}, "data": {"uri": "s3://b/rows.csv"}}
    run = Run.of("text", named | asked)
    step = Run.of("text", form.handed(run)["features"]["config"])
    assert model_name(step) == ("mine" if "continual" in asked else "text-rows")
    assert step.config.registry.margin != 0.5  # which no features follow from


def test_the_form_and_the_settings_make_one_config_and_a_field_wins():
    entry = load("tabular")
    fields = {"data": "s3://b/a.csv", "target": "y", "model": "xgboost", "name": "churn"}
    config = form.configured(entry, fields, {"model": {"kind": "mlp"}, "seed": 3})
    found = (config.data.uri, config.features.target, config.model.kind, config.registry.name)
    assert found == ("s3://b/a.csv", "y", "xgboost", "churn")
    assert config.seed == 3
    assert form.configured(entry, *_parts(form.filled(entry, config))) == config


def _parts(filled: dict[str, Any]) -> tuple[dict[str, str], dict[str, Any]]:
    return {name: filled[name] for name in form.FIELDS if name in filled}, filled["settings"]


def test_a_field_that_the_family_does_not_have_is_refused(capsys):
    fields = {"data": "", "target": "y", "model": "", "name": ""}
    with pytest.raises(SystemExit) as stopped:
        form.prepare("recommender", fields, {}, 1, 0, "any:1")
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert said == (
        "error: target = 'y': family 'recommender' has no such setting. Leave it empty\n"
    )
