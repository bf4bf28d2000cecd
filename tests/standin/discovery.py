"""What an API server says of itself: its version, its groups, their resources, and what an
account may do."""

from __future__ import annotations

from collections.abc import Collection

from tests.standin.store import Kind, Object

VERBS = ["create", "delete", "get", "list", "patch", "update", "watch"]


def discovery(path: str, kinds: list[Kind]) -> Object | None:
    """The answer to a request of discovery; None for any other."""
    if path.rstrip("/") == "/version":
        build = dict.fromkeys(
            ("gitCommit", "gitTreeState", "buildDate", "goVersion", "compiler"), "unknown"
        )
        return {
            "major": "1",
            "minor": "31",
            "gitVersion": "v1.31.4",
            "platform": "linux/amd64",
            **build,
        }
    if path == "/api":
        return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}
    if path == "/apis":
        names = sorted({kind.group for kind in kinds if kind.group})
        return {
            "kind": "APIGroupList",
            "apiVersion": "v1",
            "groups": [_group(name, kinds) for name in names],
        }
    of = path.removeprefix("/apis/").removeprefix("/api/")
    found = [kind for kind in kinds if kind.api_version == of]
    if not found or path not in (f"/apis/{of}", f"/api/{of}"):
        return None
    resources = [
        {
            "name": kind.plural,
            "singularName": "",
            "kind": kind.kind,
            "namespaced": kind.namespaced,
            "verbs": VERBS,
        }
        for kind in found
    ]
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": of,
        "resources": resources,
    }


def access(review: Object, denied: Collection[str]) -> Object:
    """The answer to a SelfSubjectAccessReview."""
    asked = review["spec"]["resourceAttributes"]
    resource = "/".join(filter(None, (asked["resource"], asked.get("subresource"))))
    right = f"{asked['verb']} {resource}"
    return {
        **review,
        "status": {"allowed": not {right, f"{right} in {asked['namespace']}"} & set(denied)},
    }


def _group(name: str, kinds: list[Kind]) -> Object:
    versions = sorted({kind.version for kind in kinds if kind.group == name})
    told = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": told, "preferredVersion": told[0]}
