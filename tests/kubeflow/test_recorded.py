"""Runs that a real Kubeflow recorded: `doctor`, `follow` and `logs` say of each what happened, and
docs/doctor.md shows it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from modelyard.cli import following
from modelyard.cli.app import app
from tests.kubeflow.conftest import at, fill, kept_logs, names, recording

DOCS = Path(__file__).parents[2] / "docs" / "doctor.md"
SAID = {
    "data-missing": (
        "step ingest",
        "data.uri 's3://settings/data/special $ {{a}}.csv': nothing is there",
    ),
    "gpu-left-out": ("step train", "1 GPU requested and none given: it trained on the CPU"),
    "image-missing": ("step ingest", "image modelyard/trainer:none cannot be fetched"),
    "monitoring-drifted": ("run", "; it trained again"),
    "monitoring-stable": ("run", "; nothing was to be trained again"),
    "out-of-memory": ("step ingest", "container main ran out of memory; its limit is 64Mi"),
    "pending": ("step ingest", "no node has enough cpu free (4 requested)"),
    "pod-deleted": ("step features", "pod deleted; try 2 succeeded"),
    "retried-by-hand": ("step features", "the table has no such column to predict"),
    "schedule": ("run", "nothing of it runs any more: its schedule was deleted"),
    "succeeded": ("run", "ingest, features, train, evaluate, export, package, deploy"),
    "terminated-in-deploy": ("step deploy", "it was ended while it worked (SIGTERM)"),
    "trainjob": ("step train", "pod deleted; try 2 succeeded"),
    "tuning": ("run", "ingest, features, 2 × suggest, 4 × trial, best"),
    "tuning-trial-killed": ("step trial", "was killed, most likely for its memory"),
}
"""Step and cause, as far as they say what happened."""
WELL = {"gpu-left-out", "monitoring-drifted", "monitoring-stable", "pod-deleted", "succeeded"}
WELL |= {"trainjob", "tuning"}
UNSEEN = {"gpu-left-out", "image-missing", "pending", "schedule"}
"""What only Kubernetes knows."""


def invoke(*arguments: str) -> Result:
    done = CliRunner(env={"COLUMNS": "80"}).invoke(app, list(arguments))
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def doctor(run: str) -> tuple[int, list[dict[str, str]]]:
    done = invoke("doctor", run, "--json")
    return done.exit_code, json.loads(done.stdout)["findings"]


def says(findings: list[dict[str, str]], name: str) -> bool:
    step, cause = SAID[name]
    return any(row["what"].startswith(step) and cause in row["seen"] for row in findings)


def known(pipelines, name: str):
    """A recording, of which Kubeflow Pipelines has the run and the logs."""
    found = recording(name)
    run = found["record"]["run_id"]
    pipelines.runs[run] = found["record"]
    kept_logs(pipelines, found)
    return found, run


def test_every_recording_has_its_words():
    assert set(SAID) == set(names())


@pytest.mark.parametrize("name", names())
def test_doctor_names_step_and_cause_of_every_recorded_run(name, cluster, pipelines):
    found, run = known(pipelines, name)
    fill(cluster, found)
    code, findings = doctor(run)
    assert says(findings, name), findings
    assert code == (name not in WELL)


@pytest.mark.parametrize("name", names())
def test_doctor_names_them_without_kubeflow_pipelines_too(name, cluster, monkeypatch):
    monkeypatch.delenv("KFP_HOST", raising=False)
    found = recording(name)
    fill(cluster, found)
    _, findings = doctor(found["record"]["run_id"])
    if name not in ("schedule", "gpu-left-out"):  # which only its record knows
        assert says(findings, name), findings


@pytest.mark.parametrize("name", sorted(set(names()) - UNSEEN))
def test_a_laptop_that_reaches_kubeflow_pipelines_only_gets_step_and_cause(
    name, pipelines, monkeypatch, tmp_path
):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "nowhere"))
    monkeypatch.setenv("MODELYARD_HOME", str(tmp_path / "home"))
    _, run = known(pipelines, name)
    code, findings = doctor(run)
    what = SAID[name][0]
    row = next(row for row in findings if row["what"].startswith(what))
    same = {"out-of-memory": "most likely for its memory", "pod-deleted": "try 2 succeeded"}
    same |= {"trainjob": "try 2 succeeded", "tuning-trial-killed": "most likely for its memory"}
    assert same.get(name, SAID[name][1]) in row["seen"]
    assert code == (name not in WELL)


@pytest.mark.parametrize("name", ["out-of-memory", "tuning-trial-killed", "data-missing"])
def test_a_cause_outlives_the_pods(name, cluster, pipelines):
    found, run = known(pipelines, name)
    fill(cluster, found, pods=False)
    _, findings = doctor(run)
    step, cause = SAID[name]
    row = next(row for row in findings if row["what"] == step)
    assert "memory" in row["seen"] if "memory" in cause else cause in row["seen"]


def test_commands_are_never_cut_and_stand_on_one_line(cluster, pipelines):
    found, run = known(pipelines, "data-missing")
    fill(cluster, found)
    lines = invoke("doctor", run).output.splitlines()
    pod = found["pods"][0]["metadata"]["name"]
    assert any(f"kubectl -n kubeflow logs {pod} -c main" in line for line in lines)


@pytest.mark.parametrize("name", names())
def test_follow_ends_with_step_and_cause_of_every_recorded_run(name, cluster, pipelines):
    found, run = known(pipelines, name)
    fill(cluster, found)
    done = invoke("follow", run, "--start-limit", "0")
    step, cause = SAID[name]
    assert done.exit_code == (name not in WELL)
    if name in ("pending", "image-missing"):
        assert pipelines.terminated == [run]
        assert f"! {step.removeprefix('step ')} waits: " in done.output
        assert cause in done.output
    elif name == "schedule":
        assert pipelines.terminated == []
        assert "its workflow or its schedule was deleted" in done.output
    elif name in WELL:
        assert f"✓ done in {following_seconds(found)} s" in done.output
    else:
        assert re.search(rf"✗ {step}.*: .*{re.escape(cause)}", done.output), done.output
    assert "driver" not in done.output
    assert "executor" not in done.output
    assert "root" not in done.output


def following_seconds(found) -> int:
    from modelyard.kubernetes.steps import moment

    record = found["record"]
    return round((moment(record["finished_at"]) - moment(record["created_at"])).total_seconds())


def test_a_run_is_followed_step_by_step_with_the_time_of_its_pods(pipelines, monkeypatch, tmp_path):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "nowhere"))
    found, run = known(pipelines, "succeeded")
    clock = [
        f"2026-11-28T18:{minute:02}:{second:02}Z"
        for minute in (9, 10, 11, 12)
        for second in (0, 30)
    ]
    pipelines.snapshots[run] = [at(found["record"], moment) for moment in clock] + [found["record"]]
    monkeypatch.setattr(following.Follower.__init__, "__defaults__", (0.01,))
    lines = invoke("follow", run).output.splitlines()
    steps = [line.split()[1:4] for line in lines if line.startswith("✓")]
    assert steps == [
        ["ingest", "7", "s"],
        ["features", "6", "s"],
        ["train", "10", "s"],
        ["evaluate", "8", "s"],
        ["export", "8", "s"],
        ["package", "12", "s"],
        ["deploy", "20", "s"],
        ["done", "in", "195"],
    ]
    assert f"{pipelines.url}/#/runs/details/{run}" in "\n".join(lines)


def test_the_end_of_a_training_is_its_metric_version_and_champion(cluster, pipelines):
    found, run = known(pipelines, "trainjob")
    fill(cluster, found)
    output = invoke("follow", run).output
    assert "✓ done in 1038 s: image version 2 is champion: accuracy 0.9945 > 0.9227" in output
    assert "cnn, 298,442 weights, best epoch 35 of 40 (2 tries)" in output
    assert "modelyard serve image@2" in output


def test_trials_that_run_side_by_side_are_each_a_line(cluster, pipelines):
    found, run = known(pipelines, "tuning")
    fill(cluster, found)
    lines = invoke("follow", run).output.splitlines()
    assert [line.split()[1] for line in lines if line.startswith("✓")].count("trial") == 4


def test_a_step_that_failed_while_its_run_winds_down_waits_for_nothing(cluster, pipelines):
    """Between the end of its pod and that of the run Argo waits for the pause of a retry."""
    found, run = known(pipelines, "data-missing")
    nodes = found["workflow"]["status"]["nodes"].values()
    for node in nodes:
        if node["type"] != "Pod" and node["phase"] == "Failed":
            node["phase"] = "Running"
    found["workflow"]["status"]["phase"] = "Running"
    pipelines.snapshots[run] = [at(found["record"], "2026-11-28T18:22:20Z"), found["record"]]
    fill(cluster, found)
    output = invoke("follow", run).output
    assert "waits" not in output
    assert "✗ step ingest" in output


def test_a_lost_connection_does_not_end_following(pipelines, monkeypatch, tmp_path):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "nowhere"))
    monkeypatch.setattr(following.Follower.__init__, "__defaults__", (0.01,))
    _, run = known(pipelines, "succeeded")
    pipelines.away = 3
    done = invoke("follow", run)
    assert done.exit_code == 0
    assert done.output.count("The run goes on; trying again") == 1
    assert "connected again" in done.output


def test_ctrl_c_leaves_the_run_and_says_how_to_follow_or_cancel_it(
    pipelines, monkeypatch, tmp_path
):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "nowhere"))
    found, run = known(pipelines, "succeeded")
    pipelines.runs[run] = at(found["record"], "2026-11-28T18:10:30Z")

    def pressed(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(following.time, "sleep", pressed)
    done = invoke("follow", run)
    assert done.exit_code == 130
    assert f"modelyard follow {run}; end it: modelyard cancel {run}" in done.output
    assert pipelines.terminated == []


def test_cancel_ends_a_run_and_an_unknown_one_is_refused(pipelines):
    _, run = known(pipelines, "pending")
    assert invoke("cancel", run).exit_code == 0
    assert pipelines.terminated == [run]
    assert CliRunner().invoke(app, ["cancel", "unknown"]).exception is not None


def test_logs_are_the_steps_own_words_without_those_of_argo_and_the_launcher(cluster, pipelines):
    found, run = known(pipelines, "data-missing")
    fill(cluster, found)
    lines = invoke("logs", run, "ingest").output.splitlines()
    assert lines[0] == "== ingest: failed"
    assert lines[-1] == "error: data.uri 's3://settings/data/special $ {{a}}.csv': nothing is there"
    assert "Error: exit status 1" in invoke("logs", run, "--all").output


def test_the_log_of_a_training_job_shows_its_epochs_and_loss_and_nothing_of_kubeflows(
    cluster, pipelines
):
    found, run = known(pipelines, "trainjob")
    fill(cluster, found)
    lines = invoke("logs", run, "train").output.splitlines()
    assert lines[0].startswith("== train")
    epochs = [line for line in lines if re.match(r"train \d\S* of 40 loss=0\.\d+", line)]
    assert len(epochs) == 12
    assert "validation_loss=0.09475" in epochs[-1]
    others = ("{", "}", '"', "Looking for", "Loading KFP", "Got executor", "Wrote executor", "I11")
    assert [line for line in lines if line.startswith(others)] == []
    assert sum("TrainJob" in line for line in lines) == 3


def test_a_log_that_breaks_off_within_kubeflows_json_is_shown_as_it_is():
    from modelyard.kubernetes.words import own_lines

    assert own_lines("[KFP Executor x INFO]: Got executor_input:\n{\n a\n") == ["{", "a"]


def test_the_cost_of_a_run_is_what_its_steps_logged(cluster, pipelines):
    found, run = known(pipelines, "trainjob")
    fill(cluster, found)
    told = json.loads(invoke("cost", run, "--json", "--set", "cost.cpu_core_hour=3.6").stdout)
    seconds = {one["stage"]: one["used"]["cpu_seconds"] for one in told["stages"]}
    assert seconds["train"] == pytest.approx(396.394, abs=0.01)
    assert set(seconds) == {"features", "train", "export", "package", "deploy"}
    assert told["total"]["price"]["amount"] == pytest.approx(sum(seconds.values()) / 1000, rel=0.01)
    assert "without ingest, evaluate: their logs are gone" in invoke("cost", run).output


def test_explain_takes_a_run_of_the_cluster_by_what_it_registered(cluster, pipelines, monkeypatch):
    found, run = known(pipelines, "trainjob")
    fill(cluster, found)
    asked = []
    monkeypatch.setattr("modelyard.cli.show.lineage_tree", asked.append)
    assert invoke("explain", run).exit_code == 0
    assert asked == ["image@2"]


def test_runs_of_the_cluster_are_listed_with_their_state(pipelines):
    for name in ("pending", "succeeded"):
        known(pipelines, name)
    lines = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["runs", "--cluster"]).output
    assert re.search(r"35607614-e9d5-\S+ .* running ", lines)
    assert re.search(r"d8b138af-ef72-\S+ .* succeeded +│ +195 s", lines)


def shown(name: str, cluster, pipelines) -> str:
    """A row of the table in the docs."""
    found, run = known(pipelines, name)
    fill(cluster, found)
    _, findings = doctor(run)
    step, cause = SAID[name]
    row = next(row for row in findings if row["what"].startswith(step) and cause in row["seen"])
    what = row["what"].partition(",")[0].replace(run, "").strip()
    seen = re.sub(r"\b[0-9a-f]{60,}", "…", row["seen"]).replace("|", "\\|")
    return f"| {name} | {what} | {seen} |"


@pytest.mark.parametrize("name", names())
def test_the_docs_show_what_doctor_says_of_each(name, cluster, pipelines):
    assert shown(name, cluster, pipelines) in DOCS.read_text(encoding="utf-8").splitlines()
