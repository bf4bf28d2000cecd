"""The train stage: where checkpoints lie, several processes, and what the person reads when it
goes wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from modelyard import stages
from modelyard.errors import ModelyardError, UsageError
from modelyard.launch.torchrun import _error
from modelyard.stages.run import Run
from modelyard.stages.train import checkpoint_folder
from tests.progress import epochs_done

pytestmark = pytest.mark.timed

CONFIG = {
    "features": {"sample_images": 120},
    "model": {"width": 4},
    "training": {"epochs": 2, "batch_size": 16, "shift": 0, "rotate": 0, "label_smoothing": 0},
}


def changed(**training: object) -> dict:
    return CONFIG | {"training": CONFIG["training"] | training}


@pytest.fixture(scope="module")
def features(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("stage")
    run = Run.of("image", CONFIG)
    stages.STAGES["ingest"](run, dataset=folder / "data")
    stages.STAGES["features"](run, dataset=folder / "data", features=folder / "features")
    return folder / "features"


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("MODELYARD_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_two_processes_give_the_model_of_one_and_leave_no_checkpoint(features, tmp_path, home):
    """Through torchrun and the job's folder, as on a machine with two GPUs."""
    summaries = []
    for processes in (1, 2):
        run = Run.of("image", changed(processes=processes))
        stages.STAGES["train"](run, features=features, model=tmp_path / f"{processes}")
        summaries.append(json.loads((tmp_path / f"{processes}" / "summary.json").read_text()))
        assert (tmp_path / f"{processes}" / "assets" / "network.json").is_file()
    assert summaries[0].keys() == summaries[1].keys()
    # Batch statistics are each process's own on CPUs: near, not equal.
    losses = [summary["curves"]["loss"]["train"] for summary in summaries]
    assert losses[1] == pytest.approx(losses[0], rel=0.2)
    assert list((home / "checkpoints").glob("*")) == []


