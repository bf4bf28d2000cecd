"""Searches with real trials in real processes: better settings, pruning, kills, limits."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from modelyard.errors import ModelyardError, UsageError
from modelyard.family import load
from modelyard.settings.family import resolve
from modelyard.settings.search import nested, real
from modelyard.tuning.pool import Process
from modelyard.tuning.search import Plan, Search
from modelyard.tuning.trial import Job, run_trial
from tests.tuning.descent import DescentFamily

pytestmark = pytest.mark.timed

ROOT = Path(__file__).parents[2]
NAME = "tests.tuning.descent:Descent"


@pytest.fixture(autouse=True)
def _home(monkeypatch, tmp_path):
    monkeypatch.setenv("MODELYARD_HOME", str(tmp_path / "runs"))
    monkeypatch.chdir(ROOT)


def make(told=None, fixed: dict | None = None, **fields) -> Search:
    cls = load(NAME)
    fixed = {"features.points": 60, **(fixed or {})}
    config = resolve(cls.Config, ("config", nested(fixed)))
    plan = Plan(entry=cls, config=config, fixed=frozenset(fixed), **fields)
    heard = told if told is not None else []
    return Search(plan, lambda tried, best, count: heard.append(tried))


def test_a_search_beats_the_starting_settings_and_tells_each_trial():
    heard: list = []
    search = make(heard, trials=6, fixed={"model.kind": "line", "model.bias": True})
    search.execute()
    tried = search.study.tried()
    assert [one.number for one in heard] == [one.number for one in tried] == list(range(6))
    assert tried[0].settings == {}
    assert search.study.best().value < tried[0].value
    assert search.cost().cpu_seconds > 0
    assert not search._open


def test_the_same_search_again_runs_nothing_and_more_trials_go_on():
    make(trials=2).execute()
    heard: list = []
    make(heard, trials=2).execute()
    assert heard == []
    longer = make(heard, trials=3)
    longer.execute()
    assert [one.number for one in heard] == [2]


def test_other_data_settings_or_spaces_are_other_searches():
    folders = {
        make(fixed=fixed).folder
        for fixed in (
            {},
            {"seed": 1},
            {"model.kind": "line"},
            {"features.points": 90},
            {"training.epochs": 9},
            {"compress.sparsity": 0.5},
            {"continual.start": "champion"},
        )
    }
    assert len(folders) == 7


def test_features_are_made_once_for_each_of_their_settings():
    search = make(trials=4, fixed={"model.kind": "line", "training.learning_rate": 0.1})
    search.execute()
    made = [file.parent for file in (search.root / "features").glob("*/manifest.json")]
    assert len(made) == 1
    runs = {json.loads((folder / "manifest.json").read_text())["created"] for folder in made}
    assert len(runs) == 1


def test_the_same_settings_are_not_trained_twice():
    search = make(trials=5, fixed={"model.kind": "line", "training.learning_rate": 0.1})
    search.execute()
    trained = [one for one in search.study.tried() if one.same_as is None]
    copies = [one for one in search.study.tried() if one.same_as is not None]
    assert len(trained) <= 3
    assert all(search.study.tried()[one.same_as].value == one.value for one in copies)


def test_a_trial_that_fails_is_recorded_and_the_search_goes_on():
    search = make(trials=2, fixed={"model.kind": "line", "model.bias": True})
    assert search.study.larger_is_better is False
    proposal = search.study.ask()
    search._open[proposal.number] = (
        search._process(proposal.number, {"training.learning_rate": 1e5}),
        proposal,
    )
    while search._open:
        search._poll()
        time.sleep(0.05)
    failed = search.study.tried()[1]
    assert failed.state == "failed"
    assert "not finite" in failed.headline


def test_settings_that_do_not_go_together_are_a_failed_trial():
    search = make(trials=3, fixed={"model.kind": "line", "model.bias": True})
    search.space = {"model.pause": real(-2.0, -1.0)}
    search.execute()
    start, *refused = search.study.tried()
    assert start.state == "finished"
    assert [one.state for one in refused] == ["failed", "failed"]
    assert "'model.pause'" in refused[0].headline


def test_a_metric_that_is_no_number_is_a_trials_failure(monkeypatch):
    def evaluate(self, host, run, features, split):
        found = DescentFamily.__mro__[1].evaluate(self, host, run, features, split)
        return found.model_copy(update={"metrics": dict.fromkeys(found.metrics, math.nan)})

    monkeypatch.setattr(DescentFamily, "evaluate", evaluate)
    search = make()
    job = Job(
        family=NAME,
        config=search.values,
        dataset=search.dataset,
        features=search.root / "features",
    )
    with pytest.raises(ModelyardError, match="is nan on the validation split"):
        run_trial(job, lambda epoch, figures: None)


def test_a_second_training_inside_a_trial_adds_nothing_to_its_curve(tmp_path):
    process = Process.__new__(Process)
    process.folder = tmp_path
    told = [(1, 0.9), (2, 0.8), (1, 5.0), (2, 4.0), (3, 3.0)]
    rows = [json.dumps({"epoch": epoch, "validation_loss": loss}) for epoch, loss in told]
    (tmp_path / "epochs.jsonl").write_text("\n".join(rows) + '\n{"epoch": 4, "valid')
    assert process.curve() == {1: 0.9, 2: 0.8}


def test_starting_settings_that_cannot_be_trained_are_refused_with_the_cause():
    search = make(trials=2, fixed={"training.learning_rate": 1e5})
    with pytest.raises(ModelyardError, match=r"starting settings.*not finite"):
        search.execute()


def test_a_hopeless_trial_is_stopped_at_its_epoch():
    search = make(trials=9, fixed={"model.kind": "line", "model.bias": True, "model.pause": 0.0})
    study = search.study
    for _ in range(4):
        proposal = study.ask()
        curve = dict.fromkeys(range(1, 9), 1e-09)
        study.tell(proposal.number, proposal.settings, search.start, curve, 1.0)
    proposal = study.ask()
    slow = {"training.learning_rate": 0.001, "model.pause": 1.0}
    search._open[proposal.number] = (search._process(proposal.number, slow), proposal)
    while search._open:
        search._poll()
        time.sleep(0.05)
    pruned = study.tried()[-1]
    assert pruned.state == "pruned"
    assert pruned.headline == "stopped in epoch 2: worse than the median"
    assert list(pruned.curve) == [1, 2]


def test_losses_that_mean_something_else_prune_nothing():
    search = make(trials=9)
    study = search.study
    for _ in range(6):
        proposal = study.ask()
        settings = {**proposal.settings, "model.kind": "flat"}
        study.tell(proposal.number, settings, search.start, {1: 1e-9, 2: 1e-9, 3: 1e-9}, 1.0)
    line = study.ask()
    compared = [one for one in study.tried() if search._alike(one, line)]
    assert {one.settings.get("model.kind", "line") for one in compared} == {
        line.settings["model.kind"]
    }


def test_a_trial_over_its_time_is_stopped():
    search = make(trials=2, fixed={"model.kind": "line", "model.bias": True}, trial_minutes=2 / 60)
    proposal = search.study.ask()
    search._open[proposal.number] = (
        search._process(proposal.number, {"model.pause": 60.0}),
        proposal,
    )
    while search._open:
        search._poll()
        time.sleep(0.05)
    assert search.study.tried()[1].state == "pruned"


def test_a_search_over_its_time_keeps_what_is_done_and_asks_again_for_the_rest():
    first = make(trials=9, fixed={"model.kind": "line", "model.pause": 0.0})
    assert first.start.value
    first.study  # noqa: B018 - opened, with trial 0
    stopped = make(trials=9, fixed={"model.kind": "line", "model.pause": 0.0}, minutes=0.0)
    stopped.execute()
    assert len(stopped.study.tried()) == 1


def test_a_search_over_its_time_says_how_far_it_came_and_how_to_continue():
    done = subprocess.run(
        command("--trials", "9", "--timeout", "0.001"), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "the time is over (--timeout 0.001): 1 of 9 trials are done" in done.stdout
    assert "type the same again" in done.stdout


def test_a_second_process_on_the_same_study_is_refused():
    search = make(trials=1)
    search.execute()
    import fcntl

    with (search.folder / "lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        with pytest.raises(UsageError, match="another process"):
            make(trials=1).execute()


def command(*arguments: str) -> list[str]:
    fixed = ["model.pause=0.15", "features.points=60", "model.kind=line"]
    pairs = [part for pair in fixed for part in ("--set", pair)]
    return [sys.executable, "-m", "modelyard", "tune", NAME, *pairs, *arguments]


def wait_for(condition, seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)


def test_a_killed_study_goes_on_where_it_was(tmp_path):
    """SIGKILL in the middle of a trial, and the same command again."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    environment = {**os.environ, "COLUMNS": "200", "TMPDIR": str(temporary)}
    place = tmp_path / "runs" / "tuning"
    started = subprocess.Popen(
        command("--trials", "4"),
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_for(
        lambda: any(file.stat().st_size for file in place.glob("*/*/trials/0003/epochs.jsonl"))
    )
    (epochs,) = place.glob("*/*/trials/0003/epochs.jsonl")
    started.send_signal(signal.SIGKILL)
    started.wait()
    wait_for(lambda: len(set(_sizes(epochs))) == 1)  # its trial died with it
    wait_for(lambda: not list(temporary.iterdir()))
    done = subprocess.run(
        command("--trials", "4"), env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "continuing: 2 of 4 trials are done" in done.stdout
    assert done.stdout.count("/4  mae ") == 2, done.stdout
    (study,) = place.glob("*/*/study.db")
    rows = json.loads((study.parent / "trials.json").read_text())
    assert len(rows) == 4
    lost = json.loads((study.parent / "trials" / "0003" / "job.json").read_text())["config"][
        "training"
    ]
    again = next(row for row in rows if row["trial"] == 4)["settings"]
    assert again["training.learning_rate"] == lost["learning_rate"]
    block = yaml.safe_load((study.parent / "best.yaml").read_text())[NAME]
    assert block["model"]["pause"] == 0.15
    resolve(load(NAME).Config, ("params.yaml", block))
    assert f"modelyard run {NAME} --params" in done.stdout.replace("\n", "")
    page = (study.parent / "tune.html").read_text()
    assert "History" in page
    assert "training.learning_rate" in page


def _sizes(file: Path) -> list[int]:
    sizes = []
    for _ in range(5):
        sizes.append(file.stat().st_size)
        time.sleep(0.3)
    return sizes


def test_ctrl_c_leaves_a_usable_study_with_trials_side_by_side(tmp_path):
    place = tmp_path / "runs" / "tuning"
    started = subprocess.Popen(
        command("--trials", "8", "--jobs", "2"),
        env={**os.environ, "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(
            signal.SIGINT, signal.SIG_DFL
        ),  # what runs in the background ignores it
    )
    wait_for(
        lambda: (
            len([f for f in place.glob("*/*/trials/000[23]/epochs.jsonl") if f.stat().st_size]) == 2
        )
    )
    started.send_signal(signal.SIGINT)
    output, _ = started.communicate(timeout=60)
    assert started.returncode == 130
    assert "what was finished is kept" in output
    (best,) = place.glob("*/*/best.yaml")
    assert (best.parent / "tune.html").is_file()
