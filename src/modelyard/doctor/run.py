"""A run on a cluster, explained: its pods, its training jobs, its served model.

Kubeflow Pipelines keeps two pods a step and shows a step whose pod cannot start as running: what is
true stands at the pods, found by the run's label.
"""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from collections.abc import Iterable

from modelyard.doctor.finding import Finding, Object, Trouble, one_line
from modelyard.doctor.inspect import Reader, about, lacks_pods, pods_in_trouble, queued
from modelyard.doctor.workload import job_failed, not_admitted, pods_refused
from modelyard.kubernetes.trainer import GROUP, PLURAL, RUN, VERSION

STEP, INSTANCE = "pipeline/runid", "app.kubernetes.io/instance"
"""Labels: of the pods of a pipeline's steps, of the objects of a Helm release."""
_NODE_NAME = "workflows.argoproj.io/node-name"


def run_findings(reader: Reader, run: str) -> list[Finding]:
    """What keeps a run, by its id, or a served model, by its release, from going on; the cause
    first.

    A row a pod, training job or step in trouble, or one that says that all is well.
    """
    events = reader.here("events")
    pods = _labelled(reader, "pods", "", (STEP, RUN, INSTANCE), run)
    jobs = _labelled(reader, PLURAL, f"{GROUP}/{VERSION}", (RUN,), run)
    found = [(_step(pod), trouble) for pod, trouble in pods_in_trouble(reader, pods, events)]
    found += [("", trouble) for trouble in _owners(reader, run, jobs, events)]
    rows = [_row(step, trouble) for step, trouble in found if trouble]
    steps = _failed_steps(run)
    if not (pods or jobs or rows or steps):
        return [_nothing(reader, run)]
    rows += steps if not any(row.level == "bad" for row in rows) else []
    done = sum(pod.get("status", {}).get("phase") == "Succeeded" for pod in pods)
    well = f"{len(pods)} pods ({done} done), {len(jobs)} training jobs, none in trouble"
    rank = {"bad": 0, "warn": 1}
    return sorted(rows, key=lambda row: rank.get(row.level, 2)) or [
        Finding("ok", f"run {run}", well)
    ]


def _labelled(
    reader: Reader, plural: str, group: str, labels: Iterable[str], value: str
) -> list[Object]:
    found = [
        one
        for label in labels
        for one in reader.here(plural, group, labelSelector=f"{label}={value}")
    ]
    return list({one["metadata"]["uid"]: one for one in found}.values())


def _owners(reader: Reader, run: str, jobs: list[Object], events: list[Object]) -> list[Trouble]:
    """Troubles of what makes the run's pods."""
    found = [job_failed(job, "trainjob") for job in jobs]
    names = {job["metadata"]["name"] for job in jobs}
    owners: list[tuple[str, Object]] = []
    for name in sorted(names):
        selector = f"jobset.sigs.k8s.io/jobset-name={name}"
        owners += [("job", one) for one in reader.here("jobs", "batch/v1", labelSelector=selector)]
    owners += [
        ("replicaset", one) for one in _labelled(reader, "replicasets", "apps/v1", (INSTANCE,), run)
    ]
    found += [
        pods_refused(one, kind, about(events, one)) for kind, one in owners if lacks_pods(one)
    ]
    ours = [
        one
        for one in (queued(reader) if jobs else [])
        if any(ref["name"] in names for ref in one["metadata"].get("ownerReferences") or [])
    ]
    waiting = [trouble for one in ours if (trouble := not_admitted(one))]
    # The queue says why; that the job is suspended says only that.
    reported = [one for one in found if one and not (waiting and one.kind == "suspended")]
    return [*reported, *waiting]


def _step(pod: Object) -> str:
    """Which step of a pipeline a pod is; empty for others."""
    name = str(pod["metadata"].get("annotations", {}).get(_NODE_NAME, ""))
    parts = [
        part
        for part in name.split(".")[1:]
        if part not in ("root", "executor") and not part.endswith("driver")
    ]
    return parts[-1] if parts else ""


def _row(step: str, trouble: Trouble) -> Finding:
    row = trouble.finding
    return Finding(row.level, f"step {step}, {row.what}" if step else row.what, row.seen, row.fix)


def _failed_steps(run: str) -> list[Finding]:
    """What Kubeflow Pipelines itself remembers of steps that failed: their pods may be gone."""
    host, token = os.environ.get("KFP_HOST"), os.environ.get("KFP_TOKEN")
    if not host:
        return []
    url = f"{host.rstrip('/')}/apis/v2beta1/runs/{run}"
    request = urllib.request.Request(  # noqa: S310 - the person's own address
        url, headers={"Authorization": f"Bearer {token}"} if token else {}
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            record: Object = json.loads(answer.read())
    except urllib.error.HTTPError as error:
        seen = (
            "it knows no such run" if error.code == 404 else f"answers {error.code} {error.reason}"
        )
        return [] if error.code == 404 else [Finding("warn", "Kubeflow Pipelines", seen)]
    except (OSError, ValueError) as error:
        return [
            Finding(
                "warn",
                "Kubeflow Pipelines",
                f"does not answer: {error}",
                "check KFP_HOST and KFP_TOKEN",
            )
        ]
    tasks = (record.get("run_details") or {}).get("task_details") or []
    failed = [
        one
        for one in tasks
        if one.get("state") in ("FAILED", "SYSTEM_ERROR") and one.get("display_name") != "root"
    ]
    return [
        Finding(
            "bad",
            f"step {one.get('display_name')}",
            one_line((one.get("error") or {}).get("message") or "failed"),
            f"its pod is gone; run it again, and while it fails: modelyard doctor {run}",
        )
        for one in failed
    ]


def _nothing(reader: Reader, run: str) -> Finding:
    seen = (
        f"nothing in namespace {reader.namespace} is labelled with it: "
        "it ended and was cleaned away, or runs elsewhere"
    )
    fix = f"kubectl get pods -A -l {STEP}={run}; then modelyard doctor {run} --namespace NAMESPACE"
    return Finding("bad", f"run {run}", seen, fix)
