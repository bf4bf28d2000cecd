"""Why a pod does not start, does not answer, or ended."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from modelyard.doctor.ended import container_ended, pod_ended
from modelyard.doctor.finding import (
    Object,
    Trouble,
    condition,
    kubectl,
    newest_event,
    one_line,
    place_of,
)
from modelyard.doctor.pull import REASONS as PULL
from modelyard.doctor.pull import pull_failed
from modelyard.doctor.schedule import unschedulable

_SETUP = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})
_MOUNT = ("FailedMount", "FailedAttachVolume", "FailedMapVolume")
LastLine = Callable[[str, bool], str]
"""`last_line(container, previous)`: the last line that it wrote, in its run before this one
where `previous`."""


def explain_pod(
    pod: Object, events: Sequence[Object] = (), last_line: LastLine = lambda *_: ""
) -> Trouble | None:
    """What is wrong with a pod; None where all is well so far.

    `events` are about this pod, in any order. `last_line` is asked only where a container ended
    badly.
    """
    if pod.get("status", {}).get("phase") == "Succeeded":
        return None
    about = list(events)
    # In the order of a pod's life: what comes later may follow from what came before.
    return (
        pod_ended(pod)
        or _not_scheduled(pod)
        or _container(pod, about, last_line)
        or _not_set_up(pod, about)
        or _not_ready(pod, about)
    )


def _not_scheduled(pod: Object) -> Trouble | None:
    scheduled = condition(pod, "PodScheduled")
    if scheduled.get("status") != "False":
        return None
    if scheduled.get("reason") == "SchedulingGated":
        gates = ", ".join(gate["name"] for gate in pod.get("spec", {}).get("schedulingGates") or [])
        cause = f"it waits for the scheduling gates {gates}"
        fix = "ask who set the gate to lift it"
        if "kueue" in gates:
            cause = "it waits for a queue (Kueue) to admit it"
            fix = "kubectl get workloads,localqueues,clusterqueues -A"
        return Trouble("gated", place_of(pod), cause, fix, lasting=False)
    if scheduled.get("reason") == "Unschedulable":
        return unschedulable(pod, str(scheduled.get("message", "")))
    return None


def _container(pod: Object, events: list[Object], last_line: LastLine) -> Trouble | None:
    status = pod.get("status", {})
    # Init containers first: while one of them fails, the others wait.
    named = [(container, True) for container in status.get("initContainerStatuses") or []]
    named += [(container, False) for container in status.get("containerStatuses") or []]
    for container, init in named:
        waiting = container.get("state", {}).get("waiting") or {}
        reason, message = str(waiting.get("reason", "")), str(waiting.get("message", ""))
        if reason in PULL:
            return pull_failed(pod, str(container.get("image", "")), reason, message, events)
        if reason in _SETUP:
            return _setup_failed(pod, str(container["name"]), reason, message)
        if trouble := container_ended(pod, container, init, events, last_line):
            return trouble
    return None


def _setup_failed(pod: Object, container: str, reason: str, message: str) -> Trouble:
    low, place = message.lower(), place_of(pod)
    # `secret "keys" not found`.
    for kind, called in (("secret", "Secret"), ("configmap", "ConfigMap")):
        if f'{kind} "' in low and "not found" in low:
            name = low.partition(f'{kind} "')[2].partition('"')[0]
            made = "secret generic" if kind == "secret" else kind
            fix = kubectl(pod, f"create {made} {name} --from-env-file={name}.env")
            cause = f"{called} {name!r}, which container {container} reads, is missing"
            return Trouble(f"no-{kind}", place, cause, fix)
    # `couldn't find key token in Secret models/keys`.
    if "couldn't find key" in low:
        kind, _, holder = message.rpartition(" in ")[2].partition(" ")
        fix = kubectl(
            pod,
            f"describe {kind.lower()} {holder.rpartition('/')[2]} shows its keys; add the missing one",
        )
        return Trouble("no-key", place, f"container {container}: {one_line(message)}", fix)
    # `container has runAsNonRoot and image will run as root`, or: `image has non-numeric user
    # (app), cannot verify user is non-root`.
    if "run as root" in low or "non-numeric user" in low:
        fix = "build it with a numeric USER that is not 0, or set security.runAsUser (chart)"
        return Trouble(
            "root", place, f"container {container} would run as root, which the pod forbids", fix
        )
    if "executable file not found" in low or "no such file or directory" in low:
        fix = (
            "check that the image holds modelyard: it must be modelyard's own or one built from it"
        )
        return Trouble(
            "no-command", place, f"container {container} cannot start: {one_line(message)}", fix
        )
    fix = kubectl(pod, f"describe pod {pod['metadata']['name']}")
    return Trouble(
        "setup", place, f"container {container} cannot be made ({reason}): {one_line(message)}", fix
    )


def _not_set_up(pod: Object, events: list[Object]) -> Trouble | None:
    """Volumes and the network of a pod that has a node but no container yet."""
    if _began(pod):
        return None
    if mount := newest_event(events, *_MOUNT):
        return _mount_failed(pod, str(mount.get("message", "")))
    if sandbox := newest_event(events, "FailedCreatePodSandBox"):
        said = one_line(sandbox.get("message"))
        fix = f"the node's network or runtime is ill: kubectl describe node {pod.get('spec', {}).get('nodeName')}"
        return Trouble(
            "sandbox",
            place_of(pod),
            f"its node cannot make a sandbox for it: {said}",
            fix,
            lasting=False,
        )
    return None


def _mount_failed(pod: Object, message: str) -> Trouble:
    place, low = place_of(pod), message.lower()
    for kind in ("secret", "configmap"):
        if f'{kind} "' in low and "not found" in low:
            # The last one: `MountVolume.SetUp failed for volume "secret-keys": secret "keys" not
            # found`.
            name = low.rpartition(f'{kind} "')[2].partition('"')[0]
            made = "secret generic" if kind == "secret" else kind
            fix = kubectl(pod, f"create {made} {name} --from-file=…")
            return Trouble(
                "mount-missing", place, f"it mounts the {kind} {name!r}, which is missing", fix
            )
    if "multi-attach" in low:
        fix = "use a ReadWriteMany claim, or run the pods on one node"
        return Trouble(
            "mount-busy",
            place,
            f"its volume is attached to another node: {one_line(message)}",
            fix,
            False,
        )
    fix = kubectl(pod, f"describe pod {pod['metadata']['name']}; get pvc")
    return Trouble(
        "mount", place, f"a volume cannot be mounted: {one_line(message)}", fix, lasting=False
    )


def _not_ready(pod: Object, events: list[Object]) -> Trouble | None:
    """Containers run and do not answer, or their node is gone."""
    ready = condition(pod, "Ready")
    if ready.get("status") != "False" or not _began(pod):
        return None
    node = pod.get("spec", {}).get("nodeName", "its node")
    message = str(ready.get("message", ""))
    if ready.get("reason") in ("NodeNotReady", "NodeLost") or message.startswith("node is not"):
        cause, fix = f"node {node} is not ready", f"kubectl describe node {node}"
        return Trouble("node", place_of(pod), cause, fix, lasting=False)
    event = newest_event(events, "Unhealthy")
    if event is None:
        return None
    said = one_line(event.get("message"))
    probe = said.partition(" probe failed")[0].lower()
    fix = kubectl(pod, f"logs {pod['metadata']['name']} --tail=50")
    if probe == "startup":
        fix += "; a large model needs more probes.startup.failureThreshold"
    return Trouble(
        "probe", place_of(pod), f"it runs, but its {probe} probe fails: {said}", fix, lasting=False
    )


def _began(pod: Object) -> bool:
    """Whether any container of it runs or ran."""
    status = pod.get("status", {})
    states: set[str] = set()
    for name in ("initContainerStatuses", "containerStatuses"):
        for container in status.get(name) or []:
            states.update(container.get("state") or {}, container.get("lastState") or {})
    return not states.isdisjoint({"running", "terminated"})
