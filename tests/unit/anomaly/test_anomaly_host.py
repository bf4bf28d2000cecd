"""The answering half: what may be asked, what is answered, what drift sees."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydantic import BaseModel, ValidationError

from modelyard.drift.statistics import compare
from modelyard.errors import BrokenArtifact
from modelyard.families.anomaly.host import AnomalyHost, Answer, request_model
from modelyard.families.anomaly.samples import COLUMNS, simulate
from modelyard.families.anomaly.schema import Column, Detector, Schema
from modelyard.families.anomaly.scoring import scores, severity, usual_errors
from modelyard.settings.monitor import MonitorSettings
from tests.unit.anomaly.conftest import WINDOW, Trained, all_windows

TrainedKind = Callable[[str], Trained]
ODD = ["Temp. [°C]", "class", "model_dump", "values"]


def schema() -> Schema:
    columns = [
        Column(name=name, mean=0, spread=1, median=0.5, minimum=-1, maximum=1) for name in ODD
    ]
    return Schema(columns=columns, window=3, step=300, labelled=False, series=["a.csv"], kinds=[])


def test_columns_of_any_name_are_fields_of_the_request(tmp_path: Path) -> None:
    schema().save(tmp_path)
    Detector(kind="ocsvm", window=1, false_alarm_rate=0.01).save(tmp_path)
    host = AnomalyHost(tmp_path)
    body = {"values": dict(zip(ODD[::-1], [4, 3, 2, 1.5], strict=True))}
    request = host.Request.model_validate(body)
    assert host.windows([request]).tolist() == [[[1.5, 2, 3, 4]]]
    assert request.model_dump(mode="json") == {
        "values": dict(zip(ODD, [1.5, 2, 3, 4], strict=True))
    }


def test_columns_named_as_the_answers_fields_are_described_beside_them(tmp_path: Path) -> None:
    names = ["score", "anomaly", "_time"]
    columns = [
        Column(name=name, mean=0, spread=1, median=0.5, minimum=-1, maximum=1) for name in names
    ]
    schema().model_copy(update={"columns": columns}).save(tmp_path)
    Detector(kind="ocsvm", window=1, false_alarm_rate=0.01).save(tmp_path)
    host = AnomalyHost(tmp_path)
    request = host.Request.model_validate({"values": dict(zip(names, [1, 2, 3], strict=True))})
    answer = Answer(score=0.5, threshold=0.4, anomaly=True, severity=1.1, contributions={})
    assert host.describe(request, answer) == {
        "score": 1.0,
        "anomaly": 2.0,
        "input._time": 3.0,
        "answer.score": 0.5,
        "answer.anomaly": "yes",
    }


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"class": "hot"}, "class"),
        ({"class": float("nan")}, "finite"),
        ({"class": 1e31}, "less than or equal"),
        ({"class": True}, "valid number"),
        ({"class": None}, "class"),
        ({"unheard": 1}, "unheard"),
    ],
)
def test_a_wrong_measurement_is_refused_by_name(values: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        request_model(schema(), 1).model_validate({"values": dict.fromkeys(ODD, 0.0) | values})


def test_a_window_of_another_length_is_told_what_is_needed() -> None:
    model, row = request_model(schema(), 3), dict.fromkeys(ODD, 1.0)
    model.model_validate({"window": [row] * 3})
    for rows in (0, 2, 4):
        with pytest.raises(
            ValidationError, match=f"3 consecutive rows are needed, oldest first; seen: {rows}"
        ):
            model.model_validate({"window": [row] * rows})
    shown = model.model_json_schema()["properties"]["window"]
    assert (shown["minItems"], shown["maxItems"]) == (3, 3)
    assert "300 apart" in shown["description"]


def test_extreme_measurements_get_a_finite_score_and_an_alarm(trained: TrainedKind) -> None:
    for kind in ("autoencoder", "deepsvdd", "iforest", "ocsvm"):
        one = trained(kind)
        for value in (1e30, -1e30):
            (answer,) = one.host.predict(
                one.run,
                [one.host.Request.model_validate({"values": dict.fromkeys(COLUMNS, value)})],
            )
            assert isinstance(answer, Answer)
            assert np.isfinite(answer.score)
            assert answer.anomaly, kind


def test_scores_are_those_of_the_formulas() -> None:
    rng = np.random.default_rng(0)
    errors = rng.normal(0, [[1.0, 3.0]] * 4, (5000, 4, 2)).astype(np.float32)
    scale = usual_errors(errors)
    assert scale == pytest.approx(np.array([[1.0, 3.0]] * 4), rel=0.06)
    one = Detector(kind="lstm", window=4, recent=2, false_alarm_rate=0.01, error_scale=[[1, 3]] * 4)
    expected = [
        np.mean([(e[t][c] / (1, 3)[c]) ** 2 for t in (2, 3) for c in (0, 1)])
        for e in errors[:3].tolist()
    ]
    assert scores(one, {"errors": errors[:3]}) == pytest.approx(expected, rel=1e-5)
    svdd = Detector(kind="deepsvdd", window=1, false_alarm_rate=0.01, centre=[1, 2])
    assert scores(svdd, {"embedding": np.array([[4, 6]], np.float32)}).tolist() == [25]
    level = Detector(kind="ocsvm", window=1, false_alarm_rate=0.01, typical=-3, threshold=-1)
    assert severity(level, np.array([-3.0, -1.0, 3.0])).tolist() == [0, 1, 3]


@pytest.mark.parametrize("kind", ["neighbours", "autoencoder", "lstm"])
def test_drift_is_seen_when_the_machine_wears_and_not_when_it_runs_on(
    kind: str, trained: TrainedKind
) -> None:
    one = trained(kind)

    def described(drift: float, seed: int) -> dict[str, list[object]]:
        requests: list[BaseModel] = []
        window = one.host.detector.window
        for machine in range(3):
            rng = np.random.default_rng([seed, machine])
            x = simulate(machine, 4000, rng, drift).astype(np.float32)
            for rows_of in all_windows(x, window)[::10]:
                content = [
                    dict(zip(COLUMNS, row, strict=True)) for row in rows_of.astype(float).tolist()
                ]
                body = {"values": content[0]} if window == 1 else {"window": content}
                requests.append(one.host.Request.model_validate(body))
        answers = one.host.predict(one.run, requests)
        rows = [
            one.host.describe(request, answer)
            for request, answer in zip(requests, answers, strict=True)
        ]
        return {name: [row[name] for row in rows] for name in rows[0]}

    reference = described(0, 1)
    drifted = {
        one.name for one in compare(reference, described(1, 2), MonitorSettings()) if one.drifted
    }
    assert {"bearing_temperature", "vibration", "ambient", "score", "anomaly"} <= drifted
    assert not {"speed", "current", "pressure"} & drifted
    assert not [
        one.name for one in compare(reference, described(0, 3), MonitorSettings()) if one.drifted
    ]
    assert ("speed: spread" in reference) == (kind == "lstm")


def test_requests_are_spread_over_all_series_and_the_whole_split(trained: TrainedKind) -> None:
    one = trained("lstm")
    bodies = one.family.requests(one.features, "test", 30)
    assert [len(body["window"]) for body in bodies] == [WINDOW] * 30
    whole = one.family.requests(one.features, "test")
    assert (bodies[0], bodies[-1]) == (whole[0], whole[-1])


def test_missing_assets_are_named(tmp_path: Path) -> None:
    schema().save(tmp_path)
    with pytest.raises(BrokenArtifact, match=r"detector.json cannot be read: No such file"):
        AnomalyHost(tmp_path)
