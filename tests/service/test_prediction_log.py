"""The prediction log: all that was taken is written once, the secret is not, trouble is counted."""

from __future__ import annotations

import json
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
from starlette.testclient import TestClient

from modelyard.predictions.files import Writer
from modelyard.predictions.log import PredictionLog, read_log
from modelyard.serving.app import create_app

pytestmark = pytest.mark.timed

NOW = datetime(2026, 1, 31, 13, 59, 59, 900_000, tzinfo=UTC)


def add(log: PredictionLog, package, bodies, call="c", received=NOW, **fields) -> None:
    requests = [package.parse(body) for body in bodies]
    log.add(
        call,
        received.timestamp(),
        1.5,
        requests,
        package.host.predict(package.run, requests),
        **fields,
    )


def test_every_answered_example_is_logged_once_with_what_was_answered(payments, tmp_path):
    log = PredictionLog(tmp_path, payments)
    with TestClient(create_app(payments, log)) as client:
        one = client.post("/predict", json={"amount": 2.0}, headers={"x-request-id": "one"}).json()
        client.post(
            "/predict", json=[{"amount": 3.0}, {"amount": 4.0}], headers={"x-request-id": "two"}
        )
        client.post("/predict", json={"amount": -1.0}, headers={"x-request-id": "refused"})
    columns = read_log(tmp_path)
    rows = dict(
        zip(columns["_id"], zip(columns["amount"], columns["risk"], strict=True), strict=True)
    )
    assert set(rows) == {"one", "two-0", "two-1"}
    assert rows["one"] == (2.0, one["risk score"])
    assert rows["two-1"][0] == 4.0
    assert set(columns["_package"]) == {"0123456789ab"}
    assert set(columns["_family"]) == {payments.info.family}
    assert all(latency > 0 for latency in columns["_latency_ms"])
    assert (log.written, log.dropped) == (3, 0)


def test_a_sensitive_field_reaches_no_file(payments, tmp_path):
    log = PredictionLog(tmp_path, payments)
    add(log, payments, [{"amount": 1, "card": "4111-secret", "card country": "hidden-too"}])
    log.close()
    columns = read_log(tmp_path)
    assert not {"card", "card country", "card_country"} & set(columns)
    content = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    assert b"4111-secret" not in content
    assert b"hidden-too" not in content


def test_whole_requests_are_logged_where_that_is_asked_for_without_sensitive_fields(
    payments, tmp_path
):
    log = PredictionLog(tmp_path, payments, whole=True)
    add(log, payments, [{"amount": 1, "card": "4111-secret", "card country": "hidden-too"}])
    log.close()
    (whole,) = read_log(tmp_path)["_request"]
    assert json.loads(whole)["amount"] == 1
    content = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    assert b"4111-secret" not in content
    assert b"hidden-too" not in content


def test_rows_lie_in_the_partition_of_their_own_hour(payments, tmp_path):
    log = PredictionLog(tmp_path, payments)
    add(log, payments, [{"amount": 1}], "early")
    add(log, payments, [{"amount": 2}], "late", NOW + timedelta(seconds=1))
    log.close()
    folders = sorted(str(file.parent.relative_to(tmp_path)) for file in tmp_path.rglob("*.parquet"))
    assert folders == ["date=2026-01-31/hour=13", "date=2026-01-31/hour=14"]
    assert set(read_log(tmp_path)) == {
        "amount",
        "country",
        "risk",
        "_id",
        "_time",
        "_package",
        "_family",
        "_latency_ms",
    }


def test_reading_selects_by_time_and_by_package(payments, tmp_path):
    log = PredictionLog(tmp_path, payments)
    for minutes in (0, 10, 70):
        add(log, payments, [{"amount": minutes}], str(minutes), NOW + timedelta(minutes=minutes))
    log.close()
    assert sorted(read_log(tmp_path, NOW + timedelta(minutes=5))["_id"]) == ["10", "70"]
    assert read_log(tmp_path, NOW + timedelta(minutes=70))["_id"] == ["70"]
    assert read_log(tmp_path, NOW + timedelta(days=1)) == {}
    assert len(read_log(tmp_path, package="0123456789ab")["_id"]) == 3
    assert read_log(tmp_path, package="another") == {}


def test_nothing_logged_reads_as_nothing(tmp_path):
    assert read_log(tmp_path / "none") == {}
    assert read_log(tmp_path) == {}


