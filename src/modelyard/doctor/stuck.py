"""Runs of which a step cannot start: ended after a limit, with the reason where people look.

Kubeflow Pipelines has no such limit: a pod that no node can take, or whose image does not exist, waits
for ever. `modelyard follow` looks while somebody follows; this looks at all runs of a namespace.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from modelyard.doctor.clusterrun import NEVER_STARTED, NODE_NAME, RUN_LABEL
from modelyard.doctor.finding import Object, Trouble, condition
from modelyard.doctor.inspect import NODES, Reader, pods_in_trouble
from modelyard.doctor.run import step_of_pod
from modelyard.doctor.schedule import NO_ROOM
from modelyard.kubernetes.kubeflow import Kubeflow
from modelyard.kubernetes.steps import moment

OURS = "modelyard-"
"""How the names of our pipelines begin, and so those of their Workflows. Others' runs are left alone."""


@dataclass(frozen=True)
class Stuck:
    """A step that cannot start."""

    run: str
    workflow: str
    step: str
    minutes: float
    """For how long its pod has been there."""
    trouble: Trouble

    @property
    def reason(self) -> str:
        """One line: what waits, for what, and what to do."""
        step = f"step {self.step}" if self.step else self.trouble.where
        return (
            f"{step} could not start within {self.minutes:.0f} minutes: {self.trouble.cause}. "
            f"{self.trouble.fix}"
        )


def stuck_steps(reader: Reader, limit: float, now: datetime | None = None) -> list[Stuck]:
    """Steps of our pipelines in the namespace whose pods have not started for `limit` minutes, for
    something that does not pass by itself. A pod that waits for a busy node is not among them."""
    now = now or datetime.now(UTC)
    old = []
    for pod in reader.here("pods", labelSelector=RUN_LABEL):
        is_ours = _workflow(pod).startswith(OURS)
        is_pending = pod.get("status", {}).get("phase") == "Pending"
        if is_ours and is_pending and _minutes(pod, now) >= limit:
            old.append(pod)
    if not old:
        return []
    found = []
    for pod, trouble in pods_in_trouble(reader, old, reader.here("events")):
        # Without a look at the nodes nobody knows whether one is large enough.
        unknown = trouble.kind == NO_ROOM and NODES in reader.denied
        if trouble.lasting and not unknown:
            run = pod["metadata"]["labels"][RUN_LABEL]
            minutes = _minutes(pod, now)
            found.append(Stuck(run, _workflow(pod), step_of_pod(pod), minutes, trouble))
    return found


def end(stuck: Stuck, kubeflow: Kubeflow, reader: Reader) -> None:
    """Ends the run, and leaves the reason as an event on its Workflow, where `kubectl` and
    `modelyard doctor RUN` show it.

    Raises:
        Unavailable, UsageError: Kubeflow Pipelines does not answer, or refuses.
    """
    # The end first: without it the event would speak of a run that continues.
    kubeflow.terminate(stuck.run)
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    path = f"/apis/argoproj.io/v1alpha1/namespaces/{reader.namespace}/workflows/{stuck.workflow}"
    workflow = reader.get(path) or {}
    event = {
        "metadata": {"generateName": f"{stuck.workflow}.", "namespace": reader.namespace},
        "involvedObject": {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Workflow",
            "name": stuck.workflow,
            "namespace": reader.namespace,
            "uid": workflow.get("metadata", {}).get("uid", ""),
        },
        "type": "Warning",
        "reason": NEVER_STARTED,
        "message": stuck.reason[:1000],
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
        "source": {"component": "modelyard"},
    }
    reader.post(f"/api/v1/namespaces/{reader.namespace}/events", event)


def _minutes(pod: Object, now: datetime) -> float:
    """Since a pod is there, or since it lost its node."""
    unscheduled = condition(pod, "PodScheduled")
    stamp = pod["metadata"].get("creationTimestamp")
    # A pod that lost its node has not waited since it was created.
    if unscheduled.get("status") == "False":
        stamp = unscheduled.get("lastTransitionTime") or stamp
    since = moment(stamp)
    return (now - since).total_seconds() / 60 if since else 0.0


def _workflow(pod: Object) -> str:
    """`modelyard-tabular-training-x7k2p`, by Argo's `modelyard-tabular-training-x7k2p(0).root(0).ingest(0)`."""
    annotations = pod["metadata"].get("annotations") or {}
    return str(annotations.get(NODE_NAME, "")).partition("(")[0]
