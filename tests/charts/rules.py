"""What every rendering must keep: each rule takes the objects of a release and says what breaks
it."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate

from tests.charts.helm import KUBERNETES, Object, label

CRDS = Path(__file__).parent / "crds"
RESTRICTED_VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}
"""Kinds of volumes that the restricted Pod Security Standard allows."""
WILD_VERBS = {"*", "escalate", "bind", "impersonate"}
RECORDS = {"create", "get", "list", "update", "delete"}
"""What helm does with the Secrets that hold its records: their names are known to no one
beforehand."""

Rule = Callable[[list[Object]], list[str]]


@dataclass(frozen=True)
class PodTemplate:
    """A pod, or what an object makes pods of."""

    owner: str
    metadata: Object
    spec: Object

    def containers(self) -> Iterator[tuple[str, Object]]:
        """Every container with its name for people."""
        for kind in ("initContainers", "containers", "ephemeralContainers"):
            for one in self.spec.get(kind, []):
                yield f"{self.owner}: container {one['name']}", one


def pods(objects: list[Object]) -> Iterator[PodTemplate]:
    """Every pod template, wherever it stands: in a Deployment, a hook's Job, a test pod, a
    training runtime."""
    for one in objects:
        if one["kind"] == "Pod":
            yield PodTemplate(label(one), one["metadata"], one["spec"])
        else:
            yield from (
                PodTemplate(label(one), found.get("metadata", {}), found["spec"])
                for found in _templates(one)
            )


def _templates(value: Any) -> Iterator[Object]:
    if isinstance(value, list):
        for one in value:
            yield from _templates(one)
    elif isinstance(value, dict):
        for one in value.values():
            if isinstance(one, dict) and "containers" in (one.get("spec") or {}):
                yield one
            else:
                yield from _templates(one)


def containers_are_hardened(objects: list[Object]) -> list[str]:
    """Non-root, no more privileges, no capabilities, seccomp, read-only root: said of each
    container itself."""
    found = []
    for pod in pods(objects):
        for name, one in pod.containers():
            security = one.get("securityContext", {})
            checks = {
                "runAsNonRoot": security.get("runAsNonRoot") is True,
                "runAsUser": security.get("runAsUser") != 0,
                "allowPrivilegeEscalation": security.get("allowPrivilegeEscalation") is False,
                "readOnlyRootFilesystem": security.get("readOnlyRootFilesystem") is True,
                "privileged": not security.get("privileged"),
                "capabilities": security.get("capabilities") == {"drop": ["ALL"]},
                "seccompProfile": security.get("seccompProfile") == {"type": "RuntimeDefault"},
                "hostPort": not any("hostPort" in port for port in one.get("ports", [])),
            }
            found += [f"{name}: {what}" for what, kept in checks.items() if not kept]
    return found


def pods_are_restricted(objects: list[Object]) -> list[str]:
    """The rest of the restricted Pod Security Standard: nothing of the host, allowed kinds of
    volumes."""
    found = []
    for pod in pods(objects):
        spec, security = pod.spec, pod.spec.get("securityContext", {})
        found += [
            f"{pod.owner}: {what}"
            for what in ("hostNetwork", "hostPID", "hostIPC")
            if spec.get(what)
        ]
        if security.get("runAsNonRoot") is not True or security.get("runAsUser") == 0:
            found.append(f"{pod.owner}: runAsNonRoot")
        if security.get("seccompProfile") != {"type": "RuntimeDefault"} or security.get("sysctls"):
            found.append(f"{pod.owner}: seccompProfile or sysctls")
        for volume in spec.get("volumes", []):
            kinds = set(volume) - {"name"}
            found += [
                f"{pod.owner}: volume {volume['name']} is a {kind}"
                for kind in kinds - RESTRICTED_VOLUMES
            ]
    return found


def containers_state_resources(objects: list[Object]) -> list[str]:
    """Requests and limits of CPU and memory; emptyDirs have a size."""
    found = []
    for pod in pods(objects):
        for name, one in pod.containers():
            for kind in ("requests", "limits"):
                given = one.get("resources", {}).get(kind) or {}
                found += [
                    f"{name}: {kind}.{what}" for what in ("cpu", "memory") if not given.get(what)
                ]
        for volume in pod.spec.get("volumes", []):
            if "emptyDir" in volume and not (volume["emptyDir"] or {}).get("sizeLimit"):
                found.append(f"{pod.owner}: volume {volume['name']} has no size")
    return found


def images_are_pinned(objects: list[Object]) -> list[str]:
    """A tag that is not `latest`, or a digest."""
    found = []
    for pod in pods(objects):
        for name, one in pod.containers():
            rest, _, digest = one["image"].partition("@")
            tag = rest.rpartition("/")[2].partition(":")[2]
            if not digest.startswith("sha256:") and tag in ("", "latest"):
                found.append(f"{name}: image {one['image']}")
    return found


def rights_are_least(objects: list[Object]) -> list[str]:
    """No wildcard, no right to raise one's rights, no secrets to list, no ready-made cluster role.

    Who deploys keeps helm's records, in the namespaces that were named for it.
    """
    found = []
    for one in objects:
        for rule in one.get("rules", []) if one["kind"] in ("Role", "ClusterRole") else []:
            verbs = set(rule.get("verbs", []))
            wild = (
                "*" in {*rule.get("resources", []), *rule.get("apiGroups", [])}
                or verbs & WILD_VERBS
            )
            if wild or "nonResourceURLs" in rule:
                found.append(f"{label(one)}: {rule}")
            named = rule.get("resourceNames") and not verbs - {"get"}
            if "secrets" in rule.get("resources", []) and not (
                named or (_keeps_records(one) and verbs <= RECORDS)
            ):
                found.append(f"{label(one)}: secrets that are not named, or more than read")
        if one["kind"] in ("RoleBinding", "ClusterRoleBinding"):
            made = {
                (role["kind"], role["metadata"]["name"])
                for role in objects
                if role["kind"].endswith("Role")
            }
            if (one["roleRef"]["kind"], one["roleRef"]["name"]) not in made:
                found.append(f"{label(one)}: {one['roleRef']['name']} is not a role of this chart")
    return found


def _keeps_records(role: Object) -> bool:
    deploys = role["metadata"].get("labels", {}).get("app.kubernetes.io/component") == "deployer"
    return bool(role["kind"] == "Role" and role["metadata"].get("namespace") and deploys)


def tokens_are_mounted_where_used(objects: list[Object]) -> list[str]:
    """Every pod says false; an account that says true is bound to a role."""
    bound = {
        subject["name"]
        for one in objects
        if one["kind"].endswith("Binding")
        for subject in one.get("subjects", [])
    }
    found = [
        f"{pod.owner}: automountServiceAccountToken"
        for pod in pods(objects)
        if pod.spec.get("automountServiceAccountToken") is not False
    ]
    for one in objects:
        if one["kind"] == "ServiceAccount":
            mounted = one.get("automountServiceAccountToken")
            if mounted is None or (mounted and one["metadata"]["name"] not in bound):
                found.append(f"{label(one)}: automountServiceAccountToken")
    return found


def names_are_unique(objects: list[Object]) -> list[str]:
    """No object is rendered twice."""
    names = [(one["apiVersion"], label(one), one["metadata"].get("namespace")) for one in objects]
    return sorted({f"{name[1]} is rendered twice" for name in names if names.count(name) > 1})


def nothing_dangles(objects: list[Object]) -> list[str]:
    """Selectors find pods, mounts find volumes, targets and config maps are there."""
    made = {label(one) for one in objects}
    running = [pod for pod in pods(objects) if not pod.owner.startswith(("Pod/", "Job/"))]
    found = []
    for one in objects:
        selector = _selector(one)
        if selector and not any(
            selector.items() <= pod.metadata.get("labels", {}).items() for pod in running
        ):
            found.append(f"{label(one)} selects no pod: {selector}")
        target = one.get("spec", {}).get("scaleTargetRef")
        if target and f"{target['kind']}/{target['name']}" not in made:
            found.append(f"{label(one)} scales {target['name']}, which is not here")
    for pod in pods(objects):
        volumes = {volume["name"] for volume in pod.spec.get("volumes", [])}
        mounted = {
            mount["name"] for _, one in pod.containers() for mount in one.get("volumeMounts", [])
        }
        found += [f"{pod.owner}: volume {name}" for name in sorted(volumes ^ mounted)]
        maps = [
            volume["configMap"]["name"]
            for volume in pod.spec.get("volumes", [])
            if "configMap" in volume
        ]
        found += [
            f"{pod.owner}: config map {name}" for name in maps if f"ConfigMap/{name}" not in made
        ]
    return found


def _selector(one: Object) -> dict[str, str]:
    if one["kind"] == "Service":
        return dict(one["spec"].get("selector", {}))
    if one["kind"] in ("Deployment", "PodDisruptionBudget"):
        return dict(one["spec"]["selector"]["matchLabels"])
    return {}


def objects_are_valid(objects: list[Object]) -> list[str]:
    """Against the API of the oldest and the newest Kubernetes, no unknown field; else against
    the CRD's own schema."""
    found = []
    for one in objects:
        for problem in _problems(one):
            found.append(f"{label(one)}: {problem}")
    return found


def _problems(one: Object) -> Iterator[str]:
    crd = CRDS / f"{one['kind']}.json"
    if crd.is_file():
        for error in _crd(crd).iter_errors(one):
            yield f"{error.json_path}: {error.message[:200]}"
        return
    for version in KUBERNETES:
        try:
            kubernetes_validate.validate(one, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            yield f"{version}: {'.'.join(map(str, error.path))}: {error.message[:200]}"
        except kubernetes_validate.SchemaNotFoundError as error:
            yield error.message


@functools.cache
def _crd(file: Path) -> jsonschema.protocols.Validator:
    schema = json.loads(file.read_text())
    return jsonschema.validators.validator_for(schema, jsonschema.Draft202012Validator)(schema)


RULES: tuple[Rule, ...] = (
    objects_are_valid,
    containers_are_hardened,
    pods_are_restricted,
    containers_state_resources,
    images_are_pinned,
    rights_are_least,
    tokens_are_mounted_where_used,
    names_are_unique,
    nothing_dangles,
)
