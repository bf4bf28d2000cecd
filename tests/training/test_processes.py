"""Several processes train as one does: same losses, however the batches and the model are
divided."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from modelyard.errors import UsageError
from modelyard.training.checkpoint import Checkpoints
from modelyard.training.world import World
from tests.training.many import main, started

pytestmark = pytest.mark.timed

TORCHRUN = ["torch.distributed.run", "--standalone", "--max-restarts=0", "--shutdown-timeout=5"]


def train(out: Path, told: dict, processes: int = 1) -> dict:
    if processes == 1:
        assert main(out, told) == 0
    else:
        together = started(out, told, processes)
        for process in together:
            process.join(120)
        assert [process.exitcode for process in together] == [0] * processes
    return json.loads((out / "report.json").read_text())


def wait_for_steps(out: Path, count: int, alive: Callable[[], bool]) -> None:
    until = time.monotonic() + 240
    while not (out / "steps.txt").exists() or (out / "steps.txt").read_text().count("step") < count:
        assert alive()
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> tuple[dict, dict]:
    out = tmp_path_factory.mktemp("alone")
    return train(out, {"settings": {}}), load_file(out / "model.safetensors")


@pytest.mark.parametrize("parallel", ["ddp", "fsdp2"])
@pytest.mark.parametrize("processes", [2, 4])
def test_processes_give_the_loss_curve_of_one(processes, parallel, alone, tmp_path):
    """At equal global batch, with unequal class weights and a last batch that does not divide
    evenly."""
    report = train(tmp_path, {"settings": {"parallel": parallel}}, processes)
    expected, weights = alone
    for name, splits in expected["curves"].items():
        for split, values in splits.items():
            assert report["curves"][name][split] == pytest.approx(values, rel=1e-4), (
                f"{name} of {split}"
            )
    for name, value in load_file(tmp_path / "model.safetensors").items():
        torch.testing.assert_close(value, weights[name], rtol=1e-3, atol=1e-5)
    # They really divided the work.
    assert (tmp_path / "steps.txt").read_text().count("step") < 2 * 4 * 7


@pytest.mark.parametrize("accumulate", [2, 5])
def test_a_batch_in_parts_gives_the_gradient_of_the_whole(accumulate, alone, tmp_path):
    report = train(tmp_path, {"settings": {"accumulate": accumulate}})
    assert report["curves"]["loss"]["train"] == pytest.approx(
        alone[0]["curves"]["loss"]["train"], rel=1e-5
    )


def test_fewer_examples_than_processes_is_said_before_training(tmp_path):
    processes = started(tmp_path, {"settings": {"batch_size": 1}}, 2)
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [UsageError.exit_code] * 2


def test_a_killed_process_ends_the_job_and_the_resumed_one_gives_the_same_bits(tmp_path):
    told = {"settings": {"checkpoint_every": 4, "epochs": 3}, "dropout": 0.1}
    whole = train(tmp_path / "whole", told | {"checkpoints": str(tmp_path / "a")}, 2)
    told |= {"checkpoints": str(tmp_path / "b"), "pause": 0.05}
    out = tmp_path / "cut"
    command = [
        sys.executable,
        "-m",
        *TORCHRUN,
        "--nproc-per-node=2",
        "-m",
        "tests.training.many",
        out,
        json.dumps(told),
    ]
    process = subprocess.Popen(
        command, env=os.environ | {"OMP_NUM_THREADS": "1"}, stderr=subprocess.DEVNULL
    )
    wait_for_steps(out, 10, lambda: process.poll() is None)
    os.kill(int((out / "pid-1").read_text()), signal.SIGKILL)
    killed = time.monotonic()
    assert process.wait(30) != 0
    assert time.monotonic() - killed < 25
    assert Checkpoints(str(tmp_path / "b" / "0"), World()).names()
    assert train(tmp_path / "cut", told | {"pause": 0}, 2) == whole
    both = [load_file(tmp_path / name / "model.safetensors") for name in ("whole", "cut")]
    assert all(torch.equal(both[0][name], both[1][name]) for name in both[0])


@pytest.mark.parametrize(
    ("before", "after", "parallel"), [(1, 2, "fsdp2"), (2, 1, "fsdp2"), (2, 1, "ddp")]
)
def test_training_goes_on_with_another_number_of_processes(
    before, after, parallel, alone, tmp_path
):
    """Stopped by SIGTERM with one number, ended with another: the curve is that of no stop at
    all."""
    told = {
        "settings": {"parallel": parallel, "checkpoint_every": 100},
        "checkpoints": str(tmp_path / "saved"),
    }
    processes = started(tmp_path, told | {"pause": 0.05}, before)
    wait_for_steps(tmp_path, 9, processes[0].is_alive)
    for process in processes:
        process.terminate()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [75] * before
    steps = tmp_path / "steps.txt"
    begun = steps.read_text().count("step")
    assert len(Checkpoints(str(tmp_path / "saved" / "0"), World()).names()) == 1
    report = train(tmp_path, told, after)
    assert report["curves"]["loss"]["train"] == pytest.approx(
        alone[0]["curves"]["loss"]["train"], rel=1e-4
    )
    assert steps.read_text().count("step") - begun < 4 * 7 - 8, "it began anew"
