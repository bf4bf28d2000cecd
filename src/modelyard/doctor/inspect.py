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
OWNERS = (("replicaset", "replicasets", "apps/v1"), ("job", "jobs", "batch/v1"))
"""What makes pods: what it is called, its plural, its API group."""
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
        asked: dict[str, Any] = {"limit": PAGE, **query}
        while True:
            page = self.get(path, accept, **asked) or {}
            found += page.get("items") or []
            token = (page.get("metadata") or {}).get("continue")
            if not token:
                return found
            asked["continue"] = str(token)

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
    pods = []
    for pod in reader.here("pods", labelSelector=selector):
        if pod["metadata"]["uid"] not in without:
            pods.append(pod)
    found = [trouble for _, trouble in pods_in_trouble(reader, pods, events)]
    for kind, plural, group in OWNERS:
        for owner in reader.here(plural, group, labelSelector=selector):
            if not lacks_pods(owner):
                continue
            trouble = pods_refused(owner, kind, about(events, owner))
            if trouble is not None:
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
        # What failed before a try succeeded is over.
        if "Succeeded" in [pod.get("status", {}).get("phase") for pod in each]:
            continue
        each.sort(key=lambda pod: str(pod["metadata"].get("creationTimestamp", "")))
        last = each[-1]
        trouble = _pod_trouble(reader, last, events)
        if trouble is None:
            continue
        if len(each) > 1:
            trouble = _again(last, trouble, len(each))
        found.append((last, trouble))
    return found


def _attempt_of(pod: Object) -> str:
    """What all tries at the same work have in common: their Job, and their place among its pods."""
    metadata = pod["metadata"]
    job = _job_of(pod)
    if job is None:
        return str(metadata["uid"])
    index = (metadata.get("labels") or {}).get("batch.kubernetes.io/job-completion-index", "")
    return f"{job}/{index}"


def _job_of(pod: Object) -> str | None:
    """The Job that made a pod."""
    for owner in pod["metadata"].get("ownerReferences") or []:
        if owner.get("kind") == "Job":
            return str(owner["name"])
    return None


def _again(pod: Object, trouble: Trouble, tries: int) -> Trouble:
    namespace = pod["metadata"].get("namespace", "default")
    where = f"job {namespace}/{_job_of(pod)}, {trouble.where}"
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
    found = []
    for event in events:
        involved = event["involvedObject"]
        # Some controllers write events without the uid.
        if involved.get("name") == name and involved.get("uid", uid) == uid:
            found.append(event)
    return found


def _last_line(reader: Reader, pod: Object) -> Callable[[str, bool], str]:
    return lambda container, previous: reader.cluster.last_line(
        pod["metadata"]["name"], container, previous
    )


def lacks_pods(owner: Object) -> bool:
    """Whether a ReplicaSet or Job has fewer pods than it wants: an event of the past may be
    past."""
    spec, status = owner.get("spec", {}), owner.get("status", {})
    # Objects within a list have no `kind`: these fields only a Job has.
    is_job = owner.get("kind") == "Job" or "completions" in spec or "parallelism" in spec
    if is_job:
        over = any(
            condition.get("status") == "True" for condition in status.get("conditions") or []
        )
        return not over and not status.get("active") and not status.get("succeeded")
    return int(status.get("replicas") or 0) < int(spec.get("replicas") or 0)
