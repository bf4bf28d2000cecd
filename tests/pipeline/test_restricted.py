"""Every pod of every compiled pipeline passes the restricted Pod Security Standard as it is."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from components.common import FIRST
from modelyard.family import names
from modelyard.pipeline.pipelines import KINDS
from tests.charts.rules import pods_are_restricted
from tests.pipeline.driver import documents
from tests.pipeline.pods_table import resources

KEYS = [(name, kind) for name in (None, *names()) for kind in KINDS]
OF_KUBEFLOW = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}
"""What Kubeflow sets itself on every container of a step's pod."""
OF_ARGO = OF_KUBEFLOW | {"runAsNonRoot": True}
"""On its own containers around it."""


def made(path: Any) -> Iterator[dict[str, Any]]:
    """Pods as Kubeflow's driver and Argo make them of a compiled pipeline."""
    pipeline, platform = documents(path)
    kubernetes = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    for name in pipeline["deploymentSpec"]["executors"]:
        own = kubernetes.get(name, {})
        main = {"name": "main", "securityContext": OF_KUBEFLOW | own.get("securityContext", {})}
        volumes = [
            {"name": one["volumeName"], "emptyDir": {"sizeLimit": one["sizeLimit"]}}
            for one in own.get("emptyDirMounts", [])
        ]
        around = [{"name": one, "securityContext": OF_ARGO} for one in ("wait", "init")]
        spec = {"containers": [main, around[0]], "initContainers": around[1:], "volumes": volumes}
        yield {"kind": "Pod", "metadata": {"name": name}, "spec": spec}


def problems(pod: dict[str, Any]) -> list[str]:
    """What of the standard a pod does not keep. Where every container says it, the pod need not."""
    found = []
    containers = [*pod["spec"]["containers"], *pod["spec"]["initContainers"]]
    for one in containers:
        security = one["securityContext"]
        kept = {
            "runAsNonRoot": security.get("runAsNonRoot") is True,
            "runAsUser": security.get("runAsUser") != 0,
            "allowPrivilegeEscalation": security.get("allowPrivilegeEscalation") is False,
            "capabilities": security.get("capabilities") == {"drop": ["ALL"]},
            "seccompProfile": security.get("seccompProfile") == {"type": "RuntimeDefault"},
        }
        found += [f"{one['name']}: {what}" for what, well in kept.items() if not well]
    whole = copy.deepcopy(pod)
    whole["spec"]["securityContext"] = {
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    return found + pods_are_restricted([whole])


@pytest.mark.parametrize("key", KEYS)
def test_a_namespace_that_enforces_the_restricted_standard_takes_every_step(compiled, key):
    found = list(made(compiled[key]))
    assert len(found) >= 8 or key[1] == "tuning"
    assert {pod["metadata"]["name"]: problems(pod) for pod in found if problems(pod)} == {}


def test_a_step_that_may_be_root_is_found(compiled):
    pod = next(made(compiled["tabular", "training"]))
    del pod["spec"]["containers"][0]["securityContext"]["runAsNonRoot"]
    assert problems(pod) == ["main: runAsNonRoot"]


@pytest.mark.parametrize("key", KEYS)
def test_cpu_and_memory_of_the_form_reach_every_step(compiled, key):
    sizes = resources(compiled[key], 1, 0, family=key[0], cpu="300m", memory="3Gi")
    for step, asked in sizes.items():
        # The first step says what the others ask for.
        own = FIRST if step.endswith("prepare") else {"cpu": "300m", "memory": "3Gi"}
        assert asked["requests"] == own, step
        assert asked["limits"]["memory"] == own["memory"], step
