"""How the API server applies patches."""

from __future__ import annotations

from typing import Any

from tests.standin.store import Object

KEYS = {
    "containers": "name",
    "initContainers": "name",
    "volumes": "name",
    "env": "name",
    "imagePullSecrets": "name",
    "volumeMounts": "mountPath",
    "topologySpreadConstraints": "topologyKey",
}
"""Lists that a strategic merge patch merges by the key of their entries; others it replaces."""


def merge(thing: Object, patch: Object) -> None:
    """A JSON merge patch (RFC 7386)."""
    for name, value in patch.items():
        if isinstance(value, dict) and isinstance(thing.get(name), dict):
            merge(thing[name], value)
        elif value is None:
            thing.pop(name, None)
        else:
            thing[name] = value


def strategic_merge(thing: Object, patch: Object) -> None:
    """A strategic merge patch, as far as helm writes them."""
    for name, value in patch.items():
        if name.startswith("$"):
            continue
        if value is None:
            thing.pop(name, None)
        elif isinstance(value, dict) and isinstance(thing.get(name), dict):
            strategic_merge(thing[name], value)
        elif isinstance(value, list) and name in KEYS and isinstance(thing.get(name), list):
            thing[name] = _merged(
                thing[name], value, KEYS[name], patch.get(f"$setElementOrder/{name}")
            )
        else:
            thing[name] = value


def _merged(old: list[Any], new: list[Any], key: str, order: list[Any] | None) -> list[Any]:
    found = {one[key]: one for one in old}
    for one in new:
        if one.get("$patch") == "delete":
            found.pop(one[key], None)
        elif one[key] in found:
            strategic_merge(found[one[key]], one)
        else:
            found[one[key]] = one
    names = [one[key] for one in order or []]
    return sorted(
        found.values(), key=lambda one: names.index(one[key]) if one[key] in names else len(names)
    )
