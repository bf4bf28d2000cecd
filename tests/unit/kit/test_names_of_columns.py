"""Names of columns that nearly meet: blanks around them, upper and lower case, derived columns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from modelyard.errors import BadData
from modelyard.families.anomaly.host import AnomalyHost, Answer
from modelyard.families.anomaly.schema import Column as Measured
from modelyard.families.anomaly.schema import Detector, Schema
from modelyard.families.tabular.host import TabularHost, ValueAnswer
from modelyard.families.tabular.schema import TableSchema
from modelyard.kit.tables import Table, read_table
from tests.unit.tabular.conftest import WORDS, built, write

COLUMNS = {"a ": ["1", "2"], "b": ["3", "4"], " c d": ["5", "6"]}


def _saved(tmp_path: Path, columns: dict[str, list[str]], kind: str) -> Path:
    file = tmp_path / f"table.{kind}"
    frame = pd.DataFrame(columns)
    if kind == "csv":
        frame.to_csv(file, index=False)
    else:
        frame.to_parquet(file)
    return file


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_blanks_around_a_name_are_no_part_of_it_and_it_is_said(tmp_path: Path, kind: str) -> None:
    table: Table = read_table(_saved(tmp_path, COLUMNS, kind))
    assert table.names == ["a", "b", "c d"]
    said = "blanks around names of columns are not part of them: 'a ', ' c d'"
    assert said in table.notes
    plain = read_table(_saved(tmp_path, {"a": ["1"], "c d": ["2"]}, kind))
    assert plain.notes == []


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_names_that_differ_only_in_blanks_are_refused(tmp_path: Path, kind: str) -> None:
    file = _saved(tmp_path, {"x": ["1"], "x ": ["2"], "y": ["3"]}, kind)
    with pytest.raises(BadData, match=r"only in the blanks around their names: 'x', 'x '"):
        read_table(file)


def _notes(rows: int = 120) -> pd.DataFrame:
    r = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "note": [" ".join(r.choice(WORDS, 6)) for _ in range(rows)],
            "note: words": np.round(r.normal(500, 9, rows), 2),
            "when": pd.date_range("2026-01-01", periods=rows, freq="7h").strftime("%Y-%m-%dT%H:%M"),
            "WHEN: hour": np.round(r.normal(900, 9, rows), 2),
            "Size": np.round(r.normal(1, 0.1, rows), 3),
            "size": np.round(r.normal(2, 0.1, rows), 3),
            "price": np.round(r.normal(3, 1, rows), 3),
        }
    )


def test_inputs_named_as_derived_columns_or_alike_but_for_case_are_all_watched(
    tmp_path: Path,
) -> None:
    frame = _notes()
    _, out = built(tmp_path, write(tmp_path, frame), target="price", split="random")
    schema = TableSchema.load(out / "assets")
    assert [column.name for column in schema.inputs] == list(frame.columns[:-1])
    host = TabularHost(out / "assets")
    body = {name: frame[name].tolist()[0] for name in frame.columns[:-1]}
    row = host.describe(host.Request.model_validate(body), ValueAnswer(value=3.0))
    assert row["note: words"] == body["note: words"]
    assert row["derived.note: words"] == 6.0
    assert row["WHEN: hour"] == body["WHEN: hour"]
    assert row["derived.when: hour"] == 0.0
    assert row["Size"] == body["Size"]
    assert row["input.size"] == body["size"]


def test_a_measurement_named_as_a_spread_is_watched_beside_the_spread(tmp_path: Path) -> None:
    figures = {"mean": 0, "spread": 1, "median": 0, "minimum": -1, "maximum": 1}
    columns = [Measured(name=name, **figures) for name in ("x", "x: spread")]
    Schema(columns=columns, window=2, step=None, labelled=False, series=["a"], kinds=[]).save(
        tmp_path
    )
    Detector(kind="lstm", window=2, false_alarm_rate=0.01).save(tmp_path)
    host = AnomalyHost(tmp_path)
    window = [{"x": 1.0, "x: spread": 50.0}, {"x": 3.0, "x: spread": 50.0}]
    answer = Answer(score=0, threshold=1, anomaly=False, severity=0, contributions={})
    row = host.describe(host.Request.model_validate({"window": window}), answer)
    assert row["x: spread"] == 50.0
    assert row["derived.x: spread"] == 1.0
    assert row["x: spread: spread"] == 0.0
