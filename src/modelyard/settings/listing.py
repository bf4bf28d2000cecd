"""The settings of a config as rows: what the command line shows and the docs are written from."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable
from typing import Any, NamedTuple

from pydantic import BaseModel

from modelyard.settings.family import FamilyConfig

USUAL = (
    "data.uri",
    "data.rev",
    "training.epochs",
    "training.batch_size",
    "training.learning_rate",
    "training.precision",
    "gate.metric",
    "gate.threshold",
    "registry.name",
    "continual.start",
    "seed",
)
"""Of the settings that all families have: those that people change."""
OWN = ("features.", "model.")
"""Sections that are a family's own."""


class Setting(NamedTuple):
    """One setting."""

    name: str
    """With dots: `model.kind`."""
    default: str
    """As JSON."""
    meaning: str
    """Its docstring on one line."""


def settings_of(config: type[BaseModel], prefix: str = "") -> list[Setting]:
    """All settings of a config, sections in the order in which they are declared; of a section those
    that are its own come first, then those that it shares with other families'."""
    found: list[Setting] = []
    names = list(config.model_fields)
    if prefix:
        own = inspect.get_annotations(config)
        names.sort(key=lambda name: name not in own)
    for name in names:
        field = config.model_fields[name]
        kind: Any = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            found += settings_of(kind, f"{prefix}{name}.")
            continue
        default = field.get_default(call_default_factory=True, validated_data={})
        meaning = " ".join((field.description or "").split())
        found.append(Setting(prefix + name, json.dumps(default, default=list), meaning))
    return found


def usual(settings: Iterable[Setting]) -> list[Setting]:
    """A family's own settings, and those of the others that people change."""
    return [
        setting for setting in settings if setting.name.startswith(OWN) or setting.name in USUAL
    ]


def shared() -> list[Setting]:
    """What every family has, whatever it is."""
    return [setting for setting in settings_of(FamilyConfig) if not setting.name.startswith(OWN)]


def markdown(settings: Iterable[Setting]) -> str:
    """A table for a page."""
    lines = ["| setting | default | meaning |", "|---|---|---|"]
    for setting in settings:
        meaning = setting.meaning.replace("|", "\\|")
        lines.append(f"| `{setting.name}` | `{setting.default}` | {meaning} |")
    return "\n".join(lines)
