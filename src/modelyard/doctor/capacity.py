"""What a cluster has and what of it is free: nodes, devices, quotas."""

from __future__ import annotations

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
    there = {
        node["metadata"]["name"]: _devices(node)
        for node in nodes
        if ready(node) and not cordoned(node)
    }
    taken: dict[tuple[str, str], int] = {}
    for pod in pods:
        for resource, count in _requested(pod).items():
            key = (str(pod.get("spec", {}).get("nodeName")), resource)
            taken[key] = taken.get(key, 0) + count
    found = []
    for resource in sorted({name for devices in there.values() for name in devices}):
        on = {name: devices[resource] for name, devices in there.items() if devices.get(resource)}
        free = [count - taken.get((name, resource), 0) for name, count in on.items()]
        found.append(Devices(resource, sum(on.values()), sum(free), max(free, default=0), len(on)))
    return found


def could_take(nodes: Iterable[Object], pod: Object, resources: Iterable[str]) -> bool:
    """Whether a node has room for a pod once others have left it: as much is allocatable as the
    pod requests."""
    from kubernetes.utils.quantity import parse_quantity

    containers = pod.get("spec", {}).get("containers") or []
    wanted = {
        name: sum(parse_quantity(_request(one, name)) for one in containers) for name in resources
    }
    for node in nodes:
        there = node.get("status", {}).get("allocatable") or {}
        if all(parse_quantity(there.get(name, "0")) >= amount for name, amount in wanted.items()):
            return True
    return False


def _request(container: Object, resource: str) -> str:
    resources = container.get("resources") or {}
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    return str(requests.get(resource, limits.get(resource, "0")))


def device_findings(devices: Iterable[Devices]) -> list[Finding]:
    """A row a resource."""
    rows = []
    for one in devices:
        seen = f"{one.free} of {one.total} free on {one.nodes} nodes, at most {one.largest} on one"
        if one.free:
            fix = ""
        else:
            fix = "wait, or see who holds them: kubectl get pods -A --field-selector status.phase=Running"
        rows.append(Finding("ok" if one.free else "warn", one.resource, seen, fix))
    return rows or [
        Finding("off", "GPUs", "no node offers a device: training and serving run on CPUs")
    ]


def node_findings(nodes: Sequence[Object]) -> list[Finding]:
    """Nodes that cannot take pods; one row for all where every one can."""
    rows = []
    for node in nodes:
        name = node["metadata"]["name"]
        if not ready(node):
            said = condition(node, "Ready").get("message") or "no word from it"
            rows.append(
                Finding(
                    "bad", f"node {name}", f"not ready: {said}", f"kubectl describe node {name}"
                )
            )
        for pressure in ("DiskPressure", "MemoryPressure", "PIDPressure"):
            if condition(node, pressure).get("status") == "True":
                said = str(condition(node, pressure).get("message"))
                rows.append(
                    Finding(
                        "warn",
                        f"node {name}",
                        f"{pressure}: {said}",
                        f"kubectl describe node {name}",
                    )
                )
    count = sum(ready(node) and not cordoned(node) for node in nodes)
    return [
        Finding(
            "ok" if count else "bad", "nodes", f"{count} of {len(nodes)} ready and not cordoned"
        ),
        *rows,
    ]


def quota_findings(quotas: Iterable[Object]) -> list[Finding]:
    """Quotas of which little is left; one row where there is enough of everything."""
    from kubernetes.utils.quantity import parse_quantity

    rows, seen = [], 0
    for quota in quotas:
        status, seen = quota.get("status", {}), seen + 1
        for resource, hard in (status.get("hard") or {}).items():
            used, limit = (
                parse_quantity((status.get("used") or {}).get(resource, "0")),
                parse_quantity(hard),
            )
            if limit and used >= limit * type(limit)(str(NEAR)):
                name = quota["metadata"]["name"]
                what = f"{(status.get('used') or {}).get(resource)} of {hard} used"
                namespace = quota["metadata"].get("namespace")
                fix = f"kubectl -n {namespace} describe quota {name}; free some, or ask for more"
                rows.append(Finding("warn", f"quota {name}: {resource}", what, fix))
    if rows:
        return rows
    return [
        Finding(
            "ok",
            "quotas",
            f"{seen} quotas, each below {NEAR:.0%}" if seen else "none in this namespace",
        )
    ]


def ready(node: Object) -> bool:
    """Whether its kubelet says that it is."""
    return bool(condition(node, "Ready").get("status") == "True")


def cordoned(node: Object) -> bool:
    """Whether it was taken out by hand."""
    return bool(node.get("spec", {}).get("unschedulable"))


def _devices(node: Object) -> dict[str, int]:
    """Extended resources: those of a device plug-in, named with a domain."""
    allocatable = node.get("status", {}).get("allocatable") or {}
    return {
        name: int(amount)
        for name, amount in allocatable.items()
        if "/" in name and not name.startswith("kubernetes.io/") and str(amount).isdigit()
    }


def _requested(pod: Object) -> dict[str, int]:
    """Devices that a pod holds: the sum over its containers, or its largest init container where
    that is more."""
    if pod.get("status", {}).get("phase") in ("Succeeded", "Failed"):
        return {}
    spec, total = pod.get("spec", {}), dict[str, int]()
    for container in spec.get("containers") or []:
        for name, count in _of(container).items():
            total[name] = total.get(name, 0) + count
    for container in spec.get("initContainers") or []:
        for name, count in _of(container).items():
            total[name] = max(total.get(name, 0), count)
    return total


def _of(container: Object) -> dict[str, int]:
    resources = container.get("resources") or {}
    wanted = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
    return {
        name: int(amount)
        for name, amount in wanted.items()
        if "/" in name and str(amount).isdigit()
    }
