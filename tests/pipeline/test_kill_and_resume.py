"""A run killed in any stage leaves nothing half-written, and is finished by `modelyard resume`."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from modelyard import events
from modelyard.stages import TRAINING
from modelyard.store import artifact

pytestmark = pytest.mark.timed

ROOT = Path(__file__).parents[2]
NAMES = [stage.name for stage in TRAINING]


class Workplace:
    """A folder with a family of its own, and the command line in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        source = (ROOT / "tests/pipeline/stalling.py").read_text()
        (folder / "runs").mkdir()
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        (folder / "stalling.py").write_text(source.replace("tests.toy.family", "line"))
        shutil.copy(ROOT / "tests/toy/family.py", folder / "line.py")

    def start(self, *arguments: str) -> subprocess.Popen:
        return subprocess.Popen(
            [sys.executable, "-m", "modelyard", *arguments],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={
                **os.environ,
                "MODELYARD_HOME": str(self.folder / "runs"),
                "TMPDIR": str(self.temporary),
            },
        )

    def finish(self, *arguments: str) -> list[str]:
        """Runs a command to its end; the stages that worked in it, the reused ones with a dash
        before."""
        seen = 0 if arguments[0] == "run" else len(self.events())
        process = self.start(*arguments)
        output, _ = process.communicate(timeout=120)
        assert process.returncode == 0, output
        marks = {"finished": "", "reused": "-"}
        return [marks[e["event"]] + e["stage"] for e in self.events()[seen:] if e["event"] in marks]

    @property
    def run(self) -> Path:
        return max((self.folder / "runs" / "stalling-stalling").iterdir())

    def events(self) -> list[dict]:
        found = list((self.folder / "runs").glob("*/*/events.jsonl"))
        return [event for _, event in events.read(max(found))] if found else []

    def kill_in(self, stage: str, *arguments: str) -> None:
        """Kills the command, with SIGKILL, once `stage` is halfway; waits until its steps are
        gone too."""
        (self.folder / "stall-in").write_text(stage)
        (self.folder / "stalled").unlink(missing_ok=True)
        with (self.folder / "runs" / ".mlflow.db.lock").open("w") as lock:
            # deploy calls no hook of a first model: it waits for the registry's database.
            fcntl.flock(lock, fcntl.LOCK_EX)
            process = self.start(*arguments)
            try:
                wait_for(lambda: self._halfway(stage) or process.poll() is not None)
                assert process.poll() is None, process.communicate()[0]
            finally:
                process.send_signal(signal.SIGKILL)
                process.communicate()
                (self.folder / "stall-in").unlink()
            wait_for(lambda: not self._working())

    def _halfway(self, stage: str) -> bool:
        told = self.events()
        started = bool(told) and told[-1]["event"] == "started" and told[-1]["stage"] == stage
        return started if stage == "deploy" else started and (self.folder / "stalled").exists()

    def _working(self) -> bool:
        found = subprocess.run(
            ["pgrep", "-f", str(self.run)], capture_output=True, text=True, check=False
        )
        return bool(found.stdout.split())


def wait_for(condition, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)


def visible_artifacts(run: Path) -> list[Path]:
    """Folders that a person would take for a result."""
    folders = [path for path in (run / "pipeline").glob("*/*/*") if path.is_dir()]
    return [path for path in folders if not path.name.startswith(".")]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    return Workplace(tmp_path_factory.mktemp("kill"))


@pytest.mark.parametrize(
    "killed",
    [("train", "deploy"), pytest.param(tuple(NAMES), marks=pytest.mark.slow)],
    ids=["some", "each"],
)
def test_killed_in_stages_in_turn_the_run_resumes_where_it_was(workplace, killed):
    finished = 0
    for name in killed:
        number = NAMES.index(name)
        command = ("run", "stalling:Stalling", "--fresh") if name == killed[0] else ("resume",)
        before = 0 if name == killed[0] else len(workplace.events())
        workplace.kill_in(name, *command)
        wait_for(lambda: not list(workplace.temporary.iterdir()))
        for path in visible_artifacts(workplace.run):
            artifact.verify(path)
        since = [e for e in workplace.events()[before:] if e["event"] in ("finished", "reused")]
        assert [e["stage"] for e in since] == NAMES[:number]
        new = {e["stage"] for e in since if e["event"] == "finished"}
        assert new <= set(NAMES[max(finished - 1, 0) : number])
        finished = number
    done = workplace.finish("resume")
    assert done == [f"-{name}" for name in NAMES[:-1]] + ["deploy"]
    assert artifact.verify(workplace.run / "package").kind == "package"
    assert not list(workplace.run.rglob(".*.tmp"))
    assert not list(workplace.temporary.iterdir())
    assert json.loads((workplace.run / "run.json").read_text())["status"] == "finished"


@pytest.fixture
def trained(workplace) -> Path:
    """A finished run whose model serves: an earlier test's, or one of its own."""
    if not list((workplace.folder / "runs").glob("*/*/package/package.json")):
        assert workplace.finish("run", "stalling:Stalling") == NAMES
    return workplace.run


def test_killed_while_it_monitors_the_run_resumes_and_gives_its_verdict(workplace, trained):
    workplace.kill_in("monitor", "run", "stalling:Stalling", "--monitoring")
    watching = workplace.run
    assert watching != trained
    assert list(watching.rglob(".*.tmp"))
    assert not visible_artifacts(watching)
    assert json.loads((watching / "run.json").read_text())["kind"] == "monitoring"

    assert workplace.finish("resume") == ["monitor"]
    assert workplace.run == watching
    assert not list(watching.rglob(".*.tmp"))
    assert [artifact.verify(path).kind for path in visible_artifacts(watching)] == ["verdict"]
    verdict = json.loads((watching / "verdict" / "verdict.json").read_text())
    assert (verdict["status"], verdict["retrain"]) == ("no rows", False)
    assert json.loads((watching / "run.json").read_text())["status"] == "finished"


def test_a_changed_setting_source_or_data_set_is_never_answered_from_what_was_done(workplace):
    data = workplace.folder / "points.csv"
    data.write_text("x,y\n" + "".join(f"{x},{3 * x + x % 7}\n" for x in range(100)))
    assert workplace.finish("run", "stalling:Stalling", "--data", "points.csv") == NAMES
    assert workplace.finish("resume") == [f"-{name}" for name in NAMES[:-1]] + ["deploy"]

    data.write_text(data.read_text() + "5,6\n")
    assert workplace.finish("resume") == NAMES

    source = workplace.folder / "stalling.py"
    source.write_text(source.read_text() + "\n# edited\n")
    assert workplace.finish("resume") == NAMES


def test_two_processes_cannot_execute_the_same_run(workplace):
    (workplace.folder / "stall-in").write_text("train")
    (workplace.folder / "stalled").unlink(missing_ok=True)
    first = workplace.start("run", "stalling:Stalling", "--fresh")
    try:
        wait_for(lambda: (workplace.folder / "stalled").exists())
        second = workplace.start("resume")
        output, _ = second.communicate(timeout=60)
        assert second.returncode == 2
        assert "is being executed by another process" in " ".join(output.split())
    finally:
        first.kill()
        first.communicate()
        (workplace.folder / "stall-in").unlink()
