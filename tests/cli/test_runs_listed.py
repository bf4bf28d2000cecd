"""The list of runs says why one failed."""

from __future__ import annotations

import errno
import fcntl
import io
import json
import threading
from pathlib import Path
from typing import IO, Any

import pytest
import typer
from rich.console import Console

from modelyard.cli import execute, show
from modelyard.pipeline.local import RunFolder, RunRecord
from modelyard.store.artifact import now


def test_a_failed_run_is_listed_with_its_last_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELYARD_HOME", str(tmp_path))
    shown = io.StringIO()
    monkeypatch.setattr(show, "console", Console(file=shown, width=200))
    record: dict[str, Any] = {
        "id": "20260101-000000-abcd",
        "family": "tabular",
        "kind": "training",
        "created": "2026-01-01T00:00:00+00:00",
        "config": {},
        "headlines": {"evaluate": "roc_auc 0.4100 (baseline 0.5000)"},
        "status": "failed",
    }
    folder = RunFolder.new(RunRecord.model_validate(record))
    said = [
        {"event": "failed", "stage": "train", "time": 1.0, "message": "an earlier try"},
        {"event": "failed", "stage": "package", "time": 2.0, "message": "gate not met"},
    ]
    folder.events.write_text("".join(json.dumps(one) + "\n" for one in said))
    show.runs_table(None)
    assert "package: gate not met" in shown.getvalue()
    assert "0.4100" not in shown.getvalue()
    page = tmp_path / "runs.html"
    show.runs_page(None, page)
    assert "package: gate not met" in page.read_text()


def test_who_lists_runs_keeps_nobody_from_executing_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELYARD_HOME", str(tmp_path))
    record = RunRecord(id="20260101-000000-abcd", family="tabular", config={}, created=now())
    folder = RunFolder.new(record)
    with folder.lock():
        assert folder.locked()
    assert not folder.locked()
    # One who looks holds the lock for a moment; here a long one.
    with (folder.path / "lock").open() as looked:
        fcntl.flock(looked, fcntl.LOCK_SH)
        assert not folder.locked(), "others who look are not who executes"
        threading.Timer(0.05, fcntl.flock, (looked, fcntl.LOCK_UN)).start()
        with folder.lock():
            assert folder.locked()


def test_runs_on_nfs_are_locked_and_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NFS makes record locks of them (flock(2)): an exclusive one needs a file that is open for
    writing, a shared one a file that is open for reading."""
    monkeypatch.setenv("MODELYARD_HOME", str(tmp_path))
    flock = fcntl.flock

    def of_nfs(stream: IO[str], how: int) -> None:
        may = stream.readable() if how & fcntl.LOCK_SH else stream.writable()
        if not may:
            raise OSError(errno.EBADF, "Bad file descriptor")
        flock(stream, how)

    monkeypatch.setattr(fcntl, "flock", of_nfs)
    record = RunRecord(id="20260101-000000-abcd", family="tabular", config={}, created=now())
    folder = RunFolder.new(record)
    assert not folder.locked()
    with folder.lock():
        assert folder.locked()


def test_a_bug_is_told_with_all_its_words_and_the_log_in_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """To rich `[batch, 3]` is a tag, and `[/tmp]` the end of one that never began."""
    monkeypatch.setenv("MODELYARD_HOME", str(tmp_path / "data [old]"))
    record = RunRecord(id="20260101-000000-abcd", family="tabular", config={}, created=now())
    folder = RunFolder.new(record)
    failed = {
        "event": "failed",
        "stage": "train",
        "time": 1.0,
        "kind": "ValueError",
        "message": "shape [batch, 3] in [/tmp]",
    }
    monkeypatch.setattr(
        execute.local, "execute", lambda _: iter([failed, {"event": "ended", "code": 1}])
    )
    with pytest.raises(typer.Exit):
        execute.follow(folder)
    said = capsys.readouterr().err
    assert "train stopped with ValueError: shape [batch, 3] in [/tmp]" in said
    assert "data [old]/tabular/20260101-000000-abcd/log.txt" in said
