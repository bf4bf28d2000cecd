"""Where a package comes from: its settings next to the family's defaults, and the chain of its
artifacts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from modelyard.card import text
from modelyard.card.text import clean, cut, setting
from modelyard.errors import ModelyardError
from modelyard.family import load
from modelyard.packages.package import PackageInfo
from modelyard.settings.family import flat
from modelyard.store.artifact import Origin


@dataclass(frozen=True)
class Setting:
    """One resolved setting. `default` is filled where the value differs from it."""

    name: str
    value: str
    full: str
    default: str
    meaning: str


@dataclass(frozen=True)
class Step:
    """One artifact of the chain, with the labels and values to list under it."""

    kind: str
    digest: str
    time: str
    facts: list[tuple[str, str]]


def changed(info: PackageInfo) -> list[Setting] | None:
    """The settings that differ from the family's defaults, by dotted name; None where the family
    is not at hand."""
    defaults, meanings = _defaults(info.family)
    if not defaults:
        return None
    rows = []
    for name, value in flat(info.config).items():
        row = _setting(name, name, value, defaults, meanings)
        if row.default:
            rows.append(row)
    return rows


def settings(info: PackageInfo) -> list[tuple[str, list[Setting]]]:
    """The resolved config by section; single fields come last, under an empty name."""
    defaults, meanings = _defaults(info.family)
    sections: dict[str, list[Setting]] = {}
    for name, value in flat(info.config).items():
        if value == {} and "." not in name:
            continue
        section, dot, field = name.partition(".")
        if not dot:
            section, field = "", name
        row = _setting(name, field, value, defaults, meanings)
        sections.setdefault(clean(section), []).append(row)
    return sorted(sections.items(), key=lambda section: section[0] == "")


def _setting(
    name: str, field: str, value: Any, defaults: dict[str, Any], meanings: dict[str, str]
) -> Setting:
    shown = setting(value)
    short = cut(shown, 40)
    default = ""
    if name in defaults and defaults[name] != value:
        default = cut(setting(defaults[name]), 40)
    return Setting(
        name=clean(field),
        value=short,
        full=shown if short != shown else "",
        default=default,
        meaning=clean(" ".join(meanings.get(name, "").split())),
    )


def _defaults(family: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Default values and docstrings by dotted name; nothing where the family is not at hand."""
    try:
        config = load(family).Config()
    except (ModelyardError, ImportError, ValidationError):
        return {}, {}
    return flat(config.model_dump(mode="json")), _meanings(config)


def _meanings(node: BaseModel, prefix: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for name, field in type(node).model_fields.items():
        value = getattr(node, name)
        if isinstance(value, BaseModel):
            found |= _meanings(value, f"{prefix}{name}.")
        else:
            found[prefix + name] = field.description or ""
    return found


def chain(info: PackageInfo, lineage: Mapping[str, Origin]) -> list[Step]:
    """From the data to the package, oldest first."""
    steps = []
    for digest, origin in sorted(lineage.items(), key=lambda entry: entry[1].created):
        time = text.duration(origin.seconds)
        steps.append(Step(clean(origin.kind), digest, time, _facts(origin)))
    facts = {"run": info.run, "code": info.code_version, "created": _moment(info.created)}
    steps.append(Step("package", info.version, "", _cleaned(facts)))
    return steps


def _facts(origin: Origin) -> list[tuple[str, str]]:
    facts = {
        "stage": origin.stage if origin.stage != origin.kind else "",
        "run": origin.run,
        "code": origin.code_version,
        "revision": origin.data_revision or "",
        "config": origin.config_hash[:12],
        "created": _moment(origin.created),
    }
    return _cleaned(facts)


def _cleaned(facts: Mapping[str, str]) -> list[tuple[str, str]]:
    return [(label, clean(value)) for label, value in facts.items() if value]


def total(lineage: Mapping[str, Origin]) -> str:
    """Wall time of all stages together."""
    return text.duration(sum(origin.seconds for origin in lineage.values()))


def _moment(created: str) -> str:
    return clean(created.replace("T", " "))[:16]


def moment(info: PackageInfo) -> str:
    """When the package was made, for people."""
    return _moment(info.created) + " UTC"
