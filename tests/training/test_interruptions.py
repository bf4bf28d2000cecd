"""Training that is killed at any moment goes on, and ends with the same bits."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from pathlib import Path

import pytest

from modelyard.errors import BrokenArtifact
from modelyard.training.checkpoint import Checkpoints
from modelyard.training.world import World
from tests.training.many import main, started

EVERY = 3
TOLD = {
    "settings": {"checkpoint_every": EVERY, "epochs": 6, "ema": 0.9, "schedule": "cosine"},
    "dropout": 0.2,
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("whole")
    assert main(out, TOLD) == 0
    return out


def live(out: Path, told: dict, signal_number: int, seconds: float) -> int | None:
    """A life of the training, ended by a signal after some seconds of it; its exit code."""
    (process,) = started(out, told)
    assert process.pid is not None
    steps = out / "steps.txt"
    before = begun(out)
    while process.is_alive() and begun(out) == before:
        time.sleep(0.005)
    process.join(seconds)
    if process.is_alive():
        os.kill(process.pid, signal_number)
    process.join(60)
    assert steps.exists()
    return process.exitcode


def begun(out: Path) -> int:
    return (out / "steps.txt").read_text().count("step") if (out / "steps.txt").exists() else 0


def readable(folder: Path) -> list[int]:
    """Steps of all visible checkpoints; each is read whole."""
    found = Checkpoints(str(folder / "0"), World())
    for name in found.names():
        state, shapes = found.state(name), found.shapes(name)
        assert state["engine"]["steps"] == int(name.removeprefix("step-"))
        import torch

        found.fill(
            name, {key: torch.empty(shape, dtype=dtype) for key, (shape, dtype) in shapes.items()}
        )
    return [int(name.removeprefix("step-")) for name in found.names()]


@pytest.mark.parametrize(
    "signals", [[signal.SIGTERM, signal.SIGKILL], [signal.SIGKILL] * 2, [signal.SIGTERM] * 2]
)
def test_a_few_interruptions(signals, whole, tmp_path):
    _interrupt(signals, whole, tmp_path, seed=len(signals) + signals[0])


@pytest.mark.slow
def test_twenty_interruptions_at_random_moments(whole, tmp_path):
    rng = random.Random(1)
    _interrupt(
        [rng.choice([signal.SIGTERM, signal.SIGKILL]) for _ in range(20)], whole, tmp_path, seed=2
    )


def _interrupt(signals: list[signal.Signals], whole: Path, tmp_path: Path, seed: int) -> None:
    """At most one checkpoint interval is lost each time, what is seen is readable, and the end
    is the same."""
    rng = random.Random(seed)
    told = TOLD | {"checkpoints": str(tmp_path / "saved"), "pause": 0.5 / len(signals)}
    out, steps_before, reached = tmp_path / "out", 0, 0
    for number in signals:
        if (ended := live(out, told, number, rng.uniform(0, 1.2))) == 0:
            break
        assert ended == (75 if number == signal.SIGTERM else -signal.SIGKILL)
        reached += begun(out) - steps_before
        last = (readable(tmp_path / "saved") or [0])[-1]
        assert reached - last <= (0 if number == signal.SIGTERM else EVERY)
        steps_before, reached = begun(out), last
    assert main(out, told | {"pause": 0}) == 0
    assert (out / "report.json").read_text() == (whole / "report.json").read_text()
    assert (out / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


def test_a_finished_training_is_not_repeated(whole, tmp_path):
    told = TOLD | {"checkpoints": str(tmp_path / "saved")}
    assert main(tmp_path / "out", told) == 0
    steps = begun(tmp_path / "out")
    assert main(tmp_path / "out", told) == 0
    assert begun(tmp_path / "out") == steps
    assert sorted(path.name for path in (tmp_path / "saved" / "0").iterdir()) == ["finished"]


def test_a_damaged_checkpoint_is_told_with_its_place(tmp_path):
    told = TOLD | {"checkpoints": str(tmp_path / "saved"), "pause": 0.05}
    assert live(tmp_path / "out", told, signal.SIGTERM, 0.3) == 75
    folder = max((tmp_path / "saved" / "0").glob("step-*"))
    shards = next(folder.glob("*.distcp"))
    shards.write_bytes(shards.read_bytes()[:100])
    assert main(tmp_path / "out", told) == BrokenArtifact.exit_code
    (folder / "state.json").write_text("{")
    assert main(tmp_path / "out", told) == BrokenArtifact.exit_code


def test_only_the_last_checkpoints_are_kept_and_unfinished_ones_are_removed(tmp_path):
    (tmp_path / "saved" / "0" / "step-00000001").mkdir(parents=True)
    told = {
        "settings": {"checkpoint_every": 2, "keep": 3, "epochs": 9},
        "checkpoints": str(tmp_path / "saved"),
        "pause": 0.02,
    }
    assert live(tmp_path / "out", told, signal.SIGKILL, 0.8) == -signal.SIGKILL
    assert len(readable(tmp_path / "saved")) in (3, 4)
    assert 1 not in readable(tmp_path / "saved")


def test_checkpoints_in_an_object_store(tmp_path):
    """Through fsspec: here its in-memory file system, read back by the same process."""
    import torch

    store = Checkpoints("memory://bucket/run/0", World())
    store.save(
        5,
        {"a": torch.arange(4.0)},
        {"engine": {"steps": 5}},
        {"sums": [1, 2]},
        {"w": torch.ones(2)},
    )
    filled = {"a": torch.zeros(4)}
    store.fill(store.last(), filled)
    assert filled["a"].tolist() == [0, 1, 2, 3]
    assert store.mine(store.last())["sums"] == [1, 2]
    assert store.best(store.last())["w"].tolist() == [1, 1]
    assert json.loads(store._read("step-00000005/state.json"))["processes"] == 1
