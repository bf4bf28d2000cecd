"""Runs that nobody watches: one of which a step cannot start is ended, and says why afterwards."""

from __future__ import annotations

import pytest

from modelyard.cli.app import app
from modelyard.doctor import stuck
from modelyard.errors import Unavailable, UsageError
from modelyard.kubernetes.kubeflow import Kubeflow
from tests.kubeflow.conftest import fill, names
from tests.kubeflow.test_recorded import SAID, doctor, invoke, known
from tests.standin.kinds import NODE, POD

STUCK = {"pending", "image-missing"}


def cancel(*more: str):
    return invoke("cancel", "--stuck", "--namespace", "kubeflow", *more)


@pytest.mark.parametrize("name", names())
def test_of_all_recorded_runs_those_that_cannot_start_are_ended(name, cluster, pipelines):
    found, run = known(pipelines, name)
    fill(cluster, found)
    done = cancel()
    assert done.exit_code == 0
    assert pipelines.terminated == ([run] if name in STUCK else [])
    if name in STUCK:
        assert f"run {run} is being ended: {SAID[name][0]} could not start" in done.output
    else:
        assert "no step in namespace kubeflow has waited for 30 minutes" in done.output


@pytest.mark.parametrize("name", sorted(STUCK))
def test_doctor_says_why_a_run_was_ended_when_its_pods_are_gone(name, cluster, pipelines):
    found, run = known(pipelines, name)
    fill(cluster, found)
    cancel()
    for pod in cluster.api.store.find(POD, "kubeflow"):
        cluster.api.store.remove(POD, "kubeflow", pod["metadata"]["name"])
    _, findings = doctor(run)
    said = [row["seen"] for row in findings if row["what"] == f"run {run}"]
    assert any("it was ended: " in words and SAID[name][1] in words for words in said), findings


def test_a_step_has_time_until_the_limit(cluster, pipelines):
    found, _ = known(pipelines, "image-missing")
    fill(cluster, found)
    assert cancel("--start-limit", "99999999").exit_code == 0
    assert pipelines.terminated == []


def test_a_step_that_waits_for_a_busy_node_is_not_ended(cluster, pipelines):
    found, _ = known(pipelines, "pending")
    fill(cluster, found)
    resources = {"cpu": "64", "memory": "64Gi"}
    ready = [{"type": "Ready", "status": "True"}]
    cluster.add(NODE, "large", spec={}, status={"allocatable": resources, "conditions": ready})
    cancel()
    assert pipelines.terminated == []


def test_nothing_is_ended_where_the_nodes_may_not_be_seen(cluster, pipelines):
    found, _ = known(pipelines, "pending")
    fill(cluster, found)
    cluster.api.denied.add("list nodes")
    cancel()
    assert pipelines.terminated == []


def test_runs_of_other_peoples_pipelines_are_left_alone(cluster, pipelines):
    found, _ = known(pipelines, "image-missing")
    for pod in found["pods"]:
        node = pod["metadata"]["annotations"]["workflows.argoproj.io/node-name"]
        theirs = f"their-pipeline-x2v({node.partition('(')[2]}"
        pod["metadata"]["annotations"]["workflows.argoproj.io/node-name"] = theirs
    fill(cluster, found)
    cancel()
    assert pipelines.terminated == []


def test_an_account_that_may_not_see_pods_is_told_so(cluster, pipelines):
    cluster.api.denied.add("list pods")
    with pytest.raises(Unavailable, match="cannot list pods"):
        app(["cancel", "--stuck", "--namespace", "kubeflow"], standalone_mode=False)


def test_a_run_that_ended_meanwhile_does_not_keep_the_others(cluster, pipelines):
    first, gone = known(pipelines, "pending")
    second, run = known(pipelines, "image-missing")
    fill(cluster, first)
    fill(cluster, second)
    del pipelines.runs[gone]
    done = cancel()
    assert done.exit_code == 0
    assert pipelines.terminated == [run]
    assert f"run {gone} could not be ended" in done.output


def test_either_a_run_or_all_that_are_stuck():
    for words in (["cancel"], ["cancel", "x", "--stuck"]):
        with pytest.raises(UsageError, match="modelyard cancel --stuck"):
            app(words, standalone_mode=False)


def test_the_event_stands_at_the_workflow(cluster, pipelines):
    found, _ = known(pipelines, "pending")
    fill(cluster, found)
    (one,) = stuck.stuck_steps(reader := stuck.Reader("kubeflow"), 30)
    stuck.end(one, Kubeflow(), reader)
    (event,) = [event for event in reader.here("events") if event["reason"] == stuck.NEVER_STARTED]
    assert event["involvedObject"]["kind"] == "Workflow"
    assert event["involvedObject"]["uid"]
    assert event["message"] == one.reason
