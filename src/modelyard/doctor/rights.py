"""What an account must be allowed in a namespace to train and to deploy there, and whether it
is."""

from __future__ import annotations

from collections.abc import Collection

from modelyard.doctor.finding import Finding, Level, Object
from modelyard.doctor.inspect import Reader

Right = tuple[str, str, str]
"""API group, resource with its subresource, verbs."""
TRAINING: tuple[Right, ...] = (
    ("trainer.kubeflow.org", "trainjobs", "create get list watch patch delete"),
    ("", "pods", "get list watch"),
    ("", "pods/log", "get"),
    ("", "events", "list"),
)
KEPT = "create get patch delete"
"""What helm does with an object of a chart."""
DEPLOYING: tuple[Right, ...] = (
    ("", "configmaps", KEPT),
    ("", "serviceaccounts", KEPT),
    ("", "services", f"{KEPT} list"),
    ("", "services/proxy", "create"),
    ("", "persistentvolumeclaims", "create get patch"),
    ("", "secrets", "create get list update delete"),
    ("", "pods", "create get list watch delete"),
    ("", "pods/log", "get"),
    ("", "events", "list"),
    ("apps", "deployments", f"{KEPT} list"),
    ("apps", "replicasets", "list"),
    ("autoscaling", "horizontalpodautoscalers", KEPT),
    ("networking.k8s.io", "networkpolicies", KEPT),
    ("policy", "poddisruptionbudgets", KEPT),
    ("gateway.networking.k8s.io", "httproutes", KEPT),
    ("keda.sh", "scaledobjects", KEPT),
    ("monitoring.coreos.com", "servicemonitors", KEPT),
)
"""What `launch.release` and helm do with a release of charts/model; `access.deployTo` of
charts/platform gives it."""
EXTENDING = frozenset({"gateway.networking.k8s.io", "keda.sh", "monitoring.coreos.com"})
"""API groups that a cluster may lack, and a release without them needs nothing of."""
ASK = "ask for a role; for steps of pipelines: "


def rights(reader: Reader, deploys_to: Collection[str] = ()) -> list[Finding]:
    """What this account may do: training in the reader's namespace; deploying in those named, or
    there."""
    lacks = lacking(reader, TRAINING, reader.namespace)
    rows = [_row("training", lacks, "bad", f"{ASK}access.pipelineAccounts of charts/platform")]
    groups = {group["name"] for group in (reader.get("/apis") or {}).get("groups") or []}
    missing = EXTENDING - groups
    needed = [right for right in DEPLOYING if right[0] not in missing]
    for namespace in sorted(deploys_to) or [reader.namespace]:
        fix = f"{ASK}access.deployTo={{{namespace}}} of charts/platform"
        rows.append(
            _row(f"deploying to {namespace}", lacking(reader, needed, namespace), "warn", fix)
        )
    return rows


def lacking(reader: Reader, needed: Collection[Right], namespace: str) -> list[str]:
    """What of it this account may not do there: `create/patch deployments`."""
    found = []
    for group, resource, verbs in needed:
        refused = []
        for verb in verbs.split():
            if not _may(reader, namespace, group, resource, verb):
                refused.append(verb)
        if refused:
            found.append(f"{'/'.join(refused)} {resource}")
    return found


def _row(purpose: str, lacks: list[str], level: Level, fix: str) -> Finding:
    if lacks:
        return Finding(level, f"rights: {purpose}", f"may not {', '.join(lacks)}", fix)
    return Finding("ok", f"rights: {purpose}", "all that it takes")


def _may(reader: Reader, namespace: str, group: str, resource: str, verb: str) -> bool:
    plural, _, sub = resource.partition("/")
    attributes = {
        "namespace": namespace,
        "group": group,
        "resource": plural,
        "subresource": sub,
        "verb": verb,
    }
    body: Object = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {
            "resourceAttributes": {name: value for name, value in attributes.items() if value}
        },
    }
    # Every account may ask this about itself; nothing is created by it.
    answer = reader.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body) or {}
    return bool(answer.get("status", {}).get("allowed"))
