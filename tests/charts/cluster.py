"""A stand-in for the Kubernetes API, as far as helm goes: it installs, tests, upgrades and
uninstalls against it.

Objects are kept as they come; Jobs and Pods are complete as soon as they are made. What a real API
server refuses to change is refused here: a Deployment's selector, a claim's spec, a binding's role.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.standin.listening import Listening

Object = dict[str, Any]

KINDS = {
    "v1": "Service ServiceAccount ConfigMap Secret PersistentVolumeClaim Pod LimitRange ResourceQuota",
    "apps/v1": "Deployment ReplicaSet",
    "batch/v1": "Job CronJob",
    "autoscaling/v2": "HorizontalPodAutoscaler",
    "policy/v1": "PodDisruptionBudget",
    "networking.k8s.io/v1": "NetworkPolicy",
    "rbac.authorization.k8s.io/v1": "Role RoleBinding ClusterRole ClusterRoleBinding",
    "monitoring.coreos.com/v1": "ServiceMonitor PrometheusRule",
    "gateway.networking.k8s.io/v1": "HTTPRoute",
    "keda.sh/v1alpha1": "ScaledObject",
    "trainer.kubeflow.org/v1alpha1": "ClusterTrainingRuntime",
}
FIXED = {"Deployment": "selector", "PersistentVolumeClaim": "volumeName", "RoleBinding": "roleRef"}
"""A field of each kind that a patch must leave alone."""


def plural(kind: str) -> str:
    """`NetworkPolicy` to `networkpolicies`."""
    name = kind.lower()
    return f"{name[:-1]}ies" if name.endswith("y") else f"{name}s"


@dataclass
class Cluster:
    """What is there, by path, and every change that was made."""

    objects: dict[str, Object] = field(default_factory=dict)
    created: list[str] = field(default_factory=list)
    patches: list[tuple[str, Object]] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    lacks: set[str] = field(default_factory=set)
    """Groups with their version that this cluster does not know: `keda.sh/v1alpha1`."""
    version: int = 0

    def names(self, *without: str) -> set[str]:
        """`Kind/name` of all objects, but of some kinds."""
        found = self.objects.values()
        return {
            f"{one['kind']}/{one['metadata']['name']}"
            for one in found
            if one["kind"] not in without
        }

    def answer(
        self, method: str, path: str, query: dict[str, list[str]], body: Object
    ) -> tuple[int, Object]:
        """Status and body of the answer to one request."""
        match method:
            case "GET":
                return self._get(path, query)
            case "POST":
                return self._create(path, body)
            case "PUT":
                return 200, self._keep(path, body)
            case "PATCH":
                return self._patch(path, body)
        return self._delete(path)

    def _get(self, path: str, query: dict[str, list[str]]) -> tuple[int, Object]:
        if (
            found := _discovery(
                path, {of: names for of, names in KINDS.items() if of not in self.lacks}
            )
        ) is not None:
            return 200, found
        if path in self.objects:
            return 200, self.objects[path]
        resource = path.rpartition("/")[2]
        kinds = {plural(kind): (of, kind) for of, names in KINDS.items() for kind in names.split()}
        if resource not in kinds:
            return _refusal(404, "NotFound", path)
        of, kind = kinds[resource]
        items = [
            one
            for at, one in self.objects.items()
            if at.startswith(f"{path}/") and _selected(one, query)
        ]
        listed = {"metadata": {"resourceVersion": str(self.version)}, "items": items}
        return 200, {"kind": f"{kind}List", "apiVersion": of} | listed

    def _create(self, path: str, body: Object) -> tuple[int, Object]:
        at = f"{path}/{body['metadata']['name']}"
        if at in self.objects:
            return _refusal(409, "AlreadyExists", at)
        if body["kind"] == "Job":
            body["status"] = {
                "succeeded": 1,
                "conditions": [{"type": "Complete", "status": "True"}],
            }
        if body["kind"] == "Pod":
            body["status"] = {"phase": "Succeeded"}
        self.created.append(f"{body['kind']}/{body['metadata']['name']}")
        return 201, self._keep(at, body)

    def _keep(self, path: str, body: Object) -> Object:
        self.version += 1
        body["metadata"] |= {"resourceVersion": str(self.version), "uid": f"u{self.version}"}
        self.objects[path] = body
        return body

    def _patch(self, path: str, body: Object) -> tuple[int, Object]:
        there = self.objects[path]
        fixed = FIXED.get(there["kind"])
        if fixed and (fixed in body or fixed in body.get("spec", {})):
            return _refusal(422, "Invalid", f"{path}: {fixed}: field is immutable")
        if not _holds(there, body):
            self.patches.append((f"{there['kind']}/{there['metadata']['name']}", body))
        return 200, self._keep(path, there)

    def _delete(self, path: str) -> tuple[int, Object]:
        if path not in self.objects:
            return _refusal(404, "NotFound", path)
        gone = self.objects.pop(path)
        self.deleted.append(f"{gone['kind']}/{gone['metadata']['name']}")
        return 200, {"kind": "Status", "apiVersion": "v1", "status": "Success"}


def _selected(one: Object, query: dict[str, list[str]]) -> bool:
    labels = one["metadata"].get("labels", {})
    wanted = [part.split("=") for part in query.get("labelSelector", [""])[0].split(",") if part]
    fields = [part.split("=") for part in query.get("fieldSelector", [""])[0].split(",") if part]
    return all(labels.get(name) == value for name, value in wanted) and all(
        one["metadata"]["name"] == value for name, value in fields if name == "metadata.name"
    )


def _holds(there: Any, patch: Any) -> bool:
    """Whether a patch says nothing new: helm states some fields again that stay as they are."""
    if isinstance(there, dict) and isinstance(patch, dict):
        return all(name in there and _holds(there[name], value) for name, value in patch.items())
    return bool(there == patch)


def _discovery(path: str, known: dict[str, str]) -> Object | None:
    if path == "/openapi/v2":
        return {}
    if path == "/version":
        return {"major": "1", "minor": "30", "gitVersion": "v1.30.0"}
    if path == "/api":
        return {"kind": "APIVersions", "versions": ["v1"]}
    if path == "/apis":
        return {
            "kind": "APIGroupList",
            "apiVersion": "v1",
            "groups": [_group(of) for of in known if "/" in of],
        }
    of = path.removeprefix("/apis/").removeprefix("/api/")
    if of not in known:
        return None
    named = [
        {
            "name": plural(kind),
            "kind": kind,
            "namespaced": not kind.startswith("Cluster"),
            "verbs": ["get"],
        }
        for kind in known[of].split()
    ]
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": of, "resources": named}


def _group(of: str) -> Object:
    version = {"groupVersion": of, "version": of.partition("/")[2]}
    return {"name": of.partition("/")[0], "versions": [version], "preferredVersion": version}


def _refusal(code: int, reason: str, message: str) -> tuple[int, Object]:
    body = {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "reason": reason,
        "message": message,
        "code": code,
    }
    return code, body


@contextmanager
def running(folder: Path) -> Iterator[tuple[Cluster, Path]]:
    """A cluster and a kubeconfig for it, until the block ends."""
    cluster, lock = Cluster(), threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def _do(self) -> None:
            where = urlsplit(self.path)
            query = parse_qs(where.query)
            body = json.loads(
                self.rfile.read(int(self.headers.get("content-length") or 0)) or b"{}"
            )
            of, _, what = where.path.rpartition("/")
            with lock:
                status, content = cluster.answer(
                    self.command, of if what == "log" else where.path, query, body
                )
            if what == "log" and status == 200:
                text = f"the words of {content['metadata']['name']}\n"
            elif where.path == "/openapi/v2":
                text = ""  # no schema of any kind, as protobuf writes it
            elif "watch" in query:
                events = [{"type": "ADDED", "object": one} for one in content["items"]]
                text = "".join(json.dumps(event) + "\n" for event in events)
            else:
                text = json.dumps(content)
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        do_GET = _do  # noqa: N815
        do_POST = _do  # noqa: N815
        do_PUT = _do  # noqa: N815
        do_PATCH = _do  # noqa: N815
        do_DELETE = _do  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Says nothing."""

    server = Listening(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "users": [{"name": "me", "user": {}}],
        "clusters": [
            {"name": "here", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}
        ],
        "contexts": [
            {"name": "here", "context": {"cluster": "here", "user": "me", "namespace": "models"}}
        ],
    }
    file = folder / "kubeconfig"
    file.write_text(json.dumps(config))
    file.chmod(0o600)
    try:
        yield cluster, file
    finally:
        server.shutdown()
        server.server_close()
