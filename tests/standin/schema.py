"""Schemas of Kubeflow Trainer's custom resources as the API server applies them, unknown fields
included.

They are taken from `kubeflow-trainer-api`, the package in which Kubeflow Trainer publishes its
OpenAPI definitions.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import jsonschema
from kubeflow_trainer_api import models

TEXTS = ("default", "description", "examples", "title")


@cache
def schema_of(kind: str) -> dict[str, Any]:
    """The closed JSON schema of a kind: `schema_of("TrainerV1alpha1TrainJob")`."""
    schema: dict[str, Any] = getattr(models, kind).model_json_schema(by_alias=True)
    return _closed(schema)


def problems(schema: dict[str, Any], thing: dict[str, Any]) -> list[str]:
    """What the API server would refuse, unknown fields among them; empty for a good object."""
    errors = jsonschema.Draft202012Validator(schema).iter_errors(thing)
    return sorted(text for error in errors for text in _texts(error))


def _closed(schema: Any) -> Any:
    """The schema without nulls, with every object refusing fields that it does not name:
    pruning, made visible."""
    if isinstance(schema, list):
        return [_closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    given = [one for one in schema.get("anyOf", []) if one != {"type": "null"}]
    if len(given) == 1:
        return _closed(given[0])
    if "actual_instance" in schema.get("properties", {}):  # a quantity, or a number or name
        return {"type": ["string", "number"]}
    named = {"properties", "$defs"}
    result = {
        key: {name: _closed(one) for name, one in value.items()} if key in named else _closed(value)
        for key, value in schema.items()
        if key not in TEXTS
    }
    return result | ({"additionalProperties": False} if "properties" in schema else {})


def _texts(error: jsonschema.ValidationError) -> list[str]:
    path = ".".join(str(part) for part in error.absolute_path)
    if error.validator == "additionalProperties":
        known = error.schema["properties"]
        return [
            f'unknown field "{path}.{name}"'.replace('"."', '"')
            for name in error.instance
            if name not in known
        ]
    return [f"{path}: {error.message}"]
