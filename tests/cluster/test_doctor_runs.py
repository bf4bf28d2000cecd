"""`modelyard doctor RUN`: steps, jobs and served models in trouble, each with its cause."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from modelyard.cli.app import app
from modelyard.pipeline.local import RunFolder, RunRecord
from tests.cluster.doctored import RUN, STEP, TRAIN_JOB, doctor, node
from tests.standin.kinds import (
    CLAIM,
    JOB,
    POD,
    REPLICA_SET,
    WORKLOAD,
)
from tests.standin.server import Line


def step(cluster, name, stage, kind="executor", **status):
    node = {"workflows.argoproj.io/node-name": f"tabular-x1.root.{stage}.{kind}"}
    return cluster.add(
        POD, name, labels=STEP, metadata={"annotations": node}, spec={}, status=status
    )


def test_a_step_that_kubeflow_shows_as_running_is_told_as_what_it_is(cluster, api):
    """Of its two pods the driver is done and the other cannot pull its image."""
    step(cluster, "x1-driver", "train", "train-driver", phase="Succeeded")
    waiting = {
        "reason": "ImagePullBackOff",
        "message": 'Back-off pulling image "modelyard/trainer:9"',
    }
    status = [{"name": "main", "image": "modelyard/trainer:9", "state": {"waiting": waiting}}]
    pod = step(cluster, "x1-impl", "train", phase="Pending", containerStatuses=status)
    cluster.event(
        pod, "Failed", "Failed to pull image: rpc error: code = NotFound desc = not found"
    )
    ((what, row),) = doctor(RUN, code=1).items()
    assert what == "step train, pod models/x1-impl"
    assert row["seen"].startswith("image modelyard/trainer:9 is not in the registry")
    assert "MODELYARD_IMAGE" in row["fix"]


@pytest.mark.parametrize(
    "message", ["dial tcp 10.0.0.9:443: i/o timeout", "toomanyrequests", "something else"]
)
def test_an_image_that_cannot_be_pulled_is_broken_whatever_the_reason(cluster, message):
    waiting = {"reason": "ErrImagePull", "message": message}
    status = [{"name": "server", "image": "r.example/server:9", "state": {"waiting": waiting}}]
    cluster.add(
        POD,
        "churn-1",
        labels={"app.kubernetes.io/instance": "churn"},
        spec={},
        status={"phase": "Pending", "containerStatuses": status},
    )
    (row,) = doctor("churn", code=1).values()
    assert row["level"] == "bad"
    assert doctor("--cluster", code=1)["pod models/churn-1"]["level"] == "bad"


@pytest.mark.parametrize(("gpus", "level"), [(1, "bad"), (4, "warn")])
def test_a_gpu_that_no_node_has_is_broken_and_one_that_is_busy_may_come(cluster, gpus, level):
    node(cluster, "gpu-1", gpu=gpus)
    message = "0/1 nodes are available: 1 Insufficient nvidia.com/gpu."
    condition = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": message,
    }
    asks = {"containers": [{"name": "server", "resources": {"limits": {"nvidia.com/gpu": "2"}}}]}
    cluster.add(
        POD,
        "churn-1",
        labels={"app.kubernetes.io/instance": "churn"},
        spec=asks,
        status={"phase": "Pending", "conditions": [condition]},
    )
    (row,) = doctor("churn", code=int(level == "bad")).values()
    assert row["level"] == level


@pytest.mark.parametrize(
    ("chart", "component", "container", "value"),
    [
        ("model", "stable", "server", "raise resources.limits.memory among the release's values"),
        (
            "model",
            "canary",
            "package",
            "raise package.resources.limits.memory among the release's values",
        ),
        (
            "platform",
            "mlflow",
            "mlflow",
            "raise mlflow.resources.limits.memory among the values of charts/platform",
        ),
        (
            "other",
            "",
            "main",
            "type --set cluster.memory=16Gi or more, or lower training.batch_size",
        ),
    ],
)
def test_what_ran_out_of_memory_is_told_the_setting_that_gives_it_more(
    cluster, chart, component, container, value
):
    labels = {
        "app.kubernetes.io/instance": "churn",
        "app.kubernetes.io/name": chart,
        "app.kubernetes.io/component": component,
    }
    over = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}
    status = {
        "phase": "Running",
        "containerStatuses": [{"name": container, "ready": False, "state": over}],
    }
    cluster.add(POD, "churn-1", labels=labels, spec={}, status=status)
    (row,) = doctor("churn", code=1).values()
    assert row["fix"].startswith(value)
    assert ("training" in row["fix"]) is (chart == "other")


def tries(cluster, *codes, index=""):
    """Pods of one Job, one after the other, with their exit codes."""
    for number, code in enumerate(codes):
        status = {
            "name": "register",
            "state": {"terminated": {"exitCode": code, "reason": "Error"}},
        }
        cluster.add(
            POD,
            f"register-{index}{number}",
            spec={},
            labels={"batch.kubernetes.io/job-completion-index": index} if index else {},
            metadata={
                "ownerReferences": [{"kind": "Job", "name": "register"}],
                "creationTimestamp": f"2026-10-01T10:00:0{number}Z",
            },
            status={"phase": "Failed" if code else "Succeeded", "containerStatuses": [status]},
        )


def test_five_tries_of_one_job_are_one_row_with_the_words_of_the_last(cluster, api):
    tries(cluster, 1, 1, 1, 1, 2)
    api.logs["register-4"] = [Line("2026-10-01T10:00:01.0Z", "error: set register.host")]
    rows = [row for row in doctor("--cluster", code=1).values() if "register" in row["what"]]
    (row,) = rows
    assert row["what"] == "job models/register, pod models/register-4"
    assert "error: set register.host (try 5)" in row["seen"]


def test_a_job_that_succeeded_at_last_is_well_and_each_of_its_nodes_counts(cluster):
    tries(cluster, 1, 1, 0)
    assert doctor("--cluster")["pods"]["level"] == "ok"
    tries(cluster, 1, index="1")
    rows = [row for row in doctor("--cluster", code=1).values() if "register" in row["what"]]
    assert [row["what"] for row in rows] == ["pod models/register-10"]


def test_the_last_line_of_a_crashing_step_is_read_from_its_log(cluster, api):
    before = {"terminated": {"exitCode": 2, "reason": "Error"}}
    state = {"waiting": {"reason": "CrashLoopBackOff"}}
    status = [{"name": "main", "restartCount": 3, "state": state, "lastState": before}]
    step(cluster, "x1-impl", "features", phase="Running", containerStatuses=status)
    api.logs["x1-impl"] = [
        Line("2026-10-01T10:00:00.0Z", "reading"),
        Line("2026-10-01T10:00:01.0Z", "row 7: no y"),
    ]
    (row,) = doctor(RUN, code=1).values()
    assert "Its last line: row 7: no y" in row["seen"]
    assert api.asked(r"GET .*/pods/x1-impl/log\?.*previous=true") == 1


def test_a_training_job_that_a_queue_holds_is_told_with_the_queues_reason(cluster):
    cluster.install("trainer", "kueue")
    labels = {"modelyard/run": RUN, "kueue.x-k8s.io/queue-name": "team"}
    suspended = {"conditions": [{"type": "Suspended", "status": "True"}]}
    job = cluster.add(
        TRAIN_JOB, "image-7c1b", labels=labels, spec={"suspend": True}, status=suspended
    )
    owner = [{"kind": "TrainJob", "name": "image-7c1b", "uid": job["metadata"]["uid"]}]
    why = {
        "type": "QuotaReserved",
        "status": "False",
        "reason": "Inadmissible",
        "message": "LocalQueue team doesn't exist",
    }
    cluster.add(
        WORKLOAD,
        "w",
        metadata={"ownerReferences": owner},
        spec={"queueName": "team"},
        status={"conditions": [why]},
    )
    ((what, row),) = doctor(RUN, code=1).items()
    assert what == "TrainJob models/image-7c1b"
    assert row["seen"] == "its queue 'team' cannot admit it: LocalQueue team doesn't exist"


def test_pods_that_a_quota_refuses_are_found_at_what_makes_them(cluster):
    cluster.install("trainer")
    cluster.add(TRAIN_JOB, "image-7c1b", labels={"modelyard/run": RUN}, spec={}, status={})
    labels = {"jobset.sigs.k8s.io/jobset-name": "image-7c1b"}
    job = cluster.add(JOB, "image-7c1b-node-0", labels=labels, spec={"completions": 2}, status={})
    figures = [
        f"{word}: requests.nvidia.com/gpu={n}"
        for word, n in (("requested", 8), ("used", 6), ("limited", 8))
    ]
    message = f'Error creating: pods "x" is forbidden: exceeded quota: gpus, {", ".join(figures)}'
    cluster.event(job, "FailedCreate", message)
    ((what, row),) = doctor(RUN, code=1).items()
    assert what == "job models/image-7c1b-node-0"
    assert "requests.nvidia.com/gpu=8 requested, requests.nvidia.com/gpu=6 used" in row["seen"]


def test_a_served_model_is_looked_at_by_its_releases_name(cluster):
    labels = {"app.kubernetes.io/instance": "payments"}
    owner = cluster.add(
        REPLICA_SET, "payments-7d9f", labels=labels, spec={"replicas": 2}, status={"replicas": 0}
    )
    message = 'Error creating: pods "x" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot != true'
    cluster.event(owner, "FailedCreate", message)
    (row,) = doctor("payments", code=1).values()
    assert "Pod Security refuses its pods" in row["seen"]
    store = cluster.api.store
    store.change(
        REPLICA_SET, "models", "payments-7d9f", lambda one: one["status"].update(replicas=2)
    )
    cluster.add(POD, "payments-1", labels=labels, spec={}, status={"phase": "Running"})
    assert doctor("payments", code=0)["run payments"]["level"] == "ok"


def test_a_pod_without_its_claim_is_told_what_is_wrong_with_the_claim(cluster):
    no_class = {"storageClassName": "fast"}
    claim = cluster.add(CLAIM, "data", spec=no_class, status={"phase": "Pending"})
    cluster.event(claim, "ProvisioningFailed", 'storageclass.storage.k8s.io "fast" not found')
    condition = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims.",
    }
    spec = {"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]}
    cluster.add(
        POD,
        "x1-impl",
        labels=STEP,
        spec=spec,
        status={"phase": "Pending", "conditions": [condition]},
    )
    ((what, row),) = doctor(RUN, code=1).items()
    assert (what, row["seen"]) == ("claim models/data", "its StorageClass 'fast' does not exist")


def test_events_of_an_earlier_pod_of_the_same_name_do_not_count(cluster):
    old = step(cluster, "x1-impl", "train", phase="Pending")
    cluster.event(old, "FailedMount", 'secret "creds" not found')
    cluster.api.store.remove(POD, "models", "x1-impl")
    step(cluster, "x1-impl", "train", phase="Pending")
    assert doctor(RUN, code=0)[f"run {RUN}"]["level"] == "ok"


def test_a_failed_run_whose_pods_are_gone_is_told_by_kubeflow_itself(cluster, pipelines):
    error = {"code": 2, "message": "OOMKilled (exit code 137)"}
    tasks = [
        {"display_name": "train", "state": "FAILED", "error": error},
        {"display_name": "root", "state": "FAILED"},
    ]
    pipelines[f"/apis/v2beta1/runs/{RUN}"] = {
        "state": "FAILED",
        "run_details": {"task_details": tasks},
    }
    ((what, row),) = doctor(RUN, code=1).items()
    assert (what, row["seen"]) == (
        "step train",
        "ran out of memory (OOMKilled (exit code 137))",
    )


def test_a_run_that_nobody_knows_says_where_to_look(cluster):
    (row,) = doctor("unknown", code=1).values()
    assert "nothing in namespace models is labelled with it" in row["seen"]
    assert "kubectl get pods -A -l pipeline/runid=unknown" in row["fix"]


def test_the_table_shows_cause_and_fix_in_a_line_each(cluster):
    step(
        cluster,
        "x1-impl",
        "train",
        phase="Failed",
        reason="Evicted",
        message="low on resource: ephemeral-storage",
    )
    done = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["doctor", RUN])
    assert done.exit_code == 1
    cause, fix = (line.strip() for line in done.output.splitlines() if line.strip())
    assert cause.startswith("✗  step train, pod models/x1-impl")
    assert "evicted, its disk was full" in cause
    assert fix.startswith("→ raise package.sizeLimit")


def test_a_run_of_this_machine_is_told_with_the_step_that_failed(tmp_path, monkeypatch):
    monkeypatch.setenv("MODELYARD_HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    record = RunRecord(
        id="r1", family="tabular", config={}, created="2026-10-01T10:00:00+00:00", status="failed"
    )
    folder = RunFolder.new(record)
    failed = {
        "event": "failed",
        "stage": "features",
        "kind": "BadData",
        "message": "a.csv, row 7: empty cell",
    }
    folder.events.write_text(json.dumps(failed) + "\n")
    (row,) = doctor("r1", code=1).values()
    assert row["seen"] == "failed: features: a.csv, row 7: empty cell"
    assert row["fix"] == "modelyard resume r1"
    folder.write(record.model_copy(update={"status": "finished"}))
    doctor("r1", code=0)
