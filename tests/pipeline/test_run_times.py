"""How long a run took is known whether it finished, was interrupted or still works."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from modelyard.pipeline.local import RunFolder, RunRecord

CREATED = "2026-01-31T12:00:00+00:00"
BEGAN = 1_769_860_800.0 + 60
"""A minute after it was created: this is the second execution."""


def _folder(home: Path, **changed: object) -> RunFolder:
    record = RunRecord(id="r1", family="tabular", config={}, created=CREATED, began=BEGAN)
    return RunFolder.new(record.model_copy(update=changed))


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELYARD_HOME", str(tmp_path))


def _tell(folder: RunFolder, at: float) -> None:
    folder.events.write_text('{"event": "started", "stage": "train"}\n')
    os.utime(folder.events, (at, at))


def test_an_interrupted_run_took_until_its_last_event(tmp_path: Path) -> None:
    folder = _folder(tmp_path)
    _tell(folder, BEGAN + 42.5)
    assert (folder.record.status, folder.record.seconds) == ("interrupted", 42.5)


def test_a_run_of_an_earlier_version_counts_from_when_it_was_created(tmp_path: Path) -> None:
    folder = _folder(tmp_path, began=None)
    _tell(folder, BEGAN + 5)
    assert folder.record.seconds == 65


def test_a_run_that_was_killed_before_its_first_event_took_no_time(tmp_path: Path) -> None:
    folder = _folder(tmp_path)
    assert folder.record.seconds == 0
    _tell(folder, BEGAN - 30)
    assert folder.record.seconds == 0


def test_a_run_at_work_has_taken_the_time_since_it_began(tmp_path: Path) -> None:
    folder = _folder(tmp_path, began=time.time() - 100)
    with folder.lock():
        assert folder.record.status == "running"
        assert 100 <= folder.record.seconds < 110


def test_a_finished_run_keeps_its_own_time(tmp_path: Path) -> None:
    folder = _folder(tmp_path, status="finished", seconds=7.0)
    _tell(folder, BEGAN + 500)
    assert folder.record.seconds == 7
