"""How pods and their containers ended, where that was not well."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from modelyard.doctor.finding import (
    Object,
    Trouble,
    condition,
    kubectl,
    newest_event,
    one_line,
    place_of,
)
from modelyard.kubernetes.steps import step_of
from modelyard.kubernetes.words import ERROR

SIGTERM = 143
"""Exit status of a program that SIGTERM ended: 128 and the signal's number."""
HALF_DONE = "what serves may be half changed: modelyard doctor RELEASE, then run it again"
_STEP = "main"
"""Argo's name for the container of a step itself."""
_HELPERS = frozenset({"wait"})
"""Containers that Kubeflow Pipelines puts next to a step's own, to store its outputs."""
_FETCH = "package"
"""The container of charts/model that fetches the package."""
_MODEL, _PLATFORM = "model", "platform"
"""Names of our charts, as their pods' label `app.kubernetes.io/name` has them."""
_STORE = "check the object store of Kubeflow Pipelines and the keys in its secret mlpipeline-minio-artifact"


def pod_ended(pod: Object) -> Trouble | None:
    """A pod that was ended as a whole: evicted, preempted, out of time, lost with its node."""
    status, place = pod.get("status", {}), place_of(pod)
    reason, message = str(status.get("reason", "")), one_line(status.get("message"))
    # What the kubelet calls its own reasons to end a pod.
    if reason == "Evicted":
        return _evicted(place, message)
    if reason == "DeadlineExceeded":
        fix = (
            "raise cluster.timeout_hours (training) or the step's timeout, or make the job smaller"
        )
        return Trouble("deadline", place, f"it ran longer than its deadline: {message}", fix)
    if reason in ("NodeLost", "NodeShutdown", "Shutdown", "Terminated"):
        node = pod.get("spec", {}).get("nodeName", "NODE")
        return Trouble(
            "node",
            place,
            f"its node {node} went away: {message}",
            f"kubectl describe node {node}",
            False,
        )
    # The scheduler's knowledge of a node is a moment old: the kubelet refuses what does not fit any
    # more.
    if reason in ("UnexpectedAdmissionError", "OutOfcpu", "OutOfmemory", "OutOfnvidia.com/gpu"):
        return Trouble(
            "node-refused",
            place,
            f"its node refused it ({reason}): {message}",
            "run it again",
            False,
        )
    disrupted = condition(pod, "DisruptionTarget")
    if disrupted.get("status") == "True":
        why, said = str(disrupted.get("reason")), one_line(disrupted.get("message"))
        kind = "node" if why == "DeletionByTaintManager" else "preempted"
        fix = "it is made again by itself; to keep it: a PriorityClass, or nodes that are not reclaimed"
        return Trouble(kind, place, f"it was disrupted ({why}): {said}", fix, lasting=False)
    return None


def _evicted(place: str, message: str) -> Trouble:
    low = message.lower()
    if "emptydir" in low or "ephemeral" in low:
        fix = "raise package.sizeLimit or predictions.sizeLimit (chart), or the step's ephemeral-storage limit"
        return Trouble("evicted-storage", place, f"evicted, its disk was full: {message}", fix)
    if "memory" in low:
        return Trouble(
            "evicted-memory",
            place,
            f"evicted, its node ran out of memory: {message}",
            "request as much memory as it uses",
            lasting=False,
        )
    return Trouble("evicted", place, f"evicted: {message}", "run it again", lasting=False)


def container_ended(
    pod: Object,
    container: Object,
    init: bool,
    events: list[Object],
    last_line: Callable[[str, bool], str],
) -> Trouble | None:
    """A container that ended badly, now or, where it is started again and again, before."""
    state = container.get("state", {})
    now: dict[str, Any] = state.get("terminated") or {}
    last: dict[str, Any] = now or container.get("lastState", {}).get("terminated") or {}
    looping = (state.get("waiting") or {}).get("reason") == "CrashLoopBackOff"
    # An init container that runs once more may still succeed, another has to prove that it is ready.
    recovered = "running" in state and (init or container.get("ready"))
    # Looping with exit code 0: a server that should have stayed.
    failed = bool(last) and (last.get("exitCode") or looping)
    if recovered or not failed:
        return None
    name, killed = str(container["name"]), _killed_by_probe(events)
    if name == _STEP:
        trouble = _step_ended(pod, last, last_line(name, False), bool(now))
        if trouble is not None:
            return trouble
    # A worker that the kernel killed leaves 137 without the reason; so does a failing probe.
    killed_by_kernel = last.get("exitCode") == 137 and not killed
    if last.get("reason") == "OOMKilled" or killed_by_kernel:
        return _out_of_memory(pod, name, str(last.get("reason", "")))
    if killed and not now:
        return _probe_kills(pod, name, events)
    said = one_line(last_line(name, not now) or last.get("message"), 200)
    words = f"logs {pod['metadata']['name']} -c {name}"
    logs = kubectl(pod, words if now else f"{words} --previous")
    code = last.get("exitCode")
    if init:
        return _init_failed(pod, name, code, said, logs)
    if name in _HELPERS or "upload output artifact" in said:
        cause = f"its program ended, but its outputs were not stored: {said or f'exit code {code} of {name}'}"
        return Trouble("no-output", place_of(pod), cause, f"{_STORE}; {logs}")
    kind, again = "crash", ""
    if looping:
        kind, again = "crash-loop", f" ({container.get('restartCount', 0)} restarts)"
    cause = (
        f"container {name} ended with exit code {code}{again}. Its last line: {said or '(none)'}"
    )
    return Trouble(kind, place_of(pod), cause, _mend(code, said) or logs)


