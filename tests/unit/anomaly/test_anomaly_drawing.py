"""Rows without a time: a table is drawn into its splits, a series is divided as it stands."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from modelyard.errors import UsageError
from modelyard.families.anomaly.parts import PARTS, Part
from tests.unit.anomaly.test_anomaly_data import built, table, write

ROWS = 400


def rows_of(features: Path, name: str) -> list[float]:
    """Row numbers of a part, from 0."""
    numbers: list[float] = Part.load(features, name).time.tolist()
    return numbers


def marks_of(features: Path) -> list[int]:
    """Labelled anomalies of each part."""
    return [int((Part.load(features, name).label == 1).sum()) for name in PARTS]


def table_of(values: np.ndarray, label: list[int] | None = None) -> dict[str, list[object]]:
    columns: dict[str, list[object]] = {"a": values.tolist(), "b": (-values).tolist()}
    if label is not None:
        columns["label"] = list(label)
    return columns


def apart() -> np.ndarray:
    """Values of rows that do not follow each other."""
    return np.round(np.random.default_rng(0).normal(size=ROWS), 4)


def walk() -> np.ndarray:
    """Values of a series."""
    return np.round(np.random.default_rng(0).normal(size=ROWS).cumsum(), 4)


@pytest.mark.parametrize("first", [True, False])
def test_a_table_that_is_sorted_by_its_label_has_anomalies_in_every_split(
    tmp_path: Path, first: bool
) -> None:
    label = [1] * 40 + [0] * 360
    if not first:
        label = label[::-1]
    found, features = built(tmp_path, write(tmp_path / "raw", "t.csv", table_of(apart(), label)))
    assert marks_of(features) == [18, 8, 4, 10]
    assert "splits are drawn at random" in found["headline"]
    assert "features.split=time" in found["headline"]


def test_drawn_splits_hold_each_row_once_and_few_rows_are_enough(tmp_path: Path) -> None:
    short = {name: cells[:100] for name, cells in table_of(apart()).items()}
    _, features = built(tmp_path, write(tmp_path / "raw", "t.csv", short), window=24)
    seen = []
    for name in PARTS:
        seen += rows_of(features, name)
    assert sorted(seen) == list(range(100))
    assert [len(rows_of(features, name)) for name in PARTS] == [45, 20, 10, 25]


def test_a_row_stays_in_its_split_when_rows_are_added(tmp_path: Path) -> None:
    values = apart()
    _, few = built(tmp_path / "few", write_in(tmp_path / "few", values[:300]))
    _, more = built(tmp_path / "more", write_in(tmp_path / "more", values))
    tested, learned = set(rows_of(few, "test")), set(rows_of(more, "train"))
    assert len(tested & learned) == 0


def write_in(folder: Path, values: np.ndarray) -> Path:
    folder.mkdir()
    return write(folder / "raw", "t.csv", table_of(values))


@pytest.mark.parametrize("late", [True, False])
def test_rows_that_follow_each_other_are_divided_as_they_stand(tmp_path: Path, late: bool) -> None:
    label = [0] * ROWS
    if late:
        # A machine that breaks: one block too, and the latest rows hold both.
        label = [0] * 370 + [1] * 30
    raw = write(tmp_path / "raw", "t.csv", table_of(walk(), label))
    found, features = built(tmp_path, raw)
    assert rows_of(features, "train") == list(range(len(rows_of(features, "train"))))
    assert "the later rows test" in found["headline"]


def test_a_series_sorted_by_its_label_is_drawn_where_the_test_rows_would_be_of_one_kind(
    tmp_path: Path,
) -> None:
    label = [1] * 40 + [0] * 360
    _, features = built(tmp_path, write(tmp_path / "raw", "t.csv", table_of(walk(), label)))
    assert marks_of(features) == [18, 8, 4, 10]


def test_labels_alone_do_not_make_neighbours_alike(tmp_path: Path) -> None:
    # Blocks of each label, which no split would be of one kind for.
    label = ([0] * 20 + [1] * 20) * 10
    values = apart() + 50 * np.array(label)
    found, _ = built(tmp_path, write(tmp_path / "raw", "t.csv", table_of(values, label)))
    assert "splits are drawn at random" in found["headline"]


def test_the_setting_decides_against_the_rows(tmp_path: Path) -> None:
    raw = write(tmp_path / "raw", "t.csv", table_of(apart()))
    _, features = built(tmp_path, raw, split="time")
    assert rows_of(features, "train") == list(range(len(rows_of(features, "train"))))
    raw = write(tmp_path / "walk", "t.csv", table_of(walk()))
    _, features = built(tmp_path, raw, split="random")
    assert rows_of(features, "train") != list(range(len(rows_of(features, "train"))))


def test_rows_with_a_time_are_not_drawn(tmp_path: Path) -> None:
    raw = write(tmp_path / "raw", "t.csv", table())
    found, _ = built(tmp_path, raw)
    assert "drawn" not in found["headline"]
    with pytest.raises(UsageError, match=r"'random'.*'time'.*features\.drop"):
        built(tmp_path, raw, split="random")


def test_a_short_series_without_a_time_needs_no_window_in_each_part(tmp_path: Path) -> None:
    short = {name: cells[:200] for name, cells in table_of(walk()).items()}
    found, features = built(tmp_path, write(tmp_path / "raw", "t.csv", short), window=24)
    assert [len(rows_of(features, name)) for name in PARTS] == [57, 25, 12, 32]
    assert found["dropped"] == {"between the splits": 74}
