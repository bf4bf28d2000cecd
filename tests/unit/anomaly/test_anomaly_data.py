"""Files of measurements become splits in time, or are refused with their place."""

from __future__ import annotations

import itertools
import json
import re
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from modelyard.errors import BadData, UsageError
from modelyard.families.anomaly.config import AnomalyConfig
from modelyard.families.anomaly.family import Anomaly
from modelyard.families.anomaly.parts import PARTS, Part
from modelyard.families.anomaly.schema import Schema
from modelyard.settings.family import resolve

START = datetime(2026, 1, 1)
ROWS = 300


def make(**features: Any) -> Anomaly:
    return Anomaly(resolve(AnomalyConfig, ("--set", {"features": {"window": 8, **features}})))


def table(rows: int = ROWS, seed: int = 0, minutes: float = 5) -> dict[str, list[Any]]:
    r = np.random.default_rng(seed)
    return {
        "time": [(START + timedelta(minutes=minutes * n)).isoformat() for n in range(rows)],
        "heat": np.round(r.normal(60, 5, rows), 3).tolist(),
        "load": np.round(r.normal(0, 1, rows), 3).tolist(),
    }


def text(columns: dict[str, list[Any]], separator: str = ",") -> str:
    lines = [
        separator.join(columns),
        *(separator.join(map(str, row)) for row in zip(*columns.values(), strict=True)),
    ]
    return "\n".join(lines) + "\n"


def write(folder: Path, name: str, columns: dict[str, list[Any]]) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text(columns))
    return folder


def built(tmp_path: Path, raw: Path, **features: Any) -> tuple[dict[str, Any], Path]:
    out = tmp_path / "features"
    out.mkdir(exist_ok=True)
    return make(**features).features(raw, out), out


def refused(tmp_path: Path, raw: Path, **features: Any) -> str:
    with pytest.raises(BadData) as caught:
        built(tmp_path, raw, **features)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def changed(column: str, row: int, value: Any) -> dict[str, list[Any]]:
    columns = table()
    columns[column][row - 1] = value
    return columns


def without(rows: slice) -> dict[str, list[Any]]:
    columns = table()
    for cells in columns.values():
        del cells[rows]
    return columns


def test_a_series_is_split_by_time_with_a_window_between(tmp_path: Path) -> None:
    summary, out = built(tmp_path, write(tmp_path / "raw", "pump.csv", table()))
    parts = [Part.load(out, name) for name in PARTS]
    step = 300.0
    for before, after in itertools.pairwise(parts):
        assert after.time[0] - before.time[-1] == step * 9
    assert summary["rows"]["test"] == len(parts[3].x) == int((ROWS - 24) * 0.25)
    assert sum(summary["rows"].values()) + summary["dropped"]["between the splits"] == ROWS
    assert Schema.load(out / "assets").step == step
    json.dumps(summary, allow_nan=False)


def test_figures_of_the_columns_come_from_the_training_rows_alone(tmp_path: Path) -> None:
    columns = table()
    columns["heat"][200:] = [1e6] * 100
    _, out = built(tmp_path, write(tmp_path / "raw", "pump.csv", columns))
    heat = Schema.load(out / "assets").columns[0]
    rows = len(Part.load(out, "train").x)
    assert heat.mean == pytest.approx(np.mean(columns["heat"][:rows]))
    assert heat.spread == pytest.approx(np.std(columns["heat"][:rows]))
    assert heat.maximum < 100


def test_windows_lie_in_one_series_and_never_across_a_gap(tmp_path: Path) -> None:
    raw = write(tmp_path / "raw", "a.csv", without(slice(40, 43)))
    write(raw, "b.csv", table(seed=1))
    summary, out = built(tmp_path, raw)
    train = Part.load(out, "train")
    ends = train.ends(8)
    for end in ends:
        rows = slice(end - 7, end + 1)
        assert len(set(train.series[rows].tolist())) == 1
        assert np.allclose(np.diff(train.time[rows]), 300)
    assert summary["dropped"]["windows: across a gap"] == 7
    lengths = [int((train.series == number).sum()) for number in (0, 1)]
    assert len(ends) == sum(lengths) - 2 * 7 - 7
    assert np.array_equal(train.windows(ends, 8)[5], train.x[ends[5] - 7 : ends[5] + 1])


