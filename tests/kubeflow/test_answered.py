"""A run whose steps Kubeflow's cache answered is as complete as the one that did the work."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from modelyard.cli.app import app
from modelyard.home import RUN_ID
from modelyard.packages.package import read_info
from modelyard.pipeline import form, step
from modelyard.registry import versions as registry
from modelyard.registry.tracking import client
from modelyard.stages import STAGES, TRAINING
from modelyard.stages.run import Run
from tests.toy.build import LINE

SETTINGS = {"features": {"points": 120}, "seed": 4, "registry": {"name": "line"}}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MODELYARD_HOME", str(tmp_path / "home"))
    for name in ("MLFLOW_TRACKING_URI", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(step, "die_with_parent", lambda: None)
    return tmp_path


def execute(
    folder: Path, name: str, given: dict[str, Any], run: str, monkeypatch: Any
) -> dict[str, Any]:
    """One step of a run, as its component executes it in a pod; its outputs."""
    monkeypatch.setenv(RUN_ID, run)
    stage = STAGES[name]
    artifacts = {
        one: SimpleNamespace(path=str(folder / one), metadata={})
        for one in (*stage.inputs, *stage.outputs)
    }
    inputs = {one: artifacts[one] for one in stage.inputs}
    outputs = {one: artifacts[one] for one in stage.outputs}
    step.run_step(name, given[name], inputs=inputs, outputs=outputs)
    return outputs


def test_artifacts_are_called_by_model_kind_and_what_was_found(home, monkeypatch):
    given = form.handed(Run.of(LINE, SETTINGS))
    found: dict[str, Any] = {}
    for stage in TRAINING:
        found |= execute(home, stage.name, given, "first", monkeypatch)
    names = {name: artifact.metadata["display_name"] for name, artifact in found.items()}
    assert re.fullmatch(r"\S+ dataset: .+", names["dataset"])
    assert re.fullmatch(r"line package: [0-9a-f]{12}, .*mae .+", names["package"])
    assert names["deployment"].startswith("line deployment: line version 1 is champion: mae ")
    page = SimpleNamespace(path=str(home / "shown" / "card.html"), metadata={})
    step.show_file(found["package"], "card.html", page)
    assert Path(page.path).read_text() == (home / "package" / "card.html").read_text()
    assert page.metadata["display_name"] == f"card.html, {names['package']}"


def test_mlflow_card_and_explain_of_an_answered_run_are_whole(home, monkeypatch):
    given = form.handed(Run.of(LINE, SETTINGS))
    for stage in TRAINING:
        execute(home, stage.name, given, "first", monkeypatch)
    again = form.handed(Run.of(LINE, SETTINGS))
    (home / "deployment").rename(home / "deployment-first")
    execute(home, "deploy", again, "second", monkeypatch)

    whole = Run.of(LINE, SETTINGS).config.model_dump(mode="json")
    assert read_info(home / "package").config == whole
    mlflow = client()
    (experiment,) = [one for one in mlflow.search_experiments() if one.name != "Default"]
    runs = mlflow.search_runs([experiment.experiment_id])
    by_id = {one.data.tags["modelyard.run"]: one for one in runs}
    assert set(by_id) == {"first", "second"}
    assert by_id["second"].data.params == by_id["first"].data.params
    assert by_id["second"].data.params["features.points"] == "120"
    assert by_id["second"].data.metrics.keys() >= {"mae"}
    files = {one.path for one in mlflow.list_artifacts(by_id["second"].info.run_id)}
    assert {"card.html", "evaluation.json"} <= files
    (version,) = registry.list_versions("line")
    made = json.loads((home / "deployment" / "deployment.json").read_text())
    assert (made["version"], made["champion"]) == (version.version, True)
    done = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["explain", "line@1"])
    assert "features.points = 120" in done.output
    assert "registry.name = 'line'" in done.output
