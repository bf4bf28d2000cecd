"""Figures of a verdict reach Prometheus and OpenTelemetry as their own readers read them."""

from __future__ import annotations

import logging
import threading
from http.server import BaseHTTPRequestHandler

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from prometheus_client.parser import text_string_to_metric_families

from modelyard.drift.figures import MOST_COLUMNS, publish
from modelyard.drift.quality import Quality
from modelyard.drift.statistics import ColumnDrift
from modelyard.settings.monitor import MonitorSettings
from tests.standin.listening import Listening
from tests.unit.test_drift_notify import verdict

QUALITY = Quality(
    measure="error rate", rows=40, value=0.25, low=0.14, high=0.4, reference=0.1, unmatched=3
)


def column(name: str, effect: float) -> ColumnDrift:
    return ColumnDrift(
        name=name,
        kind="numeric",
        test="kolmogorov-smirnov",
        drifted=effect > 0.1,
        effect=effect,
        least_effect=0.1,
        p_value=0.001,
        adjusted_p=0.001,
        missing_reference=0.0,
        missing_current=0.0,
        summary="mean 1 → 2",
    )


def found(columns: int = 2):
    drifted = [column(f'a "quoted"\n{number}', 0.3 + number / 1_000) for number in range(columns)]
    return verdict(retrain=True).model_copy(update={"columns": drifted, "quality": QUALITY})


@pytest.fixture
def server():
    """An address, and the method, path and body of each request there."""
    seen: list[tuple[str, str, bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def _take(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            seen.append((self.command, self.path, body))
            self.send_response(200)
            self.end_headers()

        do_POST = do_PUT = _take  # noqa: N815

        def log_message(self, *args) -> None:
            pass

    listener = Listening(("127.0.0.1", 0), Handler)
    threading.Thread(target=listener.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{listener.server_port}", seen
    listener.shutdown()
    listener.server_close()


def read(text: str) -> dict[tuple[str, ...], float]:
    """Values by name and labels."""
    return {
        (sample.name, *(f"{name}={value}" for name, value in sorted(sample.labels.items()))): (
            sample.value
        )
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_a_text_file_holds_the_verdict_its_columns_and_the_error(tmp_path):
    place = tmp_path / "prom" / "churn.prom"
    publish(found(), MonitorSettings(textfile=str(place)))
    values = read(place.read_text())
    assert values["modelyard_drift", "model=churn"] == 1
    assert values["modelyard_drift_retrain", "model=churn"] == 1
    assert values["modelyard_drift_rows", "model=churn"] == 100
    assert values["modelyard_drift_effect", 'column=a "quoted"\n1', "model=churn"] == 0.301
    error = "modelyard_labelled_error"
    assert values[error, "measure=error rate", "model=churn", "of=value"] == 0.25
    assert values[error, "measure=error rate", "model=churn", "of=reference"] == 0.1
    assert [file.name for file in place.parent.iterdir()] == ["churn.prom"]


def test_a_wide_table_makes_a_bounded_number_of_series(tmp_path):
    publish(found(300), MonitorSettings(textfile=str(tmp_path / "f")))
    effects = [one for one in read((tmp_path / "f").read_text()) if one[0].endswith("_effect")]
    assert len(effects) == MOST_COLUMNS
    assert any("\n299" in one[1] for one in effects)


def test_a_pushgateway_gets_one_group_a_model(server):
    address, seen = server
    publish(found(), MonitorSettings(pushgateway=address))
    ((method, path, body),) = seen
    assert (method, path) == ("PUT", "/metrics/job/modelyard/model/churn")
    assert read(body.decode())["modelyard_drift_columns", "model=churn"] == 2


def test_a_collector_gets_them_as_opentelemetry_metrics(server, monkeypatch):
    address, seen = server
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
    monkeypatch.setenv("OTEL_SERVICE_NAME", "watching")
    publish(found(), MonitorSettings())
    ((method, path, body),) = seen
    assert (method, path) == ("POST", "/v1/metrics")
    (resource,) = ExportMetricsServiceRequest.FromString(body).resource_metrics
    attributes = {one.key: one.value.string_value for one in resource.resource.attributes}
    assert attributes["service.name"] == "watching"
    metrics = {one.name: one for scope in resource.scope_metrics for one in scope.metrics}
    (point,) = metrics["modelyard_drift"].gauge.data_points
    assert point.as_double == 1
    assert len(metrics["modelyard_drift_effect"].gauge.data_points) == 2


def test_who_does_not_answer_is_named_and_the_verdict_stands(caplog, tmp_path, monkeypatch):
    monkeypatch.setattr("modelyard.drift.figures.TIMEOUT", 1.0)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    place = tmp_path / "f"
    with caplog.at_level(logging.WARNING, "modelyard.monitor"):
        publish(found(), MonitorSettings(textfile=str(place), pushgateway="http://127.0.0.1:9"))
    said = [one.getMessage() for one in caplog.records if one.name == "modelyard.monitor"]
    assert len(said) == 2
    assert said[0].startswith("http://127.0.0.1:9 did not receive the figures")
    assert said[1].startswith("OTEL_EXPORTER_OTLP_ENDPOINT did not receive")
    assert place.is_file()
