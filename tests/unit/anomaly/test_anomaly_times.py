"""Irregular times are resampled by a stated rule, and clocks on the wall are read in their zone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from modelyard.errors import UsageError
from modelyard.families.anomaly.parts import PARTS, Part
from modelyard.families.anomaly.resample import resample, round_step
from modelyard.families.anomaly.rows import read_bodies
from modelyard.families.anomaly.schema import Schema
from modelyard.kit.clock import in_zone
from tests.unit.anomaly.test_anomaly_data import ROWS, built, make, refused, table, write

BERLIN = "Europe/Berlin"
AUTUMN = datetime(2024, 10, 26, 20, tzinfo=UTC)
SPRING = datetime(2024, 3, 30, 20, tzinfo=UTC)
WINDOW = 8


def moments(start: datetime, minutes: float = 5, rows: int = ROWS) -> list[datetime]:
    return [start + timedelta(minutes=minutes * number) for number in range(rows)]


def shown(times: list[datetime], zone: str = BERLIN) -> list[str]:
    """What a clock on the wall of the zone shows."""
    return [time.astimezone(ZoneInfo(zone)).replace(tzinfo=None).isoformat() for time in times]


def seconds(times: list[datetime]) -> np.ndarray:
    return np.array([time.timestamp() for time in times])


def as_if_utc(texts: list[str]) -> np.ndarray:
    return np.array(
        [datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() for text in texts]
    )


def times_of(out: Path) -> list[float]:
    return [time for name in PARTS for time in Part.load(out, name).time.tolist()]


@pytest.mark.parametrize(
    ("zone", "start", "minutes"),
    [
        (BERLIN, AUTUMN, 5),
        (BERLIN, SPRING, 5),
        (BERLIN, AUTUMN, 60),
        (BERLIN, AUTUMN, 7),
        ("America/New_York", datetime(2024, 11, 2, tzinfo=UTC), 15),
        ("Australia/Lord_Howe", datetime(2024, 4, 6, tzinfo=UTC), 10),
        ("Asia/Kolkata", AUTUMN, 30),
        (BERLIN, datetime(2019, 1, 1, tzinfo=UTC), 60),
    ],
)
def test_a_clock_on_the_wall_is_read_as_what_it_meant(
    zone: str, start: datetime, minutes: float
) -> None:
    meant = moments(start, minutes, 20_000 if start.year == 2019 else ROWS)
    found = in_zone(as_if_utc(shown(meant, zone)), ZoneInfo(zone))
    assert np.array_equal(found.utc, seconds(meant))
    assert found.skipped == []
    if start.year == 2019:
        assert (found.back, found.forth, found.twice) == (2, 3, 4)


@pytest.mark.parametrize(
    ("start", "said"),
    [
        (
            AUTUMN,
            "24 lie in an hour that its clock shows twice, and belong to its first pass until",
        ),
        (SPRING, "it goes forth 1 times, which leaves no gap"),
    ],
)
def test_changes_of_the_clock_leave_no_gap_and_are_counted(
    tmp_path: Path, start: datetime, said: str
) -> None:
    meant = moments(start)
    columns = table() | {"time": shown(meant)}
    summary, out = built(tmp_path, write(tmp_path / "raw", "pump.csv", columns), zone=BERLIN)
    assert set(times_of(out)) <= set(seconds(meant).tolist())
    assert "windows: across a gap" not in summary["dropped"]
    assert Schema.load(out / "assets").step == 300
    (note,) = (note for note in summary["notes"] if "have no offset and were read in" in note)
    assert "300 of 300 times" in note
    assert said in note


def test_each_machine_s_clock_changes_by_itself(tmp_path: Path) -> None:
    meant = moments(AUTUMN)
    columns: dict[str, list[Any]] = {"machine": ["A", "B"] * ROWS}
    for name, cells in (table() | {"time": shown(meant)}).items():
        columns[name] = [cell for cell in cells for _ in "AB"]
    _, out = built(tmp_path, write(tmp_path / "raw", "all.csv", columns), zone=BERLIN)
    for machine in (0, 1):
        part = Part.load(out, "train")
        times = part.time[part.series == machine]
        assert np.array_equal(times, seconds(meant)[: len(times)])
        assert len(set(part.segment[part.series == machine].tolist())) == 1


def test_offsets_win_and_the_zone_is_for_times_without(tmp_path: Path) -> None:
    meant = moments(AUTUMN)
    mixed = shown(meant)
    for place in range(0, ROWS, 3):
        mixed[place] = meant[place].astimezone(ZoneInfo("Asia/Tokyo")).isoformat()
    columns = table() | {"time": mixed}
    summary, out = built(tmp_path, write(tmp_path / "raw", "pump.csv", columns), zone=BERLIN)
    train = Part.load(out, "train").time
    assert np.array_equal(train, seconds(meant)[: len(train)])
    assert any("200 of 300 times have no offset" in note for note in summary["notes"])
    assert not any("taken for UTC" in note for note in summary["notes"])


def test_a_time_that_the_clock_skips_is_refused_with_its_row(tmp_path: Path) -> None:
    columns = table() | {
        "time": [time.replace(tzinfo=None).isoformat() for time in moments(SPRING)]
    }
    message = refused(tmp_path, write(tmp_path / "raw", "pump.csv", columns), zone=BERLIN)
    row = columns["time"].index("2024-03-31T02:00:00") + 1
    assert f"pump.csv, row {row}, column 'time': '2024-03-31T02:00:00' does not exist" in message


def test_a_clock_that_goes_back_elsewhere_is_refused(tmp_path: Path) -> None:
    times = shown(moments(AUTUMN))
    times[200], times[201] = times[201], times[200]
    raw = write(tmp_path / "raw", "pump.csv", table() | {"time": times})
    message = refused(tmp_path, raw, zone=BERLIN)
    assert "row 202, column 'time': the time goes back" in message
    assert "features.zone" not in message
    message = refused(tmp_path, raw)
    assert "Where clocks went back, name their zone: --set features.zone=Europe/Berlin" in message


def test_a_zone_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unknown time zone 'Europe/Berlim'"):
        make(zone="Europe/Berlim")
    raw = write(tmp_path / "raw", "pump.csv", table() | {"time": list(range(0, 300 * ROWS, 300))})
    with pytest.raises(UsageError, match=r"'features.zone' = 'Europe/Berlin' is for dates"):
        built(tmp_path, raw, zone=BERLIN)


def test_moments_are_means_of_near_rows_and_lines_over_short_times() -> None:
    time = np.array([0.0, 10.0, 11.0, 12.0, 40.0, 90.0])
    x = np.array([[0.0], [3.0], [6.0], [9.0], [36.0], [1.0]])
    found = resample(time, x, 10.0, 3)
    assert found.time.tolist() == [0, 10, 20, 30, 40, 90]
    assert found.x.ravel().tolist() == [0, 6, 16, 26, 36, 1]
    assert found.filled.tolist() == [False, False, True, True, False, False]
    assert found.breaks.tolist() == [False, False, False, False, False, True]
    assert found.first.tolist() == [0, 1, 1, 1, 4, 5]
    assert found.last.tolist() == [0, 3, 4, 4, 4, 5]


def test_a_regular_series_is_left_as_it_is() -> None:
    x = np.random.default_rng(0).normal(size=(50, 2))
    found = resample(np.arange(50) * 300.0 + 600, x, 300.0, 3)
    assert np.array_equal(found.x, x)
    assert found.time[0] == 600
    assert not found.filled.any()
    assert not found.breaks.any()


@pytest.mark.parametrize(
    ("usual", "step"),
    [(317.2, 300), (61, 60), (0.0102, 0.01), (86_300, 86_400), (420, 420), (7, 7)],
)
def test_a_step_that_is_found_is_a_round_number_where_one_is_near(
    usual: float, step: float
) -> None:
    assert round_step(usual) == pytest.approx(step)


def irregular(lost: int = 40) -> dict[str, list[Any]]:
    """Rows five minutes apart but for a few that are late or missing, a line in each column."""
    r = np.random.default_rng(5)
    keep = np.sort(np.r_[0, r.choice(np.arange(1, 399), 399 - lost, replace=False), 399])
    keep = keep[(keep < 150) | (keep > 162)]
    late = r.uniform(-100, 100, len(keep))
    times = [datetime(2026, 1, 1) + timedelta(seconds=300 * int(n)) for n in keep]
    return {
        "time": [
            (time + timedelta(seconds=by)).isoformat() for time, by in zip(times, late, strict=True)
        ],
        "heat": [float(n) for n in keep],
        "load": [float(n % 7 + 1000 * n) for n in keep],
    }


def test_an_irregular_series_is_refused_with_the_setting_that_reads_it(tmp_path: Path) -> None:
    message = refused(tmp_path, write(tmp_path / "raw", "pump.csv", irregular()))
    assert "Resample the series (--set features.step=found)" in message


@pytest.mark.parametrize("step", ["found", 300.0])
def test_an_irregular_series_is_resampled_and_windows_keep_out_of_its_gaps(
    tmp_path: Path, step: Any
) -> None:
    raw = write(tmp_path / "raw", "pump.csv", irregular())
    summary, out = built(tmp_path, raw, step=step, drop=("load",))
    schema = Schema.load(out / "assets")
    assert schema.step == 300
    assert "resampled to a step of " in summary["headline"]
    assert " filled in)" in summary["headline"]
    assert summary["dropped"]["windows: across a gap"] > 0
    rule = "Rows were resampled: each moment of the grid is the mean of the rows within half a step"
    assert any(note.startswith(rule) for note in summary["notes"])
    seen = 0
    for name in PARTS:
        part = Part.load(out, name)
        ends = part.ends(WINDOW)
        times = part.time[ends[:, None] + np.arange(1 - WINDOW, 1)]
        assert np.allclose(np.diff(times, axis=1), schema.step)
        seen += len(ends)
        # The column is the number of its step: a line through all rows finds it again.
        grid = (part.time - datetime(2026, 1, 1, tzinfo=UTC).timestamp()) / 300
        assert np.array_equal(part.x[:, 0] + schema.offsets[0], grid)
    assert seen > 200


def test_faster_rows_are_averaged_and_labels_stay(tmp_path: Path) -> None:
    columns = table(3 * ROWS, minutes=1)
    labels = [0] * (3 * ROWS)
    labels[300] = 1
    raw = write(tmp_path / "raw", "pump.csv", columns | {"label": labels})
    summary, out = built(tmp_path, raw, step=180, window=4)
    assert "(0 of 301 filled in)" in summary["headline"]
    part = Part.load(out, "train")
    start = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
    place = int(np.flatnonzero(part.time == start + 10 * 180)[0])
    heat = np.mean(columns["heat"][29:32])
    assert part.x[place, 0] == pytest.approx(heat, rel=1e-6)
    every = [Part.load(out, name) for name in PARTS]
    labelled = [time for one in every for time in one.time[one.label == 1].tolist()]
    assert labelled == [start + 100 * 180]


def test_numbers_of_time_are_resampled_in_their_own_unit(tmp_path: Path) -> None:
    columns = table() | {"time": [float(n) + 0.2 * (n % 2) for n in range(ROWS)]}
    _, out = built(tmp_path, write(tmp_path / "raw", "pump.csv", columns), step=2)
    assert set(np.diff(Part.load(out, "train").time).tolist()) == {2.0}


def test_a_step_without_a_time_column_is_refused(tmp_path: Path) -> None:
    columns = table()
    del columns["time"]
    message = refused(tmp_path, write(tmp_path / "raw", "pump.csv", columns), step="found")
    assert "column 'time': the column is missing, by which features.step resamples" in message


@pytest.mark.parametrize("window", [1, WINDOW])
def test_a_file_to_answer_is_resampled_as_training_was(tmp_path: Path, window: int) -> None:
    raw = write(tmp_path / "raw", "pump.csv", irregular())
    _, out = built(tmp_path, raw, step=300.0, window=window, zone=BERLIN)
    schema = Schema.load(out / "assets")
    bodies = read_bodies(raw / "pump.csv", schema, window)
    field = "values" if window == 1 else "window"
    by_time = {body["time"]: body[field] for body in bodies if field in body}
    compared = 0
    for name in PARTS:
        part = Part.load(out, name)
        ends = part.ends(window)
        for end, rows in zip(ends.tolist(), part.windows(ends, window), strict=True):
            when = datetime.fromtimestamp(part.time[end], UTC).isoformat()
            found = by_time[when] if window > 1 else [by_time[when]]
            seen = np.array([list(row.values()) for row in found]) - schema.offsets
            assert np.allclose(seen, rows, rtol=1e-6)
            compared += 1
    assert compared > 200


def test_a_file_to_answer_without_its_times_cannot_be_resampled(tmp_path: Path) -> None:
    columns = irregular()
    _, out = built(tmp_path, write(tmp_path / "raw", "pump.csv", columns), step=300.0)
    del columns["time"]
    write(tmp_path / "new", "new.csv", columns)
    with pytest.raises(Exception, match="column 'time': the column is missing, by which rows are"):
        read_bodies(tmp_path / "new/new.csv", Schema.load(out / "assets"), WINDOW)


def test_windows_of_a_file_to_answer_keep_out_of_its_gaps(tmp_path: Path) -> None:
    columns = table()
    _, out = built(tmp_path, write(tmp_path / "raw", "pump.csv", columns))
    schema = Schema.load(out / "assets")
    for cells in columns.values():
        del cells[100:103]
    write(tmp_path / "new", "new.csv", columns)
    bodies = read_bodies(tmp_path / "new/new.csv", schema, WINDOW)
    without = [place for place, body in enumerate(bodies) if "window" not in body]
    assert without == [*range(WINDOW - 1), *range(100, 100 + WINDOW - 1)]
