"""A prediction log, summed up in one pass: what is exact, what is a sample, what is left out."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelyard.drift import second, sketch
from modelyard.drift.columns import column
from modelyard.drift.sketch import Sketch
from modelyard.drift.statistics import compare
from modelyard.drift.traffic import DRAWN_ROWS, Side, reference_of, served
from modelyard.predictions.files import Writer, read_log
from modelyard.predictions.newest import newest_since
from modelyard.predictions.window import LogPlace
from modelyard.settings.monitor import MonitorSettings
from modelyard.store.tables import write_parquet

SINCE = datetime(2026, 1, 31, 12, tzinfo=UTC)
HOUR = "2026-01-31T13"
PACKAGE = "0123456789ab"
NONE_HIDDEN: frozenset[str] = frozenset()


def write(folder: Path, rows: dict[str, list], hour: str = HOUR, package: str = PACKAGE, **own):
    """A file as the service writes it."""
    count = len(next(iter(rows.values())))
    usual: dict[str, list[Any]] = {
        "_id": [f"{hour}-{at}" for at in range(count)],
        "_time": [f"{hour}:{at % 60:02d}:00.000+00:00" for at in range(count)],
        "_package": [package] * count,
    }
    writer = Writer(folder)
    writer.write(rows | usual | own, hour, package)
    writer.close()


def side(rows: dict[str, list]) -> Side:
    return Side({name: column(values) for name, values in rows.items()}, rows, 0.0)


def look(folder, reference: dict[str, list], since=SINCE, hidden=NONE_HIDDEN):
    return served(folder, since, PACKAGE, side(reference), hidden)


def traffic(rng: np.random.Generator, rows: int) -> dict[str, list]:
    normal = rng.normal(size=rows)
    return {
        "normal": normal.tolist(),
        "gaps": [None if value > 1 else value for value in normal],
        "few": rng.choice(["a", "b", "c"], rows, p=[0.7, 0.2, 0.1]).tolist(),
        "ids": [f"id-{number}" for number in rng.integers(0, 10**6, rows)],
        "long": [f"{'x' * 250}{number}" for number in rng.integers(0, 5, rows)],
        "flag": rng.choice([True, False], rows).tolist(),
        "only once": ["seen", *[None] * (rows - 1)],
    }


def test_the_verdict_on_a_streamed_log_is_that_on_its_rows_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("modelyard.predictions.window.GROUP_FILES", 2)
    rng = np.random.default_rng(0)
    reference = traffic(rng, 800)
    reference["flag"] = ["true" if flag else "false" for flag in reference["flag"]]
    for hour in ("12", "13", "14"):
        for _ in range(2):
            rows = traffic(rng, 150)
            if hour == "13":
                rows["normal"] = [str(value) for value in rows["normal"]]
                del rows["few"]
            if hour == "14":
                rows["new"] = [1.0] * 150
            write(tmp_path, rows, f"2026-01-31T{hour}")
    current, seen = look(tmp_path, reference)
    logged = {
        name: values for name, values in read_log(tmp_path).items() if not name.startswith("_")
    }
    streamed = compare(side(reference).columns, current.columns, MonitorSettings())
    assert streamed == compare(reference, logged, MonitorSettings())
    assert {one.name for one in streamed if one.drifted} == {"few", "new"}
    assert (seen.rows, seen.files, seen.in_words()) == (900, 6, "")


def test_what_is_counted_is_counted_over_all_rows_and_only_distributions_are_sampled(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(sketch, "SAMPLE_ROWS", 500)
    monkeypatch.setattr(sketch, "MOST_CATEGORIES", 100)
    rng = np.random.default_rng(1)
    tables = [traffic(rng, 1_000) for _ in range(5)]
    for at, rows in enumerate(tables):
        write(tmp_path, rows, f"2026-01-31T{12 + at}")
    current, _ = look(tmp_path, tables[0])
    every = {name: [value for one in tables for value in one[name]] for name in tables[0]}
    exact = {name: column(values) for name, values in every.items()}
    found = current.columns
    assert {name: (one.rows, one.present) for name, one in found.items()} == {
        name: (one.rows, one.present) for name, one in exact.items()
    }
    assert found["few"].counts == exact["few"].counts
    assert found["long"].counts == exact["long"].counts
    assert found["normal"].mean == pytest.approx(exact["normal"].mean)
    assert (found["normal"].least, found["normal"].most) == (
        exact["normal"].least,
        exact["normal"].most,
    )
    assert len(found["normal"].numbers) == 500
    assert set(found["normal"].numbers) <= set(exact["normal"].numbers)
    assert found["ids"].counts.total() == 500
    assert len(current.sample["few"]) == 500


def test_the_sample_does_not_depend_on_how_files_were_grouped(tmp_path, monkeypatch):
    monkeypatch.setattr(sketch, "SAMPLE_ROWS", 300)
    rng = np.random.default_rng(2)
    for _ in range(8):
        write(tmp_path, {"x": rng.normal(size=200).tolist()})
    samples = []
    for size in (1, 3, 100):
        monkeypatch.setattr("modelyard.predictions.window.GROUP_FILES", size)
        current, _ = look(tmp_path, {"x": [0.0, 1.0]})
        samples.append(sorted(current.columns["x"].numbers))
    assert samples[0] == samples[1] == samples[2]
    assert len(samples[0]) == 300


def test_a_caller_who_sends_one_id_for_all_requests_is_in_the_sample_as_the_others_are(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(sketch, "SAMPLE_ROWS", 1_000)
    same = {"x": [1.0] * 2_000, "_id": ["test"] * 2_000}
    other = {"x": [0.0] * 2_000, "_id": [str(number) for number in range(2_000)]}
    for rows in (same, other):
        write(tmp_path, {"x": rows["x"]}, _id=rows["_id"])
    current, _ = look(tmp_path, {"x": [0.0, 1.0]})
    assert current.columns["x"].numbers.mean() == pytest.approx(0.5, abs=0.06)


def test_columns_named_as_what_the_reader_adds_are_columns(tmp_path):
    rows = {"file_row_number": [1.0, 2.0], "filename": ["a", "b"], "_file": [3.0, 3.0]}
    write(tmp_path, rows | {"hour": [5.0, 6.0], 'quoted "x"': ["y", "z"]})
    reference = rows | {"hour": [5.0, 6.0], 'quoted "x"': ["y", "z"]}
    current, _ = look(tmp_path, reference)
    assert current.columns["file_row_number"].mean == 1.5
    assert dict(current.columns["filename"].counts) == {"a": 1, "b": 1}
    assert current.columns["_file"].mean == 3
    assert current.columns["hour"].mean == 5.5
    assert dict(current.columns['quoted "x"'].counts) == {"y": 1, "z": 1}


def test_a_column_named_as_the_row_number_does_not_choose_the_sample(tmp_path, monkeypatch):
    monkeypatch.setattr(sketch, "SAMPLE_ROWS", 500)
    rows = {"file_row_number": [7.0] * 2_000}
    write(tmp_path, rows, _id=[str(number) for number in range(2_000)])
    current, _ = look(tmp_path, rows)
    assert len(current.columns["file_row_number"].numbers) == 500


def test_a_column_that_the_log_left_out_is_empty_and_a_new_one_is_kept(tmp_path):
    write(tmp_path, {"x": [1.0, 1.0], "z": [3.0, 4.0]})
    current, _ = look(tmp_path, {"x": [1.0] * 3, "y": [2.0] * 3})
    kinds = {name: (one.kind, one.rows, one.present) for name, one in current.columns.items()}
    assert kinds == {"x": ("numeric", 2, 2), "y": ("missing", 2, 0), "z": ("numeric", 2, 2)}


def test_what_must_not_be_logged_is_not_read(tmp_path):
    write(tmp_path, {"x": [1.0], "card": ["4111"]})
    current, _ = look(tmp_path, {"x": [1.0]}, hidden=frozenset({"card"}))
    assert set(current.columns) == {"x"}


@pytest.mark.parametrize("together", [True, False])
def test_text_among_numbers_is_another_type_and_numbers_as_text_are_numbers(
    tmp_path, monkeypatch, together
):
    monkeypatch.setattr("modelyard.predictions.window.GROUP_FILES", 9 if together else 1)
    numbers = {"a": [1.0, 2.0], "b": [1.0, 2.0], "c": [1.0, 2.0], "d": [1.0, 2.0]}
    texts = {"a": ["3", "nan"], "b": ["3", "three"], "c": ["x", "y"], "d": [1.0, 2.0]}
    write(tmp_path, texts, "2026-01-31T13")
    write(tmp_path, numbers, "2026-01-31T14")
    current, _ = look(tmp_path, {"a": [1.0], "b": [1.0], "c": ["x", "y"], "d": ["x", "y"]})
    kinds = {name: one.kind for name, one in current.columns.items()}
    assert kinds == {"a": "numeric", "b": "category", "c": "category", "d": "numeric"}
    assert (current.columns["a"].present, current.columns["a"].most) == (3, 3.0)


def test_broken_files_are_named_counted_and_left_out(tmp_path):
    for _ in range(5):
        write(tmp_path, {"x": [1.0] * 10})
    folder = tmp_path / "date=2026-01-31" / "hour=13"
    whole = next(folder.glob("*.parquet")).read_bytes()
    (folder / f"{PACKAGE}-cut.parquet").write_bytes(whole[: len(whole) // 2])
    damaged = bytearray(whole)
    damaged[4:60] = b"\xff" * 56
    (folder / f"{PACKAGE}-damaged.parquet").write_bytes(damaged)
    (folder / f"{PACKAGE}-empty.parquet").touch()
    (folder / f".{PACKAGE}-killed.parquet.part").write_bytes(whole[:100])
    (folder / "another-1.parquet").write_bytes(b"not looked at")
    current, seen = look(tmp_path, {"x": [1.0] * 10})
    assert (seen.rows, seen.files, current.columns["x"].rows) == (50, 5, 50)
    assert seen.skipped == {"empty": 1, "half-written": 1, "unreadable": 2}
    named = {one.file.rpartition("/")[2]: one.detail for one in seen.examples}
    assert set(named) == {
        f"{PACKAGE}-cut.parquet",
        f"{PACKAGE}-damaged.parquet",
        f"{PACKAGE}-empty.parquet",
        f".{PACKAGE}-killed.parquet.part",
    }
    assert "No magic bytes found" in named[f"{PACKAGE}-cut.parquet"]
    assert str(tmp_path) not in named[f"{PACKAGE}-cut.parquet"]
    said = seen.in_words()
    assert said.startswith("skipped 4 of 9 files (1 empty, 1 half-written, 2 unreadable), such as ")


def test_a_file_without_the_log_s_own_columns_is_no_file_of_the_log(tmp_path):
    write(tmp_path, {"x": [1.0] * 10})
    writer = Writer(tmp_path)
    writer.write({"x": [1.0] * 10}, HOUR, PACKAGE)
    writer.close()
    _, seen = look(tmp_path, {"x": [1.0]})
    assert (seen.rows, seen.outside + 10 * seen.skipped.get("unreadable", 0)) == (10, 10)


def test_rows_before_the_window_and_late_ones_are_counted(tmp_path):
    times = [
        "2026-01-31T11:59:59.999+00:00",
        "2026-01-31T12:00:00.000+00:00",
        "2026-01-31T12:01:00.000+00:00",
        "2026-01-31T13:59:00.000+00:00",
    ]
    write(tmp_path, {"x": [1.0] * 4}, hour="2026-01-31T14", _time=times)
    write(tmp_path, {"x": [1.0] * 4}, hour="2026-01-31T11", _time=times)
    _, seen = look(tmp_path, {"x": [1.0]})
    assert (seen.rows, seen.outside, seen.late) == (3, 1, 3)
    assert seen.in_words() == "skipped 1 row from before the window"


def test_rows_that_repeat_another_one_near_by_are_counted(tmp_path):
    rng = np.random.default_rng(3)
    values = rng.normal(size=100).tolist()
    write(tmp_path, {"x": values + values[:50], "y": [None] * 150})
    current, _ = look(tmp_path, {"x": rng.normal(size=200).tolist(), "y": ["a"] * 200})
    assert current.repeated == pytest.approx(50 / 150)


def test_rows_that_repeat_one_far_away_are_none(tmp_path):
    write(tmp_path, {"x": [float(row % 500) for row in range(1_000)]})
    current, _ = look(tmp_path, {"x": [float(row) for row in range(200)]})
    assert current.repeated == 0


@pytest.fixture
def memory(tmp_path):
    import fsspec

    files = fsspec.filesystem("memory")
    files.rm("/drift", recursive=True) if files.exists("/drift") else None
    return files


def test_of_an_object_store_only_the_window_s_partitions_are_fetched(tmp_path, memory, monkeypatch):
    for hour in ("2026-01-30T13", "2026-01-31T11", "2026-01-31T13", "2026-02-01T00"):
        write(tmp_path, {"x": [1.0] * 5}, hour)
    memory.put(str(tmp_path), "/drift/log", recursive=True)
    fetched: list[str] = []
    get = type(memory).get

    def recorded(files, paths, targets, **kwargs):
        fetched.extend(paths)
        return get(files, paths, targets, **kwargs)

    monkeypatch.setattr(type(memory), "get", recorded)
    _, seen = look("memory://drift/log", {"x": [1.0]})
    assert seen.rows == 10
    hours = sorted("/".join(path.split("/")[-3:-1]) for path in fetched)
    assert hours == ["date=2026-01-31/hour=13", "date=2026-02-01/hour=00"]


def test_a_file_that_vanishes_before_it_is_fetched_is_named(tmp_path, memory, monkeypatch):
    for _ in range(2):
        write(tmp_path, {"x": [1.0] * 5})
    memory.put(str(tmp_path), "/drift/log", recursive=True)
    get = type(memory).get

    def slow(files, paths, targets, **kwargs):
        if len(paths) == 2:
            files.rm_file(paths[0])
        return get(files, paths, targets, **kwargs)

    monkeypatch.setattr(type(memory), "get", slow)
    _, seen = look("memory://drift/log", {"x": [1.0]})
    assert (seen.rows, seen.skipped) == (5, {"vanished": 1})


def test_a_log_in_s3_is_read_and_a_misspelt_prefix_or_bucket_holds_none(tmp_path, monkeypatch):
    pytest.importorskip("moto")
    pytest.importorskip("s3fs")
    import fsspec

    from tests.standin.s3 import store

    with store() as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        fsspec.get_filesystem_class("s3").clear_instance_cache()
        files = fsspec.filesystem("s3")
        files.mkdir("yard")
        for hour in ("2026-01-31T11", "2026-01-31T12", "2026-01-31T13"):
            write(tmp_path, {"x": [1.0] * 5}, hour)
        files.put(f"{tmp_path}/", "yard/log/", recursive=True)
        files.pipe(f"yard/log/date=2026-01-31/hour=13/{PACKAGE}-cut.parquet", b"PAR1")
        _, seen = look("s3://yard/log", {"x": [1.0]})
        assert (seen.rows, seen.files, seen.skipped) == (10, 2, {"unreadable": 1})
        for wrong in ("s3://yard/lgo", "s3://yrad/log"):
            _, seen = look(wrong, {"x": [1.0]})
            assert seen.newest.startswith(
                f"{wrong} holds no prediction log: no such folder, bucket"
            )


def test_a_place_without_rows_says_what_it_holds(tmp_path, memory):
    memory.makedirs("/drift/log", exist_ok=True)
    _, seen = look("memory://drift/logg", {"x": [1.0]})
    assert seen.newest.startswith("memory://drift/logg holds no prediction log: no such folder")
    write(tmp_path, {"x": [1.0]}, "2026-01-30T09")
    _, seen = look(tmp_path, {"x": [1.0]})
    assert seen.newest == (
        f"the newest rows in {tmp_path} are of 2026-01-30 09:00 UTC, by this package"
    )
    write(tmp_path, {"x": [1.0]}, "2026-01-31T13", "another")
    _, seen = look(tmp_path, {"x": [1.0]})
    assert seen.newest == (
        f"the newest rows in {tmp_path} are of 2026-01-31 13:00 UTC, by package another; those of "
        f"package {PACKAGE} end with 2026-01-30 09:00 UTC"
    )
    for file in tmp_path.glob("date=2026-01-30/*/*"):
        file.unlink()
    _, seen = look(tmp_path, {"x": [1.0]})
    assert seen.newest.endswith(f"none of the last 31 days with rows are by package {PACKAGE}")


def test_a_group_that_is_too_much_for_the_memory_is_read_by_halves(tmp_path, monkeypatch):
    import duckdb

    for _ in range(8):
        write(tmp_path, {"x": [1.0] * 5})
    tried: list[int] = []
    add = Sketch.add

    def cramped(sketch, files):
        tried.append(len(files))
        if len(files) > 2:
            raise duckdb.OutOfMemoryException("no room")
        add(sketch, files)

    monkeypatch.setattr(Sketch, "add", cramped)
    _, seen = look(tmp_path, {"x": [1.0]})
    assert (seen.rows, seen.files, seen.skipped) == (40, 8, {})
    assert tried == [8, 4, 2, 2, 4, 2, 2]


def test_a_wide_table_has_fewer_rows_in_the_sample(tmp_path, monkeypatch):
    monkeypatch.setattr(sketch, "SAMPLE_CELLS", 1_000)
    rows = {f"c{number}": [float(row) for row in range(300)] for number in range(10)}
    for _ in range(20):
        write(tmp_path, rows)
    monkeypatch.setattr("modelyard.predictions.window.GROUP_FILES", 1)
    current, _ = look(tmp_path, rows)
    assert {len(one.numbers) for one in current.columns.values()} == {100}
    assert {one.present for one in current.columns.values()} == {6_000}


def test_more_rows_than_memory_are_written_to_the_temporary_folder(tmp_path):
    rng = np.random.default_rng(4)
    rows = 150_000
    names = [f"c{number}" for number in range(8)]
    values = [f"{number}-{'x' * 30}" for number in rng.integers(0, 15_000, rows)]
    for _ in range(2):
        write(tmp_path, dict.fromkeys(names, values))
    reference = {name: column(["a", "b"]) for name in names}
    spill = tmp_path / "spill"
    small = Sketch(reference, spill, since="2026", memory="150MB")
    small.add(list(tmp_path.rglob("*.parquet")))
    assert spill.exists()
    assert all(one.present == 2 * rows for one in small.columns().values())


HOURS = ("2026-01-31T12", "2026-01-31T13", "2026-01-31T15")


@pytest.fixture
def three_hours(tmp_path):
    """60 rows in each of three hours, a minute apart, in two files each; others by another package,
    and a file that cannot be read."""
    for hour in HOURS:
        for half in (range(30), range(30, 60)):
            times = [f"{hour}:{at:02d}:00.000+00:00" for at in half]
            write(tmp_path, {"x": [1.0] * 30}, hour, _time=times)
        write(tmp_path, {"x": [9.0] * 60}, hour, package="ba9876543210")
    broken = tmp_path / "date=2026-01-31" / "hour=15" / f"{PACKAGE}-broken.parquet"
    broken.write_bytes(b"PAR1 cut off")
    return tmp_path


@pytest.mark.parametrize(
    ("rows", "since"),
    [
        (10, "2026-01-31T15:50:00+00:00"),
        (60, "2026-01-31T15:00:00+00:00"),
        (61, "2026-01-31T13:59:00+00:00"),
        (180, "2026-01-31T12:00:00+00:00"),
        (181, "2026-01-31T11:30:00+00:00"),
    ],
)
def test_a_window_by_count_begins_with_the_oldest_of_the_newest_rows(three_hours, rows, since):
    earliest = datetime(2026, 1, 31, 11, 30, tzinfo=UTC)
    found = newest_since(three_hours, earliest, PACKAGE, rows)
    assert found == datetime.fromisoformat(since)
    _, seen = look(three_hours, {"x": [1.0] * 50}, since=found)
    assert seen.rows == min(rows, 180)
    assert seen.skipped == {"unreadable": 1}


def test_a_window_by_count_reads_no_older_hour_than_it_needs(three_hours, monkeypatch):
    read = []
    here = LogPlace.here
    monkeypatch.setattr(
        LogPlace,
        "here",
        lambda log, files: read.extend(file.hour for file in files) or here(log, files),
    )
    newest_since(three_hours, SINCE, PACKAGE, 30)
    assert set(read) == {HOURS[-1]}


def test_all_rows_of_a_reference_can_be_drawn_for_the_report(tmp_path):
    """Its first ones only would be the oldest of a table in the order of time."""
    rows = [{"day": float(day)} for day in range(5_000)]
    write_parquet(rows, tmp_path / "reference.parquet")
    reference = reference_of(tmp_path, NONE_HIDDEN)
    chosen = [reference.sample["day"][row] for row in second.chosen(reference.sample)]
    assert len(set(chosen)) == DRAWN_ROWS
    assert min(chosen) < 250
    assert max(chosen) > 4_750
