"""A table whose columns are named as the answer's fields or as the prediction log's own columns."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pandas as pd

from modelyard.drift.verdict import Verdict
from modelyard.packages.package import Package
from modelyard.predictions.files import read_log
from modelyard.predictions.log import PredictionLog
from modelyard.stages.monitor import monitor
from modelyard.store.tables import read_parquet
from tests.toy.build import build

ROWS = 400


def table() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "Score": np.round(rng.normal(10, 2, ROWS), 2),
            "label": rng.choice(["red", "green"], ROWS),
            "_id": np.round(rng.normal(0, 1, ROWS), 2),
            "_latency_ms": np.round(rng.normal(500, 50, ROWS), 1),
        }
    )
    frame["bought"] = np.where(frame["Score"] + rng.normal(0, 1, ROWS) > 10, "yes", "no")
    return frame


def test_inputs_and_answers_are_logged_and_watched_apart(tmp_path, monkeypatch):
    monkeypatch.setenv("MODELYARD_HOME", str(tmp_path / "home"))
    frame = table()
    frame.to_csv(tmp_path / "table.csv", index=False)
    log_folder = tmp_path / "log"
    config = {
        "data": {"uri": str(tmp_path / "table.csv")},
        "features": {"target": "bought"},
        "model": {"kind": "linear"},
        "monitor": {"log": str(log_folder)},
    }
    built = build(tmp_path / "run", "first", config, family="tabular")
    package = Package(built.package)
    reference = read_parquet(built.package / "reference.parquet")
    names = ["Score", "label", "input._id", "input._latency_ms", "answer.score", "answer.label"]
    assert list(reference) == names

    # Traffic in which one input alone moved: what the log's own column of that name would hide.
    inputs = frame.drop(columns="bought")
    inputs["_latency_ms"] += 1000
    requests = [package.parse(body) for body in inputs.to_dict("records")]
    answers = package.host.predict(package.run, requests)
    log = PredictionLog(log_folder, package)
    log.add("call", datetime.now(UTC).timestamp(), 1.5, requests, answers)
    log.close()
    logged = read_log(log_folder)
    assert logged["Score"] == inputs["Score"].tolist()
    assert logged["label"] == inputs["label"].tolist()
    assert logged["input._id"] == inputs["_id"].tolist()
    assert logged["answer.score"] == [answer.score for answer in answers]
    assert logged["answer.label"] == [answer.label for answer in answers]
    assert logged["_id"][:2] == ["call-0", "call-1"]
    assert set(logged["_latency_ms"]) == {1.5}

    monitor(built.run, verdict=tmp_path / "verdict", package=built.package)
    verdict = Verdict.model_validate_json((tmp_path / "verdict" / "verdict.json").read_text())
    assert {column.name for column in verdict.columns} == set(names)
    assert "input._latency_ms" in {column.name for column in verdict.columns if column.drifted}
    assert "Score" not in {column.name for column in verdict.columns if column.drifted}
