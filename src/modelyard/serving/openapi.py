"""The OpenAPI 3.1 document of a package's service, and what GET /package says."""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import models_json_schema

from modelyard.host import Explanation
from modelyard.packages.package import Package
from modelyard.serving.control import Feedback, FeedbackAnswer, Swap
from modelyard.serving.problems import ErrorBody

_PREFIX = "#/components/schemas/"
_SUMMARY = {
    "family",
    "title",
    "version",
    "run",
    "created",
    "data_revision",
    "metrics",
    "baseline",
    "gate",
}


def summary(package: Package) -> dict[str, Any]:
    """What is served, without the config: a data URI there may hold a password."""
    variant = package.variant.model_dump(mode="json", include={"name", "bytes", "p50_ms"})
    if package.passed_over:
        variant["instead_of"] = dict(package.passed_over)
    return package.info.model_dump(mode="json", include=_SUMMARY) | {"variant": variant}


def document(
    package: Package,
    *,
    explains: bool,
    streams: bool = False,
    completes: bool = False,
    chats: bool = False,
) -> dict[str, Any]:
    """The whole document, with the golden example."""
    info, host, golden = package.info, package.host, package.golden()
    names, definitions = models_json_schema(
        [
            (host.Request, "validation"),
            (host.Response, "serialization"),
            (ErrorBody, "serialization"),
            (Explanation, "serialization"),
            (Feedback, "validation"),
            (FeedbackAnswer, "serialization"),
            (Swap, "validation"),
        ],
        ref_template=_PREFIX + "{model}",
    )
    request, response = names[host.Request, "validation"], names[host.Response, "serialization"]
    error = names[ErrorBody, "serialization"]
    paths = {"/predict": {"post": _predict(request, response, error, golden)}}
    if streams:
        paths["/predict"]["post"]["responses"]["200"]["content"]["text/event-stream"] = {
            "schema": {"type": "string"}
        }
    if completes:
        paths |= _COMPLETIONS
    if chats:
        paths |= _CHATS
    taken = names[FeedbackAnswer, "serialization"]
    paths["/feedback"] = {"post": _feedback(names[Feedback, "validation"], taken, error)}
    paths["/admin/swap"] = {"post": _swap(names[Swap, "validation"], error)}
    if explains:
        reasons = names[Explanation, "serialization"]
        paths["/explain"] = {"post": _explain(request, reasons, error, golden)}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": info.title,
            "version": info.version,
            "description": f"Family `{info.family}`, made by run `{info.run}` on {info.created}.",
        },
        "paths": paths | _PLAIN,
        "components": {"schemas": definitions["$defs"]},
    }


def _predict(request: Any, response: Any, error: Any, golden: dict[str, Any]) -> dict[str, Any]:
    return {
        "operationId": "predict",
        "summary": "Answer one example, or a list of them",
        "requestBody": _content(
            _one_or_many(request),
            {"one": {"value": golden["request"]}, "several": {"value": [golden["request"]] * 2}},
            required=True,
        ),
        "responses": {
            "200": _content(
                _one_or_many(response),
                {
                    "one": {"value": golden["response"]},
                    "several": {"value": [golden["response"]] * 2},
                },
                description="The answer, or a list of answers in the order of the examples",
                headers=_HEADERS,
            ),
            **_errors(error, "400", "401", "406", "408", "413", "415", "503", "504"),
        },
    }


def _explain(request: Any, reasons: Any, error: Any, golden: dict[str, Any]) -> dict[str, Any]:
    return {
        "operationId": "explain",
        "summary": "The reasons of one answer",
        "requestBody": _content(request, {"one": {"value": golden["request"]}}, required=True),
        "responses": {
            "200": _content(reasons, {}, description="What the answer rests on", headers=_HEADERS),
            **_errors(error, "400", "401", "404", "408", "413", "415", "503", "504"),
        },
    }


