"""Stages on a tiny family: whole outputs, keys, reuse, events."""

import itertools
import json
import resource
from pathlib import Path

import pytest

from modelyard import events, home
from modelyard.errors import BadData, BrokenArtifact, MissingExtra
from modelyard.family import load
from modelyard.packages.package import read_info
from modelyard.stages import run
from modelyard.stages.run import Run, stage
from modelyard.store import artifact
from modelyard.store.artifact import In, Out, read_manifest
from tests.toy.build import build
from tests.toy.family import LineConfig

CALLS: list[str] = []


@stage(reads=("data", "seed"))
def first(run: Run, dataset: Out) -> str:
    """Writes a number."""
    CALLS.append("first")
    (dataset / "n.txt").write_text(str(run.config.seed))
    return f"seed {run.config.seed}"


@stage(reads=("features",))
def second(run: Run, dataset: In, features: Out) -> None:
    """Doubles it."""
    CALLS.append("second")
    (features / "n.txt").write_text((dataset / "n.txt").read_text() * 2)


@stage(reads=())
def broken(run: Run, dataset: In, model: Out, extra: In | None = None) -> None:
    """Fails halfway."""
    (model / "half.txt").write_text("x")
    raise BadData("no good", file="a.csv", row=3)


@pytest.fixture(autouse=True)
def _fresh(monkeypatch, tmp_path):
    CALLS.clear()
    monkeypatch.setenv(home.REUSE, str(tmp_path / "done"))
    monkeypatch.setenv(events.VARIABLE, str(tmp_path / "events.jsonl"))


def line(seed: int = 0, **fields) -> Run:
    return Run.of("tests.toy.family:Line", {"seed": seed}, **fields)


def told(tmp_path) -> list[dict]:
    return [event for _, event in events.read(tmp_path / "events.jsonl")]


def test_the_signature_says_what_a_stage_reads_and_writes():
    assert (second.name, second.inputs, second.outputs, second.optional) == (
        "second",
        ("dataset",),
        ("features",),
        set(),
    )
    assert broken.optional == {"extra"}


def test_a_stage_leaves_a_sealed_artifact_with_its_origin(tmp_path):
    first(line(seed=7), dataset=tmp_path / "d")
    second(line(seed=7), dataset=tmp_path / "d", features=tmp_path / "f")
    manifest = artifact.verify(tmp_path / "f")
    assert (manifest.kind, manifest.stage, manifest.family) == (
        "features",
        "second",
        "tests.toy.family:Line",
    )
    assert [made.kind for made in manifest.lineage.values()] == ["dataset"]


def test_a_failing_stage_leaves_nothing_and_tells_why(tmp_path):
    first(line(), dataset=tmp_path / "d")
    with pytest.raises(BadData):
        broken(line(), dataset=tmp_path / "d", model=tmp_path / "m")
    assert not (tmp_path / "m").exists()
    assert not list(tmp_path.glob(".*.tmp"))
    assert told(tmp_path)[-1]["event"] == "failed"
    assert told(tmp_path)[-1]["message"] == "a.csv, row 3: no good"


def test_an_unfinished_input_is_refused(tmp_path):
    (tmp_path / "d").mkdir()
    with pytest.raises(BrokenArtifact, match="not a finished artifact"):
        second(line(), dataset=tmp_path / "d", features=tmp_path / "f")


def test_the_same_key_is_answered_from_what_is_done(tmp_path):
    for folder in ("a", "b"):
        first(line(), dataset=tmp_path / folder / "d")
        second(line(), dataset=tmp_path / folder / "d", features=tmp_path / folder / "f")
    assert CALLS == ["first", "second"]
    assert artifact.verify(tmp_path / "b" / "f") == artifact.verify(tmp_path / "a" / "f")
    assert [event["event"] for event in told(tmp_path)].count("reused") == 2


def test_without_a_place_to_look_nothing_is_reused(tmp_path, monkeypatch):
    monkeypatch.delenv(home.REUSE)
    first(line(), dataset=tmp_path / "a")
    first(line(), dataset=tmp_path / "b")
    assert CALLS == ["first", "first"]


def test_other_settings_other_data_or_other_code_are_never_answered_from_what_is_done(
    tmp_path, monkeypatch
):
    first(line(), dataset=tmp_path / "a")
    first(line(seed=1), dataset=tmp_path / "b")
    assert CALLS == ["first", "first"]
    second(line(), dataset=tmp_path / "a", features=tmp_path / "fa")
    second(line(), dataset=tmp_path / "b", features=tmp_path / "fb")
    assert CALLS[2:] == ["second", "second"]
    monkeypatch.setattr(run, "code_digest", lambda modules: "other")
    second(line(), dataset=tmp_path / "a", features=tmp_path / "fc")
    assert CALLS[4:] == ["second"]