def test_rows_with_an_empty_cell_are_left_out_counted_and_make_a_gap(tmp_path: Path) -> None:
    columns = table()
    columns["heat"][20], columns["load"][21] = "", "NaN"
    summary, out = built(tmp_path, write(tmp_path / "raw", "pump.csv", columns))
    assert summary["dropped"]["with an empty cell"] == 2
    train = Part.load(out, "train")
    assert train.segment[19] != train.segment[20]
    assert np.isfinite(train.x).all()


def test_a_row_that_repeats_the_one_before_is_left_out_and_counted(tmp_path: Path) -> None:
    columns = {name: [*cells[:31], *cells[30:]] for name, cells in table().items()}
    summary, _ = built(tmp_path, write(tmp_path / "raw", "pump.csv", columns))
    assert summary["dropped"]["repeating the row before"] == 1
    assert "windows: across a gap" not in summary["dropped"]


def test_constant_columns_are_left_out_and_named(tmp_path: Path) -> None:
    columns = table() | {"fixed": [7] * ROWS, "late": [1] * 290 + [2] * 10}
    summary, out = built(tmp_path, write(tmp_path / "raw", "pump.csv", columns))
    assert Schema.load(out / "assets").names == ["heat", "load"]
    assert summary["dropped"]["columns: constant over the training rows"] == 2
    assert "fixed, late" in " ".join(summary["notes"])


def test_labels_and_kinds_are_read_and_never_become_inputs(tmp_path: Path) -> None:
    label, kind = ["0"] * ROWS, [""] * ROWS
    label[290], kind[290], label[291] = "1", "leak", ""
    summary, out = built(
        tmp_path, write(tmp_path / "raw", "p.csv", table() | {"label": label, "kind": kind})
    )
    test, schema = Part.load(out, "test"), Schema.load(out / "assets")
    assert schema.names == ["heat", "load"]
    assert (schema.kinds, schema.labelled) == (["leak"], True)
    assert sorted(np.unique(test.label, return_counts=True)[1].tolist()) == [
        1,
        1,
        len(test.label) - 2,
    ]
    assert test.kind[test.label == 1].tolist() == [0]
    assert summary["labelled"] == "yes"


def test_parquet_semicolons_and_numeric_times_give_the_same_series(tmp_path: Path) -> None:
    columns = table()
    _, out = built(tmp_path, write(tmp_path / "csv", "p.csv", columns))
    expected = Part.load(out, "test")
    (tmp_path / "semi").mkdir()
    (tmp_path / "semi/p.csv").write_text(text(columns, ";").replace(".", ","))
    times = [datetime.fromisoformat(time).replace(tzinfo=UTC) for time in columns["time"]]
    (tmp_path / "parquet").mkdir()
    naive = pa.array([time.replace(tzinfo=None) for time in times], pa.timestamp("us"))
    pa.parquet.write_table(pa.table({**columns, "time": naive}), tmp_path / "parquet/p.parquet")
    write(tmp_path / "numbers", "p.csv", {**columns, "time": [time.timestamp() for time in times]})
    east = timezone(timedelta(hours=2))
    write(
        tmp_path / "zone",
        "p.csv",
        {**columns, "time": [time.astimezone(east).isoformat() for time in times]},
    )
    for folder in ("semi", "parquet", "numbers", "zone"):
        _, out = built(tmp_path, tmp_path / folder)
        found = Part.load(out, "test")
        assert np.array_equal(found.x, expected.x), folder
        assert np.array_equal(found.time, expected.time), folder


