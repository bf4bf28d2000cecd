"""A training job as Kubeflow Trainer's object: TrainJob, `trainer.kubeflow.org/v1alpha1`."""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modelyard.errors import UsageError
from modelyard.home import IMAGE
from modelyard.kubernetes.trainer import FAMILY, GROUP, NODE, PARENT, RUN, TRAINING, VERSION
from modelyard.settings.cluster import ClusterSettings, Toleration
from modelyard.settings.uri import is_remote

ATTEMPT, SPEC, OUTCOME = "modelyard/attempt", "modelyard/spec", "modelyard/outcome"
"""Annotations: attempts count from 1; sha256 of the job's spec; `failed` on a job that was given
up."""
MANAGER = {"app.kubernetes.io/managed-by": "modelyard", "app.kubernetes.io/component": "training"}
QUEUE = "kueue.x-k8s.io/queue-name"
GRACE_SECONDS = 120
"""From SIGTERM to SIGKILL: time to write a checkpoint."""
NAME_LENGTH = 44
"""A pod is called `<job>-node-0-<index>-<5 letters>`, and that is a label of at most 63
characters."""
SUFFIX = 6
"""Characters of a job's name that its training's name lacks: `-` and five others."""


@dataclass(frozen=True)
class TrainJobRequest:
    """What to train, and on how many machines."""

    id: str
    """The run's id; a step that is tried again asks with the same."""
    family: str
    job: str
    """URI or path of the job's folder, as nodes see it."""
    nodes: int
    gpus_per_node: int
    """Processes a node, one a GPU; 0 trains on the CPU with one process a node."""
    resources: Mapping[str, str]
    """`cpu`, `memory` and `shm` of a node."""

    @property
    def training(self) -> str:
        """The training's name, the same for the same run; attempts at it are labelled with it."""
        return label_name(f"{self.family}-{self.id}", NAME_LENGTH - SUFFIX)

    @property
    def selector(self) -> str:
        """By which labels the training's jobs are found."""
        labels = {**MANAGER, TRAINING: self.training}
        return ",".join(f"{name}={value}" for name, value in labels.items())


def train_job(
    request: TrainJobRequest, settings: ClusterSettings, attempt: int = 1
) -> dict[str, Any]:
    """The TrainJob object, under a name that no job had before: an RFC 1035 label.

    What belonged to an earlier job of the same name would get in its way.

    Raises:
        UsageError: no image is known.
    """
    spec: dict[str, Any] = {
        "runtimeRef": {
            "apiGroup": GROUP,
            "kind": "ClusterTrainingRuntime",
            "name": settings.runtime,
        },
        "trainer": _trainer(request, settings),
        "runtimePatches": [_patch(_pod(request, settings), _labels(request))],
        "activeDeadlineSeconds": max(1, round(settings.timeout_hours * 3600)),
        # Kueue admits a job by setting this to false.
        "suspend": settings.queue is not None,
    }
    labels = {**_labels(request), PARENT: label_value(socket.gethostname())}
    if settings.queue:
        labels[QUEUE] = settings.queue
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "TrainJob",
        "metadata": {
            "name": f"{request.training}-{secrets.token_hex(3)[:5]}",
            "labels": labels,
            "annotations": {ATTEMPT: str(attempt), SPEC: _digest(spec)},
        },
        "spec": spec,
    }


def label_name(text: str, length: int = NAME_LENGTH) -> str:
    """Any text as an RFC 1035 label of at most so many characters; what had to be changed gets a
    hash, to stay unique."""
    clean = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    clean = clean if clean[:1].isalpha() else f"m-{clean}"
    if clean == text and len(clean) <= length:
        return clean
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return f"{clean[: length - 9].rstrip('-')}-{digest}"


def label_value(text: str) -> str:
    """Any text as the value of a Kubernetes label."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text)[:63].strip("-._")


def image_of(settings: ClusterSettings) -> str:
    """The image that nodes run: the one that is set, else that of the step that starts them.

    Raises:
        UsageError: neither setting nor environment says it.
    """
    image = settings.image or os.environ.get(IMAGE)
    if not image:
        raise UsageError(
            f"no image is known for the training nodes: {IMAGE} is not set here. "
            "Type: --set cluster.image=REGISTRY/IMAGE:TAG"
        )
    return image


def _labels(request: TrainJobRequest) -> dict[str, str]:
    return {
        **MANAGER,
        TRAINING: request.training,
        RUN: label_value(request.id),
        FAMILY: label_value(request.family),
    }


def _trainer(request: TrainJobRequest, settings: ClusterSettings) -> dict[str, Any]:
    plain = {"PYTHONUNBUFFERED": "1", **settings.env}
    env: list[dict[str, Any]] = [{"name": name, "value": value} for name, value in plain.items()]
    for name, reference in settings.env_from_secrets.items():
        secret, _, key = reference.partition("/")
        env.append({"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}})
    # A limit for each request: a runtime's own limits would stay, and may be below what the run asks.
    amounts = {"cpu": request.resources["cpu"], "memory": request.resources["memory"]}
    if request.gpus_per_node:
        amounts[settings.gpu_resource] = str(request.gpus_per_node)
    return {
        "image": image_of(settings),
        "command": ["python", "-m", "modelyard.launch.node"],
        "args": ["--job", request.job],
        "env": env,
        "numNodes": request.nodes,
        "numProcPerNode": max(1, request.gpus_per_node),
        "resourcesPerNode": {"requests": amounts, "limits": amounts},
    }


def _pod(request: TrainJobRequest, settings: ClusterSettings) -> dict[str, Any]:
    """What Trainer lets a job change of its pods."""
    # Batches of the loader's processes go through shared memory, of which a container has 64 MB by
    # itself.
    shm = {"medium": "Memory", "sizeLimit": request.resources["shm"]}
    volumes: list[dict[str, Any]] = [{"name": "shm", "emptyDir": shm}]
    mounts = [{"name": "shm", "mountPath": "/dev/shm"}]
    scratch = settings.scratch or ""
    is_on_volume = bool(scratch) and not is_remote(scratch)
    if is_on_volume and settings.scratch_claim:
        volumes.append(
            {"name": "scratch", "persistentVolumeClaim": {"claimName": settings.scratch_claim}}
        )
        mounts.append({"name": "scratch", "mountPath": scratch.removeprefix("file://")})
    security: dict[str, Any] = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    if settings.fs_group:
        security["fsGroup"] = settings.fs_group
    closed = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    # What is not set is left out, so that it stays as the training runtime has it.
    optional = {
        "serviceAccountName": settings.service_account,
        "imagePullSecrets": [{"name": name} for name in settings.image_pull_secrets],
        "nodeSelector": settings.node_selector,
        "tolerations": [_toleration(toleration) for toleration in settings.tolerations],
    }
    return {
        "containers": [{"name": NODE, "volumeMounts": mounts, "securityContext": closed}],
        "volumes": volumes,
        "securityContext": security,
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        **{name: value for name, value in optional.items() if value},
    }


def _toleration(one: Toleration) -> dict[str, str]:
    found = {"operator": "Equal" if one.value else "Exists"}
    for name, value in one.model_dump().items():
        if value:
            found[name] = value
    return found


def _patch(pod: dict[str, Any], labels: dict[str, str]) -> dict[str, Any]:
    template = {"metadata": {"labels": labels}, "spec": pod}
    jobs = [{"name": NODE, "template": {"spec": {"template": template}}}]
    return {
        "manager": "modelyard/launcher",
        "trainingRuntimeSpec": {"template": {"spec": {"replicatedJobs": jobs}}},
    }


def _digest(spec: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()[:16]
