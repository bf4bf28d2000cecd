"""A served model from its chart alone: no Kubeflow, no object store."""

from __future__ import annotations

import base64
import io
import json
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest

from modelyard.judging.compare import difference
from modelyard.packages.package import read_info
from modelyard.store.artifact import read_manifest
from tests.charts.helm import ROOT
from tests.integration.cluster import Cluster, Image, pod, wait

pytestmark = pytest.mark.kind

CHART = ROOT / "charts" / "model"
SETTLE_SECONDS, IN_A_ROW = 60.0, 5
"""How long pods that end may still be asked, and how many answers in a row show that none is."""
UNPACK = """
import pathlib, sys, tarfile
for file in pathlib.Path(sys.argv[1]).glob("*.tgz"):
    with tarfile.open(file) as archive:
        archive.extractall(pathlib.Path(sys.argv[2]) / file.stem)  # no filter: Python 3.11.2 knows none
"""
ASK = """
import json, sys, urllib.request
call = urllib.request.Request(sys.argv[1], sys.argv[2].encode(), {"content-type": "application/json"})
reply = urllib.request.urlopen(call, timeout=30)
print(json.dumps({"version": reply.headers["x-modelyard-package"], "answer": json.load(reply)}))
"""


def packed(package: Path) -> str:
    """A package as base64 of a compressed archive, which a ConfigMap holds."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        archive.add(package, ".")
    assert len(file.getvalue()) < 900_000, "a ConfigMap holds less than 1 MiB"
    return base64.b64encode(file.getvalue()).decode()


@pytest.fixture
def claim(cluster: Cluster, namespace: str, server_image: Image, packages) -> str:
    """A claim with both packages, as /first and /second."""
    for name, package in zip(("first", "second"), packages, strict=True):
        content = {"metadata": {"name": name}, "binaryData": {f"{name}.tgz": packed(package)}}
        cluster.core.create_namespaced_config_map(namespace, content)
    room = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    cluster.core.create_namespaced_persistent_volume_claim(
        namespace, {"metadata": {"name": "packages"}, "spec": room}
    )
    both = {"sources": [{"configMap": {"name": name}} for name in ("first", "second")]}
    volumes = [
        {"name": "packed", "projected": both},
        {"name": "claim", "persistentVolumeClaim": {"claimName": "packages"}},
    ]
    mounts = [{"name": "packed", "mountPath": "/packed"}, {"name": "claim", "mountPath": "/claim"}]
    spec = pod(
        server_image, ["python", "-c", UNPACK, "/packed", "/claim"], volumes=volumes, mounts=mounts
    )
    cluster.run(namespace, "unpack", spec)
    return "packages"


@pytest.fixture
def release(cluster: Cluster, namespace: str, server_image: Image, claim: str):
    """Installs or upgrades `payments` with one of the packages."""

    def to(command: str, which: str, *more: str, fails: bool = False) -> str:
        small = ["--set", "replicaCount=1", "--set", "resources.requests.cpu=100m"]
        source = ["--set", f"package.claimName={claim}", "--set", f"package.path=/{which}"]
        words = [*server_image.values(), *small, *source, *more]
        return cluster.helm(
            command,
            "payments",
            CHART,
            "-n",
            namespace,
            "--wait",
            "--timeout",
            "5m",
            *words,
            fails=fails,
        )

    return to


def ask(cluster: Cluster, namespace: str, request: Any) -> dict[str, Any]:
    """Which version answers through the Service, and what."""
    (server, *_) = cluster.pods(namespace, "app.kubernetes.io/component=stable")
    command = ["python", "-c", ASK, "http://payments/predict", json.dumps(request)]
    answer = cluster.execute(namespace, server.metadata.name, *command)
    assert answer.startswith("{"), answer
    found: dict[str, Any] = json.loads(answer)
    return found


def settled(cluster: Cluster, namespace: str, request: Any, version: str) -> dict[str, Any]:
    """The answer of a version, once it gives all of them: pods that end are asked for a moment
    longer."""
    until = time.monotonic() + SETTLE_SECONDS
    row = 0
    while row < IN_A_ROW:
        found = ask(cluster, namespace, request)
        row = row + 1 if found["version"] == version else 0
        assert time.monotonic() < until, f"{found['version']} answers, not {version}"
    return found


def golden(package: Path) -> dict[str, Any]:
    """The package's own example and answer."""
    found: dict[str, Any] = json.loads((package / "golden.json").read_text())
    return found


def test_a_release_gives_the_packages_own_answer(cluster, namespace, release, packages):
    digest = read_manifest(packages[0]).digest
    told = release("install", "first", "--set", f"package.sha256={digest}")
    assert "helm test payments" in told
    found = settled(
        cluster, namespace, golden(packages[0])["request"], read_info(packages[0]).version
    )
    assert difference(golden(packages[0])["response"], found["answer"], 0.001) == ""
    tested = cluster.helm("test", "payments", "-n", namespace, "--logs")
    assert "Succeeded" in tested
    assert "the service gives the package's own answer" in tested


def test_only_what_the_network_policy_names_may_reach_the_pods(cluster, namespace, release):
    release("install", "first")
    (policy,) = cluster.network.list_namespaced_network_policy(namespace).items
    (server,) = cluster.pods(namespace, "app.kubernetes.io/component=stable")
    assert set(policy.spec.policy_types) == {"Ingress", "Egress"}
    assert policy.spec.pod_selector.match_labels.items() <= server.metadata.labels.items()
    assert [port.port for rule in policy.spec.ingress for port in rule.ports] == ["http"]


def test_an_upgrade_serves_the_new_package_and_a_rollback_the_old_one(
    cluster, namespace, release, packages
):
    first, second = (read_info(package).version for package in packages)
    request = golden(packages[0])["request"]
    release("install", "first")
    settled(cluster, namespace, request, first)
    release("upgrade", "second")
    settled(cluster, namespace, request, second)
    cluster.helm("rollback", "payments", "1", "-n", namespace, "--wait", "--timeout", "5m")
    settled(cluster, namespace, request, first)


def test_another_package_than_the_pinned_one_never_answers(cluster, namespace, release, packages):
    second = read_manifest(packages[1]).digest
    release("install", "first", "--set", f"package.sha256={second}", "--timeout", "60s", fails=True)
    (server,) = cluster.pods(namespace, "app.kubernetes.io/component=stable")
    assert not any(one.ready for one in server.status.container_statuses)
    log = cluster.core.read_namespaced_pod_log(
        server.metadata.name, namespace, container="package", previous=False
    )
    assert f"package.sha256 allows {second} alone" in log


def test_a_release_leaves_nothing_but_what_it_says_it_keeps(cluster, namespace, release):
    release(
        "install",
        "first",
        "--set",
        "predictions.kind=claim",
        "--set",
        "predictions.claim.accessMode=ReadWriteOnce",
    )
    cluster.helm("uninstall", "payments", "-n", namespace, "--wait")
    wait(
        lambda: not cluster.pods(namespace, "app.kubernetes.io/instance=payments"),
        "the pods' end",
        2,
    )
    claims = cluster.core.list_namespaced_persistent_volume_claim(namespace).items
    assert sorted(one.metadata.name for one in claims) == ["packages", "payments-predictions"]
    assert cluster.core.list_namespaced_service(namespace).items == []
