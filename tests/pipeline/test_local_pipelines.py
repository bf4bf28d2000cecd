"""The compiled pipelines on this machine: a family from outside, and a model that trains itself
again on drift."""

import json
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from modelyard import events
from modelyard.packages.package import Package
from modelyard.packages.trust import Trust
from modelyard.pipeline.local import RunFolder
from modelyard.pipeline.unchanged import finished
from modelyard.stages import TRAINING
from modelyard.store.artifact import verify
from modelyard.store.tables import write_parquet

ROOT = Path(__file__).parents[2]
FAMILY = "line:Line"
TRUST = Trust().naming(FAMILY)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    folder = tmp_path_factory.mktemp("outside")
    shutil.copy(ROOT / "tests/toy/family.py", folder / "line.py")
    sys.path.insert(0, str(folder))
    yield folder
    sys.path.remove(str(folder))


def modelyard(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "modelyard", *arguments],
        cwd=folder,
        env={**os.environ, "MODELYARD_HOME": str(folder / "runs"), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def last_run(folder: Path) -> Path:
    return max((folder / "runs" / "line-line").iterdir())


def stages(run: Path) -> list[str]:
    return [
        event["stage"]
        for _, event in events.read(run / "events.jsonl")
        if event["event"] == "finished"
    ]


def test_a_family_from_outside_runs_end_to_end_without_an_edit(workplace):
    output = modelyard(workplace, "run", "--family", FAMILY)
    run = last_run(workplace)
    assert stages(run) == [stage.name for stage in TRAINING]
    assert "line-line version 1 is champion" in output
    assert verify(run / "package").lineage
    (answer,) = Package(run / "package", trust=TRUST).predict([{"x": 1.0}])
    assert abs(answer.y - 3) < 0.2
    assert (run / "card.html").read_text().startswith("<!doctype html>")


def test_a_folder_may_be_called_as_the_interpreter_is(workplace, tmp_path):
    """kfp.local puts the interpreter's path in place of python3, wherever it stands."""
    home = tmp_path / "lib" / "python3.11"
    home.mkdir(parents=True)
    shutil.copy(workplace / "line.py", home)
    modelyard(home, "run", "--family", FAMILY)
    assert stages(last_run(home)) == [stage.name for stage in TRAINING]


def test_an_unchanged_run_shows_the_finished_one(workplace, monkeypatch):
    before = last_run(workplace)
    output = modelyard(workplace, "run", FAMILY)
    assert last_run(workplace) == before
    assert "unchanged since that run" in output
    assert f"package  runs/line-line/{before.name}/package" in output

    monkeypatch.setenv("MODELYARD_HOME", str(workplace / "runs"))
    monkeypatch.chdir(workplace)
    record = RunFolder(before).record
    assert finished(record).path == before
    for changed in (
        {"nodes": 2},
        {"config": {**record.config, "seed": 1}},
        {"kind": "monitoring"},
    ):
        assert finished(record.model_copy(update=changed)) is None
    with monkeypatch.context() as patch:
        patch.setattr("modelyard.stages.closure.library_version", lambda library: "another")
        assert finished(record) is None
    damaged = before / "package" / "golden.json"
    content = damaged.read_text()
    damaged.write_text(content + " ")
    assert finished(record) is None
    damaged.write_text(content)
    assert finished(record).path == before


def log_traffic(folder: Path, shift: float, package: Path | None = None) -> None:
    """Writes a log as the service does: 300 answers of the last run's package or of another one,
    inputs moved by `shift`."""
    package = package or max((folder / "runs" / "line-line").glob("*/package"))
    package = Package(package, trust=TRUST)
    version, host = package.info.version, package.host
    bodies = [{"x": -3 + 6 * n / 300 + shift} for n in range(300)]
    requests = [host.Request.model_validate(body) for body in bodies]
    now = datetime.now(UTC)
    meta = {
        "_time": now.isoformat(timespec="milliseconds"),
        "_package": version,
        "_family": FAMILY,
        "_latency_ms": 1.0,
    }
    rows = [
        host.describe(request, answer) | {"_id": str(n)} | meta
        for n, (request, answer) in enumerate(
            zip(requests, host.predict(package.run, requests), strict=True)
        )
    ]
    target = folder / "runs/predictions/line-line" / f"date={now:%Y-%m-%d}" / f"hour={now:%H}"
    write_parquet(rows, target / f"{version}-{shift}.parquet")


def test_traffic_like_the_test_data_trains_nothing(workplace):
    log_traffic(workplace, shift=0.0)
    output = modelyard(
        workplace, "run", FAMILY, "--monitoring", "--set", "monitor.cooldown_hours=0"
    )
    assert stages(last_run(workplace)) == ["monitor"]
    assert "stable over 300 rows" in output


def test_drifted_traffic_trains_again_inside_the_monitoring_pipeline(workplace):
    shutil.rmtree(workplace / "runs/predictions")
    log_traffic(workplace, shift=2.0)
    output = modelyard(
        workplace, "run", FAMILY, "--monitoring", "--set", "monitor.cooldown_hours=0"
    )
    assert stages(last_run(workplace)) == ["monitor", *[stage.name for stage in TRAINING]]
    assert "drifted: " in output
    verdict = json.loads((last_run(workplace) / "verdict" / "verdict.json").read_text())
    assert verdict["retrain"]
    assert {column["name"] for column in verdict["columns"] if column["drifted"]} == {"x", "y"}
