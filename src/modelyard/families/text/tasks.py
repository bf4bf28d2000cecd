"""Which classes serve which task: a family by itself each, over the same section of settings."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any, NamedTuple

from modelyard.errors import BrokenArtifact
from modelyard.families.text.config import TextConfig


class Task(NamedTuple):
    """The classes of a task, as `module:Class` of this folder."""

    data: str
    build: str
    host: str


TASKS = {
    "classify": Task("data:TextData", "family:Text", "host:TextHost"),
    "tag": Task("tagging.data:TagData", "tagging.family:TagText", "tagging.host:TagHost"),
    "classify_many": Task("data:LabelsTextData", "family:LabelsText", "host:LabelsTextHost"),
}
"""By the value of `TextConfig.task`, which the assets hold too."""
ASSET = "text.json"


def data(config: TextConfig) -> Any:
    """The reading half for the task of the settings."""
    return _class(TASKS[config.task].data)(config)


def build(config: TextConfig) -> Any:
    """The building half for the task of the settings."""
    return _class(TASKS[config.task].build)(config)


def host(assets: Path) -> Any:
    """The answering half for the task that a model was trained for.

    Raises:
        BrokenArtifact: the assets are not of a text model that this version knows.
    """
    file = Path(assets) / ASSET
    try:
        task = json.loads(file.read_text()).get("task", "classify")
    except (OSError, ValueError, AttributeError) as error:
        raise BrokenArtifact(f"{file} cannot be read: {error}") from None
    if task not in TASKS:
        raise BrokenArtifact(f"{file}: task {task!r} is not one of {', '.join(TASKS)}")
    return _class(TASKS[task].host)(assets)


def _class(named: str) -> Any:
    module, _, name = named.partition(":")
    return getattr(importlib.import_module(f"{__package__}.{module}"), name)
