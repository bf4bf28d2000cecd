"""The answering half: requests, answers, descriptions and reasons, on numpy alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from modelyard.errors import BadData
from modelyard.families.tabular import host as host_module
from modelyard.families.tabular.config import TabularFeatures
from modelyard.families.tabular.host import TabularHost
from modelyard.families.tabular.schema import TableSchema
from modelyard.kit.classes.decision import Decision
from modelyard.kit.columns.encode import Encoder
from modelyard.kit.columns.schema import Column
from modelyard.runtimes.types import Arrays

COLUMNS: list[dict[str, Any]] = [
    {
        "name": "age",
        "role": "numeric",
        "description": "years",
        "examples": [42.0],
        "minimum": 18,
        "maximum": 90,
    },
    {"name": "income (EUR)", "role": "numeric", "nullable": True},
    {"name": "class", "role": "category", "choices": ["a", "b"]},
    {"name": "json", "role": "text"},
    {"name": "_when", "role": "time", "nullable": True},
    {"name": "member", "role": "numeric", "boolean": True, "transform": "identity"},
    {"name": "key", "role": "drop"},
]
TRAIN: dict[str, Any] = {
    "age": [20.0, 30.0, 70.0],
    "income (EUR)": [1.0, None, 3.0],
    "class": ["a", "b", "a"],
    "json": ["red box", "blue box", "box"],
    "_when": ["2024-01-01", "2024-03-01", None],
    "member": [True, False, True],
}
BODY: dict[str, Any] = {
    "age": 50,
    "income (EUR)": 2.5,
    "class": "a",
    "json": "red box today",
    "_when": "2024-02-29T12:00:00Z",
    "member": True,
}


def host_of(tmp_path: Path, classes: list[str] | None) -> TabularHost:
    task = "classification" if classes else "regression"
    columns = [Column.model_validate(column) for column in COLUMNS]
    schema = TableSchema.model_validate(
        {"target": "y", "task": task, "classes": classes, "columns": columns}
    )
    schema.save(tmp_path)
    Encoder.fit(TRAIN, schema, TabularFeatures()).save(tmp_path)
    return TabularHost(tmp_path)


def linear(classes: int) -> Any:
    """A real graph of one layer with fixed weights."""

    def run(graph: str, inputs: Arrays) -> Arrays:
        assert graph == "model"
        x = inputs["features"]
        assert x.dtype == np.float32
        weights = (
            np.random.default_rng(3).normal(size=(x.shape[1], max(classes, 1))).astype(np.float32)
        )
        out = x @ weights
        if not classes:
            return {"value": out[:, 0]}
        powers = np.exp(out - out.max(axis=1, keepdims=True))
        return {"probabilities": powers / powers.sum(axis=1, keepdims=True)}

    return run


def test_a_binary_answer_follows_the_threshold_of_the_decision(tmp_path: Path) -> None:
    host_of(tmp_path, ["no", "yes"])
    for threshold, label in ((0.0, "yes"), (1.1, "no")):
        Decision(threshold=threshold).save(tmp_path)
        host = TabularHost(tmp_path)
        answer = host.predict(linear(2), [host.Request.model_validate(BODY)])[0].model_dump()
        assert answer["label"] == label
        assert answer["threshold"] == threshold
        assert answer["score"] == answer["probabilities"]["yes"]
        assert answer["probability"] == answer["probabilities"][label]
        assert sum(answer["probabilities"].values()) == pytest.approx(1)


def test_several_classes_and_values_are_answered_in_order(tmp_path: Path) -> None:
    bodies = [BODY | {"age": age} for age in (20, 45, 80)]
    for classes in (["a", "b", "c"], None):
        host = host_of(tmp_path, classes)
        requests = [host.Request.model_validate(body) for body in bodies]
        answers = [
            answer.model_dump() for answer in host.predict(linear(3 if classes else 0), requests)
        ]
        alone = [
            host.predict(linear(3 if classes else 0), [request])[0].model_dump()
            for request in requests
        ]
        for many, one in zip(answers, alone, strict=True):
            assert many.keys() == one.keys()
            assert many.get("label") == one.get("label")
            if classes is None:
                assert many["value"] == pytest.approx(one["value"], rel=1e-5)
        assert host.predict(linear(0), []) == []


def test_whole_columns_score_as_requests_do(tmp_path: Path) -> None:
    host = host_of(tmp_path, ["no", "yes"])
    requests = [host.Request.model_validate(BODY | {"age": age}) for age in range(20, 40)]
    scores = host.scores(linear(2), host.columns(requests) | {"another": [0] * 20})
    singles = [answer.model_dump()["score"] for answer in host.predict(linear(2), requests)]
    assert np.allclose(scores[:, 1], singles)
    without = {name: values for name, values in host.columns(requests).items() if name != "_when"}
    assert host.scores(linear(2), without).shape == (20, 2)
    del without["age"]
    with pytest.raises(BadData, match="column 'age'"):
        host.scores(linear(2), without)


@pytest.mark.parametrize(
    ("change", "field", "said"),
    [
        ({"age": "50"}, "age", "valid number"),
        ({"age": True}, "age", "valid number"),
        ({"age": None}, "age", "valid number"),
        ({"age": float("nan")}, "age", "finite"),
        ({"income (EUR)": float("inf")}, "income (EUR)", "finite"),
        ({"class": 3}, "class", "valid string"),
        ({"class": None}, "class", "valid string"),
        ({"_when": "yesterday"}, "_when", "ISO 8601"),
        ({"_when": 1700000000}, "_when", "valid string"),
        ({"member": 1}, "member", "valid boolean"),
        ({"Age": 50}, "Age", "not permitted"),
        ({"key": "k"}, "key", "not permitted"),
    ],
)
def test_a_bad_field_is_refused_by_its_own_name(
    tmp_path: Path, change: dict[str, Any], field: str, said: str
) -> None:
    host = host_of(tmp_path, None)
    body = BODY | change
    with pytest.raises(ValidationError, match=said):
        host.Request.model_validate(body)
    with pytest.raises(ValidationError, match=said) as caught:
        host.Request.model_validate_json(json.dumps(body))
    assert [error["loc"] for error in caught.value.errors()] == [(field,)]


def test_columns_that_may_be_empty_may_be_left_out_and_others_not(tmp_path: Path) -> None:
    host = host_of(tmp_path, None)
    short = {name: value for name, value in BODY.items() if name not in ("_when", "income (EUR)")}
    request = host.Request.model_validate(short | {"class": "never seen", "json": ""})
    assert np.isfinite(host.scores(linear(0), host.columns([request]))).all()
    with pytest.raises(ValidationError, match="age"):
        host.Request.model_validate({name: value for name, value in BODY.items() if name != "age"})


def test_requests_keep_the_columns_names_in_json(tmp_path: Path) -> None:
    host = host_of(tmp_path, None)
    request = host.Request.model_validate(BODY)
    assert request.model_dump() == BODY
    assert request.age == 50  # type: ignore[attr-defined]
    schema = host.Request.model_json_schema()
    assert list(schema["properties"]) == list(BODY)
    assert schema["properties"]["age"]["description"] == "years: in training 18 to 90"
    assert schema["properties"]["age"]["examples"] == [42.0]
    host.Request.model_validate(schema["examples"][0])


def test_describe_is_one_flat_row_with_the_same_columns_each_time(tmp_path: Path) -> None:
    host = host_of(tmp_path, ["no", "yes"])
    full = host.Request.model_validate(BODY | {"class": "x" * 500})
    empty = host.Request.model_validate(
        BODY | {"_when": None, "income (EUR)": None, "json": "", "member": False}
    )
    rows = [
        host.describe(r, a)
        for r, a in zip((full, empty), host.predict(linear(2), [full, empty]), strict=True)
    ]
    assert (
        list(rows[0])
        == list(rows[1])
        == [
            "age",
            "income (EUR)",
            "class",
            "member",
            "json: words",
            "json: characters",
            "_when: weekday",
            "_when: hour",
            "score",
            "label",
        ]
    )
    assert rows[0]["class"] == "x" * 100
    assert rows[0]["json: words"] == 3.0
    assert (rows[0]["_when: weekday"], rows[0]["_when: hour"]) == ("Thursday", 12.0)
    assert (rows[0]["member"], rows[1]["member"], rows[1]["_when: hour"]) == ("true", "false", None)


@pytest.mark.parametrize("classes", [["no", "yes"], ["a", "b", "c"], None])
def test_reasons_add_up_to_the_answer(tmp_path: Path, classes: list[str] | None) -> None:
    host = host_of(tmp_path, classes)
    run = linear(len(classes or []))
    request = host.Request.model_validate(BODY)
    assert host.explain(run, request) is None
    np.save(tmp_path / "background.npy", host.encoder.transform(TRAIN))
    reasons = host.explain(run, request)
    assert reasons is not None
    assert set(reasons.contributions) == set(BODY)
    sizes = [abs(value) for value in reasons.contributions.values()]
    assert sizes == sorted(sizes, reverse=True)
    scores = host.scores(run, host.columns([request]))[0]
    expected = scores if classes is None else scores[1] if len(classes) == 2 else scores.max()
    assert reasons.base + sum(reasons.contributions.values()) == pytest.approx(
        float(expected), abs=1e-5
    )  # type: ignore[operator]


def test_the_rows_that_an_explanation_scores_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By fewer background rows: reasons still add up to the answer."""
    host = host_of(tmp_path, None)
    np.save(tmp_path / "background.npy", np.repeat(host.encoder.transform(TRAIN), 20, axis=0))
    request = host.Request.model_validate(BODY)
    run = linear(0)
    scored = 0

    def counting(graph: str, arrays: Arrays) -> Arrays:
        nonlocal scored
        scored += len(arrays["features"])
        return run(graph, arrays)

    whole = host.explain(counting, request)
    assert scored > 60 * 4 * 5
    monkeypatch.setattr(host_module, "MOST_EXPLAINING", 250)
    scored = 0
    reasons = host.explain(counting, request)
    assert scored <= 250
    assert whole is not None
    assert reasons is not None
    for found in (whole, reasons):
        value = float(host.scores(run, host.columns([request]))[0])
        assert found.base + sum(found.contributions.values()) == pytest.approx(value, abs=1e-5)


def test_the_host_answers_without_any_training_library(tmp_path: Path) -> None:
    host_of(tmp_path, ["no", "yes"])
    code = f"""
import sys, json
for name in ("torch", "pandas", "sklearn", "pyarrow", "lightgbm", "xgboost", "scipy", "onnxruntime"):
    sys.modules[name] = None
import numpy as np
from modelyard.families.tabular.host import TabularHost
host = TabularHost({str(tmp_path)!r})
request = host.Request.model_validate(json.loads({json.dumps(BODY)!r}))
run = lambda graph, arrays: {{"probabilities": np.tile(np.float32([0.25, 0.75]), (len(arrays["features"]), 1))}}
print(host.predict(run, [request])[0].label)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "yes", done.stderr


def test_importing_the_family_is_light() -> None:
    heavy = "{'torch', 'pandas', 'sklearn', 'pyarrow', 'onnxruntime'}"
    code = f"import sys, modelyard.families.tabular; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
