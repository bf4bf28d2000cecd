"""What all components share: the image, no package installed when a step starts, and what a
cluster gives a step."""

import functools
import os
from typing import Any

from kfp import dsl, kubernetes

import modelyard
from modelyard.home import CHECKPOINTS
from modelyard.pipeline.step import RUN_ID

IMAGE = os.environ.get("MODELYARD_IMAGE", f"modelyard/trainer:{modelyard.__version__}")

component = functools.partial(dsl.component, base_image=IMAGE, install_kfp_package=False)

ENVIRONMENT, CREDENTIALS = "modelyard-environment", "modelyard-credentials"
"""ConfigMap and Secret of the namespace that steps read, where they are there."""
STORE = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_ENDPOINT_URL",
    "AWS_REGION",
)
"""Variables of an object store."""
FIRST = {"cpu": "250m", "memory": "1Gi"}
"""What the first step's pod asks for: it reads the form, and says what the others ask for."""


def sized(read: Any, step: str) -> dict[str, Any]:
    """CPUs and memory of a step, out of what the first step gives."""
    return {amount: read[f"{step}_{amount}"] for amount in FIRST}


def credentials(task: dsl.PipelineTask, *names: str) -> dsl.PipelineTask:
    """A task with these variables of the Secret, where it is there and has them."""
    for name in names:
        kubernetes.use_secret_as_env(task, CREDENTIALS, {name: name}, optional=True)
    return task


def provided(task: dsl.PipelineTask, cpu: str, memory: str, image: str) -> dsl.PipelineTask:
    """A task with its image, its CPUs and memory, its retries, no right to be root, and as
    environment the run's id, which would make every step new to the cache as a parameter, and the
    cluster's addresses and credentials."""
    places = {name: name for name in ("MLFLOW_TRACKING_URI", CHECKPOINTS)}
    kubernetes.use_config_map_as_env(task, ENVIRONMENT, places, optional=True)
    credentials(task, *STORE)
    kubernetes.use_field_path_as_env(task, RUN_ID, "metadata.labels['pipeline/runid']")
    # The rest of the restricted Pod Security Standard Kubeflow sets itself.
    kubernetes.set_security_context(task, run_as_non_root=True)
    task.set_container_image(image).set_cpu_request(cpu).set_memory_request(memory)
    return task.set_memory_limit(memory).set_retry(2, backoff_duration="30s", backoff_factor=2.0)


def computing(task: dsl.PipelineTask, gpus: Any, resource: Any, shm: str) -> dsl.PipelineTask:
    """A task with its GPUs, and with a /dev/shm of this size, by which the processes that load data hand
    over batches: a pod's own has 64 MiB."""
    task.set_accelerator_type(resource).set_accelerator_limit(gpus)
    kubernetes.empty_dir_mount(task, "shm", "/dev/shm", medium="Memory", size_limit=shm)
    return task
