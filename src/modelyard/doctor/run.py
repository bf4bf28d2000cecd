"""A run on a cluster, explained: its steps, its pods, its training jobs, its served model.

Kubeflow Pipelines keeps two pods a step and shows a step whose pod cannot start as running: what is
true stands at the pods, found by the run's label.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from modelyard.doctor.clusterrun import NEVER_STARTED, NODE_NAME, RUN_LABEL, ClusterRun
from modelyard.doctor.finding import Finding, Object, Trouble, one_line
from modelyard.doctor.inspect import Reader, about, lacks_pods, pods_in_trouble, queued
from modelyard.doctor.pipeline import step_findings, summary
from modelyard.doctor.workload import job_failed, not_admitted, pods_refused
from modelyard.errors import Unavailable
from modelyard.kubernetes.steps import step_of
from modelyard.kubernetes.trainer import GROUP, PLURAL, RUN, VERSION

INSTANCE = "app.kubernetes.io/instance"
"""Label of the objects of a Helm release."""


def run_findings(run: ClusterRun) -> list[Finding]:
    """What keeps a run, by its id, or a served model, by its release, from going on; the cause
    first.

    A row a pod, training job or step in trouble, or one that says that all is well.
    """
    rows = []
    try:
        run.look()
    except Unavailable as error:
        rows.append(Finding("warn", "Kubeflow Pipelines", str(error)))
        # What the cluster itself has of the run is looked at all the same.
        run.kubeflow = None
        if run.reader is not None:
            run.look()
    objects = _Objects(run)
    rows += objects.findings()
    is_pipeline = bool(run.steps or run.record)
    if not (rows or is_pipeline or objects.found):
        return [_nothing(run)]
    rank = {"bad": 0, "warn": 1}
    rows.sort(key=lambda row: rank.get(row.level, 2))
    well = all(row.level == "ok" for row in rows)
    if is_pipeline and well:
        return [summary(run), *rows]
    return rows or [objects.well()]


def troubles_of(run: ClusterRun) -> list[tuple[str, Trouble]]:
    """Each pod of a run that is in trouble: its step, and what is wrong with it."""
    if run.reader is None:
        return []
    events = run.reader.here("events")
    found = pods_in_trouble(run.reader, run.pods, events)
    return [(step_of_pod(pod), trouble) for pod, trouble in found]


class _Objects:
    """What Kubernetes has of a run or a release."""

    def __init__(self, run: ClusterRun) -> None:
        self.run = run
        self.pods: list[Object] = []
        self.jobs: list[Object] = []
        if run.reader is not None:
            self.pods = _labelled(run.reader, "pods", "", (RUN_LABEL, RUN, INSTANCE), run.run)
            self.jobs = _labelled(run.reader, PLURAL, f"{GROUP}/{VERSION}", (RUN,), run.run)

    @property
    def found(self) -> bool:
        return bool(self.pods or self.jobs)

    def findings(self) -> list[Finding]:
        """A row for each that is in trouble, and for each step that is."""
        reader, rows, explained = self.run.reader, [], set()
        if reader is not None:
            events = reader.here("events")
            for pod, trouble in pods_in_trouble(reader, self.pods, events):
                explained.add(step_of_pod(pod))
                rows.append(_row(step_of_pod(pod), trouble))
            for trouble in _owners(reader, self.run.run, self.jobs, events):
                rows.append(_row("", trouble))
            rows += _ended(self.run, events)
        return rows + step_findings(self.run, explained)

    def well(self) -> Finding:
        done = sum(pod.get("status", {}).get("phase") == "Succeeded" for pod in self.pods)
        seen = (
            f"{len(self.pods)} pods ({done} done), {len(self.jobs)} training jobs, none in trouble"
        )
        return Finding("ok", f"run {self.run.run}", seen)


def _ended(run: ClusterRun, events: list[Object]) -> list[Finding]:
    """Why a run was ended of which a step could not start."""
    workflow = (run.workflow or {}).get("metadata", {}).get("name")
    rows = []
    for event in events:
        is_of_run = event["involvedObject"].get("name") == workflow
        if event["reason"] == NEVER_STARTED and is_of_run:
            seen = f"it was ended: {one_line(event['message'], 600)}"
            rows.append(Finding("bad", f"run {run.run}", seen))
    return rows


def _labelled(
    reader: Reader, plural: str, group: str, labels: Iterable[str], value: str
) -> list[Object]:
    found: dict[str, Object] = {}
    for label in labels:
        # By uid, for an object may carry several of the labels.
        for labelled in reader.here(plural, group, labelSelector=f"{label}={value}"):
            found[labelled["metadata"]["uid"]] = labelled
    return list(found.values())


def _owners(reader: Reader, run: str, jobs: list[Object], events: list[Object]) -> list[Trouble]:
    """Troubles of what makes the run's pods."""
    found = [job_failed(job, "trainjob") for job in jobs]
    names = {job["metadata"]["name"] for job in jobs}
    owners: list[tuple[str, Object]] = []
    for name in sorted(names):
        # Trainer makes a JobSet of the training job's name, and that makes the Jobs.
        selector = f"jobset.sigs.k8s.io/jobset-name={name}"
        for job in reader.here("jobs", "batch/v1", labelSelector=selector):
            owners.append(("job", job))
    for replicas in _labelled(reader, "replicasets", "apps/v1", (INSTANCE,), run):
        owners.append(("replicaset", replicas))
    for kind, owner in owners:
        if lacks_pods(owner):
            found.append(pods_refused(owner, kind, about(events, owner)))
    waiting = []
    workloads = queued(reader) if jobs else []
    for workload in workloads:
        owned_by = {ref["name"] for ref in workload["metadata"].get("ownerReferences") or []}
        trouble = not_admitted(workload)
        if owned_by & names and trouble:
            waiting.append(trouble)
    reported = []
    for trouble in found:
        # The queue says why; that the job is suspended says only that.
        said_by_queue = bool(waiting) and trouble is not None and trouble.kind == "suspended"
        if trouble is not None and not said_by_queue:
            reported.append(trouble)
    return [*reported, *waiting]


def step_of_pod(pod: Object) -> str:
    """Which step of a pipeline a pod is; empty for others."""
    annotations = pod["metadata"].get("annotations") or {}
    return step_of(str(annotations.get(NODE_NAME, "")))


def _row(step: str, trouble: Trouble) -> Finding:
    row = trouble.finding
    if not step:
        return row
    return replace(row, what=f"step {step}, {row.what}")


def _nothing(run: ClusterRun) -> Finding:
    where = "Kubeflow Pipelines knows no such run"
    if run.reader:
        where = f"nothing in namespace {run.reader.namespace} is labelled with it"
    seen = f"{where}: it ended and was cleaned away, or runs elsewhere"
    fix = (
        f"kubectl get pods -A -l {RUN_LABEL}={run.run}; "
        f"then modelyard doctor {run.run} --namespace NAMESPACE"
    )
    return Finding("bad", f"run {run.run}", seen, fix)