def _feedback(label: Any, taken: Any, error: Any) -> dict[str, Any]:
    return {
        "operationId": "feedback",
        "summary": "Labels of requests that were answered before",
        "requestBody": _content(_one_or_many(label), {}, required=True),
        "responses": {
            "202": _content(taken, {}, description="What happened to them", headers=_HEADERS),
            **_errors(error, "400", "401", "404", "408", "413", "415", "503"),
        },
    }


def _swap(package: Any, error: Any) -> dict[str, Any]:
    return {
        "operationId": "swap",
        "summary": "Another package takes over",
        "requestBody": _content(package, {}, required=True),
        "responses": {
            "200": _content(
                {"type": "object"}, {}, description="The version that serves now", headers=_HEADERS
            ),
            **_errors(error, "400", "401", "403", "409", "408", "413", "415", "503"),
        },
    }


def _content(schema: Any, examples: dict[str, Any], **fields: Any) -> dict[str, Any]:
    media = {"schema": schema}
    if examples:
        media["examples"] = examples
    return fields | {"content": {"application/json": media}}


def _one_or_many(schema: Any) -> dict[str, Any]:
    return {"oneOf": [schema, {"type": "array", "items": schema, "minItems": 1}]}


def _errors(schema: Any, *codes: str) -> dict[str, Any]:
    answers = {}
    for code in codes:
        answers[code] = _content(schema, {}, description=_REASONS[code], headers=_HEADERS)
    return answers


def _get(summary: str, media: str) -> dict[str, Any]:
    answer = {"description": summary, "content": {media: {"schema": {}}}}
    return {"get": {"summary": summary, "responses": {"200": answer}}}


_REASONS = {
    "400": "The body is not JSON, or an example has a field that is missing, unknown or not allowed",
    "401": "The service asks for a token: `authorization: Bearer <token>`, or as a password",
    "404": "The family has no reasons for this example, or nothing is logged here",
    "406": "The family answers at once, not in parts",
    "409": "The package cannot take over; the one that serves stays",
    "403": "The service has no token, and swaps for nobody",
    "408": "The body did not come in time",
    "413": "The body is too large",
    "415": "The content type is not application/json",
    "503": "Too many requests wait; `retry-after` says when to come back",
    "504": "The answer did not come in time",
}
_HEADERS = {
    "x-modelyard-package": {
        "description": "Version of the package that answered",
        "schema": {"type": "string"},
    },
    "x-request-id": {
        "description": "Yours if sent, else a new one; the log has it",
        "schema": {"type": "string"},
    },
}
_COMPLETIONS = {
    "/v1/completions": {
        "post": {
            "operationId": "completions",
            "summary": "OpenAI's text completion",
            "requestBody": _content(
                {"type": "object", "required": ["model", "prompt"]}, {}, required=True
            ),
            "responses": {
                "200": _content(
                    {"type": "object"}, {}, description="OpenAI's text_completion, or its chunks"
                ),
                **_errors(
                    {"type": "object"}, "400", "401", "404", "408", "413", "415", "503", "504"
                ),
            },
        }
    },
    "/v1/models": _get("The model's name, as OpenAI's clients ask for it", "application/json"),
}
_CHATS = {
    "/v1/chat/completions": {
        "post": {
            "operationId": "chat",
            "summary": "OpenAI's chat completion",
            "requestBody": _content(
                {"type": "object", "required": ["model", "messages"]}, {}, required=True
            ),
            "responses": {
                "200": _content(
                    {"type": "object"}, {}, description="OpenAI's chat.completion, or its chunks"
                ),
                **_errors(
                    {"type": "object"}, "400", "401", "404", "408", "413", "415", "503", "504"
                ),
            },
        }
    },
}
_PLAIN = {
    "/v2": _get(
        "The Open Inference Protocol: the server; models are below /v2/models", "application/json"
    ),
    "/package": _get("What is served: version, metrics, baseline, gate", "application/json"),
    "/openapi.json": _get("This document", "application/json"),
    "/": _get("A page to try the model on", "text/html"),
    "/livez": _get("The process lives", "text/plain"),
    "/readyz": _get("The model answers", "text/plain"),
    "/metrics": _get("Counters in Prometheus' text format", "text/plain"),
}
