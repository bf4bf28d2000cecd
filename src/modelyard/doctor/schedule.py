"""Why the scheduler finds no node for a pod.

The scheduler counts, over all nodes, the first filter that each of them failed; the filters run in
a fixed order (cordoned, taints, affinity, resources, volumes, spreading), so that the last one in
that order belongs to the nodes that came closest (Kubernetes documentation, Scheduling Framework).
"""

from __future__ import annotations

import re

from modelyard.doctor.finding import Object, Trouble, kubectl, one_line, place_of

_PART = re.compile(r"(\d+) (Insufficient [^\s,]+?|Too many pods|node\(s\) .+?)(?=, \d+ |\.\s|\.?$)")
_TAINT = re.compile(r"taints?(?: that the pod didn't tolerate)? \{([^:}]*)")
NO_ROOM = "no-room"
"""Kind of trouble: every node lacks something that it might have at another time."""
_CLAIM = re.compile(r'persistentvolumeclaim "([^"]+)" (not found|is being deleted)')
_UNBOUND = ("unbound immediate PersistentVolumeClaims", "unbound PersistentVolumeClaims")


def unschedulable(pod: Object, message: str) -> Trouble:
    """Explains the message of the condition PodScheduled."""
    if claim := _CLAIM.search(message):
        name = claim[1]
        return _trouble(
            pod,
            "no-claim",
            f"its PersistentVolumeClaim {name!r} {claim[2]}",
            f"{kubectl(pod, 'get pvc')}; create it or name another one",
            lasting=True,
        )
    if any(words in message for words in _UNBOUND):
        fix = kubectl(pod, "get pvc; describe the one that is Pending")
        return _trouble(
            pod, "claim-pending", f"a PersistentVolumeClaim of it is not bound: {message}", fix
        )
    return _closest(pod, message)


def lacking(message: str) -> list[str]:
    """Resources of which the scheduler found too little: `["nvidia.com/gpu"]`."""
    found = []
    for what in _filters(message):
        if what.startswith("Insufficient "):
            found.append(what.removeprefix("Insufficient "))
    return found


def _filters(message: str) -> list[str]:
    """What nodes failed at, as the scheduler words it."""
    # What follows counts the same nodes again: whether room would come by evicting other pods.
    about_nodes, _, _ = message.partition(". preemption:")
    return [what for _, what in _PART.findall(about_nodes)]


def _closest(pod: Object, message: str) -> Trouble:
    """By the filter that the nodes failed at which came closest: the last one in the scheduler's
    order first."""
    filters, missing = _filters(message), lacking(message)
    everything = "; ".join(filters)
    taints = _TAINT.findall(everything)
    for what in filters:
        if "volume node affinity conflict" in what:
            cause = f"its volume lies in a zone or on a node where no place is left ({what}): {_nodes(message)}"
            fix = "free a node in the volume's zone, or use a StorageClass with volumeBindingMode: WaitForFirstConsumer"
            return _trouble(pod, "volume-zone", cause, fix)
    devices = [name for name in missing if "/" in name]
    # Nodes with devices often keep other pods away by a taint. Such a node has the device free.
    for taint in taints:
        if devices and _is_for(taint, devices[0]):
            cause = f"the nodes with {devices[0]} have the taint {taint}, which the pod does not tolerate"
            return _trouble(pod, "taint", cause, _tolerate(taint))
    if missing:
        return _too_little(pod, devices[0] if devices else missing[0], message)
    if re.search("affinity/selector|node affinity|node selector", everything):
        chosen = pod.get("spec", {}).get("nodeSelector") or "its node affinity"
        cause = f"no node has the labels that it asks for ({chosen}): {_nodes(message)}"
        fix = "kubectl get nodes --show-labels; then cluster.node_selector (training), scheduling.nodeSelector (chart)"
        return _trouble(pod, "node-selector", cause, fix)
    if taints:
        return _trouble(
            pod,
            "taint",
            f"every node that fits has a taint: {_nodes(message)}",
            _tolerate(taints[0]),
        )
    if "unschedulable" in everything:
        fix = "kubectl get nodes; kubectl uncordon NODE"
        return _trouble(pod, "cordoned", f"nodes are cordoned: {_nodes(message)}", fix)
    return _trouble(
        pod,
        "unschedulable",
        _nodes(message),
        kubectl(pod, f"describe pod {pod['metadata']['name']}"),
    )


def _too_little(pod: Object, resource: str, message: str) -> Trouble:
    request = _request(pod, resource)
    if "/" in resource:
        fix = (
            f"modelyard doctor --cluster shows what is free; ask for fewer {resource}, or add nodes"
        )
    elif pod["metadata"].get("labels", {}).get("pipeline/runid"):
        fix = f"request less: --set cluster.{resource}=…, or {resource} in the page's form; or add nodes"
    else:
        fix = f"ask for less {resource}, or add nodes: kubectl describe nodes | grep -A8 'Allocated resources'"
    seen = f"no node has enough {resource} free{request}: {_nodes(message)}"
    return _trouble(pod, NO_ROOM, seen, fix)


def _request(pod: Object, resource: str) -> str:
    """How much of a resource a pod's containers request, in words; empty where they say nothing."""
    wanted = []
    for container in pod.get("spec", {}).get("containers", []):
        resources = container.get("resources", {})
        # Kubernetes takes a limit for the request where none is stated.
        amount = (resources.get("requests") or resources.get("limits") or {}).get(resource)
        if amount:
            wanted.append(str(amount))
    if "/" in resource:  # devices are counted: `1 + 1` would be odd
        total = sum(map(int, wanted))
        return f" ({total} requested)" if total else ""
    return f" ({' + '.join(wanted)} requested)" if wanted else ""


def _is_for(taint: str, resource: str) -> bool:
    """Whether a taint keeps nodes for pods that ask for the resource, as `nvidia.com/gpu` on
    both does."""
    same_domain = taint.partition("/")[0] == resource.partition("/")[0]
    return taint == resource or same_domain or "gpu" in taint.lower()


def _tolerate(taint: str) -> str:
    return (
        f"tolerate it: --set 'cluster.tolerations=[{{key: {taint}}}]' (training), "
        f"or scheduling.tolerations=[{{key: {taint}, operator: Exists}}] (chart)"
    )


def _nodes(message: str) -> str:
    return one_line(message.partition(". preemption:")[0])


def _trouble(pod: Object, kind: str, cause: str, fix: str, lasting: bool = True) -> Trouble:
    return Trouble(kind, place_of(pod), one_line(f"no node takes it: {cause}"), fix, lasting)
