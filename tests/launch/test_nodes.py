"""The train stage on two machines: the job's own command, run by two real processes in the pods'
place."""

from __future__ import annotations

import functools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

pytest.importorskip("torch")

import torch

from modelyard import stages
from modelyard.errors import UsageError
from modelyard.kubernetes.client import Pace
from modelyard.launch import nodes, scratch
from modelyard.stages.run import Run
from modelyard.store.usage import Usage
from tests.progress import epochs_done

pytestmark = pytest.mark.timed

CONFIG = {
    "features": {"sample_images": 120},
    "model": {"width": 4},
    "training": {"epochs": 16, "patience": 16, "batch_size": 16},
    "cluster": {"image": "registry.example/modelyard:1", "restarts": 1},
}


@pytest.fixture(autouse=True)
def _no_long_waits(monkeypatch):
    """From the first node that failed to the verdict eight seconds pass on a cluster."""
    pace = Pace(tick=0.1, settle=0.5)
    monkeypatch.setattr(
        nodes, "train_on_cluster", functools.partial(nodes.train_on_cluster, pace=pace)
    )


def play(trainer, home, attempts: list[list[int]], preempt: bool) -> None:
    """Kubeflow Trainer and the kubelets: runs the job's command for each pod, and tells the API
    how it ended."""
    try:
        _play(trainer, home, attempts, preempt)
    except BaseException:
        # Whoever waits for the job must not wait for ever.
        trainer.finish(trainer.job(), "Failed", "Broken", "the stand-in of the cluster has failed")
        raise


def _play(trainer, home, attempts: list[list[int]], preempt: bool) -> None:
    uid = ""
    for attempt in range(2 if preempt else 1):
        job = trainer.job(seconds=120, after=uid)
        uid, spec = job["metadata"]["uid"], job["spec"]["trainer"]
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        pods, started = trainer.make_pods(job), []
        for rank, pod in enumerate(pods):
            place = {
                "PET_NNODES": spec["numNodes"],
                "PET_NPROC_PER_NODE": spec["numProcPerNode"],
                "PET_NODE_RANK": rank,
                "PET_MASTER_ADDR": "127.0.0.1",
                "PET_MASTER_PORT": port,
                "MODELYARD_EVENTS": home / f"events-{attempt}",
            }
            env = (
                os.environ
                | {name: str(value) for name, value in place.items()}
                | {"OMP_NUM_THREADS": "1"}
            )
            command = [sys.executable, *spec["command"][1:], *spec["args"]]
            started.append(subprocess.Popen(command, env=env))
            trainer.run(pod)
        if preempt and not attempt:
            _wait_for_epochs(home / "events-0", started)
            for node in started:
                node.send_signal(signal.SIGTERM)
        codes = [node.wait(400) for node in started]
        attempts.append(codes)
        for pod, code in zip(pods, codes, strict=True):
            trainer.exit(pod, code)
        if codes == [0, 0]:
            trainer.complete(job)
        else:
            trainer.finish(
                job, "Failed", "FailedJobs", "jobset failed due to one or more job failures"
            )


def _wait_for_epochs(events, started) -> None:
    until = time.monotonic() + 400
    while epochs_done(events) < 2:
        assert all(node.poll() is None for node in started)
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.mark.parametrize(
    "preempt",
    [pytest.param(False, marks=pytest.mark.slow), True],
    ids=["undisturbed", "preempted once"],
)
def test_two_machines_train_one_model(preempt, trainer, tmp_path, monkeypatch):
    monkeypatch.setenv("MODELYARD_HOME", str(tmp_path / "home"))
    config = CONFIG | {"cluster": CONFIG["cluster"] | {"scratch": str(tmp_path / "scratch")}}
    run = Run.of("image", config, id="r1", nodes=2)
    stages.STAGES["ingest"](run, dataset=tmp_path / "data")
    stages.STAGES["features"](run, dataset=tmp_path / "data", features=tmp_path / "features")
    attempts: list[list[int]] = []
    cluster = threading.Thread(
        target=play, args=(trainer, tmp_path, attempts, preempt), daemon=True
    )
    cluster.start()
    stages.STAGES["train"](run, features=tmp_path / "features", model=tmp_path / "model")
    assert attempts == ([[75, 75], [0, 0]] if preempt else [[0, 0]])
    summary = json.loads((tmp_path / "model" / "summary.json").read_text())
    assert summary["epochs"] == 16
    assert summary["curves"]["loss"]["train"][-1] < summary["curves"]["loss"]["train"][0]
    assert (tmp_path / "model" / "model.safetensors").is_file()
    # The second attempt went on where the first one saved, and nothing is left behind.
    if preempt:
        first = next(
            json.loads(line)
            for line in (tmp_path / "events-1").read_text().splitlines()
            if "progress" in line
        )
        assert first["done"] >= 2
    assert [path for path in (tmp_path / "scratch").rglob("*") if path.is_file()] == []


