"""Tables that name their columns otherwise, and rows to answer."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelyard.errors import BadData, UsageError
from modelyard.families.anomaly.parts import Part
from modelyard.families.anomaly.rows import read_rows
from modelyard.families.anomaly.schema import Column, Schema
from modelyard.kit.tables import read_table
from tests.unit.anomaly.test_anomaly_data import ROWS, START, built, refused, table, text, write


def renamed(name: str, cells: list[Any] | None = None) -> dict[str, list[Any]]:
    columns = table()
    time = columns.pop("time")
    return {name: time if cells is None else cells, **columns}


@pytest.mark.parametrize("name", ["timestamp", "Time", "DateTime", "date"])
def test_a_time_column_is_found_by_its_usual_names(tmp_path: Path, name: str) -> None:
    summary, out = built(tmp_path, write(tmp_path / "raw", "pump.csv", renamed(name)))
    assert f"Rows are 300 apart by the column {name!r}" in summary["notes"][0]
    assert Part.load(out, "train").time[1] - Part.load(out, "train").time[0] == 300


def test_dates_with_points_are_read_day_first(tmp_path: Path) -> None:
    dotted = [f"{2 + n // 144:02d}.01.2026 {n % 144 // 6:02d}:{n % 6}0" for n in range(ROWS)]
    _, out = built(tmp_path, write(tmp_path / "raw", "pump.csv", renamed("time", dotted)))
    assert Part.load(out, "train").time[0] == START.timestamp() + 86_400


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        (
            renamed("Zeitpunkt"),
            "column 'Zeitpunkt': holds dates or times.*features.time_column=Zeitpunkt",
        ),
        (
            table() | {"is_normal": [1] * 290 + [0] * 10},
            "column 'is_normal'.*features.label_column=is_normal",
        ),
        (
            table() | {"number": list(range(ROWS))},
            "column 'number': grows by the same.*features.drop=.number.",
        ),
        (
            table() | {"cycle": [*range(90), *range(110), *range(ROWS - 200)]},
            "column 'cycle'.*begins again.*features.time_column=cycle",
        ),
    ],
)
def test_what_is_plainly_no_measurement_is_not_measured(
    tmp_path: Path, columns: dict[str, list[Any]], said: str
) -> None:
    assert re.search(said, refused(tmp_path, write(tmp_path / "raw", "pump.csv", columns)))


def test_marks_of_anomalies_are_the_label(tmp_path: Path) -> None:
    marks = [0] * 290 + [1] * 10
    marked = table() | {"Is_Anomaly": marks}
    summary, out = built(tmp_path, write(tmp_path / "raw", "pump.csv", marked))
    assert "The labels are the column 'Is_Anomaly': 1 is an anomaly." in summary["notes"]
    assert summary["labelled"] == "yes"
    assert "Is_Anomaly" not in Schema.load(out / "assets").names
    assert Part.load(out, "test").label[-9:].tolist() == [1] * 9


@pytest.mark.parametrize(
    "columns", [{"attack": [0, 2] * 150}, {"attack": [0, 1] * 150, "fault": [1, 0] * 150}]
)
def test_what_may_be_no_mark_is_not_taken_for_one(
    tmp_path: Path, columns: dict[str, list[Any]]
) -> None:
    raw = write(tmp_path / "raw", "pump.csv", table() | columns)
    if len(columns) > 1:
        assert "features.label_column=attack" in refused(tmp_path, raw)
    else:
        _, out = built(tmp_path, raw)
        assert "attack" in Schema.load(out / "assets").names


def test_a_column_of_hours_is_measured(tmp_path: Path) -> None:
    hours = table() | {"hour": [row % 24 for row in range(ROWS)]}
    _, out = built(tmp_path, write(tmp_path / "raw", "pump.csv", hours))
    assert "hour" in Schema.load(out / "assets").names


def test_pulses_and_queues_are_measured(tmp_path: Path) -> None:
    pulses = [int(row % 7 in (1, 6)) for row in range(ROWS)]
    queue = [0, 1, 2, 0, 0, 1, 0, 1, 2, 3] * (ROWS // 10)
    columns = table() | {"tips": pulses, "queue": queue}
    _, out = built(tmp_path, write(tmp_path / "raw", "pump.csv", columns))
    assert {"tips", "queue"} <= set(Schema.load(out / "assets").names)


def test_too_few_rows_for_the_window_name_one_that_fits(tmp_path: Path) -> None:
    raw = write(tmp_path / "raw", "pump.csv", table())
    said = refused(tmp_path, raw, window=200)
    window = int(re.search(r"--set features.window=(\d+)", said)[1])  # type: ignore[index]
    built(tmp_path, raw, window=window)
    assert f"features.window={window}" in refused(tmp_path, raw, window=window + 3)


@pytest.mark.parametrize("setting", ["time_column", "label_column", "kind_column"])
def test_a_column_that_a_setting_names_must_be_there(tmp_path: Path, setting: str) -> None:
    raw = write(tmp_path / "raw", "pump.csv", table())
    with pytest.raises(
        UsageError, match=f"features.{setting}': column 'heta' is unknown. Did you mean 'heat'"
    ):
        built(tmp_path, raw, **{setting: "heta"})


def known(*names: str) -> list[Column]:
    return [Column(name=name, mean=0, spread=1, median=0, minimum=-1, maximum=1) for name in names]


def test_rows_to_answer_are_read_as_the_rows_to_train_on(tmp_path: Path) -> None:
    columns = table()
    file = tmp_path / "new.csv"
    file.write_text(text(columns, ";").replace(".", ","))
    found = read_rows(read_table(file), known("load", "heat"))
    assert np.allclose(
        [list(row.values()) for row in found], np.array([columns["load"], columns["heat"]]).T
    )
    file.write_text("heat,load\n60.5,0.1\n61,\n")
    with pytest.raises(BadData, match="row 2, column 'load': the cell is empty"):
        read_rows(read_table(file), known("load", "heat"))
    with pytest.raises(BadData, match="column 'speed': the column is missing; seen: heat, load"):
        read_rows(read_table(file), known("speed"))
