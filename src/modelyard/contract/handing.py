"""Checks of which settings a stage reads."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from modelyard.contract.lab import Lab
from modelyard.judging.compare import expect
from modelyard.pipeline import form
from modelyard.settings.family import FamilyConfig, merge
from modelyard.stages.run import Run
from modelyard.store.artifact import read_manifest

SECTIONS = ("model", "training")
"""Of these, `features` may read what `Config.for_features` names."""


def features_read_what_their_step_is_handed(lab: Lab) -> str:
    """The step is handed the sections `data` and `features`, the seed and what
    `Config.for_features` names: other numbers in `model` and `training` give the same files."""
    config, changed = lab.run.config, []
    # All settings at once: features take seconds, and few families read any of them.
    for setting, value in _others(config):
        section, name = setting.split(".")
        values = merge(config.model_dump(mode="json"), {section: {name: value}})
        try:
            config = type(config).model_validate(values)
        except ValidationError:
            continue  # it does not go together with the others
        changed.append((setting, value))
    if not _read_more(lab, config, "all"):
        return f"{len(changed)} settings changed"
    # Which of them it was: each by itself.
    for setting, value in changed:
        section, name = setting.split(".")
        values = merge(lab.run.config.model_dump(mode="json"), {section: {name: value}})
        try:
            single = type(config).model_validate(values)
        except ValidationError:
            continue  # it goes together with the others only
        if _read_more(lab, single, setting):
            break
    else:
        setting = "settings of model and training together"
    expect(
        False,
        f"features() reads {setting}, which its step is not handed: the default would be used. "
        "Move it to the section features, read it where the model is made, or name it in "
        "Config.for_features()",
    )
    return ""


def _read_more(lab: Lab, config: FamilyConfig, name: str) -> bool:
    """Whether features made with all settings are others than those that the step makes."""
    run = Run.of(lab.name, config.model_dump(mode="json"), id="contract")
    step = Run.of(lab.name, form.handed(run)["features"]["config"], id="contract")
    whole = lab.made_by(run, "features", f"features-{name}")
    handed = lab.made_by(step, "features", f"features-{name}-handed")
    return _digest(whole) != _digest(handed)


def _digest(folder: Path) -> str:
    return read_manifest(folder).digest


def _others(config: FamilyConfig) -> Iterator[tuple[str, Any]]:
    """Numbers and flags of SECTIONS by dotted name, with other values that may be allowed."""
    for section in SECTIONS:
        for name, value in getattr(config, section).model_dump(mode="json").items():
            if isinstance(value, bool):
                yield f"{section}.{name}", not value
            elif isinstance(value, int):
                yield f"{section}.{name}", value + 1
                yield f"{section}.{name}", value - 1
            elif isinstance(value, float):
                yield f"{section}.{name}", value * 0.9
