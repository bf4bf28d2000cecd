"""The verdict as figures for those who watch many models: Prometheus and OpenTelemetry."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from http.client import HTTPException
from pathlib import Path
from typing import Any

from modelyard.drift.verdict import Verdict
from modelyard.errors import MissingExtra
from modelyard.settings.monitor import MonitorSettings

OTLP = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT")
"""Variables that say who collects metrics, OpenTelemetry's own."""
JOB = "modelyard"
TIMEOUT = 10.0
MOST_COLUMNS = 100
"""Columns whose effect is a figure, those with the largest: a table of thousands would make as many
time series."""

log = logging.getLogger("modelyard.monitor")


@dataclass(frozen=True)
class Figure:
    """One gauge."""

    name: str
    help: str
    value: float
    labels: dict[str, str] = field(default_factory=dict)


def publish(verdict: Verdict, settings: MonitorSettings) -> None:
    """Writes and sends the figures of a verdict where the settings and the environment ask for it.

    Who does not answer is written to the log: the verdict stands without it.

    Raises:
        MissingExtra: a package for it is missing.
    """
    collectors = [name for name in OTLP if os.environ.get(name)]
    # OpenTelemetry reads the address from the variable itself.
    collector = collectors[0] if collectors else None
    wanted = [(settings.textfile, _write), (settings.pushgateway, _push), (collector, _export)]
    for place, send in wanted:
        if place is None:
            continue
        try:
            send(place, list(figures(verdict)), _model(verdict))
        except ModuleNotFoundError:
            raise MissingExtra(f"figures of drift for {place}", "monitor") from None
        except (OSError, ValueError, HTTPException) as error:
            log.warning("%s did not receive the figures of this verdict: %s", place, error)


def figures(verdict: Verdict) -> Iterator[Figure]:
    """All gauges of a verdict, without the label of the model."""
    looked = datetime.fromisoformat(verdict.window.until).timestamp()
    yield Figure(
        "modelyard_drift_looked_timestamp_seconds", "When the traffic was compared", looked
    )
    yield Figure("modelyard_drift", "1: the traffic drifted", verdict.status == "drifted")
    yield Figure("modelyard_drift_retrain", "1: a retraining was requested", verdict.retrain)
    yield Figure("modelyard_drift_rows", "Predictions that were compared", verdict.rows_current)
    yield Figure("modelyard_drift_alerts", "Columns that are broken", len(verdict.alerts))
    yield Figure("modelyard_drift_columns", "Columns that drifted", len(verdict.drifted))
    ranked = sorted(verdict.columns, key=lambda column: -column.effect)
    for column in ranked[:MOST_COLUMNS]:
        labels = {"column": column.name}
        yield Figure("modelyard_drift_effect", "How far a column moved", column.effect, labels)
    quality = verdict.quality
    if quality is not None and quality.rows:
        yield Figure("modelyard_labelled_rows", "Answers whose label came", quality.rows)
        values = {"value": quality.value, "low": quality.low, "high": quality.high}
        if quality.reference is not None:
            values["reference"] = quality.reference
        for kind, value in values.items():
            labels = {"measure": quality.measure, "of": kind}
            yield Figure("modelyard_labelled_error", "Mean error of these answers", value, labels)


def _model(verdict: Verdict) -> str:
    return verdict.model.partition("@")[0] or verdict.family


def _registry(found: Sequence[Figure], model: str) -> Any:
    """The figures as Prometheus' client takes them."""
    from prometheus_client import CollectorRegistry, Gauge

    # Not the client's own registry, which a service in this process fills with other figures.
    registry = CollectorRegistry()
    gauges: dict[str, Gauge] = {}
    for figure in found:
        if figure.name not in gauges:
            names = ["model", *figure.labels]
            gauges[figure.name] = Gauge(figure.name, figure.help, names, registry=registry)
        gauges[figure.name].labels(model=model, **figure.labels).set(figure.value)
    return registry


def _write(place: str, found: Sequence[Figure], model: str) -> None:
    """For the textfile collector of Prometheus' node exporter: the file appears whole."""
    from prometheus_client import write_to_textfile

    Path(place).parent.mkdir(parents=True, exist_ok=True)
    write_to_textfile(place, _registry(found, model))


def _push(place: str, found: Sequence[Figure], model: str) -> None:
    """Replaces what the gateway held of this model."""
    from prometheus_client import push_to_gateway

    group = {"model": model}
    push_to_gateway(place, JOB, _registry(found, model), grouping_key=group, timeout=TIMEOUT)


def _export(place: str, found: Sequence[Figure], model: str) -> None:
    """To OpenTelemetry's collector, once."""
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricExportResult
    from opentelemetry.sdk.resources import Resource

    # The usual reader exports from time to time and does not say whether it arrived: this process
    # ends at once, and says it.
    reader = InMemoryMetricReader()
    service = os.environ.get("OTEL_SERVICE_NAME", JOB)
    provider = MeterProvider([reader], Resource.create({"service.name": service}))
    meter = provider.get_meter("modelyard.drift")
    gauges: dict[str, Any] = {}
    for figure in found:
        if figure.name not in gauges:
            gauges[figure.name] = meter.create_gauge(figure.name, description=figure.help)
        gauges[figure.name].set(float(figure.value), {"model": model, **figure.labels})
    read = reader.get_metrics_data()
    assert read is not None, "a verdict has figures"
    exporter = OTLPMetricExporter(timeout=TIMEOUT)
    try:
        sent = exporter.export(read, timeout_millis=TIMEOUT * 1e3)
    finally:
        exporter.shutdown()
        provider.shutdown()
    if sent is not MetricExportResult.SUCCESS:
        raise OSError("nobody takes them there")
