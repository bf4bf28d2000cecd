"""The answering half for the task that a model was trained for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from modelyard.errors import BrokenArtifact

ASSET = "text.json"
"""Holds the task; one without is of a classifier."""
TASKS = ("classify", "classify_many", "tag", "answer", "translate")


def host(assets: Path) -> Any:
    """The class that answers for the task in the assets, opened on them.

    Raises:
        BrokenArtifact: the assets are not of a text model that this version knows.
    """
    task = _task(Path(assets) / ASSET)
    if task == "tag":
        from modelyard.families.text.tagging.host import TagHost

        return TagHost(assets)
    if task == "answer":
        from modelyard.families.text.answering.host import AnswerHost

        return AnswerHost(assets)
    if task == "translate":
        from modelyard.families.text.translating.host import TranslateHost

        return TranslateHost(assets)
    if task == "classify_many":
        from modelyard.families.text.host import LabelsTextHost

        return LabelsTextHost(assets)
    from modelyard.families.text.host import TextHost

    return TextHost(assets)


def _task(file: Path) -> str:
    try:
        task = json.loads(file.read_text()).get("task", "classify")
    except (OSError, ValueError, AttributeError) as error:
        raise BrokenArtifact(f"{file} cannot be read: {error}") from None
    if task not in TASKS:
        raise BrokenArtifact(f"{file}: task {task!r} is not one of {', '.join(TASKS)}")
    return str(task)