def test_settings_that_a_stage_does_not_read_do_not_run_it_again(tmp_path):
    first(line(), dataset=tmp_path / "a")
    changed = Run.of("tests.toy.family:Line", {"gate": {"threshold": 0.5}})
    first(changed, dataset=tmp_path / "b")
    assert CALLS == ["first"]


def test_a_damaged_result_is_made_again(tmp_path):
    first(line(), dataset=tmp_path / "a")
    (tmp_path / "a" / "n.txt").write_text("tampered")
    first(line(), dataset=tmp_path / "b")
    assert CALLS == ["first", "first"]


def test_the_code_version_follows_the_source_of_a_family_from_outside(tmp_path, monkeypatch):
    versions = []
    for number, text in enumerate(("A = 1\n", "A = 2\n")):
        name = f"outside_{number}"
        source = Path("tests/toy/family.py").read_text() + text
        (tmp_path / f"{name}.py").write_text(source)
        monkeypatch.syspath_prepend(str(tmp_path))
        __import__(name)
        versions.append(run.code_version.__wrapped__(load(f"{name}:Line")))
    assert versions[0] != versions[1]


def test_a_missing_package_is_one_line_that_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(
        LineConfig, "requires", lambda self: {"json": "core", "no_such_package": "tabular"}
    )
    with pytest.raises(MissingExtra, match=r"pip install 'modelyard\[tabular\]'"):
        first(line(), dataset=tmp_path / "a")


def test_progress_is_told_a_few_times_a_second_and_always_at_the_end(tmp_path):
    progress = events.Throttle("train")
    for done in range(1, 1001):
        progress(done, 1000, loss=1 / done)
    lines = [event for event in told(tmp_path) if event["event"] == "progress"]
    assert 2 <= len(lines) < 50
    assert json.loads(json.dumps(lines[-1]))["figures"] == {"loss": 0.001}


def test_an_event_that_broke_off_hides_none_of_those_that_follow(tmp_path):
    events.emit("started", "first")
    with (tmp_path / "events.jsonl").open("a") as stream:  # as on a full disk
        stream.write('{"event": "progr')
    events.emit("progress", "first", done=1, total=2)
    events.emit("finished", "first")
    assert [event["event"] for event in told(tmp_path)] == ["started", "progress", "finished"]


def test_an_event_that_does_not_fit_on_the_disk_is_no_silent_loss(tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            events.emit("finished", "first", headline="of more than 20 bytes")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_two_tables_are_two_models_in_any_script():
    names = {
        home.registered_name("tabular", f"data/{name}.csv", None)
        for name in ("клиенты_2026", "заказы_2026", "客户", "注文")
    }
    assert len(names) == 4
    assert all(name.isascii() and name.startswith("tabular-") for name in names)
    for uri, name in [
        ("/x/Customers 2026.csv", "tabular-customers-2026"),
        ("s3://b/t/2026/", "tabular-2026"),
        ("git+https://h/r.git#data/tabular.csv", "tabular"),
        ("", "tabular"),
        ("___.csv", "tabular"),
    ]:
        assert home.registered_name("tabular", uri, None) == name


def test_a_log_shows_whole_epochs_with_what_the_validation_split_says(monkeypatch, caplog):
    monkeypatch.delenv(events.VARIABLE, raising=False)
    seconds = itertools.count(0, 3)
    monkeypatch.setattr(events.time, "monotonic", lambda: float(next(seconds)))
    caplog.set_level("INFO", "modelyard")
    progress = events.Throttle("train")
    for tenth in range(10, 400, 3):
        done = tenth / 10
        if tenth % 10 == 0:
            progress(done, 40, loss=0.5, validation_loss=1 / done)
        else:
            progress(done, 40, loss=0.5)
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) < 45, "a line every ten seconds"
    shown = [line.split()[1] for line in lines if "validation_loss=" in line]
    assert shown == ["1", "4", "7", "10", "13", "16", "19", "22", "25", "28", "31", "34", "37"]


def test_a_package_of_another_run_has_another_version_though_its_weights_are_the_same(
    tmp_path, monkeypatch
):
    monkeypatch.delenv(home.REUSE)
    first, second = (build(tmp_path / name, name, {}).folder for name in ("r1", "r2"))
    assert read_manifest(first / "model").digest == read_manifest(second / "model").digest
    versions = {read_info(folder / "package").version for folder in (first, second)}
    assert len(versions) == 2
