"""The building half for the task of the settings."""

from __future__ import annotations

from typing import Any

from modelyard.families.text.config import TextConfig


def build(config: TextConfig) -> Any:
    """The class that builds and judges for `config.task`, with its config."""
    if config.task == "tag":
        from modelyard.families.text.tagging.family import TagText

        return TagText(config)
    if config.task == "answer":
        from modelyard.families.text.answering.family import AnswerText

        return AnswerText(config)
    if config.task == "translate":
        from modelyard.families.text.translating.family import TranslateText

        return TranslateText(config)
    if config.task == "classify_many":
        from modelyard.families.text.family import LabelsText

        return LabelsText(config)
    from modelyard.families.text.family import Text

    return Text(config)
