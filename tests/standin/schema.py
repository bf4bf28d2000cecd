"""A CustomResourceDefinition's structural schema as the API server applies it, unknown fields included."""

from __future__ import annotations

import gzip
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import yaml

CRDS = Path(__file__).parent / "crds"


@cache
def schema_of(crd: str, version: str) -> dict[str, Any]:
    """The schema of a kind: `schema_of("trainer.kubeflow.org_trainjobs", "v1alpha1")`."""
    definition = yaml.load(gzip.decompress((CRDS / f"{crd}.yaml.gz").read_bytes()), yaml.CSafeLoader)
    found = next(one for one in definition["spec"]["versions"] if one["name"] == version)
    schema = found["schema"]["openAPIV3Schema"]
    # Metadata stands in a CRD without its fields, and is never pruned; a pod template holds labels alone here.
    schema["properties"]["metadata"] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return _closed(schema)


def problems(schema: dict[str, Any], thing: dict[str, Any]) -> list[str]:
    """What the API server would refuse, unknown fields among them; empty for a good object."""
    errors = jsonschema.Draft7Validator(schema).iter_errors(thing)
    return sorted(text for error in errors for text in _texts(error))


def _closed(schema: Any) -> Any:
    """The schema with every object refusing fields that it does not name: pruning, made visible."""
    if isinstance(schema, list):
        return [_closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    result = {
        name: {key: _closed(one) for key, one in value.items()} if name == "properties" else _closed(value)
        for name, value in schema.items()
        if name not in ("default", "enum", "required")
    } | {name: schema[name] for name in ("enum", "required") if name in schema}
    names_fields = isinstance(schema.get("properties"), dict) and schema.get("type") == "object"
    open_ended = "additionalProperties" in schema or schema.get("x-kubernetes-preserve-unknown-fields")
    return result | ({"additionalProperties": False} if names_fields and not open_ended else {})


def _texts(error: jsonschema.ValidationError) -> list[str]:
    path = ".".join(str(part) for part in error.absolute_path)
    if error.validator == "additionalProperties":
        known = error.schema["properties"]
        return [f'unknown field "{path}.{name}"'.replace('"."', '"') for name in error.instance if name not in known]
    return [f"{path}: {error.message}"]
