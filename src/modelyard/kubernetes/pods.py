"""What pods say of a training job: why one waits, and how one ended. Pure functions of pods as
JSON."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from modelyard.errors import ModelyardError, Unavailable, UsageError
from modelyard.kubernetes.client import Object
from modelyard.kubernetes.trainer import NODE

PREEMPTED = 75
"""Exit status of a worker that got SIGTERM, saved, and wants to be run again (EX_TEMPFAIL
of sysexits.h)."""
USER_ERROR = 2
"""Exit status of a worker whose last line says what a person can fix."""
_SIGBUS, _SIGKILL = 135, 137
_PULL = frozenset(
    {
        "ErrImagePull",
        "ImagePullBackOff",
        "ErrImageNeverPull",
        "InvalidImageName",
        "RegistryUnavailable",
    }
)
_SETUP = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})
_INDEX = "batch.kubernetes.io/job-completion-index"


@dataclass(frozen=True)
class Waiting:
    """A pod that has no running container yet, for a reason that may not pass."""

    kind: Literal["schedule", "pull", "setup"]
    node: int
    pod: str
    text: str


@dataclass(frozen=True)
class End:
    """A node's container, or pod, that ended otherwise than well."""

    kind: Literal["preempted", "memory", "user", "crash"]
    node: int
    pod: str
    code: int | None
    text: str
    when: str
    """RFC 3339; empty where it is not known."""
    said: str = ""
    """What the container left as its last word."""
    restarted: bool = False
    """The container runs again already: its log is the previous one's."""


def node_of(pod: Object) -> int:
    """Which node of the job a pod is, from 0."""
    metadata = pod["metadata"]
    # Each pod of an indexed Job has it as an annotation, since Kubernetes 1.28 as a label too.
    marks = {**metadata.get("labels", {}), **metadata.get("annotations", {})}
    return int(marks.get(_INDEX, 0))


def newest(pods: Sequence[Object], node: int) -> Object | None:
    """The pod that is a node now."""
    found = [pod for pod in pods if node_of(pod) == node]
    return max(found, key=lambda pod: str(pod["metadata"]["creationTimestamp"]), default=None)


def started(pod: Object) -> bool:
    """Whether its container runs or ran, so that there is a log."""
    container = _status(pod)
    state = container.get("state", {})
    # A container that is started again has no log of its own yet, but the previous one's.
    was_restarted = bool(container.get("lastState"))
    return "running" in state or "terminated" in state or was_restarted


def succeeded(pod: Object) -> bool:
    """Whether its container ended well."""
    terminated: dict[str, Any] = _status(pod).get("state", {}).get("terminated", {})
    return terminated.get("exitCode") == 0


def waiting(pod: Object) -> Waiting | None:
    """Why a pod has not started; None where it has, or where all is well so far."""
    name, node, status = pod["metadata"]["name"], node_of(pod), pod.get("status", {})
    scheduled = _condition(pod, "PodScheduled") or {}
    # Other reasons of "False" pass by themselves: a scheduling gate, a queue that holds the job.
    if scheduled.get("status") == "False" and scheduled.get("reason") == "Unschedulable":
        return Waiting("schedule", node, name, str(scheduled.get("message", "no node fits")))
    containers = [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]
    for container in containers:
        state = container.get("state", {}).get("waiting", {})
        reason = state.get("reason")
        said = f"{reason}: {state.get('message', '')}".rstrip(": ")
        if reason in _PULL:
            text = f"image {container.get('image')} cannot be pulled: {said}"
            return Waiting("pull", node, name, text)
        if reason in _SETUP:
            return Waiting("setup", node, name, said)
    return None


def ended(pod: Object) -> End | None:
    """How a pod's container ended; None where it has not, or ended well."""
    name, node, status = pod["metadata"]["name"], node_of(pod), pod.get("status", {})
    # Set by whoever disrupts a pod: drain, preemption, a lost node. An exit code that follows from
    # it says nothing of the training.
    disrupted = _condition(pod, "DisruptionTarget")
    if disrupted and disrupted.get("status") == "True":
        text = f"{disrupted.get('reason')}: {disrupted.get('message')}"
        when = str(disrupted.get("lastTransitionTime", ""))
        return End("preempted", node, name, None, text, when)
    # The kubelet's own doing: a node short of disk or memory, or shut down, fails the pod as a
    # whole.
    if status.get("phase") == "Failed" and status.get("reason"):
        text = f"{status['reason']}: {status.get('message', '')}".rstrip(": ")
        return End("preempted", node, name, None, text, "")
    container = _status(pod)
    # The present state first: `lastState` is an earlier end of the same container.
    now = container.get("state", {}).get("terminated") or {}
    if now.get("exitCode"):
        return _exit(pod, now, restarted=False)
    before = container.get("lastState", {}).get("terminated") or {}
    if before.get("exitCode"):
        return _exit(pod, before, restarted=True)
    return None


