"""A span for each request, where OTEL_EXPORTER_OTLP_ENDPOINT says who collects them;
OpenTelemetry is loaded then."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Protocol

from modelyard.serving.calls import Call

VARIABLES = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


class Tracing(Protocol):
    """What the app needs of a tracer."""

    def begin(self, call: Call) -> Callable[[str, int, str], None]:
        """Starts the span of a request; the function ends it, given route, status and package."""

    def close(self) -> None:
        """Sends what is left."""


def configured() -> Tracing | None:
    """The tracer that the environment asks for; None where it asks for none."""
    if not any(os.environ.get(name) for name in VARIABLES):
        return None
    return _Spans()


class _Spans:
    def __init__(self) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        resource = Resource.create(
            {"service.name": os.environ.get("OTEL_SERVICE_NAME", "modelyard")}
        )
        self._provider = TracerProvider(resource=resource)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("modelyard.serving")
        self._propagator = TraceContextTextMapPropagator()

    def begin(self, call: Call) -> Callable[[str, int, str], None]:
        from opentelemetry.trace import SpanKind, StatusCode

        # W3C Trace Context: the caller's span, of which ours is a child.
        carrier = {}
        for name in ("traceparent", "tracestate"):
            value = call.header(name.encode())
            if value:
                carrier[name] = value
        context = self._propagator.extract(carrier)
        span: Any = self._tracer.start_span(call.path, context, SpanKind.SERVER)

        def end(route: str, status: int, package: str) -> None:
            span.update_name(f"{call.method} {route}")
            span.set_attributes(
                {
                    "http.request.method": call.method,
                    "http.route": route,
                    "http.response.status_code": status,
                    "modelyard.package": package,
                    "modelyard.request": call.id,
                }
            )
            if status >= 500:
                span.set_status(StatusCode.ERROR)
            span.end()

        return end

    def close(self) -> None:
        self._provider.shutdown()