def test_without_a_time_column_rows_count_and_windows_are_refused(tmp_path: Path) -> None:
    columns = {name: cells for name, cells in table(3000).items() if name != "time"}
    summary, out = built(tmp_path, write(tmp_path / "raw", "pump.csv", columns))
    assert "no time column" in " ".join(summary["notes"])
    lstm = Anomaly(
        resolve(AnomalyConfig, ("--set", {"model": {"kind": "lstm"}, "features": {"window": 8}}))
    )
    with pytest.raises(
        BadData, match=r"column 'time': model.kind=lstm judges windows.*model.kind=neighbours"
    ):
        lstm.fit(out, tmp_path, trainer=None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        (
            changed("heat", 7, "hot"),
            "pump.csv, row 7, column 'heat': 'hot' is not a number.*features.drop=.heat.",
        ),
        (changed("heat", 7, "inf"), "pump.csv, row 7, column 'heat': the cell is infinite"),
        (changed("heat", 7, "2e30"), "column 'heat': 2e.30 is too large for a measurement"),
        (
            changed("time", 7, "soon"),
            "pump.csv, row 7, column 'time': 'soon' is neither a number nor a time",
        ),
        (changed("time", 7, ""), "pump.csv, row 7, column 'time': the time is missing"),
        (
            changed("time", 7, "2025-12-31T00:00:00"),
            "row 7, column 'time': the time goes back: '2025-12-31.* after",
        ),
        (
            table() | {"time": [table()["time"][n // 2] for n in range(ROWS)]},
            "row 2, column 'time': the time '2026-01-01T00:00:00' stands twice, with different",
        ),
        (
            table() | {"label": ["0"] * 299 + ["maybe"]},
            "row 300, column 'label': 'maybe' is neither 0 nor 1.*0 .norm",
        ),
        (table(60), r"pump.csv: 60 complete rows; \d+ are needed for a window of 8 in each part"),
        ({"time": table()["time"]}, "holds no column of measurements"),
        (
            table() | {"heat": [1] * ROWS, "load": [2] * ROWS},
            "every column is constant over the training rows",
        ),
    ],
)
def test_faulty_cells_are_refused_with_their_place(
    tmp_path: Path, columns: dict[str, list[Any]], said: str
) -> None:
    message = refused(tmp_path, write(tmp_path / "raw", "pump.csv", columns))
    assert re.search(said, message), message


def test_files_that_do_not_go_together_are_refused_by_name(tmp_path: Path) -> None:
    raw = write(tmp_path / "raw", "a.csv", table())
    write(raw, "b.csv", table() | {"flow": list(range(ROWS))})
    message = refused(tmp_path, raw)
    assert "b.csv: has other columns than a.csv: 'flow' is only in b.csv" in message
    assert message.endswith("--set features.drop=[flow]")
    summary, _ = built(tmp_path, raw, drop=["flow"])
    assert "2 series" in summary["headline"]
    assert "flow" not in str(built(tmp_path, raw, drop=["flow"])[0]["tables"])
    write(raw, "b.csv", table(minutes=10))
    assert "b.csv: its rows are 600 apart, those of a.csv 300" in refused(tmp_path, raw)


def test_too_many_gaps_stop_the_run_at_the_first_and_windows_of_one_row_do_without(
    tmp_path: Path,
) -> None:
    columns = {
        name: [cell for n, cell in enumerate(cells) if n % 6] for name, cells in table(400).items()
    }
    raw = write(tmp_path / "raw", "pump.csv", columns)
    message = refused(tmp_path, raw)
    assert "pump.csv, row 6: gaps, irregular steps and empty cells cost" in message
    assert "more than 20% (features.most_lost)" in message
    summary, _ = built(tmp_path, raw, window=1)
    assert "windows: across a gap" not in summary["dropped"]


def test_settings_that_do_not_go_together_are_refused_at_once() -> None:
    with pytest.raises(
        UsageError, match=r"features.window = 1: model.kind=lstm needs windows of 2"
    ):
        Anomaly(
            resolve(
                AnomalyConfig, ("--set", {"model": {"kind": "lstm"}, "features": {"window": 1}})
            )
        )
    with pytest.raises(UsageError, match=r"test_share leave 4% to train on; at least 5%"):
        make(calibration_share=0.4, validation_share=0.1, test_share=0.46)


def test_a_column_to_drop_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"features.drop': column 'haet' is unknown. Did you mean 'heat'"
    ):
        built(tmp_path, write(tmp_path / "raw", "pump.csv", table()), drop=["haet"])


def test_the_simulated_machines_hold_anomalies_in_validation_and_test_alone(tmp_path: Path) -> None:
    family = make(sample_series=2, sample_rows=3000)
    (tmp_path / "raw").mkdir()
    family.sample(tmp_path / "raw")
    _, out = built(tmp_path, tmp_path / "raw")
    found = {name: Part.load(out, name) for name in PARTS}
    assert [int((found[name].label == 1).sum() > 0) for name in PARTS] == [0, 0, 1, 1]
    assert set(found["test"].kind.tolist()) == {-1, 0, 1, 2, 3}


def test_contamination_puts_about_its_share_of_anomalies_into_the_training_rows(
    tmp_path: Path,
) -> None:
    (tmp_path / "raw").mkdir()
    make(sample_rows=6000, sample_contamination=0.1).sample(tmp_path / "raw")
    _, out = built(tmp_path, tmp_path / "raw")
    assert 0.05 < (Part.load(out, "train").label == 1).mean() < 0.15
