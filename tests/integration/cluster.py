"""A Kubernetes cluster to test on: the one of KUBECONFIG, or one that kind makes and that goes
again.

What a test needs and does not find raises Missing with the exact reason; the fixtures skip with it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.charts.helm import ROOT, binary

IMAGES = {"trainer": "MODELYARD_TEST_TRAINER_IMAGE", "server": "MODELYARD_TEST_SERVER_IMAGE"}
"""Which variable names the image of a role, as nodes pull it or as `kind load` finds it."""
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}
POD_SECURITY = {
    "runAsNonRoot": True,
    "runAsUser": 10001,
    "runAsGroup": 10001,
    "fsGroup": 10001,
    "seccompProfile": {"type": "RuntimeDefault"},
}
CONTAINER_SECURITY = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


class Missing(Exception):
    """What a test needs is not here."""


@dataclass(frozen=True)
class Image:
    """An image by its parts, as the charts take it."""

    registry: str
    repository: str
    tag: str

    @classmethod
    def parse(cls, name: str) -> Image:
        """`registry.example.org:5000/modelyard/server:0.1.0`; a first part without dot, colon or
        localhost is no host.

        Raises:
            Missing: it has no tag.
        """
        repository, colon, tag = name.rpartition(":")
        if not colon or "/" in tag:
            raise Missing(f"the image {name} names no tag")
        host, slash, rest = repository.partition("/")
        if slash and ("." in host or ":" in host or host == "localhost"):
            return cls(host, rest, tag)
        return cls("", repository, tag)

    def __str__(self) -> str:
        return "/".join(part for part in (self.registry, f"{self.repository}:{self.tag}") if part)

    def values(self) -> list[str]:
        """Arguments of helm that make a chart take it, and no other."""
        chosen = {
            "global.imageRegistry": self.registry,
            "image.repository": self.repository,
            "image.tag": self.tag,
            "image.pullPolicy": "IfNotPresent",
        }
        return [
            word for name, value in chosen.items() for word in ("--set-string", f"{name}={value}")
        ]


def image(role: str) -> Image:
    """The image that the environment names.

    Raises:
        Missing: it names none.
    """
    name = os.environ.get(IMAGES[role])
    if not name:
        raise Missing(
            f"no {role} image: set {IMAGES[role]}, for example to modelyard/{role}:0.1.0 (make images)"
        )
    return Image.parse(name)


class Cluster:
    """A cluster that answers, behind its kubeconfig."""

    def __init__(self, kubeconfig: str) -> None:
        """Connects.

        Raises:
            Missing: nothing answers.
        """
        from kubernetes import client, config
        from kubernetes.client import ApiException
        from urllib3.exceptions import HTTPError

        self.kubeconfig = kubeconfig
        try:
            api = config.new_client_from_config(kubeconfig)
            api.configuration.retries = 1
            self.version = str(client.VersionApi(api).get_code(_request_timeout=10).git_version)
        except (config.ConfigException, ApiException, HTTPError, OSError) as error:
            cause = str(error).strip().splitlines()[0]
            raise Missing(
                f"no cluster: KUBECONFIG={kubeconfig} leads to none that answers: {cause}"
            ) from None
        self.core, self.apps = client.CoreV1Api(api), client.AppsV1Api(api)
        self.network, self.rights = client.NetworkingV1Api(api), client.RbacAuthorizationV1Api(api)
        self.custom, self.kinds = client.CustomObjectsApi(api), client.ApiextensionsV1Api(api)

    def has_kind(self, name: str) -> bool:
        """Whether a custom resource is defined, as `trainjobs.trainer.kubeflow.org`."""
        from kubernetes.client import ApiException

        try:
            self.kinds.read_custom_resource_definition(name)
        except ApiException as error:
            if error.status == 404:
                return False
            raise
        return True

    def helm(self, *arguments: str | Path, fails: bool = False) -> str:
        """What helm prints; `fails` expects it to fail.

        Raises:
            Missing: there is no helm.
        """
        program = binary()
        if program is None:
            raise Missing("no helm: type `make helm`, or install Helm 3.10 or newer on the PATH")
        environment = {**os.environ, "KUBECONFIG": self.kubeconfig}
        command = [program, *map(str, arguments)]
        done = subprocess.run(
            command, capture_output=True, text=True, env=environment, check=False, timeout=900
        )
        assert (done.returncode != 0) == fails, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    @contextmanager
    def namespace(self) -> Iterator[str]:
        """A fresh namespace under the restricted Pod Security Standard, deleted at the end."""
        name = f"modelyard-test-{uuid.uuid4().hex[:8]}"
        self.core.create_namespace({"metadata": {"name": name, "labels": RESTRICTED}})
        try:
            yield name
        finally:
            self.core.delete_namespace(name, propagation_policy="Foreground")

    def run(self, namespace: str, name: str, spec: dict[str, Any], minutes: float = 10) -> str:
        """Runs a pod to its end; returns its log. Asserts that it succeeds."""
        self.core.create_namespaced_pod(namespace, {"metadata": {"name": name}, "spec": spec})

        def ended() -> bool:
            return self.core.read_namespaced_pod(name, namespace).status.phase in (
                "Succeeded",
                "Failed",
            )

        try:
            wait(ended, f"pod {name}", minutes)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.story(namespace)}") from None
        log = str(self.core.read_namespaced_pod_log(name, namespace))
        phase = self.core.read_namespaced_pod(name, namespace).status.phase
        assert phase == "Succeeded", f"{log[-4000:]}\n{self.story(namespace)}"
        return log

    def execute(self, namespace: str, pod: str, *command: str) -> str:
        """What a command prints in a running pod."""
        from kubernetes.stream import stream

        ask = self.core.connect_get_namespaced_pod_exec
        # The client would read JSON as its own objects, and give these as Python writes them.
        connection = stream(
            ask,
            pod,
            namespace,
            command=list(command),
            stdout=True,
            stderr=True,
            _preload_content=False,
        )
        connection.run_forever(timeout=60)
        said = str(connection.read_all())
        connection.close()
        return said

    def pods(self, namespace: str, selector: str) -> list[Any]:
        """Pods with these labels that are not going."""
        found = self.core.list_namespaced_pod(namespace, label_selector=selector).items
        return [pod for pod in found if pod.metadata.deletion_timestamp is None]

    def story(self, namespace: str) -> str:
        """The events of a namespace, for a person who looks at a failure."""
        events = self.core.list_namespaced_event(namespace).items
        return "\n".join(
            f"{one.involved_object.name}: {one.reason}: {one.message}" for one in events[-30:]
        )


def wait(ready: Callable[[], bool], what: str, minutes: float) -> None:
    """Until something is so. Asserts that it becomes so in time."""
    until = time.monotonic() + minutes * 60
    while not ready():
        assert time.monotonic() < until, f"{what}: not there after {minutes} minutes"
        time.sleep(1)


def pod(image: Image, command: Sequence[str], **more: Any) -> dict[str, Any]:
    """A pod's spec that the restricted standard admits, running a command in an image with /tmp
    to write to."""
    volumes = [{"name": "tmp", "emptyDir": {}}, *more.pop("volumes", [])]
    mounts = [{"name": "tmp", "mountPath": "/tmp"}, *more.pop("mounts", [])]
    container = {
        "name": "main",
        "image": str(image),
        "imagePullPolicy": "IfNotPresent",
        "command": list(command),
        "securityContext": CONTAINER_SECURITY,
        "volumeMounts": mounts,
        "env": more.pop("env", []),
    }
    return {
        "restartPolicy": "Never",
        "securityContext": POD_SECURITY,
        "containers": [container],
        "volumes": volumes,
        "automountServiceAccountToken": "serviceAccountName" in more,
        **more,
    }


@contextmanager
def find() -> Iterator[Cluster]:
    """The cluster of KUBECONFIG, or one of kind's with the images loaded.

    Raises:
        Missing: there is neither.
    """
    if kubeconfig := os.environ.get("KUBECONFIG"):
        yield Cluster(kubeconfig)
        return
    if shutil.which("kind") is None:
        raise Missing("no cluster: KUBECONFIG is not set, and kind is not on the PATH")
    with made_by_kind() as kubeconfig:
        yield Cluster(kubeconfig)


@contextmanager
def made_by_kind() -> Iterator[str]:
    """The kubeconfig of a cluster that kind makes, with the images that the environment names.

    Raises:
        Missing: kind cannot make one.
    """
    name = f"modelyard-{uuid.uuid4().hex[:8]}"
    kubeconfig = ROOT / "build" / f"{name}.kubeconfig"
    kubeconfig.parent.mkdir(exist_ok=True)
    there = ["--name", name]
    done = kind("create", "cluster", *there, "--kubeconfig", str(kubeconfig), "--wait", "180s")
    try:
        if done.returncode:
            raise Missing(
                f"no cluster: kind cannot make one: {done.stderr.strip().splitlines()[-1]}"
            )
        for role in IMAGES:
            if os.environ.get(IMAGES[role]):
                loaded = kind("load", "docker-image", str(image(role)), *there)
                assert loaded.returncode == 0, loaded.stderr
        yield str(kubeconfig)
    finally:
        kind("delete", "cluster", *there, "--kubeconfig", str(kubeconfig))
        kubeconfig.unlink(missing_ok=True)


def kind(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs kind."""
    return subprocess.run(
        ["kind", *arguments], capture_output=True, text=True, check=False, timeout=900
    )
