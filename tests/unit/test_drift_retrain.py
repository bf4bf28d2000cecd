from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from modelyard.drift.retrain import Memory, decide
from modelyard.drift.verdict import Verdict, Window
from modelyard.settings.monitor import MonitorSettings

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
OLD = NOW - timedelta(days=30)


def look(
    status,
    memory=None,
    *,
    run="r1",
    made=OLD,
    now=NOW,
    ended=lambda run: True,
    others=lambda when: 0,
    **settings,
):
    verdict = Verdict(
        family="f",
        package="p",
        digest="d",
        rows_reference=100,
        rows_current=100,
        status=status,
        columns=[],
        window=Window(since=(now - DAY).isoformat(), until=now.isoformat()),
        reason="",
    )
    return decide(
        verdict,
        memory or Memory(),
        run=run,
        made=made,
        now=now,
        settings=MonitorSettings(**settings),
        ended=ended,
        requested_since=others,
    )


def test_drift_asks_for_a_retraining():
    verdict, memory = look("drifted")
    assert verdict.retrain
    assert verdict.retrain_reason == "retraining is due: drifted in 1 window in a row"
    assert (memory.requested, memory.requested_by) == (NOW, "r1")


@pytest.mark.parametrize("status", ["stable", "too few rows", "no rows"])
def test_without_drift_there_is_none(status):
    verdict, memory = look(status, Memory(in_a_row=2))
    assert not verdict.retrain
    assert memory.requested is None


def test_a_retraining_waits_for_enough_drifted_windows_in_a_row():
    memory = None
    told = []
    for number, status in enumerate(
        ["drifted", "stable", "drifted", "too few rows", "drifted", "no rows", "drifted"]
    ):
        now = NOW + number * DAY
        verdict, memory = look(status, memory, run=f"r{number}", now=now, consecutive=3)
        told.append((verdict.in_a_row, verdict.retrain))
    assert told == [
        (1, False),
        (0, False),
        (1, False),
        (1, False),
        (2, False),
        (2, False),
        (3, True),
    ]


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
    assert "a retraining was requested 3.0 h ago" in soon.retrain_reason
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


def test_looks_from_the_command_line_share_an_id_and_count_each_window():
    _, memory = look("drifted", run="local", consecutive=2)
    later = look("drifted", memory, run="local", now=NOW + DAY, consecutive=2)[0]
    assert later.retrain


def test_looks_at_one_window_count_once():
    memory = None
    counts = []
    for minutes in (0, 5, 10, 60, 600):
        now = NOW + timedelta(minutes=minutes)
        verdict, memory = look("drifted", memory, run=f"r{minutes}", now=now, consecutive=2)
        counts.append(verdict.in_a_row)
        assert not verdict.retrain
    assert counts == [1, 1, 1, 1, 1]
    assert verdict.retrain_reason == "no retraining yet: drifted in 1 of 2 windows in a row"
    assert look("drifted", memory, run="next day", now=NOW + DAY, consecutive=2)[0].retrain


def test_a_schedule_that_is_a_little_early_counts_each_window():
    _, memory = look("drifted", consecutive=2)
    early = look("drifted", memory, run="r2", now=NOW + 0.95 * DAY, consecutive=2)[0]
    assert early.in_a_row == 2


def test_a_stable_look_at_the_same_window_ends_the_row():
    _, memory = look("drifted", consecutive=2)
    _, memory = look("stable", memory, run="r2", now=NOW + timedelta(hours=1), consecutive=2)
    again, _ = look("drifted", memory, run="r3", now=NOW + timedelta(hours=2), consecutive=2)
    assert again.in_a_row == 1


def hours(number: float) -> datetime:
    return NOW + timedelta(hours=number)


def test_a_retraining_that_was_lost_keeps_the_next_one_waiting_for_six_hours_only():
    asked = []

    def lost(run: str) -> bool:
        asked.append(run)
        return False

    _, memory = look("drifted", run="r1", cooldown_hours=48)
    early, _ = look("drifted", memory, run="r2", now=hours(25), cooldown_hours=48)
    assert not early.retrain, "one that ended counts for the whole cooldown"
    soon, _ = look("drifted", memory, run="r2", now=hours(5), ended=lost, cooldown_hours=48)
    assert not soon.retrain
    assert asked == []
    late, after = look("drifted", memory, run="r2", now=hours(25), ended=lost, cooldown_hours=48)
    assert late.retrain
    assert asked == ["r1"]
    assert (after.requested_by, after.lost) == ("r2", 1)


def test_after_two_lost_retrainings_in_a_row_the_cooldown_holds():
    memory, retrained = None, []
    for number in range(6):
        now = hours(25 * number)
        verdict, memory = look(
            "drifted",
            memory,
            run=f"r{number}",
            now=now,
            ended=lambda run: False,
            cooldown_hours=200,
        )
        retrained.append(verdict.retrain)
    assert retrained == [True, True, True, False, False, False]


def test_a_lost_retraining_is_forgotten_once_one_has_ended():
    _, memory = look("drifted", Memory(requested=hours(-30), requested_by="r0", lost=2), run="r1")
    assert memory.lost == 0


def test_only_so_many_retrainings_are_requested_within_seven_days():
    memory, said = None, []
    for day in range(10):
        verdict, memory = look(
            "drifted", memory, run=f"r{day}", now=NOW + day * DAY, most_a_week=2, cooldown_hours=0
        )
        said.append(verdict.retrain)
    # the eighth day is seven days after the first request
    assert said == [True, True, False, False, False, False, False, True, True, False]
    assert "2 were requested within seven days (monitor.most_a_week = 2)" in verdict.retrain_reason


def test_retrainings_of_earlier_versions_count_for_the_week_too():
    asked = []

    def others(when):
        asked.append(when)
        return 1

    verdict, _ = look("drifted", others=others, most_a_week=1)
    assert not verdict.retrain
    assert asked == [NOW - 7 * DAY]
    assert look("drifted", others=others, most_a_week=2)[0].retrain


def test_a_step_that_runs_again_repeats_its_request_within_a_full_week_and_quiet_times():
    first, memory = look("drifted", most_a_week=1)
    assert first.retrain
    again, _ = look("drifted", memory, most_a_week=1, quiet="11:00-13:00")
    assert again.retrain


@pytest.mark.parametrize(
    ("quiet", "hour", "silent"),
    [
        ("08:00-18:00", 12, True),
        ("12:00-13:00", 12, True),
        ("08:00-12:00", 12, False),
        ("22:00-06:00", 23, True),
        ("22:00-06:00", 5, True),
        ("22:00-06:00", 6, False),
        ("22:00-06:00", 12, False),
    ],
)
def test_at_quiet_times_no_retraining_is_requested_and_the_first_look_after_them_does(
    quiet, hour, silent
):
    now = NOW.replace(hour=hour)
    verdict, memory = look("drifted", quiet=quiet, now=now)
    assert verdict.retrain is not silent
    if silent:
        assert f"is within monitor.quiet = {quiet}" in verdict.retrain_reason
        after = now.replace(hour=int(quiet[6:8]), minute=int(quiet[9:])) + DAY
        assert look("drifted", memory, run="r2", quiet=quiet, now=after)[0].retrain


@pytest.mark.parametrize("quiet", ["8-18", "24:00-06:00", "08:60-09:00", "night"])
def test_what_is_no_time_of_day_is_refused(quiet):
    with pytest.raises(ValueError, match="quiet"):
        MonitorSettings(quiet=quiet)