def _fail(trainer, codes: list[int]) -> None:
    """The kubelets of a job whose nodes end before they train."""
    job = trainer.job(seconds=120)
    spec = job["spec"]["trainer"]
    pods = trainer.make_pods(job)
    place = {
        "PET_NNODES": "1",
        "PET_NPROC_PER_NODE": str(spec["numProcPerNode"]),
        "PET_STANDALONE": "1",
        "KUBERNETES_SERVICE_HOST": "10.0.0.1",
        "MODELYARD_IMAGE": spec["image"],
    }
    command = [sys.executable, *spec["command"][1:], *spec["args"]]
    # both have ended before the first is reported: the stage may return as soon as one is seen
    ended = [
        subprocess.run(command, env=os.environ | place, capture_output=True, text=True, check=False)
        for _ in pods
    ]
    codes.extend(done.returncode for done in ended)
    for pod, done in zip(pods, ended, strict=True):
        trainer.run(pod)
        trainer.say(pod, *done.stderr.splitlines())
        trainer.exit(pod, done.returncode)
    trainer.finish(job, "Failed", "FailedJobs", "jobset failed due to one or more job failures")


@pytest.mark.skipif(torch.cuda.is_available(), reason="what happens without a GPU")
def test_nodes_without_the_gpus_that_were_asked_for_end_the_job_and_book_none(
    trainer, tmp_path, monkeypatch
):
    monkeypatch.setenv("MODELYARD_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MODELYARD_EVENTS", str(tmp_path / "events.jsonl"))
    config = CONFIG | {"cluster": CONFIG["cluster"] | {"scratch": str(tmp_path / "scratch")}}
    run = Run.of("image", config, id="r1", nodes=2, gpus_per_node=1)
    stages.STAGES["ingest"](run, dataset=tmp_path / "data")
    stages.STAGES["features"](run, dataset=tmp_path / "data", features=tmp_path / "features")
    codes: list[int] = []
    threading.Thread(target=_fail, args=(trainer, codes), daemon=True).start()
    with pytest.raises(UsageError) as caught:
        stages.STAGES["train"](run, features=tmp_path / "features", model=tmp_path / "model")
    assert codes == [2, 2]
    said = str(caught.value)
    assert said.startswith("GPUs on this node: asked for 1, found 0 (no NVIDIA driver, image regis")
    assert "cluster.image" in said
    failed = json.loads((tmp_path / "events.jsonl").read_text().splitlines()[-1])
    assert failed["event"] == "failed"
    assert failed["cost"]["gpu_seconds"] == {}
    assert failed["cost"]["cpu_seconds"] > 0


def test_gpus_of_nodes_are_paid_for_from_when_they_compute(tmp_path):
    scratch.write_job(str(tmp_path), {"family": "image"})
    assert scratch.began(str(tmp_path)) is None
    scratch.mark_began(str(tmp_path))
    first = scratch.began(str(tmp_path))
    scratch.mark_began(str(tmp_path))  # a later attempt
    assert scratch.began(str(tmp_path)) == first
    used = Usage.reserved(600, nodes=2, gpus=8, gpu="nvidia.com/gpu", gpu_wall_seconds=60)
    assert used.gpu_seconds == {"nvidia.com/gpu": 960}
    never = Usage.reserved(600, nodes=2, gpus=8, gpu="nvidia.com/gpu", gpu_wall_seconds=0)
    assert never.gpu_seconds == {}