def test_a_column_keeps_its_numbers_when_one_file_held_none(payments, tmp_path, monkeypatch):
    for number in (None, 2.5):
        monkeypatch.setattr(
            payments.host, "describe", lambda *_, number=number: {"a": number, "b": "x"}
        )
        log = PredictionLog(tmp_path, payments)
        add(log, payments, [{"amount": 1}])
        log.close()
    assert sorted(read_log(tmp_path)["a"], key=str) == [2.5, None]


def test_a_family_may_have_columns_named_as_the_partitions(payments, tmp_path, monkeypatch):
    monkeypatch.setattr(payments.host, "describe", lambda *_: {"hour": 3.5, "date": "monday"})
    log = PredictionLog(tmp_path, payments)
    add(log, payments, [{"amount": 1}])
    log.close()
    columns = read_log(tmp_path)
    assert (columns["hour"], columns["date"]) == ([3.5], ["monday"])


def test_rows_are_written_in_time_while_the_service_runs(payments, tmp_path):
    log = PredictionLog(tmp_path, payments, seconds=0.1)
    add(log, payments, [{"amount": 1}])
    deadline = time.monotonic() + 5
    while not read_log(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert read_log(tmp_path)["_id"] == ["c"]
    log.close()


def test_a_full_queue_drops_and_counts_and_never_waits(payments, tmp_path, monkeypatch):
    gate = threading.Event()
    write = Writer.write
    monkeypatch.setattr(Writer, "write", lambda *args: gate.wait(10) and write(*args))
    log = PredictionLog(tmp_path, payments, batch_rows=1, capacity_rows=10)
    counted = {"written": 0, "dropped": 0}
    log.observe = lambda outcome, rows: counted.update({outcome: counted[outcome] + rows})
    start = time.monotonic()
    for number in range(50):
        add(log, payments, [{"amount": 100 + number}], str(number))
    assert time.monotonic() - start < 5
    assert log.dropped == 40
    gate.set()
    log.close()
    assert counted == {"written": 10, "dropped": 40}
    assert len(set(read_log(tmp_path)["_id"])) == 10


def test_waiting_request_bodies_are_bounded_in_bytes(payments, tmp_path, monkeypatch):
    gate = threading.Event()
    inner = payments.host.describe
    monkeypatch.setattr(payments.host, "describe", lambda *args: gate.wait(10) and inner(*args))
    log = PredictionLog(tmp_path, payments, capacity_bytes=100)
    for _ in range(3):
        add(log, payments, [{"amount": 1}], size=60)
    assert log.dropped == 2
    gate.set()
    log.close()
    assert (log.written, log.dropped) == (1, 2)


def test_a_folder_that_cannot_be_written_is_counted_and_requests_go_on(payments, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    log = PredictionLog(blocked, payments)
    with TestClient(create_app(payments, log)) as client:
        assert client.post("/predict", json={"amount": 1}).status_code == 200
    assert (log.written, log.dropped) == (0, 1)


def test_a_describe_that_fails_costs_its_row_alone(payments, tmp_path, monkeypatch, caplog):
    inner = payments.host.describe

    def describe(request, answer):
        if request.amount == 7:
            raise KeyError("broken")
        return inner(request, answer)

    monkeypatch.setattr(payments.host, "describe", describe)
    log = PredictionLog(tmp_path, payments)
    for amount in (6, 7, 8):
        add(log, payments, [{"amount": amount}])
    log.close()
    assert sorted(read_log(tmp_path)["amount"]) == [6, 8]
    assert (log.written, log.dropped) == (2, 1)
    assert "broken" in caplog.text


def test_what_comes_after_closing_is_counted_as_dropped(payments, tmp_path):
    log = PredictionLog(tmp_path, payments)
    log.close()
    add(log, payments, [{"amount": 1}])
    log.close()
    assert log.dropped == 1


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_described_number_that_is_not_finite_is_missing(payments, tmp_path, monkeypatch, value):
    import numpy as np

    monkeypatch.setattr(payments.host, "describe", lambda *_: {"a": value, "b": np.float32(0.5)})
    log = PredictionLog(tmp_path, payments)
    add(log, payments, [{"amount": 1}])
    log.close()
    columns = read_log(tmp_path)
    assert "a" not in columns
    assert columns["b"] == [0.5]