def removed(pod: Object) -> End | None:
    """The end of a pod that someone deleted while it had not ended well."""
    if succeeded(pod) or not started(pod):
        return None
    text = "its pod was deleted"
    return ended(pod) or End("preempted", node_of(pod), pod["metadata"]["name"], None, text, "")


def cause(ends: Sequence[End]) -> End:
    """The one of several ends that the others follow from: nodes that lose a peer crash too."""
    rank = {"preempted": 0, "memory": 1, "user": 2, "crash": 3}
    # "~" sorts behind every time.
    return min(ends, key=lambda end: (rank[end.kind], end.when or "~", end.node))


def memory_limit(pod: Object) -> str:
    """The memory limit of a pod's training container, as it is written there."""
    for container in pod.get("spec", {}).get("containers", []):
        if container.get("name") == NODE:
            return str(container.get("resources", {}).get("limits", {}).get("memory", "none"))
    return "none"


def explain(end: End, job: str, line: str) -> ModelyardError:
    """The error for an end; `line` is the last one of its log."""
    if end.kind == "user":
        return UsageError(
            line.removeprefix("error: ")
            or f"{job}: node {end.node} exited with code 2 and said nothing"
        )
    where = f"{job}: node {end.node} (pod {end.pod})"
    if end.kind == "memory":
        return UsageError(f"{where} {end.text}. Lower training.batch_size, or raise cluster.memory")
    if end.kind == "preempted":
        return Unavailable(f"{where} was stopped: {end.text}")
    return ModelyardError(f"{where} {end.text}. Its last line: {line or '(none)'}")


def _exit(pod: Object, last: dict[str, Any], restarted: bool) -> End:
    code, reason = int(last["exitCode"]), str(last.get("reason", ""))
    # Only the last line has room in an error; Kubernetes keeps up to 4 kB of a container's words.
    said = (str(last.get("message") or "").strip().splitlines() or [""])[-1]
    end = functools.partial(
        End,
        node=node_of(pod),
        pod=pod["metadata"]["name"],
        code=code,
        when=str(last.get("finishedAt") or ""),
        said=said,
        restarted=restarted,
    )
    limit = f"its limit is {memory_limit(pod)}"
    if reason == "OOMKilled":
        return end("memory", text=f"ran out of memory (OOMKilled); {limit}")
    if code == PREEMPTED:
        return end("preempted", text=f"exit code {code}, its state saved")
    # A pod that is deleted gets SIGTERM and then SIGKILL: its 143 or 137 is neither a crash nor
    # lack of memory.
    if pod["metadata"].get("deletionTimestamp"):
        return end("preempted", text=f"exit code {code} while its pod was being deleted")
    if code == USER_ERROR:
        return end("user", text="exited with code 2")
    # The kernel may kill a worker and spare the container's first process, which passes the status
    # on: Kubernetes then knows nothing of memory.
    if code == _SIGKILL:
        return end(
            "memory", text=f"was killed, most likely for its memory (exit code 137); {limit}"
        )
    # Writing to a full /dev/shm, which holds the batches of the loader's processes, raises SIGBUS.
    hint = ": /dev/shm was too small, raise cluster.shm" if code == _SIGBUS else ""
    return end("crash", text=f"exited with code {code}{hint}")


def _status(pod: Object) -> dict[str, Any]:
    """The status of the training container; empty before there is one."""
    for container in pod.get("status", {}).get("containerStatuses", []):
        if container.get("name") == NODE:
            found: dict[str, Any] = container
            return found
    return {}


def _condition(pod: Object, kind: str) -> dict[str, Any] | None:
    for condition in pod.get("status", {}).get("conditions", []):
        if condition.get("type") == kind:
            found: dict[str, Any] = condition
            return found
    return None
