"""Several machines in one file are several series; no window crosses from one to another."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelyard.drift.statistics import compare
from modelyard.errors import UsageError
from modelyard.families.anomaly.host import AnomalyHost
from modelyard.families.anomaly.parts import PARTS, Part
from modelyard.families.anomaly.rows import read_bodies
from modelyard.families.anomaly.schema import Detector, Schema
from modelyard.settings.monitor import MonitorSettings
from tests.unit.anomaly.test_anomaly_data import ROWS, built, make, refused, table, text, write

WINDOW = 8
Columns = dict[str, list[Any]]


def machines(*names: Any, rows: int = ROWS, column: str = "machine") -> Columns:
    """The rows of each machine, machine below machine; each at a level of its own."""
    joined: Columns = {}
    for number, name in enumerate(names):
        own = table(rows, seed=number)
        own["heat"] = [value + 1000 * number for value in own["heat"]]
        for key, cells in {column: [name] * rows, **own}.items():
            joined.setdefault(key, []).extend(cells)
    return joined


def by_time(columns: Columns) -> Columns:
    """The same rows in the order of time, the machines among each other."""
    order = np.argsort(columns["time"], kind="stable").tolist()
    return {name: [cells[row] for row in order] for name, cells in columns.items()}


def _levels(out: Path) -> list[set[int]]:
    """Which machines the rows of each window are from."""
    found = []
    for name in PARTS:
        part = Part.load(out, name)
        ends = part.ends(WINDOW)
        assert len(ends)
        heat = part.windows(ends, WINDOW)[:, :, 0]
        found += [set(window.round(-3).astype(int).tolist()) for window in heat]
    return found


@pytest.mark.parametrize(
    "columns",
    [
        machines("A", "B", "C"),
        by_time(machines("A", "B", "C")),
        by_time(machines("A", "B", "C", column="Ort")),
        by_time(machines(7, 8, 9, column="unit_nr")),
        machines(101, 102, column="device id"),
    ],
    ids=["below each other", "among each other", "any name", "numbered", "numbered below"],
)
def test_no_window_holds_rows_of_two_machines(tmp_path: Path, columns: Columns) -> None:
    summary, out = built(tmp_path, write(tmp_path / "raw", "all.csv", columns))
    column = next(iter(columns))
    assert all(len(levels) == 1 for levels in _levels(out))
    assert f"one a machine by {column}" in summary["headline"]
    schema = Schema.load(out / "assets")
    assert schema.names == ["heat", "load"]
    assert schema.series == [f"all.csv: {name}" for name in dict.fromkeys(columns[column])]
    assert schema.step == 300


def test_the_split_is_by_time_within_each_machine(tmp_path: Path) -> None:
    _, out = built(tmp_path, write(tmp_path / "raw", "all.csv", by_time(machines("A", "B"))))
    for machine in (0, 1):
        times = [part.time[part.series == machine] for part in _parts(out)]
        assert all(a.max() < b.min() for a, b in itertools.pairwise(times))


def _parts(out: Path) -> list[Part]:
    return [Part.load(out, name) for name in PARTS]


def test_a_column_is_the_machine_where_the_settings_say_so(tmp_path: Path) -> None:
    raw = write(tmp_path / "raw", "all.csv", machines(1.5, 2.5, column="level"))
    assert "features.entity" in refused(tmp_path, raw)
    summary, _ = built(tmp_path, raw, entity="level")
    assert "2 series" in summary["headline"]
    with pytest.raises(UsageError, match=r"features\.entity.*'levle'"):
        built(tmp_path, raw, entity="levle")


def test_a_word_of_state_in_one_machines_file_is_no_machine(tmp_path: Path) -> None:
    columns = {**table(), "state": ["on", "off", "on"] * (ROWS // 3)}
    summary, out = built(tmp_path, write(tmp_path / "raw", "one.csv", columns))
    assert Schema.load(out / "assets").entity is None
    assert summary["left_out"] == ["state"]


def test_a_measurement_called_as_machines_are_stays_one(tmp_path: Path) -> None:
    columns = {**table(), "pump": [0, 1, 1] * (ROWS // 3)}
    _, out = built(tmp_path, write(tmp_path / "raw", "one.csv", columns))
    assert Schema.load(out / "assets").names == ["heat", "load", "pump"]


def test_a_time_that_goes_back_is_named_with_its_machine(tmp_path: Path) -> None:
    columns = machines("A", "B")
    columns["time"][ROWS + 6] = "2025-12-31T00:00:00"
    message = refused(tmp_path, write(tmp_path / "raw", "all.csv", columns))
    assert f"row {ROWS + 7}, column 'time': the time of 'B' goes back" in message


def test_machines_with_too_few_rows_are_counted(tmp_path: Path) -> None:
    columns = machines("A", "B")
    short = machines("C", rows=12)
    columns = {name: [*cells, *short[name]] for name, cells in columns.items()}
    summary, out = built(tmp_path, write(tmp_path / "raw", "all.csv", columns))
    assert summary["dropped"]["of machines with too few rows"] == 12
    assert Schema.load(out / "assets").series == ["all.csv: A", "all.csv: B"]
    assert any("C" in note for note in summary["notes"])


def test_an_empty_name_of_a_machine_is_refused(tmp_path: Path) -> None:
    columns = machines("A", "B")
    columns["machine"][4] = ""
    message = refused(tmp_path, write(tmp_path / "raw", "all.csv", columns))
    assert "row 5, column 'machine': the cell is empty" in message


def test_windows_of_a_file_to_answer_hold_one_machine_each_in_the_files_order(
    tmp_path: Path,
) -> None:
    columns = by_time(machines("A", "B"))
    _, out = built(tmp_path, write(tmp_path / "raw", "all.csv", columns))
    new = tmp_path / "new.csv"
    new.write_text(text(columns))
    bodies = read_bodies(new, Schema.load(out / "assets"), WINDOW)
    assert [body["input.machine"] for body in bodies] == columns["machine"]
    assert [body["time"] for body in bodies] == columns["time"]
    assert sum("window" not in body for body in bodies) == 2 * (WINDOW - 1)
    for body in bodies[2 * (WINDOW - 1) :]:
        level = 1000 * (body["machine"] == "B")
        assert all(abs(row["heat"] - 60 - level) < 100 for row in body["window"])


def test_a_file_of_one_machine_is_one_series_with_its_column_of_names(tmp_path: Path) -> None:
    for name in ("A", "B"):
        raw = write(tmp_path / "raw", f"{name}.csv", machines(name))
    _, out = built(tmp_path, raw)
    assert Schema.load(out / "assets").series == ["A.csv: A", "B.csv: B"]


def test_a_column_of_machines_can_be_left_out(tmp_path: Path) -> None:
    columns = {"machine": ["A"] * ROWS, **table()}
    _, out = built(tmp_path, write(tmp_path / "raw", "one.csv", columns), drop=("machine",))
    assert Schema.load(out / "assets").series == ["one.csv"]


def _host(tmp_path: Path, **settings: Any) -> AnomalyHost:
    """Of a detector that scores 0; the machines are the data's."""
    raw = write(tmp_path / "raw", "all.csv", by_time(machines(7, 8, column="unit_nr")))
    _, out = built(tmp_path, raw, window=1)
    Detector(kind="ocsvm", window=1, false_alarm_rate=0.01, typical=-1.0, **settings).save(
        out / "assets"
    )
    return AnomalyHost(out / "assets")


