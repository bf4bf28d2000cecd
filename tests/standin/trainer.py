"""Kubeflow Trainer, JobSet and the kubelet, played by hand: what they would write to the API,
when a test says so."""

from __future__ import annotations

import threading
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.standin.schema import problems, schema_of
from tests.standin.server import Api, Line
from tests.standin.store import Kind, Object, Refused, now

GROUP, VERSION = "trainer.kubeflow.org", "v1alpha1"
TRAIN_JOB = Kind(GROUP, VERSION, "trainjobs", "TrainJob")
RUNTIME = Kind(
    GROUP, VERSION, "clustertrainingruntimes", "ClusterTrainingRuntime", namespaced=False
)
NAMESPACE = "team-a"


@dataclass
class Trainer:
    """The controllers of one namespace."""

    api: Api
    namespace: str = NAMESPACE
    deletion_seconds: float = 0.05

    def install(self, *runtimes: str) -> None:
        """The CRDs, the admission webhook's rules for runtimes, and the runtimes themselves."""
        store = self.api.store
        store.register(TRAIN_JOB, RUNTIME)
        schema = schema_of("TrainerV1alpha1TrainJob")
        store.strict[TRAIN_JOB] = lambda job: problems(schema, job)
        store.admission.append(self._admit)
        for name in runtimes:
            store.create(RUNTIME, "", {"metadata": {"name": name}, "spec": {}})
        self.api.on_delete = self._delete

    def _admit(self, kind: Kind, job: Object) -> None:
        if kind != TRAIN_JOB:
            return
        name = job["spec"]["runtimeRef"]["name"]
        if (RUNTIME, "", name) not in self.api.store.objects:
            raise Refused(
                403,
                "Forbidden",
                'admission webhook "validator.trainjob.trainer.kubeflow.org" denied the request: spec.RuntimeRef: '
                f'Invalid value: {{"name":"{name}"}}: {RUNTIME.qualified} "{name}" not found: '
                "specified clusterTrainingRuntime must be created before the TrainJob is created",
            )
        for patch in job["spec"].get("runtimePatches", []):
            assert "/" in patch["manager"], "the webhook wants a domain-prefixed path"

    def _delete(self, kind: Kind, namespace: str, name: str, how: str) -> bool:
        """In the foreground Trainer reconciles the job until it is gone, and makes its pods again;
        else the job goes at once, and its pods after it."""
        if kind != TRAIN_JOB:
            return False
        store = self.api.store
        job = store.get(kind, namespace, name)
        if how == "Foreground" and "deletionTimestamp" not in job["metadata"]:
            store.change(
                kind, namespace, name, lambda one: one["metadata"].update(deletionTimestamp=now())
            )
            self.make_pods({**job, "metadata": {**job["metadata"], "uid": uuid.uuid4().hex}})
        elif how != "Foreground":
            store.remove(TRAIN_JOB, namespace, name)
        threading.Thread(target=self._collect, args=(namespace, name), daemon=True).start()
        return True

    def _collect(self, namespace: str, name: str) -> None:
        time.sleep(self.deletion_seconds)
        for pod in self.pods(name):
            self.api.store.remove(self._pod, namespace, pod["metadata"]["name"])
        if (TRAIN_JOB, namespace, name) in self.api.store.objects:
            self.api.store.remove(TRAIN_JOB, namespace, name)

    @property
    def _pod(self) -> Kind:
        return self.api.store.kinds[("", "pods")]

    def job(self, seconds: float = 20.0, after: str = "") -> Object:
        """The TrainJob, once it is there; `after` is the uid of one that it must have replaced."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for job in self.api.store.find(TRAIN_JOB, self.namespace):
                if job["metadata"]["uid"] != after and "deletionTimestamp" not in job["metadata"]:
                    return job
            time.sleep(0.01)
        raise AssertionError("no TrainJob was made")

    def pods(self, job: str) -> list[Object]:
        return self.api.store.find(
            self._pod, self.namespace, labels=f"jobset.sigs.k8s.io/jobset-name={job}"
        )

    def make_pods(self, job: Object) -> list[str]:
        """A pod a node, not yet scheduled; their names."""
        spec = job["spec"]["trainer"]
        (patch,) = job["spec"]["runtimePatches"]
        (node,) = patch["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"]
        own = node["template"]["spec"]["template"]["metadata"]["labels"]
        names = []
        for node in range(spec["numNodes"]):
            name = f"{job['metadata']['name']}-node-0-{node}-{job['metadata']['uid'][:5]}"
            labels = {
                **own,
                "jobset.sigs.k8s.io/jobset-name": job["metadata"]["name"],
                "jobset.sigs.k8s.io/replicatedjob-name": "node",
                "batch.kubernetes.io/job-completion-index": str(node),
            }
            container = {
                "name": "node",
                "image": spec["image"],
                "resources": spec["resourcesPerNode"],
            }
            pod = {
                "metadata": {"name": name, "labels": labels},
                "spec": {"containers": [container]},
            }
            self.api.store.create(
                self._pod, self.namespace, {**pod, "status": {"phase": "Pending"}}
            )
            names.append(name)
        return names

    def set_pod(self, pod: str, **status: Any) -> None:
        """Changes fields of a pod's status."""
        self.api.store.change(
            self._pod, self.namespace, pod, lambda thing: thing["status"].update(status)
        )

    def remove_pod(self, pod: str) -> None:
        self.api.store.remove(self._pod, self.namespace, pod)

    def wait(self, pod: str, reason: str, message: str) -> None:
        """The kubelet cannot start the container."""
        self._container(pod, {"waiting": {"reason": reason, "message": message}})

    def unschedulable(self, pod: str, message: str) -> None:
        """The scheduler found no node."""
        self._condition(pod, "PodScheduled", "False", "Unschedulable", message)

    def run(self, pod: str) -> None:
        """The container runs."""
        self._condition(pod, "PodScheduled", "True", "", "")
        self._container(pod, {"running": {"startedAt": now()}})
        self.set_pod(pod, phase="Running")

    def say(self, pod: str, *texts: str, seconds: float = 0.0) -> None:
        """Lines of the container's log; those of one call have the same time, as a burst may."""
        moment = datetime.now(UTC) + timedelta(seconds=seconds)
        stamp = moment.strftime("%Y-%m-%dT%H:%M:%S.%f").rstrip("0").rstrip(".") + "Z"
        self.api.logs.setdefault(pod, []).extend(Line(stamp, text) for text in texts)

    def exit(
        self, pod: str, code: int, reason: str = "", message: str = "", restarted: bool = False
    ) -> None:
        """The container ended; `restarted`: the kubelet starts it again in the same pod."""
        over = {
            "exitCode": code,
            "reason": reason or ("Error" if code else "Completed"),
            "finishedAt": now(),
        }
        state = {"terminated": {**over, **({"message": message} if message else {})}}
        if restarted:
            waiting = {
                "reason": "CrashLoopBackOff",
                "message": "back-off 10s restarting failed container",
            }
            self._container(pod, {"waiting": waiting}, state)
        else:
            self._container(pod, state)
        self.api.ended.add(pod)

    def disrupt(self, pod: str, reason: str, message: str) -> None:
        """The pod is taken off its node."""
        self._condition(pod, "DisruptionTarget", "True", reason, message)

    def warn(self, name: str, message: str, when: str = "") -> None:
        """An event about an object, of now unless it says when."""
        event = {
            "metadata": {"name": f"{name}.{len(self.api.store.history)}"},
            "type": "Warning",
            "message": message,
            "reason": "FailedCreate",
            "involvedObject": {"name": name},
            "lastTimestamp": when or now(),
        }
        self.api.store.create(self.api.store.kinds[("", "events")], self.namespace, event)

    def finish(self, job: Object, kind: str, reason: str, message: str) -> None:
        """A condition of the TrainJob: Complete or Failed."""
        condition = {
            "type": kind,
            "status": "True",
            "reason": reason,
            "message": message,
            "lastTransitionTime": now(),
        }
        name = job["metadata"]["name"]
        self.api.store.change(
            TRAIN_JOB,
            self.namespace,
            name,
            lambda one: one.update(status={"conditions": [condition]}),
        )

    def complete(self, job: Object) -> None:
        self.finish(job, "Complete", "AllJobsCompleted", "jobset completed successfully")

    def suspend(self, job: Object, on: bool) -> None:
        """What Kueue does, and what Trainer makes of it."""
        condition = {
            "type": "Suspended",
            "status": str(on),
            "reason": "Suspended" if on else "Resumed",
            "message": "",
            "lastTransitionTime": now(),
        }

        def edit(one: Object) -> None:
            one["spec"]["suspend"] = on
            one["status"] = {"conditions": [condition]}

        self.api.store.change(TRAIN_JOB, self.namespace, job["metadata"]["name"], edit)

    def _container(self, pod: str, state: Object, last: Object | None = None) -> None:
        thing = self.api.store.get(self._pod, self.namespace, pod)
        image = thing["spec"]["containers"][0]["image"]
        status = {
            "name": "node",
            "image": image,
            "state": state,
            "restartCount": int(last is not None),
        }
        self.set_pod(pod, containerStatuses=[{**status, **({"lastState": last} if last else {})}])

    def _condition(self, pod: str, kind: str, status: str, reason: str, message: str) -> None:
        condition = {
            "type": kind,
            "status": status,
            "reason": reason,
            "message": message,
            "lastTransitionTime": now(),
        }

        def edit(thing: Object) -> None:
            kept = [one for one in thing["status"].get("conditions", []) if one["type"] != kind]
            thing["status"]["conditions"] = [*kept, condition]

        self.api.store.change(self._pod, self.namespace, pod, edit)
