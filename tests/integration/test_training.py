"""Training on two machines: a run in the cluster makes a TrainJob of Kubeflow Trainer and takes
its model back."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from modelyard.family import load
from tests.charts.helm import ROOT
from tests.integration.cluster import Cluster, Image, pod

pytestmark = pytest.mark.kind

FAMILY = "image"
SHARED = Path("/tmp/modelyard-scratch")
"""On this machine, what tests/integration/kind.yaml mounts on every node of kind's."""
MOUNTED = "/modelyard-scratch"
"""Where kind's nodes have it."""


@pytest.fixture
def trainer(cluster: Cluster) -> None:
    name = "trainjobs.trainer.kubeflow.org"
    if not cluster.has_kind(name):
        pytest.skip(f"no Kubeflow Trainer: the cluster knows no {name}")
    nodes = cluster.core.list_node().items
    if any(not (node.spec.provider_id or "").startswith("kind://") for node in nodes):
        pytest.skip(
            "no folder that all nodes mount: make the cluster with kind and tests/integration/kind.yaml"
        )
    if not SHARED.is_dir():
        pytest.skip(
            f"no folder that all nodes mount: {SHARED} is not there; tests/integration/kind.yaml mounts it"
        )


@pytest.fixture
def scratch(cluster: Cluster, namespace: str, trainer: None) -> Iterator[str]:
    """A claim that pods on all nodes mount."""
    folder = SHARED / namespace
    folder.mkdir()
    folder.chmod(0o777)  # fsGroup leaves such volumes alone
    room, modes = "1Gi", ["ReadWriteMany"]
    volume = {
        "capacity": {"storage": room},
        "accessModes": modes,
        "storageClassName": "",
        "hostPath": {"path": f"{MOUNTED}/{namespace}"},
        "claimRef": {"namespace": namespace, "name": "scratch"},
    }
    claim = {
        "accessModes": modes,
        "storageClassName": "",
        "resources": {"requests": {"storage": room}},
    }
    cluster.core.create_persistent_volume({"metadata": {"name": namespace}, "spec": volume})
    cluster.core.create_namespaced_persistent_volume_claim(
        namespace, {"metadata": {"name": "scratch"}, "spec": claim}
    )
    yield "scratch"
    cluster.core.delete_persistent_volume(namespace)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def platform(
    cluster: Cluster, namespace: str, trainer_image: Image, trainer: None
) -> Iterator[str]:
    """The platform's rights and a training runtime, without MLflow and without Kubeflow
    Pipelines; its release."""
    values = {
        "register.enabled": "false",
        "mlflow.enabled": "false",
        "trainingRuntimes.modelyard-cpu": "null",
        f"trainingRuntimes.{namespace}.memory": "8Gi",
        "pipelines.environmentConfigMap": "",
    }
    chosen = [word for name, value in values.items() for word in ("--set", f"{name}={value}")]
    chosen += ["--set-string", f"trainingRuntimes.{namespace}.cpu=1", *trainer_image.values()]
    place = ["-n", namespace, "--wait", "--timeout", "5m"]
    cluster.helm("install", "yard", ROOT / "charts" / "platform", *place, *chosen)
    yield "yard"
    cluster.helm("uninstall", "yard", "-n", namespace, "--wait")


def assignments(
    values: Mapping[str, Any], defaults: Mapping[str, Any], path: str = ""
) -> Iterator[str]:
    """What `--set` takes to come from the defaults to the values."""
    for name, value in values.items():
        before = defaults.get(name)
        if isinstance(value, Mapping) and isinstance(before, Mapping):
            yield from assignments(value, before, f"{path}{name}.")
        elif value != before:
            yield f"{path}{name}={json.dumps(value)}"


def test_two_machines_train_a_model_that_becomes_a_package(
    cluster, namespace, trainer_image, scratch, platform
):
    family = load(FAMILY)
    settings = [
        *assignments(
            family.Config.debug().model_dump(mode="json"), family.Config().model_dump(mode="json")
        )
    ]
    settings += [
        "cluster.scratch=/scratch",
        f"cluster.scratch_claim={scratch}",
        f"cluster.runtime={namespace}",
        f"cluster.service_account={platform}-trainer",
        "cluster.schedule_minutes=10",
    ]
    command = [
        "modelyard",
        "run",
        FAMILY,
        "--nodes",
        "2",
        *(word for one in settings for word in ("--set", one)),
    ]
    spec = pod(
        trainer_image,
        command,
        serviceAccountName=f"{platform}-launcher",
        env=[
            {"name": "MODELYARD_IMAGE", "value": str(trainer_image)},
            {"name": "COLUMNS", "value": "200"},
        ],
        volumes=[{"name": "scratch", "persistentVolumeClaim": {"claimName": scratch}}],
        mounts=[{"name": "scratch", "mountPath": "/scratch"}],
    )
    log = cluster.run(namespace, "launcher", spec, minutes=25)
    assert f"{FAMILY} version 1 is champion" in log, log
    assert "2 nodes" in log
    left = cluster.custom.list_namespaced_custom_object(
        "trainer.kubeflow.org", "v1alpha1", namespace, "trainjobs"
    )
    assert left["items"] == []
