"""Which control of the page fits which field of a request's JSON schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

Kind = Literal["number", "boolean", "choice", "text", "long", "file", "any", "json"]
LONG = 40
"""A text of more characters gets several lines."""


class Control(BaseModel):
    """A field of the form. `any` is a number or a text; `json` is written as JSON."""

    model_config = ConfigDict(frozen=True)

    name: str
    kind: Kind
    required: bool
    description: str = ""
    choices: list[str] = []
    whole: bool = False
    accept: str = ""
    default: bool | float | str | None = None
    """What the service takes where the field is left out, if it is plain."""


def controls(schema: Mapping[str, Any], example: Mapping[str, Any]) -> list[Control]:
    """A control for each property of a JSON `schema`; `example` is a request: it distinguishes long
    texts from short ones. A text that is all a request needs is a long one."""
    required, defined = set(schema.get("required", ())), schema.get("$defs", {})
    found = []
    for name, own in schema.get("properties", {}).items():
        given = {
            "name": name,
            "required": name in required,
            "description": own.get("description", ""),
        }
        if isinstance(own.get("default"), bool | int | float | str):
            given["default"] = own["default"]
        found.append(Control(**given, **_kind(own, defined, example.get(name))))
    needed = [control for control in found if control.required]
    if len(needed) == 1 and needed[0].kind == "text":
        # What the request is about: a line would lose the line ends of what is pasted.
        place = found.index(needed[0])
        found[place] = needed[0].model_copy(update={"kind": "long"})
    return found


def _kind(own: Mapping[str, Any], defined: Mapping[str, Any], value: Any) -> dict[str, Any]:
    options = []
    for alternative in own.get("anyOf", [own]):
        option = _resolved(alternative, defined)
        if option.get("type") != "null":
            options.append(option)
    types = {option.get("type") for option in options}
    if len(options) != 1:
        is_plain = bool(options) and types <= {"string", "integer", "number"}
        return {"kind": "any" if is_plain else "json"}
    (only,) = options
    choices = only.get("enum")
    # A list of choices on a page sends texts: other values are written as JSON.
    if choices is not None and all(isinstance(choice, str) for choice in choices):
        return {"kind": "choice", "choices": choices}
    if types <= {"number", "integer"}:
        return {"kind": "number", "whole": types == {"integer"}}
    if types == {"boolean"}:
        return {"kind": "boolean"}
    if types != {"string"}:
        return {"kind": "json"}
    if only.get("contentEncoding") == "base64":
        return {"kind": "file", "accept": only.get("contentMediaType", "")}
    if isinstance(value, str) and (len(value) > LONG or "\n" in value):
        return {"kind": "long"}
    return {"kind": "text"}


def _resolved(schema: Mapping[str, Any], defined: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = schema.get("$ref")
    if reference:
        schema = defined[reference.rpartition("/")[2]]
    return schema
