"""Clocks that go back, counters near 10⁹ and units: no value is silently another."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from modelyard.errors import BadData
from modelyard.families.anomaly.host import AnomalyHost
from modelyard.families.anomaly.judged import Judge
from modelyard.families.anomaly.parts import PARTS, Part
from modelyard.families.anomaly.rows import read_rows
from modelyard.families.anomaly.schema import Detector, Schema
from modelyard.kit.tables import read_table
from tests.unit.anomaly.test_anomaly_data import ROWS, built, make, refused, table, text, write


def on_the_wall(minutes: int, zone: str, start: datetime) -> list[str]:
    """What a clock on the wall says every so many minutes, without an offset."""
    moments = [start + timedelta(minutes=minutes * n) for n in range(ROWS)]
    local = [moment.astimezone(ZoneInfo(zone)).replace(tzinfo=None) for moment in moments]
    return [moment.isoformat() for moment in local]


@pytest.mark.parametrize("minutes", [5, 60])
@pytest.mark.parametrize(
    ("zone", "start", "hour"),
    [
        ("Europe/Berlin", datetime(2024, 10, 26, 20, tzinfo=UTC), "2024-10-27T02:"),
        ("America/New_York", datetime(2024, 11, 3, 0, tzinfo=UTC), "2024-11-03T01:"),
        ("Pacific/Auckland", datetime(2024, 4, 6, 9, tzinfo=UTC), "2024-04-07T02:"),
    ],
)
def test_the_hour_in_which_summer_time_ends_stands_twice(
    tmp_path: Path, minutes: int, zone: str, start: datetime, hour: str
) -> None:
    columns = table() | {"time": on_the_wall(minutes, zone, start)}
    summary, out = built(tmp_path, write(tmp_path / "raw", "pump.csv", columns))
    (note,) = (note for note in summary["notes"] if "stands twice" in note)
    assert f"time: the hour before '{hour}" in note
    assert "windows across a gap" not in summary["dropped"]
    for name in PARTS:
        assert np.allclose(np.diff(Part.load(out, name).time), 60 * minutes)


def test_the_hour_stands_twice_for_each_machine_of_a_file(tmp_path: Path) -> None:
    times = on_the_wall(5, "Europe/Berlin", datetime(2024, 10, 26, 20, tzinfo=UTC))
    one, other = table(), table(seed=1)
    columns = {name: [*one[name], *other[name]] for name in one} | {"time": times * 2}
    columns["place"] = ["north"] * ROWS + ["south"] * ROWS
    summary, out = built(tmp_path, write(tmp_path / "raw", "pumps.csv", columns))
    assert Schema.load(out / "assets").entity == "place"
    assert len([note for note in summary["notes"] if "stands twice" in note]) == 1
    assert "windows across a gap" not in summary["dropped"]


def test_an_hour_that_stands_twice_makes_no_machines(tmp_path: Path) -> None:
    times = on_the_wall(5, "Europe/Berlin", datetime(2024, 10, 26, 20, tzinfo=UTC))
    season = ["summer" if n < 60 else "winter" for n in range(ROWS)]
    columns = table() | {"time": times, "season": season}
    summary, out = built(tmp_path, write(tmp_path / "raw", "pump.csv", columns))
    assert Schema.load(out / "assets").entity is None
    assert summary["left_out"] == ["season"]


@pytest.mark.parametrize(
    "times",
    [
        on_the_wall(5, "UTC", datetime(2024, 10, 26, 20, tzinfo=UTC)),
        on_the_wall(5, "Europe/Berlin", datetime(2024, 10, 26, 20, tzinfo=UTC)),
    ],
)
def test_a_time_that_goes_back_otherwise_is_refused(tmp_path: Path, times: list[str]) -> None:
    columns = table() | {"time": times}
    columns["time"][200], columns["time"][201] = columns["time"][201], columns["time"][200]
    message = refused(tmp_path, write(tmp_path / "raw", "pump.csv", columns))
    assert "row 202, column 'time': the time goes back" in message


def counter() -> dict[str, list[Any]]:
    r = np.random.default_rng(3)
    total = 1_500_000_000 + np.cumsum(r.integers(1, 4, ROWS))
    return table() | {"total": total.tolist(), "level": (1e12 + r.random(ROWS)).tolist()}


def host_of(out: Path) -> AnomalyHost:
    Detector(kind="ocsvm", window=1, false_alarm_rate=0.01).save(out / "assets")
    return AnomalyHost(out / "assets")


def test_a_counter_near_a_billion_keeps_its_last_digits_in_training_and_in_service(
    tmp_path: Path,
) -> None:
    columns = counter()
    _, out = built(tmp_path, write(tmp_path / "raw", "pump.csv", columns), window=1)
    schema, train = Schema.load(out / "assets"), Part.load(out, "train")
    place = schema.names.index("total")
    total = np.array(columns["total"][: len(train.x)])
    assert np.array_equal(train.x[:, place].astype(np.float64) + schema.offsets[place], total)
    assert schema.columns[place].mean == pytest.approx(total.mean(), abs=0.01)
    assert schema.columns[place].minimum == total.min()
    assert [column.offset for column in schema.columns[:2]] == [0, 0]
    host = host_of(out)
    bodies = make(window=1).requests(out, "train")
    assert [body["values"]["total"] for body in bodies] == total.tolist()
    requests = [host.Request.model_validate(body) for body in bodies]
    assert np.array_equal(host.windows(requests)[:, 0], train.x)


def test_a_detector_sees_its_own_offsets_in_the_data_of_another(tmp_path: Path) -> None:
    columns = counter()
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    _, out = built(tmp_path / "a", write(tmp_path / "a" / "raw", "p.csv", columns), window=1)
    later = columns | {"total": [value + 5_000 for value in columns["total"]]}
    _, other = built(tmp_path / "b", write(tmp_path / "b" / "raw", "p.csv", later), window=1)
    host, part = host_of(out), Part.load(other, "train")
    judge = Judge.of(host, lambda *_: {}, other)
    seen = judge.own(part.windows(part.ends(1), 1))[:, 0]
    bodies = make(window=1).requests(other, "train")
    requests = [host.Request.model_validate(body) for body in bodies]
    assert np.array_equal(seen, host.windows(requests)[:, 0])


def continental() -> dict[str, list[Any]]:
    """Decimal commas prove that the flow's dots stand between thousands."""
    columns = {
        name: [str(cell).replace(".", ",") for cell in cells] for name, cells in table().items()
    }
    return columns | {"flow": [f"1.{100 + 37 * n % 800}" for n in range(ROWS)]}


