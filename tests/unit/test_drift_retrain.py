from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from modelyard.drift.retrain import Memory, decide
from modelyard.drift.verdict import Verdict, Window
from modelyard.settings.family import MonitorSettings

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
OLD = NOW - timedelta(days=30)


def look(status, memory=None, *, run="r1", made=OLD, now=NOW, **settings):
    verdict = Verdict(
        family="f",
        package="p",
        digest="d",
        rows_reference=100,
        rows_current=100,
        status=status,
        columns=[],
        window=Window(since="", until=""),
        reason="",
    )
    return decide(
        verdict,
        memory or Memory(),
        run=run,
        made=made,
        now=now,
        settings=MonitorSettings(**settings),
    )


def test_drift_asks_for_a_retraining():
    verdict, memory = look("drifted")
    assert verdict.retrain
    assert verdict.retrain_reason == "retraining is due: drifted 1 time in a row"
    assert (memory.requested, memory.requested_by) == (NOW, "r1")


@pytest.mark.parametrize("status", ["stable", "too few rows"])
def test_without_drift_there_is_none(status):
    verdict, memory = look(status, Memory(in_a_row=2))
    assert not verdict.retrain
    assert memory.requested is None


def test_a_retraining_waits_for_enough_drifted_verdicts_in_a_row():
    memory = None
    told = []
    for number, status in enumerate(
        ["drifted", "stable", "drifted", "too few rows", "drifted", "drifted"]
    ):
        verdict, memory = look(status, memory, run=f"r{number}", consecutive=3)
        told.append((verdict.in_a_row, verdict.retrain))
    assert told == [(1, False), (0, False), (1, False), (1, False), (2, False), (3, True)]


def test_a_young_package_is_not_trained_again_at_once():
    verdict, memory = look("drifted", made=NOW - timedelta(hours=2), cooldown_hours=24)
    assert not verdict.retrain
    assert "the package was made 2.0 h ago" in verdict.retrain_reason
    assert "before 2026-03-02 10:00 UTC" in verdict.retrain_reason
    assert memory.requested is None
    assert look("drifted", made=NOW - timedelta(hours=2), cooldown_hours=0)[0].retrain


def test_a_retraining_is_asked_for_once_within_the_cooldown():
    _, memory = look("drifted")
    soon, memory = look("drifted", memory, run="r2", now=NOW + timedelta(hours=3))
    assert not soon.retrain
    assert "a retraining was asked for 3.0 h ago" in soon.retrain_reason
    late, memory = look("drifted", memory, run="r3", now=NOW + timedelta(hours=25))
    assert late.retrain
    assert memory.requested_by == "r3"


def test_a_step_that_runs_again_counts_once_and_asks_again():
    first, memory = look("drifted", Memory(in_a_row=1, run="r0"), run="r1", consecutive=2)
    again, after = look("drifted", memory, run="r1", now=NOW + timedelta(minutes=1), consecutive=2)
    assert first.retrain
    assert again.retrain
    assert (first.in_a_row, again.in_a_row) == (2, 2)
    assert after.requested == NOW


def test_looks_from_the_command_line_share_an_id_and_count_each():
    _, memory = look("drifted", run="local", consecutive=2)
    assert look("drifted", memory, run="local", consecutive=2)[0].retrain
