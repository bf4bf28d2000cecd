"""A training that asked for GPUs which are not there, or do not work, ends before its first step
with one line; nothing is paid for GPUs that did nothing. None of it needs a GPU: it is what happens
without one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from modelyard import stages
from modelyard.errors import Unavailable, UsageError
from modelyard.launch.torchrun import train_here
from modelyard.stages.run import Run
from modelyard.training import connecting, devices
from modelyard.tuning import batch
from tests.training.connected import free_port

without = pytest.mark.skipif(torch.cuda.is_available(), reason="what happens without a GPU")

CONFIG = {"features": {"sample_images": 120}, "model": {"width": 4}, "training": {"epochs": 1}}
STEP = (
    "import json, sys; from modelyard.pipeline.step import run_step; from types import SimpleNamespace as N\n"
    "run_step('train', json.loads(sys.argv[1]),\n"
    "         inputs={'features': N(path=sys.argv[2], metadata={})},\n"
    "         outputs={'model': N(path=sys.argv[3], metadata={})})"
)


@pytest.fixture(scope="module")
def features(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("devices")
    run = Run.of("image", CONFIG)
    stages.STAGES["ingest"](run, dataset=folder / "data")
    stages.STAGES["features"](run, dataset=folder / "data", features=folder / "features")
    return folder / "features"


@pytest.fixture(autouse=True)
def environment(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("MODELYARD_HOME", str(tmp_path / "home"))
    for name in ("KUBERNETES_SERVICE_HOST", "CUDA_VISIBLE_DEVICES", "MODELYARD_IMAGE"):
        monkeypatch.delenv(name, raising=False)


def parts_of(line: str, *parts: str) -> None:
    assert len(line.splitlines()) == 1
    for part in parts:
        assert part in line


@without
def test_the_step_of_a_pod_says_what_it_asked_for_and_found_and_books_no_gpu(features, tmp_path):
    events = tmp_path / "events.jsonl"
    pod = {
        "KUBERNETES_SERVICE_HOST": "10.0.0.1",
        "MODELYARD_IMAGE": "registry.example/modelyard/trainer:1",
        "MODELYARD_EVENTS": str(events),
    }
    settings = {"family": "image", "config": CONFIG, "gpus_per_node": 1}
    words = [json.dumps(settings), str(features), str(tmp_path / "model")]
    done = subprocess.run(
        [sys.executable, "-c", STEP, *words],
        env=os.environ | pod,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == UsageError.exit_code
    parts_of(
        done.stderr.strip().splitlines()[-1],
        "error: GPUs on this node: asked for 1, found 0",
        "no NVIDIA driver",
        "image registry.example/modelyard/trainer:1",
        f"PyTorch {torch.__version__} is built without CUDA",
        "modelyard/trainer-cuda as image.repository of the platform chart",
        "cluster.image",
        "leave out --gpus",
    )
    told = [json.loads(line) for line in events.read_text().splitlines()]
    assert [event["event"] for event in told] == ["started", "failed"], "it began to train"
    assert told[-1]["cost"]["gpu_seconds"] == {}
    assert not (tmp_path / "model").exists()


@without
def test_on_a_laptop_the_command_ends_before_any_step(tmp_path):
    command = [sys.executable, "-m", "modelyard", "run", "image", "--gpus", "2"]
    done = subprocess.run(
        command, env=os.environ, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == UsageError.exit_code
    assert "GPUs on this node: asked for 2, found 0 (no NVIDIA driver, no image)" in done.stderr
    assert list(tmp_path.glob("home/image/*")) == []


@without
def test_a_worker_of_torchrun_looks_itself_before_it_reads_the_features(tmp_path):
    nothing = tmp_path / "no features are here"
    record = {
        "family": "image",
        "config": CONFIG,
        "id": "r",
        "code_version": "c",
        "checkpoints": str(tmp_path / "checkpoints"),
        "gpus_per_node": 2,
    }
    with pytest.raises(UsageError, match=r"^GPUs on this node: asked for 2, found 0"):
        train_here(record, nothing, tmp_path / "model", processes=2)


def test_fewer_than_asked_for_are_counted(monkeypatch):
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    with pytest.raises(UsageError, match=r"asked for 4, found 3 .* set --gpus 3"):
        devices.check(4)
    devices.count(3)


@without
def test_a_gpu_that_pytorch_cannot_use_is_named_with_pytorchs_reason(monkeypatch):
    """There is none here: PyTorch's own refusal to compute on it is the reason."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(UsageError) as caught:
        devices.check(2, number=1)
    parts_of(
        str(caught.value),
        "GPUs on this node: asked for 2, found 2",
        "cannot use GPU 1",
        "Torch not compiled with CUDA enabled",
    )


@without
@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"CUDA_VISIBLE_DEVICES": ""}, "CUDA_VISIBLE_DEVICES is '': unset it"),
        ({}, "this machine has no NVIDIA driver. Install it"),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "Set cluster.gpu_resource"),
    ],
)
def test_where_pytorch_has_cuda_the_reason_is_the_machines(environment, said, monkeypatch):
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError) as caught:
        devices.count(1)
    assert said in str(caught.value)


