"""The train stage on several machines: its inputs go to where all nodes reach them, and its
model comes back."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelyard.cost import usage as cost
from modelyard.errors import ModelyardError
from modelyard.launch import scratch
from modelyard.launch.manifest import TrainJobRequest
from modelyard.launch.trainjob import train_on_cluster
from modelyard.store.usage import Usage

if TYPE_CHECKING:
    from modelyard.settings.cluster import ClusterSettings
    from modelyard.stages.run import Run


def train_on_nodes(run: Run, record: Mapping[str, Any], features: Path, model: Path) -> None:
    """Trains on `run.nodes` machines into the folder `model`; `record` is job.json.

    Raises:
        UsageError: no scratch folder is set; and what `train_on_cluster` raises.
    """
    settings = run.config.cluster
    job = scratch.job_uri(settings, run.name, run.id)
    scratch.upload(features, job)
    scratch.write_job(job, record)
    request = TrainJobRequest(
        id=run.id,
        family=run.name,
        job=job,
        nodes=run.nodes,
        gpus_per_node=run.gpus_per_node,
        resources=settings.machine(run.config.resources),
    )
    began = time.time()
    try:
        train_on_cluster(request, settings, lambda line: print(line, flush=True))
    # Machines that were held are paid for, whatever came of it.
    finally:
        cost.add(_held(request, settings, began))
    scratch.download(job, model)
    scratch.remove(job)


def _held(request: TrainJobRequest, settings: ClusterSettings, began: float) -> Usage:
    """What the nodes held since `began`, in seconds since 1970: their CPUs and memory while the job
    was there, time in a queue too, and their GPUs from when they computed."""
    from kubernetes.utils.quantity import parse_quantity

    now = time.time()
    return Usage.reserved(
        now - began,
        nodes=request.nodes,
        cores=float(parse_quantity(request.resources["cpu"])),
        memory_bytes=int(parse_quantity(request.resources["memory"])),
        gpus=request.gpus_per_node,
        gpu=settings.gpu_resource,
        gpu_wall_seconds=_gpu_seconds(request.job, began, now),
    )


def _gpu_seconds(job: str, began: float, now: float) -> float:
    """How long GPUs have worked: none of it where the nodes never got as far."""
    try:
        first = scratch.began(job)
    except ModelyardError:  # the failure of the training itself is what a person must see
        return 0.0
    if first is None:
        return 0.0
    return max(0.0, now - max(began, first))
