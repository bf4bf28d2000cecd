"""Values, names and JSON schemas in the words of a message, however large they are."""

from __future__ import annotations

import json
from typing import Any

MOST_CHOICES = 12
"""Names that a message lists."""
_SHOWN = 60
_LONGEST_NAME = 100
_FORMATS = {
    "date-time": "an ISO 8601 date and time",
    "date": "an ISO 8601 date",
    "time": "an ISO 8601 time",
}
_TYPES = {
    "number": "a number",
    "integer": "an integer",
    "string": "a string",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}


def shown(value: Any) -> str:
    """A value as JSON, short."""
    # A text of megabytes is cut before it is written, and a large list is not written at all.
    if isinstance(value, str):
        value = value[:_SHOWN]
    elif isinstance(value, list | dict) and len(value) > _SHOWN:
        return f"{'a list' if isinstance(value, list) else 'an object'} of {len(value):,}"
    text = json.dumps(value, default=str, ensure_ascii=False)
    if len(text) <= _SHOWN:
        return text
    return f"{text[: _SHOWN - 3]}…"


def short(name: str) -> str:
    """A name that a caller chose, cut where it is long."""
    if len(name) <= _LONGEST_NAME:
        return name
    return f"{name[: _LONGEST_NAME - 1]}…"


def one_of(values: list[Any]) -> str:
    """The values that are allowed: `one of "a", "b"`."""
    names = ", ".join(map(shown, values[:MOST_CHOICES]))
    if len(values) > MOST_CHOICES:
        return f"one of {names}, … ({len(values)} in all)"
    return f"one of {names}"


def typed(schema: dict[str, Any]) -> str:
    """What a schema of one type takes: `a number of at least 0`."""
    kind = schema.get("type", "")
    words = _FORMATS.get(schema.get("format", ""), _TYPES.get(kind, "valid"))
    units = {"string": " characters", "array": " items"}.get(kind, "")
    least = schema.get("minimum", schema.get("minLength", schema.get("minItems")))
    most = schema.get("maximum", schema.get("maxLength", schema.get("maxItems")))
    bounds = []
    if least is not None and least == most and units:
        bounds.append(f"of {least}{units}")
    elif least is not None and most is not None:
        word = "of" if units else "from"
        bounds.append(f"{word} {least} to {most}{units}")
    elif least is not None:
        bounds.append(f"of at least {least}{units}")
    elif most is not None:
        bounds.append(f"of at most {most}{units}")
    further = {"exclusiveMinimum": "above", "exclusiveMaximum": "below", "pattern": "that matches"}
    for keyword, word in further.items():
        if keyword in schema:
            bounds.append(f"{word} {schema[keyword]}")
    return " ".join([words, " and ".join(bounds)]).strip()
