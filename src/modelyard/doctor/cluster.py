"""A cluster, looked over: what is installed, what is free, what this account may do, what is in
trouble."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Collection
from dataclasses import dataclass
from http.client import HTTPException

from modelyard.doctor.capacity import device_findings, free_devices, node_findings, quota_findings
from modelyard.doctor.finding import Finding, Object, Trouble
from modelyard.doctor.inspect import (
    NAMES_ONLY,
    OWNERS,
    Reader,
    about,
    denied,
    lacks_pods,
    pods_in_trouble,
    queued,
)
from modelyard.doctor.references import secrets_of
from modelyard.doctor.rights import rights
from modelyard.doctor.workload import claim_pending, not_admitted, pods_refused
from modelyard.errors import ModelyardError, Unavailable
from modelyard.kubernetes.refusals import INSTALL

PIPELINES = "kubeflow"
"""Namespace in which Kubeflow Pipelines is looked for where KFP_HOST is not set."""


@dataclass(frozen=True)
class Extension:
    """Something that extends the Kubernetes API."""

    called: str
    group: str
    plural: str
    version: str
    """What modelyard is written for; empty: any."""
    fix: str
    needed: bool = False


EXTENSIONS = (
    Extension(
        "Kubeflow Trainer", "trainer.kubeflow.org", "trainjobs", "v1alpha1", INSTALL, needed=True
    ),
    Extension(
        "JobSet",
        "jobset.x-k8s.io",
        "jobsets",
        "",
        f"it comes with Kubeflow Trainer: {INSTALL}",
        needed=True,
    ),
    Extension(
        "Kueue",
        "kueue.x-k8s.io",
        "workloads",
        "",
        "only for cluster.queue: https://kueue.sigs.k8s.io",
    ),
    Extension(
        "Gateway API",
        "gateway.networking.k8s.io",
        "httproutes",
        "v1",
        "only for gateway.enabled (chart)",
    ),
    Extension("KEDA", "keda.sh", "scaledobjects", "v1alpha1", "only for keda.enabled (chart)"),
    Extension(
        "Prometheus Operator",
        "monitoring.coreos.com",
        "servicemonitors",
        "v1",
        "only for serviceMonitor (chart)",
    ),
)


def cluster_findings(
    reader: Reader, wanted_secrets: Collection[str] = (), deploys_to: Collection[str] = ()
) -> list[Finding]:
    """All that can be found out about a cluster; settings name the Secrets `wanted_secrets` and the
    namespaces `deploys_to`."""
    try:
        version = reader.get("/version")
    except ModelyardError as error:
        return [
            Finding(
                "bad", "Kubernetes", str(error), "check KUBECONFIG and the network: kubectl version"
            )
        ]
    release = version["gitVersion"] if version else "version unknown"
    rows = [
        Finding(
            "ok", "Kubernetes", f"{release} at {reader.cluster.host}, namespace {reader.namespace}"
        )
    ]
    checks: tuple[Callable[[Reader], list[Finding]], ...] = (
        extensions,
        runtimes,
        pipelines,
        nodes,
        quotas,
        lambda one: secrets(one, wanted_secrets),
        lambda one: rights(one, deploys_to),
        workloads,
    )
    for check in checks:
        rows += check(reader)
    return rows


def extensions(reader: Reader) -> list[Finding]:
    """Which custom resources are there, and in which versions."""
    answer = reader.get("/apis") or {}
    groups = {group["name"]: group for group in answer.get("groups") or []}
    rows = []
    for extension in EXTENSIONS:
        group = groups.get(extension.group) or {}
        versions = [version["version"] for version in group.get("versions") or []]
        seen = f"no {extension.plural}.{extension.group}"
        missing = Finding(
            "warn" if extension.needed else "off", extension.called, seen, extension.fix
        )
        if not versions:
            rows.append(missing)
            continue
        served = ", ".join(versions)
        if extension.version and extension.version not in versions:
            seen = f"{extension.group} serves {served}; modelyard needs {extension.version}"
            rows.append(
                Finding(
                    "bad" if extension.needed else "warn", extension.called, seen, extension.fix
                )
            )
            continue
        # A group may be there without this resource: an older or a partial installation.
        path = f"/apis/{extension.group}/{extension.version or versions[0]}"
        resources = (reader.get(path) or {}).get("resources") or []
        names = [resource["name"] for resource in resources]
        if extension.plural in names:
            rows.append(Finding("ok", extension.called, f"{extension.group} {served}"))
        else:
            rows.append(missing)
    return rows


def runtimes(reader: Reader) -> list[Finding]:
    """The training runtimes that a job may name."""
    path = "/apis/trainer.kubeflow.org/v1alpha1/clustertrainingruntimes"
    names = sorted(item["metadata"]["name"] for item in reader.items(path))
    if names:
        return [Finding("ok", "training runtimes", ", ".join(names))]
    fix = "helm install modelyard charts/platform, or install Kubeflow Trainer with runtimes.defaultEnabled=true"
    return denied(reader, "training runtimes", path) or [
        Finding("warn", "training runtimes", "none", fix)
    ]


def pipelines(reader: Reader) -> list[Finding]:
    """Whether Kubeflow Pipelines answers, and which version it is."""
    host = os.environ.get("KFP_HOST")
    fix = "set KFP_HOST (and KFP_TOKEN), or look at it: kubectl -n kubeflow get pods"
    try:
        health = _healthz(host) if host else _healthz_inside(reader)
    except ModelyardError as error:
        return [Finding("bad", "Kubeflow Pipelines", str(error), fix)]
    where = host or f"in namespace {PIPELINES}"
    if health is None:
        seen = f"KFP_HOST is not set, and no service ml-pipeline answers {where}"
        return [Finding("warn", "Kubeflow Pipelines", seen, fix)]
    release = health.get("tag_name") or "unknown"
    return [Finding("ok", "Kubeflow Pipelines", f"version {release}, {where}")]


def _healthz(host: str) -> Object:
    """What the API says of itself; only its first version has its release.

    Raises:
        Unavailable: it does not answer.
    """
    about: Object = {}
    for version in ("v2beta1", "v1beta1"):
        url = f"{host.rstrip('/')}/apis/{version}/healthz"
        request = urllib.request.Request(url)  # noqa: S310 - the person's own address
        token = os.environ.get("KFP_TOKEN")
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
                about |= json.loads(answer.read() or b"{}")
        except urllib.error.HTTPError as error:
            # v1beta1 may be switched off; v2beta1 is what modelyard talks to.
            if version == "v2beta1":
                raise Unavailable(
                    f"Kubeflow Pipelines at {host} answers {error.code} {error.reason}"
                ) from None
        except (OSError, ValueError, HTTPException) as error:
            raise Unavailable(f"Kubeflow Pipelines at {host} does not answer: {error}") from None
    return about


def _healthz_inside(reader: Reader) -> Object | None:
    from kubernetes.client import ApiException

    service = f"/api/v1/namespaces/{PIPELINES}/services/http:ml-pipeline:8888/proxy"
    try:
        older = reader.get(f"{service}/apis/v1beta1/healthz")
        return older or reader.get(f"{service}/apis/v2beta1/healthz")
    except (ApiException, Unavailable) as error:
        raise Unavailable(
            f"service {PIPELINES}/ml-pipeline is there and does not answer: {error}"
        ) from None


def nodes(reader: Reader) -> list[Finding]:
    """Nodes and, by resource name, the devices that are free on them."""
    there = reader.items("/api/v1/nodes")
    if unknown := denied(reader, "nodes", "/api/v1/nodes"):
        return unknown
    # Pods that ended hold no devices, and a cluster may keep thousands of them.
    running = "status.phase!=Succeeded,status.phase!=Failed"
    pods = reader.items("/api/v1/pods", fieldSelector=running)
    free = denied(reader, "free GPUs", "/api/v1/pods") or device_findings(free_devices(there, pods))
    return [*node_findings(there), *free]


def quotas(reader: Reader) -> list[Finding]:
    """Quotas of the namespace that are near their limit."""
    path = f"/api/v1/namespaces/{reader.namespace}/resourcequotas"
    found = reader.items(path)
    return denied(reader, "quotas", path) or quota_findings(found)


def secrets(reader: Reader, wanted: Collection[str] = ()) -> list[Finding]:
    """Whether the Secrets are there that deployments of models, and the settings, refer to;
    only names are read."""
    ours = "app.kubernetes.io/part-of=modelyard"
    needed = set(wanted)
    for owner in reader.here("deployments", "apps/v1", labelSelector=ours):
        needed |= secrets_of(owner["spec"]["template"]["spec"])
    path = f"/api/v1/namespaces/{reader.namespace}/secrets"
    there = {item["metadata"]["name"] for item in reader.items(path, NAMES_ONLY)}
    if unknown := denied(reader, "secrets", path):
        return unknown
    create = f"kubectl -n {reader.namespace} create secret generic"
    rows = []
    for name in sorted(needed - there):
        fix = f"{create} {name} --from-env-file={name}.env"
        rows.append(Finding("bad", f"secret {name}", "missing", fix))
    return rows or [Finding("ok", "secrets", f"{len(needed)} that are referred to are there")]


def workloads(reader: Reader) -> list[Finding]:
    """Pods, claims and queued jobs of the namespace that are in trouble."""
    events, pods = reader.here("events"), reader.here("pods")
    found: list[Trouble | None] = [trouble for _, trouble in pods_in_trouble(reader, pods, events)]
    for kind, plural, group in OWNERS:
        for owner in reader.here(plural, group):
            if lacks_pods(owner):
                found.append(pods_refused(owner, kind, about(events, owner)))
    for claim in reader.here("persistentvolumeclaims"):
        found.append(claim_pending(claim, about(events, claim)))
    found += map(not_admitted, queued(reader))
    # A pod's trouble may be that of its claim, which is looked at too.
    rows = list(dict.fromkeys(trouble.finding for trouble in found if trouble is not None))
    if not rows:
        seen = f"{len(pods)} in namespace {reader.namespace}, none in trouble"
        rows.append(Finding("ok", "pods", seen))
    return rows