def test_what_a_worker_says_is_what_the_person_reads(features, tmp_path):
    run = Run.of("image", changed(processes=2, metric="acuracy"))
    with pytest.raises(
        UsageError, match=r"^training\.metric 'acuracy' is unknown. Did you mean 'accuracy'"
    ):
        stages.STAGES["train"](run, features=features, model=tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_a_dead_worker_is_told_with_its_exit_code_and_the_way_on():
    error = _error(137, "worker 1 exited with code 137", 4)
    assert type(error) is ModelyardError
    assert "one of 4 training processes died (exit code 137): worker 1 exited" in str(error)
    assert "modelyard resume" in str(error)


def test_checkpoints_follow_what_is_learned_and_not_where(features, monkeypatch):
    def folder(config: dict, digest: str = "d", **fields: object) -> str:
        return checkpoint_folder(Run.of("image", config, **fields), digest)

    same = folder(CONFIG)
    for operational in (
        {"processes": 4},
        {"keep": 5},
        {"accumulate": 2},
        {"parallel": "fsdp2"},
        {"compile": True},
    ):
        assert folder(changed(**operational)) == same, operational
    others = [
        folder(changed(epochs=3)),
        folder(changed(optimizer="sgd")),
        folder(CONFIG | {"seed": 5}),
        folder(CONFIG | {"model": {"width": 8}}),
        folder(CONFIG, "other"),
    ]
    assert len({same, *others}) == 6
    # What training does not import may change: another card starts no training again.
    assert folder(CONFIG, code_version="new") == same
    shared = CONFIG | {"cluster": {"scratch": "s3://bucket/scratch"}}
    assert folder(shared, nodes=2).startswith("s3://bucket/scratch/checkpoints/image-")
    assert folder(changed(checkpoints="s3://other")).startswith("s3://other/image-")
    monkeypatch.setenv("MODELYARD_CHECKPOINTS", "s3://cluster/checkpoints/")
    key = same.rpartition("/")[2]
    assert folder(CONFIG, id="r1") == f"s3://cluster/checkpoints/r1/{key}"
    assert folder(CONFIG, id="r2") == f"s3://cluster/checkpoints/r2/{key}"
    assert folder(shared, nodes=2).startswith("s3://bucket/scratch/checkpoints/image-")
    assert folder(changed(checkpoints="s3://other")).startswith("s3://other/image-")


def test_checkpoints_on_a_cluster_stay_when_training_fails_and_go_when_it_is_finished(
    features, tmp_path, monkeypatch, capsys
):
    place = tmp_path / "place"
    monkeypatch.setenv("MODELYARD_CHECKPOINTS", place.as_uri())
    run = Run.of("image", changed(checkpoint_every=4), id="r1")

    def saved() -> list[Path]:
        return [path for path in place.glob("r1/image-*/**/*") if path.is_file()]

    with monkeypatch.context() as broken:
        broken.setattr("modelyard.training.loop.Trainer.add_device", crash)
        with pytest.raises(RuntimeError, match="the pod is lost"):
            stages.STAGES["train"](run, features=features, model=tmp_path / "lost")
    assert saved() != []
    with monkeypatch.context() as refusing:
        refusing.setattr("fsspec.implementations.local.LocalFileSystem.rm", crash)
        stages.STAGES["train"](run, features=features, model=tmp_path / "kept")
    assert "RuntimeError: the pod is lost. Delete them" in capsys.readouterr().out
    stages.STAGES["train"](run, features=features, model=tmp_path / "model")
    assert saved() == []


def crash(*arguments: object, **options: object) -> None:
    raise RuntimeError("the pod is lost")


@pytest.mark.parametrize("shared", [False, True], ids=["on a laptop", "in another pod"])
def test_sigterm_ends_the_stage_with_75_and_the_next_one_goes_on(features, tmp_path, home, shared):
    """A pod that takes over has nothing of the first one's disk."""
    told = changed(epochs=60, patience=60)
    settings = {"family": "image", "config": told}
    code = (
        "import json, sys; from modelyard.pipeline.step import run_step; from types import SimpleNamespace as N\n"
        f"run_step('train', json.loads({json.dumps(json.dumps(settings))}), "
        f"inputs={{'features': N(path={str(features)!r}, metadata={{}})}}, "
        f"outputs={{'model': N(path={str(tmp_path / 'model')!r}, metadata={{}})}})"
    )
    events = tmp_path / "events.jsonl"
    environment = os.environ | {"MODELYARD_EVENTS": str(events), "OMP_NUM_THREADS": "1"}
    place = home / "checkpoints"
    if shared:
        place = tmp_path / "store" / "r1"
        environment |= {
            "MODELYARD_CHECKPOINTS": place.parent.as_uri(),
            "MODELYARD_RUN_ID": "r1",
        }
    process = subprocess.Popen(
        [sys.executable, "-c", code], env=environment, stderr=subprocess.PIPE, text=True
    )
    until = time.monotonic() + 240
    while epochs_done(events) < 2:
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < until
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 75, said
    assert "training was stopped in epoch" in said
    assert "saved. To continue: modelyard resume" in said
    assert not (tmp_path / "model").exists()
    assert len(list(place.glob("image-*/0/step-*"))) == 1
    begun = json.loads(events.read_text().splitlines()[-2])["figures"]
    assert begun
    # The same stage, run again, begins where it was: its first word is of a later epoch.
    events.unlink()
    environment["MODELYARD_HOME"] = str(tmp_path / "another" if shared else home)
    again = subprocess.Popen(
        [sys.executable, "-c", code], env=environment, stderr=subprocess.PIPE, text=True
    )
    while not events.exists() or '"progress"' not in events.read_text():
        assert again.poll() is None, again.stderr.read()
        time.sleep(0.05)
    again.kill()
    again.communicate()
    first = next(
        json.loads(line) for line in events.read_text().splitlines() if '"progress"' in line
    )
    assert first["done"] >= 2