def _step_ended(pod: Object, last: Object, said: str, over: bool) -> Trouble | None:
    """A pipeline's step that says itself why it ended, or was killed within its container: Kubeflow's
    launcher turns every status of a program into 1."""
    node = (pod["metadata"].get("annotations") or {}).get("workflows.argoproj.io/node-name", "")
    if not over or not node or last.get("reason") == "OOMKilled":
        return None
    place = place_of(pod)
    log = kubectl(pod, f"logs {pod['metadata']['name']} -c {_STEP}")
    if said.startswith(ERROR):
        fix = f"after fixing it, run it again; its log: {log}"
        return Trouble("said", place, one_line(said.removeprefix(ERROR)), fix)
    if last.get("exitCode") == SIGTERM:
        cause = "it was ended while it worked (SIGTERM): the run was terminated, or its pod deleted"
        if said:
            cause = f"{cause}. Its last line: {one_line(said, 200)}"
        fix = HALF_DONE if step_of(str(node)) == "deploy" else "run it again"
        return Trouble("terminated", place, cause, fix)
    # The shell in front of the program reports its SIGKILL by this word.
    if said == "Killed":
        return _out_of_memory(pod, _STEP, "")
    return None


def _mend(code: object, said: str) -> str:
    """What to do, where the exit code or the program's own words tell."""
    if code == 135:
        return "/dev/shm was too small: raise cluster.shm (training) or gpu.shmSize (chart)"
    if code == 75:
        return "it saved its state and continues when it is run again"
    if "CUDA out of memory" in said:
        return "lower training.batch_size, or ask for a larger GPU"
    if "exec format error" in said:
        return "build the image for the node's architecture"
    return ""


def _out_of_memory(pod: Object, name: str, reason: str) -> Trouble:
    sure = "was killed, most likely for its memory (exit code 137)"
    if reason == "OOMKilled":
        sure = "ran out of memory"
    cause = f"container {name} {sure}; its limit is {_memory_limit(pod, name)}"
    return Trouble("out-of-memory", place_of(pod), cause, _more_memory(pod, name))


def _memory_limit(pod: Object, name: str) -> str:
    spec = pod.get("spec", {})
    for container in [*(spec.get("containers") or []), *(spec.get("initContainers") or [])]:
        if container.get("name") == name:
            limits = container.get("resources", {}).get("limits") or {}
            return str(limits.get("memory", "none"))
    return "none"


def _more_memory(pod: Object, container: str) -> str:
    """Which setting gives a container more memory: a value of its chart, or the training's."""
    labels = pod["metadata"].get("labels") or {}
    chart = labels.get("app.kubernetes.io/name")
    if chart == _MODEL:
        value = "resources.limits.memory"
        if container != "server":
            value = f"package.{value}"
        return (
            f"raise {value} among the release's values (serve.values where a pipeline deploys it)"
        )
    if chart == _PLATFORM:
        component = labels.get("app.kubernetes.io/component")
        return f"raise {component}.resources.limits.memory among the values of charts/platform"
    return "type --set cluster.memory=16Gi or more, or lower training.batch_size"


def _killed_by_probe(events: list[Object]) -> bool:
    event = newest_event(events, "Killing")
    return event is not None and "probe" in str(event.get("message", ""))


def _probe_kills(pod: Object, name: str, events: list[Object]) -> Trouble:
    unhealthy = newest_event(events, "Unhealthy") or {}
    said = one_line(unhealthy.get("message"))
    cause = f"container {name} is restarted because a probe fails: {said}"
    logs = kubectl(pod, f"logs {pod['metadata']['name']} -c {name} --previous")
    fix = f"{logs}; where it only needs longer, raise probes.*.failureThreshold (chart)"
    return Trouble("probe", place_of(pod), cause, fix)


def _init_failed(pod: Object, name: str, code: object, said: str, logs: str) -> Trouble:
    said = said.removeprefix("error: ") or f"exit code {code}"
    if name == _FETCH:
        cause = f"its package cannot be fetched: {said}"
        fix = f"check package.uri, package.sha256 and the keys in package.credentialsSecret; {logs}"
        return Trouble("package", place_of(pod), cause, fix)
    return Trouble(
        "init", place_of(pod), f"init container {name} failed with exit code {code}: {said}", logs
    )
