"""Clusters for `modelyard doctor`, and what it says of them."""

from __future__ import annotations

import json

from typer.testing import CliRunner

from modelyard.cli.app import app
from tests.standin.kinds import (
    EXTENSIONS,
    NODE,
    POD,
)

RUN = "7c1b"
STEP = {"pipeline/runid": RUN}
TRAIN_JOB, RUNTIME = EXTENSIONS["trainer"]


def doctor(*arguments: str, code: int | None = None):
    """What it found, by what it looked at."""
    done = CliRunner().invoke(app, ["doctor", *arguments, "--json"])
    assert done.exit_code in (0, 1), done.exception
    told = json.loads(done.stdout)
    assert told["broken"] == (done.exit_code == 1)
    assert code is None or done.exit_code == code, done.stdout
    return {one["what"]: one for one in told["findings"]}


def node(cluster, name, ready="True", taken_out=False, **devices):
    names = {"gpu": "nvidia.com/gpu", "mig": "nvidia.com/mig-1g.10gb"}
    allocatable = {"cpu": "8", "memory": "64Gi", "hugepages-2Mi": "0"}
    allocatable |= {names[one]: str(count) for one, count in devices.items()}
    said = (
        "Kubelet stopped posting node status."
        if ready != "True"
        else "kubelet is posting ready status"
    )
    condition = {"type": "Ready", "status": ready, "message": said}
    status = {"allocatable": allocatable, "conditions": [condition]}
    return cluster.add(NODE, name, spec={"unschedulable": taken_out}, status=status)


def on_node(cluster, name, node, resource="nvidia.com/gpu", count=1, phase="Running"):
    containers = [{"name": "node", "resources": {"limits": {resource: str(count)}}}]
    return cluster.add(
        POD, name, spec={"nodeName": node, "containers": containers}, status={"phase": phase}
    )


def healthy(cluster):
    cluster.install("trainer", "jobset", "kueue")
    cluster.add(RUNTIME, "torch-distributed", spec={})
    node(cluster, "cpu-1")
