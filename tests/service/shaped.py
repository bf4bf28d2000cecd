"""A family outside modelyard whose requests follow its assets, as those of tables do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

from modelyard.family import Entry
from tests.toy.family import Height, LineConfig, LineFamily, LineHost

FILE = "schema.json"
TYPES: dict[str, Any] = {"number": float, "integer": int, "string": str, "boolean": bool}


def kind(content: dict[str, Any]) -> Any:
    if "choices" in content:
        return Literal[tuple(content["choices"])]
    if "items" in content:
        return list[kind(content["items"])]
    if "fields" in content:
        return record("Inner", content)
    found = TYPES[content["type"]]
    return found | None if content.get("nullable") else found


def record(name: str, content: dict[str, Any]) -> type[BaseModel]:
    """A model of named fields; others are refused unless it is `open`."""
    bounds = ("ge", "le", "min_length", "max_length", "pattern", "alias", "description")
    fields: dict[str, Any] = {}
    for field, own in content["fields"].items():
        default = {} if own.get("required", True) else {"default": own.get("default")}
        fields[field] = (
            kind(own),
            Field(**default, **{bound: own[bound] for bound in bounds if bound in own}),
        )
    config = ConfigDict(extra="ignore" if content.get("open") else "forbid")
    made: type[BaseModel] = create_model(name, __config__=config, **fields)
    return made


class ShapedHost(LineHost):
    def __init__(self, assets: Path) -> None:
        super().__init__(assets)
        file = Path(assets) / FILE
        content = json.loads(file.read_text()) if file.is_file() else {}
        self.Request = record(
            "Request", content.get("request", {"fields": {"x": {"type": "number"}}})
        )
        self.Response = record("Response", content["response"]) if "response" in content else Height

    def predict(self, run, requests):
        given = [
            LineHost(self.assets).Request(x=getattr(request, "x", 0.0)) for request in requests
        ]
        return super().predict(run, given)

    def describe(self, request, response):
        texts = {
            name: value for name, value in request.model_dump().items() if isinstance(value, str)
        }
        return {"x": getattr(request, "x", 0.0), "y": response.y} | texts


class ShapedFamily(LineFamily):
    def evaluate(self, host, run, features, split="test"):
        return super().evaluate(LineHost(host.assets), run, features, split)


Shaped = Entry(
    "a line that reads many shapes of requests", LineConfig, build=ShapedFamily, host=ShapedHost
)
