"""Settings under the names that they had in an earlier release.

A cloned run, a schedule, a params.yaml and a package's record outlive a release. What stands in a config's
table `renamed` still works under its old name, with a word in the log.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from modelyard.errors import UsageError

log = logging.getLogger("modelyard")


def table_of(config: type) -> dict[str, str]:
    """Old dotted names and those of today: a family's own and those of every family."""
    found: dict[str, str] = {}
    # From the base upwards: a family's own table counts more than the common one.
    for cls in reversed(config.__mro__):
        found |= vars(cls).get("renamed", {})
    return found


def translated(table: Mapping[str, str], layer: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of one source with today's names; a name may be that of a whole section.

    Raises:
        UsageError: a setting is given by both of its names.
    """
    found = dict(layer)
    for old, new in table.items():
        given, value = _taken(found, old.split("."))
        if not given:
            continue
        log.warning("setting %r is called %r now; its old name still works", old, new)
        _put(found, new, value, old)
    return found


def _taken(values: dict[str, Any], path: list[str]) -> tuple[bool, Any]:
    """Whether a setting is given, and its value, which is taken out: of copies of its sections."""
    name, *rest = path
    if name not in values:
        return False, None
    if not rest:
        return True, values.pop(name)
    section = values[name]
    if not isinstance(section, Mapping):
        return False, None
    inner = dict(section)
    given, value = _taken(inner, rest)
    if not given:
        return False, None
    values[name] = inner
    if not inner:
        del values[name]  # a section of nothing but old names may be gone today
    return True, value


def _put(values: dict[str, Any], new: str, value: Any, old: str) -> None:
    *sections, name = new.split(".")
    place = values
    for section in sections:
        place[section] = dict(place.get(section) or {})
        place = place[section]
    there = place.get(name)
    # A section under both names, of which no setting is given twice.
    if isinstance(there, Mapping) and isinstance(value, Mapping) and not set(there) & set(value):
        place[name] = {**value, **there}
        return
    if name in place:
        raise UsageError(
            f"setting {old!r} is called {new!r} now, and both are given. Leave out {old!r}"
        )
    place[name] = value
