"""A pipeline's run on a cluster: what Kubeflow Pipelines, Argo and the pods together say of it.

Any of the three may be missing: Argo's Workflow and the pods are cleaned away, and a laptop may reach
Kubeflow Pipelines alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from modelyard.doctor.finding import Object
from modelyard.doctor.inspect import Reader
from modelyard.errors import ModelyardError
from modelyard.kubernetes.kubeflow import Kubeflow
from modelyard.kubernetes.steps import Step, Try, from_record, from_workflow, moment
from modelyard.kubernetes.words import Finished, finished

RUN_LABEL = "pipeline/runid"
"""Label of a run's Workflow and pods."""
NODE_ID, NODE_NAME = "workflows.argoproj.io/node-id", "workflows.argoproj.io/node-name"
NEVER_STARTED = "NeverStarted"
"""Reason of the event on the Workflow of a run that was ended because a step could not start."""
ENDED = frozenset({"SUCCEEDED", "FAILED", "CANCELED", "SKIPPED"})
_MAIN = "main"
_WHOLE = 50_000
"""Lines that are read where those do not hold what is looked for."""
_ID = re.compile(r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")
_VERSION = re.compile(r"^(?P<name>\S+) version (?P<version>\d+) ")
"""How `deploy` begins its headline."""
_TAIL = 400
"""Lines that are read of a log's end: the launcher writes some thirty below the step's own."""


class ClusterRun:
    """One run; `look` reads it again."""

    def __init__(self, run: str, kubeflow: Kubeflow | None, reader: Reader | None) -> None:
        self.run, self.kubeflow, self.reader = run, kubeflow, reader
        self.record: Object | None = None
        """As Kubeflow Pipelines has it; None where it knows no such run."""
        self.workflow: Object | None = None
        self.pods: list[Object] = []
        self.steps: list[Step] = []
        self._settled = False

    def look(self) -> None:
        """Reads the run's record, Workflow and pods.

        Raises:
            Unavailable: an API that should answer does not.
        """
        if self.kubeflow is not None:
            self.record = self.kubeflow.run(self.run)
        if self.reader is not None:
            self._settle(self.reader)
            selector = f"{RUN_LABEL}={self.run}"
            self.pods = self.reader.here("pods", labelSelector=selector)
            found = self.reader.here("workflows", "argoproj.io/v1alpha1", labelSelector=selector)
            self.workflow = found[0] if found else None
        # Argo knows more of each step; Kubeflow's record outlives its Workflow.
        self.steps = from_workflow(self.workflow) if self.workflow is not None else []
        if not self.steps and self.record is not None:
            self.steps = from_record(self.record)

    @property
    def state(self) -> str:
        """SUCCEEDED, FAILED, RUNNING, …; empty where nobody says."""
        if self.record is not None:
            return str(self.record.get("state") or "")
        return self.workflow_status("phase").upper()

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self.state in ENDED

    @property
    def lost(self) -> bool:
        """Whether Kubeflow calls it running while Argo has nothing of it any more."""
        if self.record is None or self.reader is None:
            return False
        # An account that may not list them sees nothing of any run.
        unseen = any("pods" in path or "workflows" in path for path in self.reader.denied)
        gone = self.workflow is None and not self.pods
        return gone and not unseen and not self.over

    @property
    def terminated(self) -> bool:
        """Whether a person ended it."""
        # Kubeflow ends a run by setting its Workflow's deadline to 0 seconds.
        by_deadline = "exceeded workflow deadline" in self.workflow_status("message")
        return by_deadline or self.state == "CANCELED"

    def workflow_status(self, name: str) -> str:
        """A field of its Workflow's status; empty where there is none."""
        status = (self.workflow or {}).get("status", {})
        return str(status.get(name) or "")

    @property
    def parameters(self) -> Object:
        """What the run was started with."""
        config = (self.record or {}).get("runtime_config") or {}
        found: Object = config.get("parameters") or {}
        return found

    @property
    def seconds(self) -> float | None:
        """From its creation to its end, or to now."""
        record = self.record or {}
        began = moment(record.get("created_at"))
        if began is None:
            return None
        ended = moment(record.get("finished_at")) or datetime.now(UTC)
        return (ended - began).total_seconds()

    def pod(self, attempt: Try) -> Object | None:
        """The pod of a try; None where it is gone."""
        for pod in self.pods:
            if (pod["metadata"].get("annotations") or {}).get(NODE_ID) == attempt.node:
                return pod
        return None

    def log(self, attempt: Try, tail: int = _TAIL) -> str:
        """The end of a try's log: of its pod, else what Kubeflow Pipelines kept; empty without either."""
        pod = self.pod(attempt)
        if pod is not None and self.reader is not None:
            found = self.reader.cluster.log(pod["metadata"]["name"], _MAIN, tail)
            if found:
                return found
        if self.kubeflow is None:
            return ""
        kept = self.kubeflow.log(self.run, attempt.node)
        return "\n".join(kept.splitlines()[-tail:])

    def finished(self, step: Step) -> Finished | None:
        """What a step's stage reported at its end; None where no log says."""
        if not step.tries:
            return None
        last = step.tries[-1]
        # Below it the launcher writes a line a file that it stores: hundreds for many small ones.
        return finished(self.log(last)) or finished(self.log(last, _WHOLE))

    def package(self) -> str | None:
        """What the run registered, `churn@3`; None where it registered nothing, or no log says."""
        for step in self.steps:
            finished = self.finished(step) if step.name == "deploy" else None
            if finished is None:
                continue
            version = _VERSION.match(finished.headline)
            if version is not None:
                return f"{version['name']}@{version['version']}"
        return None

    def events(self) -> Iterator[dict[str, Any]]:
        """The steps that ended as a run on a laptop reports them: with their seconds and usage."""
        for step in self.steps:
            finished = self.finished(step)
            if finished is None or not finished.cost:
                continue
            yield {"event": "started", "stage": step.name}
            event = {"event": "finished", "stage": step.name, "cost": finished.cost}
            yield event | {"seconds": finished.seconds, "headline": finished.headline}

    def _settle(self, reader: Reader) -> None:
        """Looks in the namespace in which the run is, unless a person named one."""
        if self._settled:
            return
        self._settled = True
        if reader.cluster.asked_namespace:
            return
        selector = f"{RUN_LABEL}={self.run}"
        if reader.here("pods", labelSelector=selector):
            return
        named = self.kubeflow.namespace() if self.kubeflow is not None else ""
        # Where the run's own objects are counts more than what Kubeflow calls the default.
        for path in ("/apis/argoproj.io/v1alpha1/workflows", "/api/v1/pods"):
            # One is enough to know the namespace.
            everywhere = reader.get(path, labelSelector=selector, limit=1) or {}
            for thing in everywhere.get("items") or []:
                named = thing["metadata"]["namespace"]
        if named:
            reader.namespace = reader.cluster.namespace = named


def is_cluster_id(reference: str | None) -> bool:
    """Whether a reference is the id of a run on a cluster: a UUID, which no run here has."""
    return reference is not None and _ID.match(reference) is not None


def found(run: str, namespace: str | None = None, host: str | None = None) -> ClusterRun:
    """A run by what can be reached of the cluster from here.

    Raises:
        UsageError: neither Kubeflow Pipelines nor Kubernetes is known here.
    """
    kubeflow, reader, problem = None, None, None
    try:
        kubeflow = Kubeflow(host)
    except ModelyardError as error:
        problem = error
    try:
        reader = Reader(namespace)
    except ModelyardError:
        if kubeflow is None:
            raise problem or ModelyardError("no cluster is known here") from None
    return ClusterRun(run, kubeflow, reader)
