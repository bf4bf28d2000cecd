from __future__ import annotations

import pytest
from mlflow import MlflowClient

from modelyard.errors import GateFailed
from modelyard.events import VARIABLE
from modelyard.judging.evaluation import Evaluation, judge
from modelyard.registry.tracking import client, flat, has_ended, track
from modelyard.settings.family import GateSettings
from modelyard.stages.run import Run
from tests.toy.build import LINE, build

CURVES = {"loss": {"train": [0.9, 0.5, 0.3], "validation": [1.0, float("nan"), 0.4]}}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MODELYARD_HOME", str(folder))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield folder


def evaluation(**metrics: float) -> Evaluation:
    metrics = metrics or {"recall@10": 0.6}
    main = next(iter(metrics))
    return Evaluation(
        split="test",
        rows=100,
        metrics=metrics,
        baseline={main: 0.1},
        baseline_name="popularity",
        main=main,
        directions=dict.fromkeys(metrics, "max"),
    )


def record(run: Run, result: Evaluation, **fields) -> str:
    return track(run, result, judge(GateSettings(), result), **fields)


def test_a_run_holds_its_settings_metrics_curves_and_files(home, tmp_path):
    (tmp_path / "card.html").write_text("<p>card")
    run = Run.of(LINE, {"seed": 7}, id="r1")
    run_id = record(
        run,
        evaluation(),
        training={"curves": CURVES},
        data_revision="v1",
        files=[tmp_path / "card.html"],
    )
    mlflow = client()
    kept = mlflow.get_run(run_id)
    assert kept.data.params["seed"] == "7"
    assert kept.data.params["features.points"] == "300"
    assert kept.data.metrics["recall_at_10"] == 0.6
    assert kept.data.metrics["baseline/recall_at_10"] == 0.1
    history = {
        name: [(m.step, m.value) for m in mlflow.get_metric_history(run_id, f"loss/{name}")]
        for name in ("train", "validation")
    }
    assert history == {"train": [(0, 0.9), (1, 0.5), (2, 0.3)], "validation": [(0, 1.0), (2, 0.4)]}
    assert [file.path for file in mlflow.list_artifacts(run_id)] == ["card.html"]
    assert (kept.info.status, kept.data.tags["modelyard.run"]) == ("FINISHED", "r1")
    assert mlflow.get_experiment(kept.info.experiment_id).name == "tests-toy-family-line"
    assert (home / "mlflow.db").is_file()
    assert list((home / "mlflow").rglob("card.html"))


def test_the_same_run_is_tracked_once(home):
    run = Run.of(LINE, {"seed": 8}, id="r2")
    first = record(run, evaluation(), training={"curves": CURVES})
    assert record(run, evaluation(), training={"curves": CURVES}) == first
    assert len(client().get_metric_history(first, "loss/train")) == 3


def test_a_run_that_was_killed_while_it_was_tracked_ends_the_next_time(home, monkeypatch):
    run = Run.of(LINE, id="killed")

    def killed(*_args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "set_terminated", killed)
        with pytest.raises(KeyboardInterrupt):
            record(run, evaluation())
    assert client().get_run(record(run, evaluation())).info.status == "FINISHED"


def test_runs_of_one_id_with_other_settings_are_other_runs(home):
    runs = {record(Run.of(LINE, {"seed": seed}), evaluation()) for seed in (1, 2, 3)}
    assert len(runs) == 3


def test_more_metrics_than_a_call_may_hold_are_all_kept(home):
    long = {"loss": {"train": [1 / (step + 1) for step in range(1500)]}}
    run_id = record(Run.of(LINE, {"seed": 9}, id="r3"), evaluation(), training={"curves": long})
    assert len(client().get_metric_history(run_id, "loss/train")) == 1500


def test_a_run_that_fails_its_gate_is_tracked_as_failed_with_its_card(home, tmp_path, monkeypatch):
    followed = tmp_path / "followed"
    followed.mkdir()
    monkeypatch.setenv(VARIABLE, str(followed / "events.jsonl"))
    with pytest.raises(GateFailed, match=f"gate not met.*all figures: {followed}/card.html"):
        build(tmp_path, "bad", {"gate": {"threshold": 0.001}})
    card = (followed / "card.html").read_text()
    for said in (
        "Gate not met",
        "it must be at most 0.001",
        "modelyard tune tests.toy.family:Line",
    ):
        assert said in card
    for served in ("modelyard serve", "Drift reference"):
        assert served not in card
    mlflow = client()
    experiment = mlflow.get_experiment_by_name("tests-toy-family-line")
    (kept,) = mlflow.search_runs([experiment.experiment_id], "tags.`modelyard.run` = 'bad'")
    assert kept.info.status == "FAILED"
    assert "it must be at most 0.001" in kept.data.tags["modelyard.gate"]
    assert kept.data.metrics["mae"] > 0.001
    assert [file.path for file in mlflow.list_artifacts(kept.info.run_id)] == ["card.html"]


def test_without_mlflow_a_failed_gate_is_still_a_failed_gate(home, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "mlflow", None)
    with pytest.raises(GateFailed, match="gate not met"):
        build(tmp_path, "bad2", {"gate": {"threshold": 0.001}})


def test_nested_settings_become_dotted_names():
    assert flat(
        {"model": {"kind": "mlp", "layers": [8, 4]}, "seed": 0, "data": {"sha256": {}}}
    ) == {
        "model.kind": "mlp",
        "model.layers": "[8, 4]",
        "seed": "0",
        "data.sha256": "{}",
    }


def test_a_run_has_ended_once_it_is_tracked(home):
    assert not has_ended(LINE, "lost")
    record(Run.of(LINE, id="whole"), evaluation())
    assert has_ended(LINE, "whole")
    assert not has_ended(LINE, "lost")
