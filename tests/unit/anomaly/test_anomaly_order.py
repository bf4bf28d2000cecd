"""Files that begin with their latest row, and times that stand twice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from modelyard.families.anomaly.order import MOST_TWICE
from modelyard.families.anomaly.parts import PARTS, Part
from modelyard.families.anomaly.rows import read_bodies
from modelyard.families.anomaly.schema import Schema
from tests.unit.anomaly.test_anomaly_data import ROWS, built, refused, table, write


def test_a_file_that_begins_with_its_latest_row_is_read_from_its_end(tmp_path: Path) -> None:
    newest_first = {name: cells[::-1] for name, cells in table().items()}
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    summary, out = built(tmp_path / "a", write(tmp_path / "raw", "pump.csv", newest_first))
    _, sorted_out = built(tmp_path / "b", write(tmp_path / "sorted", "pump.csv", table()))
    for name in PARTS:
        assert np.array_equal(Part.load(out, name).x, Part.load(sorted_out, name).x)
        assert np.array_equal(Part.load(out, name).time, Part.load(sorted_out, name).time)
    note = "time: the file begins with its latest row, and was read from its end"
    assert note in summary["notes"]


def test_windows_of_such_a_file_to_answer_end_at_their_latest_row(tmp_path: Path) -> None:
    _, out = built(tmp_path, write(tmp_path / "raw", "pump.csv", table()))
    schema = Schema.load(out / "assets")
    columns = {name: cells[:20][::-1] for name, cells in table().items()}
    write(tmp_path / "new", "pump.csv", columns)
    bodies = read_bodies(tmp_path / "new", schema, 8)
    assert [row["heat"] for row in bodies[0]["window"]] == columns["heat"][7::-1]
    # The earliest seven rows have no whole window behind them.
    assert ["window" in body for body in bodies] == [True] * 13 + [False] * 7


def test_a_few_times_that_stand_twice_are_rows_that_no_window_crosses(tmp_path: Path) -> None:
    columns = table()
    columns["time"][6] = columns["time"][5]
    summary, out = built(tmp_path, write(tmp_path / "raw", "pump.csv", columns))
    rows = sum(summary["rows"].values())
    assert rows + summary["dropped"]["between the splits"] == ROWS
    train = Part.load(out, "train")
    assert train.segment[6] > train.segment[5]
    assert summary["dropped"]["windows: across a gap"] > 0
    (note,) = (note for note in summary["notes"] if "stands twice" in note)
    assert note.startswith("pump.csv: the time '2026-01-01T00:25:00' stands twice (1 such rows)")


def test_many_times_that_stand_twice_are_of_several_machines(tmp_path: Path) -> None:
    columns = table()
    for row in range(6, 6 + 2 * (int(MOST_TWICE * ROWS) + 1), 2):
        columns["time"][row] = columns["time"][row - 1]
    message = refused(tmp_path, write(tmp_path / "raw", "pump.csv", columns))
    assert "stands twice, with different measurements" in message
    assert "features.entity=NAME" in message


@pytest.mark.parametrize("form", ["shuffled", "months of several rows"])
def test_a_year_and_a_month_by_which_rows_do_not_follow_are_measurements(
    tmp_path: Path, form: str
) -> None:
    number = np.arange(ROWS)
    months = number // 5
    if form == "shuffled":
        months = np.random.default_rng(0).permutation(number)
    columns = table() | {
        "month": (months % 12 + 1).tolist(),
        "year": (1990 + months // 12).tolist(),
    }
    del columns["time"]
    summary, out = built(tmp_path, write(tmp_path / "raw", "pump.csv", columns))
    schema = Schema.load(out / "assets")
    assert {"year", "month"} <= set(schema.names)
    assert schema.time_column is None
    assert "by them rows do not follow each other" in str(summary)


def test_a_year_and_a_month_at_the_end_of_a_row_are_its_time(tmp_path: Path) -> None:
    number = np.arange(ROWS)
    columns = table() | {
        "month": (number % 12 + 1).tolist(),
        "year": (1990 + number // 12).tolist(),
    }
    del columns["time"]
    _, out = built(tmp_path, write(tmp_path / "raw", "pump.csv", columns))
    assert Schema.load(out / "assets").time_column == "time"