def test_what_one_file_proves_holds_for_the_others(tmp_path: Path) -> None:
    columns = continental()
    whole = columns | {name: [n % 7 for n in range(ROWS)] for name in ("heat", "load")}
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "a.csv").write_text(text(whole, ";"))
    (tmp_path / "raw" / "b.csv").write_text(text(columns, ";"))
    summary, out = built(tmp_path, tmp_path / "raw")
    schema, train = Schema.load(out / "assets"), Part.load(out, "train")
    assert train.x[:, schema.names.index("flow")].min() >= 1100
    assert not [note for note in summary["notes"] if "nothing in the file proves" in note]
    assert {column.format for column in schema.columns} == {"1.234,5"}


def test_american_dates_are_read_as_one_of_the_files_shows_and_else_asked_for(
    tmp_path: Path,
) -> None:
    def american(start: datetime) -> dict[str, list[Any]]:
        moments = [start + timedelta(minutes=5 * n) for n in range(ROWS)]
        return table() | {"time": [f"{moment:%m/%d/%Y %I:%M %p}" for moment in moments]}

    raw = write(tmp_path / "raw", "a.csv", american(datetime(2026, 1, 2)))
    with pytest.raises(BadData, match=r"Type: --set features\.dates=month_first \(or day_first\)"):
        built(tmp_path, raw)
    built(tmp_path, raw, dates="month_first")
    write(raw, "b.csv", american(datetime(2026, 1, 30)))
    summary, _ = built(tmp_path, raw)
    assert "time: dates were read as month/day/year: another file decides" in summary["notes"]


def test_new_rows_are_read_in_the_notation_of_the_training_data(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "a.csv").write_text(text(continental(), ";"))
    _, out = built(tmp_path, tmp_path / "raw")
    known = Schema.load(out / "assets").columns
    new = tmp_path / "new.csv"
    new.write_text("heat;load;flow\n61;2;1.234\n")
    assert read_rows(read_table(new), known) == [{"heat": 61, "load": 2, "flow": 1234}]
    new.write_text("heat;load;flow\n61.5;2;1,234.5\n")
    assert read_rows(read_table(new), known) == [{"heat": 61.5, "load": 2, "flow": 1234.5}]
    new.write_text("heat;load;flow\n61.5;2;1.234\n")
    with pytest.raises(BadData, match=r"row 1, column 'flow': '1\.234' has decimals behind '\.'"):
        read_rows(read_table(new), known)


def test_machines_that_measure_in_different_units_are_refused(tmp_path: Path) -> None:
    columns = table()
    raw = write(tmp_path / "raw", "a.csv", columns | {"heat": [f"{v} °C" for v in columns["heat"]]})
    write(raw, "b.csv", columns | {"heat": [f"{v} °F" for v in columns["heat"]]})
    message = refused(tmp_path, raw)
    assert "b.csv, column 'heat': its numbers are in '°F', those of a.csv in '°C'" in message


def test_codes_among_measurements_are_noted(tmp_path: Path) -> None:
    columns = table() | {"zone": [f"{n % 9:03d}" for n in range(ROWS)]}
    summary, _ = built(tmp_path, write(tmp_path / "raw", "pump.csv", columns))
    assert (
        "zone: cells with a leading zero, such as '000', were read as numbers" in summary["notes"]
    )
