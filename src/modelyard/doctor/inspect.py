"""Reading a cluster to explain it: what may not be read is remembered rather than raised."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any

from modelyard.doctor.capacity import could_take
from modelyard.doctor.finding import Finding, Object, Trouble, condition, newest_event
from modelyard.doctor.pod import explain_pod
from modelyard.doctor.references import claims_of
from modelyard.doctor.schedule import NO_ROOM, lacking
from modelyard.doctor.workload import claim_pending, pods_refused
from modelyard.kubernetes.client import Cluster, Pace
from modelyard.kubernetes.refusals import message_of

PATIENCE = Pace(patience=5.0, backoff=0.5, longest=2.0)
"""A report is worth little when it comes late."""
ADDS_NODES = ("TriggeredScaleUp", "Nominated")
"""Events of a pod for which a node is being added: by the cluster autoscaler, by Karpenter."""
NODES = "/api/v1/nodes"
PAGE = 500
"""Objects in one answer of the API."""
NAMES_ONLY = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
"""Asks the API only for names and labels: the content of a Secret never comes here."""


class Reader:
    """Reads one cluster; `denied` collects what this account may not read."""

    def __init__(self, namespace: str | None = None, pace: Pace = PATIENCE) -> None:
        """Connects as `Cluster` does, and raises what it raises."""
        self.cluster = Cluster(namespace, pace)
        self.namespace = self.cluster.namespace
        self.denied: dict[str, str] = {}

    def get(self, path: str, accept: str = "application/json", **query: Any) -> Object | None:
        """What the API answers; None where there is nothing, or where this account may not look.

        Raises:
            Unavailable: the API does not answer; UsageError: credentials refused.
        """
        return self._ask("GET", path, accept, None, query)

    def post(self, path: str, body: Object) -> Object | None:
        """The answer to an object that is posted."""
        return self._ask("POST", path, "application/json", body, {})

    def items(self, path: str, accept: str = "application/json", **query: Any) -> list[Object]:
        """All objects of a list, page by page."""
        found: list[Object] = []
        token = ""
        while True:
            more: dict[str, Any] = {"limit": PAGE, **query} | ({"continue": token} if token else {})
            page = self.get(path, accept, **more)
            found += (page or {}).get("items") or []
            token = str(((page or {}).get("metadata") or {}).get("continue") or "")
            if not token:
                return found

    def here(self, plural: str, group: str = "", **query: Any) -> list[Object]:
        """Objects of the namespace: `here("pods", labelSelector="a=b")`, `here("deployments",
        "apps/v1")`."""
        root = f"/apis/{group}" if group else "/api/v1"
        return self.items(f"{root}/namespaces/{self.namespace}/{plural}", **query)

    def _ask(
        self, method: str, path: str, accept: str, body: Object | None, query: dict[str, object]
    ) -> Object | None:
        from kubernetes.client import ApiException

        def ask() -> Any:
            return self.cluster.api.call_api(
                path,
                method,
                query_params=list(query.items()),
                body=body,
                auth_settings=["BearerToken"],
                header_params={"Accept": accept, "Content-Type": "application/json"},
                response_type="object",
                _return_http_data_only=True,
                _request_timeout=(5, 30),
            )

        try:
            found: Object = self.cluster.call(f"reading {path}", ask)
        except ApiException as error:
            if error.status == 403:
                self.denied[path] = message_of(error)
            elif error.status != 404:
                raise
            return None
        return found


def denied(reader: Reader, what: str, path: str) -> list[Finding]:
    """One row that says so, where this account may not read a path."""
    if path not in reader.denied:
        return []
    return [Finding("off", what, f"not looked at: {reader.denied[path]}")]


def troubles(reader: Reader, selector: str, without: Collection[str] = ()) -> list[Trouble]:
    """What keeps the pods with these labels, and what makes them, from going on; what lasts first.

    Pods whose uid is in `without` are left out.
    """
    events = reader.here("events")
    pods = [
        pod
        for pod in reader.here("pods", labelSelector=selector)
        if pod["metadata"]["uid"] not in without
    ]
    found = [trouble for _, trouble in pods_in_trouble(reader, pods, events)]
    for kind, plural, group in (
        ("replicaset", "replicasets", "apps/v1"),
        ("job", "jobs", "batch/v1"),
    ):
        for owner in reader.here(plural, group, labelSelector=selector):
            if lacks_pods(owner) and (trouble := pods_refused(owner, kind, about(events, owner))):
                found.append(trouble)
    return sorted(found, key=lambda one: not one.lasting)


def pods_in_trouble(
    reader: Reader, pods: list[Object], events: list[Object]
) -> list[tuple[Object, Trouble]]:
    """Each pod in trouble, and what is wrong with it; of all tries of one Job only the last."""
    tries: dict[str, list[Object]] = {}
    for pod in pods:
        tries.setdefault(_attempt_of(pod), []).append(pod)
    found = []
    for each in tries.values():
        each.sort(key=lambda pod: str(pod["metadata"].get("creationTimestamp", "")))
        last = each[-1]
        if any(pod.get("status", {}).get("phase") == "Succeeded" for pod in each):
            continue
        if (trouble := _pod_trouble(reader, last, events)) is not None:
            found.append((last, trouble if len(each) == 1 else _again(last, trouble, len(each))))
    return found


def _attempt_of(pod: Object) -> str:
    """What all tries at the same work have in common: their Job, and their place among its pods."""
    metadata = pod["metadata"]
    owner = next(
        (one for one in metadata.get("ownerReferences") or [] if one.get("kind") == "Job"), None
    )
    if owner is None:
        return str(metadata["uid"])
    index = (metadata.get("labels") or {}).get("batch.kubernetes.io/job-completion-index", "")
    return f"{owner['name']}/{index}"


def _again(pod: Object, trouble: Trouble, tries: int) -> Trouble:
    job = next(
        one["name"] for one in pod["metadata"]["ownerReferences"] if one.get("kind") == "Job"
    )
    where = f"job {pod['metadata'].get('namespace', 'default')}/{job}, {trouble.where}"
    return replace(trouble, where=where, cause=f"{trouble.cause.rstrip('.')} (try {tries})")


def _pod_trouble(reader: Reader, pod: Object, events: list[Object]) -> Trouble | None:
    """What is wrong with a pod; where that is its claim, what is wrong with the claim."""
    trouble = explain_pod(pod, about(events, pod), _last_line(reader, pod))
    if trouble and trouble.kind == NO_ROOM:
        return replace(trouble, lasting=not _may_get_room(reader, pod, about(events, pod)))
    if trouble and trouble.kind == "claim-pending":
        for name in sorted(claims_of(pod)):
            path = f"/api/v1/namespaces/{reader.namespace}/persistentvolumeclaims/{name}"
            claim = reader.get(path)
            if claim and (cause := claim_pending(claim, about(events, claim))):
                return cause
    return trouble


def _may_get_room(reader: Reader, pod: Object, events: list[Object]) -> bool:
    """Whether a node may take a pod later: one is being added, or one that is large enough is
    only busy."""
    if newest_event(events, *ADDS_NODES) is not None:
        return True
    wanted = lacking(str(condition(pod, "PodScheduled").get("message", "")))
    return could_take(reader.items(NODES), pod, wanted)


def queued(reader: Reader) -> list[Object]:
    """Workloads of Kueue in the namespace, in the newer or the older version of its API."""
    return reader.here("workloads", "kueue.x-k8s.io/v1beta2") or reader.here(
        "workloads", "kueue.x-k8s.io/v1beta1"
    )


def about(events: list[Object], thing: Object) -> list[Object]:
    """Events about one object; a later object of the same name has another uid."""
    name, uid = thing["metadata"]["name"], thing["metadata"].get("uid")
    return [
        one
        for one in events
        if one["involvedObject"].get("name") == name
        and one["involvedObject"].get("uid", uid) == uid
    ]


def _last_line(reader: Reader, pod: Object) -> Callable[[str, bool], str]:
    return lambda container, previous: reader.cluster.last_line(
        pod["metadata"]["name"], container, previous
    )


def lacks_pods(owner: Object) -> bool:
    """Whether a ReplicaSet or Job has fewer pods than it wants: an event of the past may be
    past."""
    spec, status = owner.get("spec", {}), owner.get("status", {})
    if owner.get("kind") == "Job" or "completions" in spec or "parallelism" in spec:
        over = any(one.get("status") == "True" for one in status.get("conditions") or [])
        return not over and not status.get("active") and not status.get("succeeded")
    return int(status.get("replicas") or 0) < int(spec.get("replicas") or 0)
