"""Logs with columns of words: labels where one says what is normal, else no measurements."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelyard.families.anomaly.parts import Part
from modelyard.families.anomaly.schema import Schema
from tests.unit.anomaly.test_anomaly_data import ROWS, built, refused, table, write


def log(column: str, words: list[str], **others: list[Any]) -> dict[str, list[Any]]:
    """A log whose rows repeat the words, block by block of twelve."""
    cells = [words[row // 12 % len(words)] for row in range(ROWS)]
    return {**table(), column: cells, **others}


@pytest.mark.parametrize(
    ("column", "words"),
    [
        ("machine_status", ["NORMAL", "BROKEN", "RECOVERING"]),
        ("Normal/Attack", ["Normal", "Attack"]),
        ("verdict", ["no fault", "fault", ""]),
        # Called as marks of 0 and 1 are.
        ("fault", ["no", "yes"]),
        ("attack", ["normal", "dos", "probe", "unknown"]),
    ],
)
def test_words_of_which_one_means_normal_are_the_labels(
    tmp_path: Path, column: str, words: list[str]
) -> None:
    columns = log(column, words)
    summary, out = built(tmp_path, write(tmp_path / "raw", "pump.csv", columns))
    schema = Schema.load(out / "assets")
    assert schema.labelled
    assert schema.names == ["heat", "load"]
    assert summary["headline"].endswith(f"; labels: {column}")
    assert any(f"{words[0]} is normal; anomalies: " in note for note in summary["notes"])
    part = Part.load(out, "train")
    expected = []
    for word in columns[column][: len(part.label)]:
        expected.append({words[0]: 0, "": -1, "unknown": -1}.get(word, 1))
    assert part.label.tolist() == expected
    several = [word for word in words[1:] if word not in ("", "unknown")]
    assert list(schema.kinds) == (sorted(several) if len(several) > 1 else [])


@pytest.mark.parametrize(("cells", "expected"), [([""], {-1}), (["0", "1"], {0, 1})])
def test_each_machine_may_be_labelled_in_its_own_way_or_not_at_all(
    tmp_path: Path, cells: list[str], expected: set[int]
) -> None:
    raw = write(tmp_path / "raw", "a.csv", log("state", ["NORMAL", "BROKEN"]))
    write(tmp_path / "raw", "b.csv", log("state", cells))
    summary, out = built(tmp_path, raw)
    assert summary["headline"].endswith("; labels: state")
    assert Schema.load(out / "assets").names == ["heat", "load"]
    part = Part.load(out, "train")
    found = [set(part.label[part.series == series].tolist()) for series in (0, 1)]
    assert found == [{0, 1}, expected]


def test_true_and_false_below_a_name_of_marks_are_labels(tmp_path: Path) -> None:
    raw = write(tmp_path / "raw", "pump.csv", log("is_anomaly", ["False", "True"]))
    summary, out = built(tmp_path, raw)
    assert summary["headline"].endswith("; labels: is_anomaly")
    assert set(Part.load(out, "train").label.tolist()) == {0, 1}


def test_a_label_in_words_without_one_for_normal_is_refused(tmp_path: Path) -> None:
    raw = write(tmp_path / "raw", "pump.csv", log("state", ["run", "stop"]))
    message = refused(tmp_path, raw, label_column="state")
    assert "column 'state': holds words of which none means normal: run, stop" in message


def test_other_words_and_empty_columns_are_left_out_and_named(tmp_path: Path) -> None:
    columns = log("mode", ["on", "off"], note=[""] * ROWS)
    summary, out = built(tmp_path, write(tmp_path / "raw", "pump.csv", columns))
    assert Schema.load(out / "assets").names == ["heat", "load"]
    assert summary["left_out"] == ["mode", "note"]
    assert "Left out: mode: words, not measurements" in summary["notes"]
    assert "Left out: note: empty in every row" in summary["notes"]
    assert sum(summary["rows"].values()) > ROWS / 2


def test_a_word_among_numbers_is_an_error_to_fix(tmp_path: Path) -> None:
    columns = table()
    columns["heat"][3] = "broken"
    message = refused(tmp_path, write(tmp_path / "raw", "pump.csv", columns))
    assert "row 4, column 'heat': 'broken' is not a number" in message


def test_a_log_of_nothing_but_words_is_refused_with_the_reasons(tmp_path: Path) -> None:
    columns = {"time": table()["time"], "mode": ["on", "off"] * (ROWS // 2)}
    message = refused(tmp_path, write(tmp_path / "raw", "pump.csv", columns))
    assert "holds no column of measurements (mode: words, not measurements)" in message


def test_modes_of_which_one_is_called_normal_are_no_labels(tmp_path: Path) -> None:
    columns = log("mode", ["normal", "eco", "sport"])
    summary, out = built(tmp_path, write(tmp_path / "raw", "pump.csv", columns))
    assert not Schema.load(out / "assets").labelled
    assert summary["left_out"] == ["mode"]


def test_two_columns_that_say_what_is_normal_are_no_labels(tmp_path: Path) -> None:
    columns = log("a", ["ok", "bad"], b=["normal", "late"] * (ROWS // 2))
    summary, out = built(tmp_path, write(tmp_path / "raw", "pump.csv", columns))
    assert not Schema.load(out / "assets").labelled
    assert summary["left_out"] == ["a", "b"]
    assert np.all(Part.load(out, "train").label == -1)


def test_words_that_may_be_labels_are_named_with_what_to_type(tmp_path: Path) -> None:
    columns = log("c42", ["normal", "neptune", "smurf"])
    summary, _ = built(tmp_path, write(tmp_path / "raw", "log.csv", columns))
    hint = "; no labels: if c42 holds them, type --set features.label_column=c42"
    assert summary["headline"].endswith(hint)
    (tmp_path / "again").mkdir()
    summary, _ = built(tmp_path / "again", tmp_path / "raw", label_column="c42")
    assert summary["labelled"] == "yes"
    assert "no labels" not in summary["headline"]


def test_a_column_of_words_may_hold_a_number_now_and_then(tmp_path: Path) -> None:
    columns = table()
    columns["merchant"] = [f"shop {n % 30}" if n % 50 else str(n) for n in range(ROWS)]
    summary, out = built(tmp_path, write(tmp_path / "raw", "pump.csv", columns))
    assert Schema.load(out / "assets").names == ["heat", "load"]
    assert "Left out: merchant: words, not measurements" in summary["notes"]
