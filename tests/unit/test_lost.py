"""What a family leaves out of the data is counted in the line of the features stage."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from modelyard.stages.features import features as features_stage
from modelyard.stages.ingest import ingest
from modelyard.stages.lost import losses
from modelyard.stages.run import Run
from tests.unit.anomaly import test_anomaly_data as machines
from tests.unit.recommender import test_recommender_data as shop
from tests.unit.tabular.conftest import customers

STORIES = [f"Story {number}: " + f"the fox met hen {number} and ran. " * 20 for number in range(30)]


def _line(tmp_path: Path, family: str, data: Path, **features: Any) -> str:
    run = Run.of(family, {"data": {"uri": str(data)}, "features": features})
    ingest(run, dataset=tmp_path / "dataset")
    out = tmp_path / "features"
    headline = features_stage(run, dataset=tmp_path / "dataset", features=out)
    # The card's line is that of the terminal.
    assert json.loads((out / "summary.json").read_text())["headline"] == headline
    return headline


def test_rows_without_a_target_and_columns_of_a_table(tmp_path: Path) -> None:
    frame = customers()
    frame.loc[:9, "churn"] = None
    frame.to_csv(tmp_path / "data.csv", index=False)
    line = _line(tmp_path, "tabular", tmp_path / "data.csv", target="churn")
    assert "; 10 of 400 rows dropped: without churn" in line
    assert line.endswith("; left out: customer, unit")


def test_rows_windows_and_columns_of_machines(tmp_path: Path) -> None:
    columns = machines.table() | {"stuck": [5] * machines.ROWS}
    columns["heat"][20:24] = [""] * 4
    raw = machines.write(tmp_path / "raw", "pump.csv", columns)
    line = _line(tmp_path, "anomaly", raw, window=8)
    assert "; 29 of 300 rows dropped: between the splits (25), with an empty cell (4)" in line
    assert "; 7 windows dropped: across a gap" in line
    assert line.endswith("; left out: stuck")


def test_interactions_and_columns_of_a_log(tmp_path: Path) -> None:
    table = shop.rows()
    lines = shop.text([*table, table[3], table[4]]).splitlines()
    header = shop.HEADER.strip()
    content = "\n".join([f"{header},age", *(f"{line},7" for line in lines)])
    (tmp_path / "ratings.csv").write_text(content)
    line = _line(tmp_path, "recommender", tmp_path / "ratings.csv")
    assert "; 2 of 182 interactions dropped: duplicate row; left out: age" in line


def test_documents_of_a_text(tmp_path: Path) -> None:
    texts = [*STORIES, STORIES[0], " "]
    lines = (json.dumps({"text": text}) for text in texts)
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "texts.jsonl").write_text("\n".join(lines))
    (folder / "cover.png").write_bytes(b"\x89PNG")
    line = _line(tmp_path, "language", folder, vocabulary=300)
    assert "; 2 of 32 documents dropped: identical (1), empty (1)" in line
    assert "; 1 file dropped: of another kind" in line


def test_pictures_that_are_not_read(tmp_path: Path) -> None:
    from tests.unit.image import test_image_data as pictures

    raw = pictures.scans(tmp_path / "raw")
    (raw / "dark/a.heic").write_bytes(b"ftypheic")
    (raw / "dark/Thumbs.db").write_text("x")
    line = _line(tmp_path, "image", raw)
    assert "; 1 of 33 pictures dropped: .heic is not read: save it as .png" in line
    assert "; 1 file dropped: not a picture" in line


@pytest.mark.parametrize(
    ("summary", "said"),
    [
        ({"rows": {"train": 5}, "dropped": {}}, ""),
        ({"rows": {"train": 5}, "dropped": {"no target": 0}}, ""),
        (
            {"rows": {"train": 3_000, "test": 988}, "dropped": {"no target": 12}},
            "; 12 of 4,000 rows dropped: no target",
        ),
        (
            {"rows": {"train": 5}, "dropped": {"columns: constant": 2, "columns: id-like": 1}},
            "; 3 columns dropped: constant (2), id-like (1)",
        ),
        (
            {"rows": {"train": 5}, "dropped": {"boxes: empty": 1, "files: empty": 1}},
            "; 1 box dropped: empty; 1 file dropped: empty",
        ),
        (
            {"rows": {"train": 5}, "dropped": {"columns: constant": 6}, "left_out": list("abcdef")},
            "; left out: a, b, c, d, … (6 columns)",
        ),
        (
            {"rows": {"a": 1}, "dropped": {"a": 1, "b": 2, "c": 3, "d": 4}, "unit": "clips"},
            "; 10 of 11 clips dropped: d (4), c (3), b (2), …",
        ),
    ],
)
def test_the_clause_counts_by_reason(summary: dict[str, Any], said: str) -> None:
    assert losses(summary) == said
