"""A compiled pipeline in Kubeflow Pipelines: uploaded, run to its end, and the package that it
leaves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modelyard.errors import Unavailable
from modelyard.family import load
from modelyard.pipeline.form import filled
from modelyard.pipeline.pipelines import connect
from tests.integration.cluster import Cluster, Image, pod

pytestmark = pytest.mark.kind

FAMILY = "tabular"
MINUTES = 30
PIPELINES = os.environ.get("MODELYARD_TEST_KFP_NAMESPACE", "kubeflow")
"""Namespace of Kubeflow Pipelines, which holds its artifact store."""
STORE = os.environ.get("MODELYARD_TEST_KFP_STORE", "http://minio-service.kubeflow:9000")
KEYS = "mlpipeline-minio-artifact"
BUCKET = os.environ.get("MODELYARD_TEST_KFP_BUCKET", "mlpipeline")
LOOK = """
import json, sys, fsspec
store = fsspec.filesystem("s3", endpoint_url=sys.argv[2])
found = [file for file in store.find(sys.argv[1]) if sys.argv[3] in file]
(manifest,) = [file for file in found if file.endswith("/package/manifest.json")]
print(json.dumps(json.loads(store.cat_file(manifest))))
"""


@pytest.fixture
def pipelines() -> Any:
    if not os.environ.get("KFP_HOST"):
        pytest.skip("no Kubeflow Pipelines: KFP_HOST is not set")
    try:
        return connect(None)
    except Unavailable as error:
        pytest.skip(f"no Kubeflow Pipelines: {error}")


@pytest.fixture
def compiled(trainer_image: Image, tmp_path: Path) -> Path:
    """The training pipeline with the image under test."""
    environment = os.environ | {"MODELYARD_IMAGE": str(trainer_image)}
    command = [sys.executable, "-m", "modelyard", "compile", FAMILY, "--into", str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return tmp_path / f"{FAMILY}-training.yaml"


@pytest.fixture
def uploaded(pipelines, compiled: Path) -> Iterator[tuple[str, str]]:
    """Ids of the pipeline and of its version; both go again."""
    pipeline = pipelines.upload_pipeline(
        str(compiled), f"modelyard-test-{uuid.uuid4().hex[:8]}"
    ).pipeline_id
    (version,) = pipelines.list_pipeline_versions(pipeline).pipeline_versions
    yield pipeline, version.pipeline_version_id
    pipelines.delete_pipeline_version(pipeline, version.pipeline_version_id)
    pipelines.delete_pipeline(pipeline)


def test_the_image_under_test_is_the_one_of_every_step(trainer_image, compiled):
    text = compiled.read_text()
    assert f"defaultValue: {trainer_image}" in text


def test_a_compiled_pipeline_runs_to_a_package_in_the_store(
    cluster: Cluster, pipelines, uploaded, trainer_image
):
    pipeline, version = uploaded
    experiment = pipelines.create_experiment("modelyard-test").experiment_id
    form = {"family": FAMILY, **filled(load(FAMILY), load(FAMILY).Config.debug())}
    run = pipelines.run_pipeline(
        experiment,
        "test",
        params=form,
        pipeline_id=pipeline,
        version_id=version,
        enable_caching=False,
    ).run_id
    ended = pipelines.wait_for_run_completion(run, timeout=MINUTES * 60)
    tasks = {task.display_name: task.state for task in ended.run_details.task_details or []}
    assert ended.state == "SUCCEEDED", f"{tasks}\n{cluster.story(PIPELINES)}"
    manifest = json.loads(look(cluster, run, trainer_image).splitlines()[-1])
    assert (manifest["kind"], manifest["family"]) == ("package", FAMILY)
    assert "golden.json" in json.dumps(manifest["files"])


def look(cluster: Cluster, run: str, image: Image) -> str:
    """The manifest of a run's package, read from the artifact store by a pod beside it."""
    keys = {"AWS_ACCESS_KEY_ID": "accesskey", "AWS_SECRET_ACCESS_KEY": "secretkey"}
    env = [
        {"name": name, "valueFrom": {"secretKeyRef": {"name": KEYS, "key": key}}}
        for name, key in keys.items()
    ]
    name = f"modelyard-test-{uuid.uuid4().hex[:8]}"
    try:
        return cluster.run(
            PIPELINES, name, pod(image, ["python", "-c", LOOK, BUCKET, STORE, run], env=env)
        )
    finally:
        cluster.core.delete_namespaced_pod(name, PIPELINES)