@without
def test_a_refusal_without_words_is_named_by_its_class(monkeypatch):
    def refuse():
        raise AssertionError

    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "current_device", refuse)
    monkeypatch.setattr(devices, "driver_version", lambda: "580.1")
    with pytest.raises(UsageError, match=r"AssertionError\. Take an image that fits the driver"):
        devices.count(1)


@without
def test_a_trial_without_its_gpu_fails_its_step_and_is_no_result(tmp_path):
    """What is wrong with a node says nothing of the settings."""
    with pytest.raises(UsageError, match="asked for 1, found 0"):
        batch.trial("image", CONFIG, '{"number": 0, "settings": {}}', tmp_path, tmp_path, gpus=1)


def test_another_number_of_processes_than_gpus_is_refused(features, tmp_path):
    config = CONFIG | {"training": {"processes": 3}}
    run = Run.of("image", config, gpus_per_node=2)
    with pytest.raises(UsageError, match=r"training\.processes = 3, and --gpus is 2"):
        stages.STAGES["train"](run, features=features, model=tmp_path / "model")


def test_a_model_that_computes_on_the_cpu_in_spite_of_a_gpu_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(devices, "check", lambda asked, number=0: None)
    run = Run.of("tabular", {}, gpus_per_node=1)
    for stage, paths in (
        ("ingest", {"dataset": tmp_path / "data"}),
        ("features", {"dataset": tmp_path / "data", "features": tmp_path / "features"}),
    ):
        stages.STAGES[stage](run, **paths)
    said = stages.STAGES["train"](run, features=tmp_path / "features", model=tmp_path / "model")
    assert said.endswith(
        "computed on the CPU, since this model does not use GPUs: leave out --gpus"
    )


def test_processes_that_do_not_come_together_stop_within_the_limit(tmp_path):
    """One of two is there and says nothing: the other must not wait for it without end."""
    port = str(free_port())
    command = [sys.executable, "-m", "tests.training.connected"]
    alone = subprocess.Popen([*command, "0", port, "silent"], stdout=subprocess.PIPE, text=True)
    waiting = subprocess.run(
        [*command, "1", port, "connects"], capture_output=True, text=True, timeout=60, check=False
    )
    alone.kill()
    alone.wait()
    assert waiting.returncode == Unavailable.exit_code
    parts_of(
        waiting.stderr.strip().splitlines()[-1],
        "process 1 of 2 on ",
        "was not connected to the others: no answer within 4 s",
        "GLOO_SOCKET_IFNAME",
    )


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            "NCCL error in: /pytorch/NCCLUtils.cpp:94, unhandled system error, NCCL version 2.27.7\n"
            "ncclSystemError: System call or external library call failed or device error.\n"
            "Last error:\nError while creating shared memory segment /dev/shm/nccl-9 (size 9637888)\n",
            "Error while creating shared memory segment /dev/shm/nccl-9 (size 9637888). "
            "/dev/shm is too small: raise cluster.shm",
        ),
        ("Connection refused", "Connection refused. Name the network that joins the nodes"),
    ],
)
def test_a_library_that_refuses_to_connect_is_quoted_with_what_to_set(said, told, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError(said)

    monkeypatch.setattr(connecting.distributed, "init_process_group", refuse)
    with pytest.raises(Unavailable) as caught:
        connecting.connect(torch.device("cuda"), 2, connecting.timedelta(seconds=5))
    assert told in str(caught.value)


@pytest.mark.gpu
def test_a_training_on_a_gpu_in_bf16_is_counted_with_the_gpu_that_worked(
    features, tmp_path, monkeypatch
):
    events = tmp_path / "events.jsonl"
    monkeypatch.setenv("MODELYARD_EVENTS", str(events))
    config = CONFIG | {"training": {"epochs": 3, "precision": "bf16"}}
    run = Run.of("image", config, gpus_per_node=1)
    stages.STAGES["train"](run, features=features, model=tmp_path / "model")
    finished = json.loads(events.read_text().splitlines()[-1])
    assert finished["event"] == "finished"
    (seconds,) = finished["cost"]["gpu_seconds"].values()
    assert seconds == pytest.approx(finished["cost"]["wall_seconds"], rel=0.01)


@pytest.mark.gpu
def test_one_more_gpu_than_there_are_is_refused_and_those_that_are_there_work():
    found = torch.cuda.device_count()
    devices.check(found, number=found - 1)
    with pytest.raises(UsageError, match=f"found {found} .driver .* set --gpus {found}"):
        devices.check(found + 1)


@pytest.mark.gpu
def test_processes_connect_over_nccl(tmp_path):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += [f"--nproc-per-node={torch.cuda.device_count()}", "-m", "tests.training.many"]
    told = json.dumps({"settings": {"epochs": 1}})
    done = subprocess.run(
        [*command, str(tmp_path), told], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "report.json").is_file()