def _answers(host: AnomalyHost, *bodies: dict[str, Any]) -> list[tuple[Any, Any]]:
    weights = np.zeros((2, 2)).tolist()
    host.detector = host.detector.model_copy(update={"expectation": weights})
    requests = [host.Request.model_validate(body) for body in bodies]

    def run(graph: str, arrays: Any) -> Any:
        return {"score": arrays["values"][:, 0]}

    return list(zip(requests, host.predict(run, requests), strict=True))


def test_a_machine_that_training_never_saw_is_answered_and_said(tmp_path: Path) -> None:
    host = _host(tmp_path)
    values = {"heat": 60.0, "load": 0.0}
    found = _answers(
        host,
        {"values": values, "machine": "7"},
        {"values": values, "machine": 8},
        {"values": values, "machine": "pump 9"},
        {"values": values},
    )
    warnings = [[one.message for one in answer.warnings] for _, answer in found]
    said = "'pump 9' was not in the training data; the one detector of all machines answers"
    assert warnings == [[], [], [said], []]
    assert [answer.score for _, answer in found] == [60.0] * 4


def test_drift_has_the_machine_and_the_score_of_each(tmp_path: Path) -> None:
    host = _host(tmp_path)
    values = {"heat": 60.0, "load": 0.0}
    found = _answers(host, {"values": values, "machine": 8}, {"values": values})
    rows = [host.describe(*pair) for pair in found]
    assert [row["machine"] for row in rows] == ["8", None]
    assert [row["score of 8"] for row in rows] == [60.0, None]
    assert [row["score of 7"] for row in rows] == [None, None]
    assert rows[0].keys() == rows[1].keys()


