"""A run that is told to stop, by SIGTERM or Ctrl-C, saves its training; `resume` goes on in the
middle of it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.timed

SETTINGS = (
    "features.sample_images=150",
    "model.width=4",
    "training.epochs=30",
    "training.patience=30",
    "training.schedule=cosine",
    "gate.metric=log_loss",
)


def progress(home) -> list[dict]:
    files = list(home.glob("image/*/events.jsonl"))
    events = [
        json.loads(line)
        for file in files
        for line in file.read_text().splitlines(keepends=True)
        if line[-1] == "\n"
    ]
    return [event for event in events if event["event"] == "progress" and event["stage"] == "train"]


def test_a_run_told_to_stop_saves_its_training_and_resume_goes_on_within_it(tmp_path):
    home = tmp_path / "home"
    environment = os.environ | {"MODELYARD_HOME": str(home), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "modelyard", "run", "image"]
    for setting in SETTINGS:
        command += ["--set", setting]
    run = subprocess.Popen(
        command,
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    until = time.monotonic() + 400
    while not progress(home) or progress(home)[-1]["done"] < 2:
        assert run.poll() is None, run.stdout.read()
        assert time.monotonic() < until
        time.sleep(0.05)
    run.send_signal(signal.SIGTERM)
    said, _ = run.communicate(timeout=120)
    assert run.returncode == 130, said
    assert "stopped. To continue: modelyard resume" in said
    assert len(list(home.glob("checkpoints/image-*/0/step-*/state.json"))) == 1
    listed = [sys.executable, "-m", "modelyard", "runs"]
    table = subprocess.check_output(listed, cwd=tmp_path, env=environment, text=True)
    row = next(line for line in table.splitlines() if "interrupted" in line)
    assert not re.search(r"\b0 s", row), row
    before = len(progress(home))
    done = subprocess.run(
        [sys.executable, "-m", "modelyard", "resume"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert progress(home)[before]["done"] >= 2, "it began anew"
    assert not list(home.glob("checkpoints/*"))
