"""What training never saw in a request is said in the answer, the schema, the log and the
metrics."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from starlette.testclient import TestClient

from modelyard.packages.package import Package
from modelyard.predictions.files import read_log
from modelyard.predictions.log import PredictionLog
from modelyard.serving.app import create_app
from tests.toy.build import build

USUAL = {"income": 20_000.0, "city": "Oslo", "note": "late parcel", "member": True, "rank": 3.0}
USUAL |= {"level": 2.5}


def _customers(rows: int = 300) -> pd.DataFrame:
    r = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "income": np.round(r.uniform(10_000, 90_000, rows), 2),
            "city": r.choice(["Paris", "Köln", "Oslo"], rows),
            "note": [" ".join(r.choice(["late", "parcel", "box", "call"], 5)) for _ in range(rows)],
            "member": r.choice(["true", "false"], rows),
            "rank": r.choice([1.0, 2.0, 3.0, np.nan], rows),
            "level": [f"{value:.2f}" if value < 4.5 else "over" for value in r.uniform(0, 5, rows)],
        }
    )
    frame["churn"] = np.where(frame["income"] + r.normal(0, 9_000, rows) > 50_000, "yes", "no")
    return frame


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    folder = tmp_path_factory.mktemp("customers")
    _customers().to_csv(folder / "customers.csv", index=False)
    config = {
        "data": {"uri": str(folder / "customers.csv")},
        "features": {"target": "churn"},
        "model": {"kind": "linear"},
    }
    return Package(build(folder / "run", "first", config, family="tabular").package, threads=1)


@pytest.fixture(scope="module")
def client(package: Package) -> Iterator[TestClient]:
    with TestClient(create_app(package, None)) as client:
        yield client


def _fields(client: TestClient, **changed: Any) -> list[str]:
    answer = client.post("/predict", json=USUAL | changed)
    assert answer.status_code == 200, answer.text
    return [caution["field"] for caution in answer.json().get("warnings", [])]


def test_a_usual_request_has_no_warnings_at_all(client: TestClient) -> None:
    assert "warnings" not in client.post("/predict", json=USUAL).json()


@pytest.mark.parametrize(
    ("changed", "fields"),
    [
        ({"income": 1e30}, ["income"]),
        ({"income": -75_000.0}, ["income"]),
        ({"income": 120_000.0}, []),
        ({"city": "Ulaanbaatar"}, ["city"]),
        ({"city": "oslo"}, ["city"]),
        ({"city": " Oslo "}, []),
        ({"note": " "}, ["note"]),
        ({"rank": None}, []),
        ({"income": 1_000_000}, ["income"]),
        ({"level": "over"}, []),
        ({"level": 90.0}, ["level"]),
        ({"rank": 99.0, "city": "", "note": ""}, ["rank", "city", "note"]),
    ],
)
def test_what_training_never_saw_is_named(
    client: TestClient, changed: dict[str, Any], fields: list[str]
) -> None:
    assert _fields(client, **changed) == fields


def test_messages_show_the_value_and_what_training_had(client: TestClient) -> None:
    answer = client.post("/predict", json=USUAL | {"income": 1e30, "city": "Bern"}).json()
    income, city = (caution["message"] for caution in answer["warnings"])
    assert re.fullmatch(r"1e\+30 is far outside the training data, 1[\d.]+ to 8[\d.]+", income)
    assert city == "'Bern' was not in the training data"


def test_in_a_list_each_answer_has_its_own(client: TestClient) -> None:
    bodies = [USUAL, USUAL | {"city": "Bern"}, USUAL]
    answers = client.post("/predict", json=bodies).json()
    assert ["warnings" in answer for answer in answers] == [False, True, False]


def test_the_documented_schema_has_them_and_does_not_require_them(client: TestClient) -> None:
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    answer = next(one for one in schemas.values() if "threshold" in one.get("properties", {}))
    assert answer["properties"]["warnings"]["type"] == "array"
    assert "warnings" not in answer["required"]
    assert set(schemas["Caution"]["properties"]) == {"field", "message"}


def test_they_are_counted_by_field(client: TestClient) -> None:
    def count(field: str) -> float:
        pattern = rf'^modelyard_warnings_total{{field="{field}",package="\w+"}} (\S+)$'
        found = re.search(pattern, client.get("/metrics").text, re.MULTILINE)
        return float(found[1]) if found else 0.0

    before = count("city"), count("income")
    client.post("/predict", json=[USUAL | {"city": "Bern", "income": 1e9}, USUAL, USUAL])
    client.post("/predict", json=USUAL | {"city": "Lima"})
    assert (count("city"), count("income")) == (before[0] + 2, before[1] + 1)
    assert count("member") == 0


def test_the_prediction_log_names_the_fields(tmp_path: Path, package: Package) -> None:
    log = PredictionLog(tmp_path / "log", package)
    with TestClient(create_app(package, log)) as client:
        client.post("/predict", json=[USUAL, USUAL | {"city": "Bern", "note": ""}])
    log.close()
    assert read_log(tmp_path / "log")["_warnings"] == [None, "city, note"]
