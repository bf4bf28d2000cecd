"""`modelyard watch`: one look after another, one retraining for one drift, whatever is killed."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from modelyard import events
from modelyard.cli.watcher import seconds_of
from modelyard.errors import UsageError
from tests.pipeline.test_local_pipelines import (  # noqa: F401
    FAMILY,
    log_traffic,
    modelyard,
    stages,
    workplace,
)

pytestmark = pytest.mark.timed

NAME = "line-line"
WATCH = ["watch", NAME, "--family", FAMILY, "--set", "monitor.cooldown_hours=5"]
"""The champion of these tests is as old as their first lines."""


@pytest.fixture(scope="module")
def place(workplace):  # noqa: F811
    """A folder with a champion whose traffic has drifted."""
    modelyard(workplace, "run", "--family", FAMILY)
    return workplace


def trainings(folder: Path) -> list[Path]:
    """Runs that trained, the first one included."""
    runs = sorted((folder / "runs" / NAME).iterdir())
    return [run for run in runs if "train" in stages(run)]


def looks(folder: Path) -> list[dict]:
    files = sorted((folder / "runs" / "monitoring" / NAME).glob("2*/verdict.json"))
    return [json.loads(file.read_text()) for file in files]


def begun(folder: Path, *words: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "modelyard", *words],
        cwd=folder,
        env={**os.environ, "MODELYARD_HOME": str(folder / "runs")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait_for(condition, seconds: float = 300.0):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.05)
    return found


def test_a_look_at_usual_traffic_is_kept_and_its_run_put_away(place):
    log_traffic(place, shift=0.0)
    before = trainings(place)
    said = modelyard(place, *WATCH, "--once")
    assert "stable over 300 rows" in said
    assert [one["status"] for one in looks(place)] == ["stable"]
    assert sorted((place / "runs" / NAME).iterdir()) == before
    (report,) = re.findall(r"^report\s+(\S+)$", said, re.MULTILINE)
    assert Path(report).is_file()


def test_a_persons_own_monitoring_run_is_left_where_it_is(place):
    modelyard(place, "run", FAMILY, "--monitoring", "--set", f"registry.name={NAME}")
    own = max((place / "runs" / NAME).iterdir())
    modelyard(place, *WATCH, "--once")
    assert (own / "run.json").is_file()


def test_two_do_not_watch_the_same_model(place):
    one = begun(place, *WATCH, "--every", "1h")
    try:
        wait_for((place / "runs" / "monitoring" / NAME / "lock").exists)
        wait_for(lambda: len(looks(place)) == 3)
        other = begun(place, *WATCH, "--once")
        said = other.communicate(timeout=300)[0]
        assert other.returncode == 2
        assert f"{NAME} is watched by another process already" in said
    finally:
        one.terminate()
        said = one.communicate(timeout=60)[0]
    assert "next look at" in said


@pytest.mark.parametrize(
    "at",
    [*(pytest.param(stage, marks=pytest.mark.slow) for stage in ("monitor", "train")), "deploy"],
)
def test_a_watcher_that_is_killed_trains_once_for_one_drift(place, at):
    """Killed when a step has begun; the next watcher finishes what that one had begun."""
    shutil.rmtree(place / "runs" / "predictions", ignore_errors=True)
    before = trainings(place)
    log_traffic(place, shift=2.0, package=before[0] / "package")
    known = set((place / "runs" / NAME).iterdir())
    settings = ["--set", "monitor.cooldown_hours=0"]
    watcher = begun(place, *WATCH, *settings, "--once")

    def reached() -> bool:
        new = set((place / "runs" / NAME).iterdir()) - known
        return any(
            event.get("stage") == at and event["event"] == "started"
            for run in new
            for _, event in events.read(run / "events.jsonl")
        )

    wait_for(reached)
    watcher.kill()
    watcher.wait()
    wait_for(lambda: not working(place))
    said = modelyard(place, *WATCH, "--once")
    assert "was interrupted; it is continued" in said
    assert len(trainings(place)) == len(before) + 1
    # With the cooldown of the settings above none is due: the package is new, or one was asked for.
    assert [one["retrain"] for one in looks(place)[-2:]].count(True) <= 1


def working(folder: Path) -> bool:
    """Whether a process of a run is left."""
    import psutil

    return any(
        "modelyard.pipeline.process" in (one.info["cmdline"] or [])
        and str(folder) in " ".join(one.info["cmdline"])
        for one in psutil.process_iter(["cmdline"])
    )


def test_drift_shows_looks_retrainings_and_champions(place):
    said = modelyard(place, "drift", NAME, "--page", "drift.html")
    assert said.count("drifted") >= 1
    assert "x (0." in said
    assert re.search(r"^x\s+.*[▁▂▃▄▅▆▇█]", said, re.MULTILINE)
    assert "- → 1" in said
    page = (place / "drift.html").read_text()
    assert "Content-Security-Policy" in page
    assert "requested" in page
    assert "effect in the columns that ever drifted" in page


@pytest.mark.parametrize(
    ("text", "seconds"), [("30s", 30), ("1.5m", 90), ("2h", 7200), ("1d", 86400)]
)
def test_times_are_read_with_their_unit(text, seconds):
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["10", "5s", "h", "1w", "-1h", "1h30m", ""])
def test_what_is_no_time_is_refused_in_a_line(text):
    with pytest.raises(UsageError, match="--every"):
        seconds_of(text)
