"""What a cluster has and what of it is free: nodes, devices, quotas."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from modelyard.doctor.finding import Finding, Object, condition

NEAR = 0.9
"""Share of a quota from which on it is reported."""


@dataclass(frozen=True)
class Devices:
    """A resource that is counted in devices, over all nodes that take pods."""

    resource: str
    total: int
    free: int
    largest: int
    """Most that are free on one node."""
    nodes: int


def free_devices(nodes: Iterable[Object], pods: Sequence[Object]) -> list[Devices]:
    """Devices by resource name, `nvidia.com/gpu` and `nvidia.com/mig-1g.10gb` among them.

    Free is what is allocatable less what pods on the node request, whether they use it or not: that
    is how the scheduler counts. Nodes that are not ready or cordoned count for nothing.
    """
    taken: Counter[tuple[str, str]] = Counter()
    for pod in pods:
        # A pod without a node counts for the node "None", which cannot exist: names are in small letters.
        node_name = str(pod.get("spec", {}).get("nodeName"))
        for resource, count in _requested(pod).items():
            taken[node_name, resource] += count
    totals: Counter[str] = Counter()
    free: dict[str, list[int]] = {}
    for node in nodes:
        if not ready(node) or cordoned(node):
            continue
        for resource, count in _devices(node).items():
            totals[resource] += count
            of_nodes = free.setdefault(resource, [])
            if count:  # a plug-in offers 0 where it found no device
                of_nodes.append(count - taken[node["metadata"]["name"], resource])
    found = []
    for resource, left in sorted(free.items()):
        largest = max(left, default=0)
        found.append(Devices(resource, totals[resource], sum(left), largest, len(left)))
    return found


def could_take(nodes: Iterable[Object], pod: Object, resources: Iterable[str]) -> bool:
    """Whether a node has room for a pod once others have left it: as much is allocatable as the
    pod requests."""
    from kubernetes.utils.quantity import parse_quantity

    containers = pod.get("spec", {}).get("containers") or []
    wanted = {}
    for name in resources:
        wanted[name] = sum(parse_quantity(_request(container, name)) for container in containers)

    def fits(node: Object) -> bool:
        there = node.get("status", {}).get("allocatable") or {}
        return all(parse_quantity(there.get(name, "0")) >= wanted[name] for name in wanted)

    return any(map(fits, nodes))


def _request(container: Object, resource: str) -> str:
    resources = container.get("resources") or {}
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    return str(requests.get(resource, limits.get(resource, "0")))


def device_findings(devices: Iterable[Devices]) -> list[Finding]:
    """A row a resource."""
    rows = []
    for device in devices:
        seen = f"{device.free} of {device.total} free on {device.nodes} nodes, at most {device.largest} on one"
        if device.free:
            rows.append(Finding("ok", device.resource, seen))
        else:
            fix = "wait, or see who holds them: kubectl get pods -A --field-selector status.phase=Running"
            rows.append(Finding("warn", device.resource, seen, fix))
    if not rows:
        seen = "no node offers a device: training and serving run on CPUs"
        rows.append(Finding("off", "GPUs", seen))
    return rows


def node_findings(nodes: Sequence[Object]) -> list[Finding]:
    """Nodes that cannot take pods; one row for all where every one can."""
    rows = []
    able = 0
    for node in nodes:
        name = node["metadata"]["name"]
        what, fix = f"node {name}", f"kubectl describe node {name}"
        if ready(node) and not cordoned(node):
            able += 1
        if not ready(node):
            said = condition(node, "Ready").get("message") or "no word from it"
            rows.append(Finding("bad", what, f"not ready: {said}", fix))
        for pressure in ("DiskPressure", "MemoryPressure", "PIDPressure"):
            found = condition(node, pressure)
            if found.get("status") == "True":
                rows.append(Finding("warn", what, f"{pressure}: {found.get('message')}", fix))
    seen = f"{able} of {len(nodes)} ready and not cordoned"
    return [Finding("ok" if able else "bad", "nodes", seen), *rows]


def quota_findings(quotas: Iterable[Object]) -> list[Finding]:
    """Quotas of which little is left; one row where there is enough of everything."""
    from kubernetes.utils.quantity import parse_quantity

    rows = []
    count = 0
    for quota in quotas:
        count += 1
        name, namespace = quota["metadata"]["name"], quota["metadata"].get("namespace")
        fix = f"kubectl -n {namespace} describe quota {name}; free some, or ask for more"
        status = quota.get("status", {})
        taken = status.get("used") or {}
        for resource, hard in (status.get("hard") or {}).items():
            used, limit = parse_quantity(taken.get(resource, "0")), parse_quantity(hard)
            # Quantities are decimals, which do not multiply with floats.
            if limit and used >= limit * type(limit)(str(NEAR)):
                seen = f"{taken.get(resource)} of {hard} used"
                rows.append(Finding("warn", f"quota {name}: {resource}", seen, fix))
    if not rows:
        seen = f"{count} quotas, each below {NEAR:.0%}" if count else "none in this namespace"
        rows.append(Finding("ok", "quotas", seen))
    return rows


def ready(node: Object) -> bool:
    """Whether its kubelet says that it is."""
    return bool(condition(node, "Ready").get("status") == "True")


def cordoned(node: Object) -> bool:
    """Whether it was taken out by hand."""
    return bool(node.get("spec", {}).get("unschedulable"))


def _devices(node: Object) -> dict[str, int]:
    """Extended resources: those of a device plug-in, named with a domain."""
    found = _counted(node.get("status", {}).get("allocatable") or {})
    return {name: count for name, count in found.items() if not name.startswith("kubernetes.io/")}


def _requested(pod: Object) -> dict[str, int]:
    """Devices that a pod holds: the sum over its containers and sidecars, or what its largest init
    container needs next to the sidecars that run by then, where that is more."""
    if pod.get("status", {}).get("phase") in ("Succeeded", "Failed"):
        return {}
    spec = pod.get("spec", {})
    sidecars: Counter[str] = Counter()
    most: Counter[str] = Counter()
    for container in spec.get("initContainers") or []:
        # One that restarts always is a sidecar: it runs on while those after it start.
        if container.get("restartPolicy") == "Always":
            sidecars.update(_of(container))
        else:
            most |= sidecars + Counter(_of(container))
    running = Counter(sidecars)
    for container in spec.get("containers") or []:
        running.update(_of(container))
    return dict(most | running)


def _of(container: Object) -> dict[str, int]:
    resources = container.get("resources") or {}
    return _counted({**(resources.get("limits") or {}), **(resources.get("requests") or {})})


def _counted(amounts: Object) -> dict[str, int]:
    """Those that are counted in whole devices: no CPU, no memory."""
    found = {}
    for name, amount in amounts.items():
        if "/" in name and str(amount).isdigit():
            found[name] = int(amount)
    return found