def test_rows_to_answer_carry_their_machine(tmp_path: Path) -> None:
    columns = by_time(machines(7, 8, column="unit_nr"))
    raw = write(tmp_path / "raw", "all.csv", columns)
    _, out = built(tmp_path, raw, window=1)
    schema = Schema.load(out / "assets")
    assert schema.machines == ("7", "8")
    bodies = read_bodies(raw / "all.csv", schema, 1)
    assert [body["machine"] for body in bodies] == [str(name) for name in columns["unit_nr"]]
    test = make(window=1).requests(out, "test")
    assert {body["machine"] for body in test} == {"7", "8"}
    assert all((body["values"]["heat"] > 500) == (body["machine"] == "8") for body in test)


def test_machines_of_one_file_are_resampled_each_by_itself(tmp_path: Path) -> None:
    columns = by_time(machines("A", "B"))
    raw = write(tmp_path / "raw", "all.csv", columns)
    _, out = built(tmp_path, raw, step=600)
    assert all(len(levels) == 1 for levels in _levels(out))
    schema = Schema.load(out / "assets")
    bodies = read_bodies(raw / "all.csv", schema, WINDOW)
    names = [body["input.machine"] for body in bodies]
    assert names == sorted(names)
    assert [body.get("machine") for body in bodies] == [
        name if "window" in body else None for name, body in zip(names, bodies, strict=True)
    ]
    for body in bodies:
        for row in body.get("window", []):
            assert (row["heat"] > 500) == (body["machine"] == "B")


def test_one_worn_machine_stands_out_among_the_columns_of_drift(tmp_path: Path) -> None:
    host = _host(tmp_path)
    r = np.random.default_rng(2)

    def rows(worn: float) -> dict[str, list[Any]]:
        bodies = []
        for number in range(400):
            level = r.normal(60, 5) + (worn if number % 2 else 0)
            bodies.append({"values": {"heat": level, "load": 0.0}, "machine": 7 + number % 2})
        found = [host.describe(*pair) for pair in _answers(host, *bodies)]
        return {name: [row[name] for row in found] for name in found[0]}

    usual = rows(0)
    settings = MonitorSettings()
    assert not any(one.drifted for one in compare(usual, rows(0), settings))
    drifted = {one.name: one.effect for one in compare(usual, rows(8), settings) if one.drifted}
    assert "score of 8" in drifted
    assert "score of 7" not in drifted
    assert drifted["score of 8"] > 1.5 * drifted["score"]
