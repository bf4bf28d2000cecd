"""The reading half for the task of the settings."""

from __future__ import annotations

from typing import Any

from modelyard.families.text.config import TextConfig


def data(config: TextConfig) -> Any:
    """The class that reads what `config.task` needs, with its config."""
    if config.task == "tag":
        from modelyard.families.text.tagging.data import TagData

        return TagData(config)
    if config.task == "answer":
        from modelyard.families.text.answering.data import AnswerData

        return AnswerData(config)
    if config.task == "translate":
        from modelyard.families.text.translating.data import TranslateData

        return TranslateData(config)
    if config.task == "classify_many":
        from modelyard.families.text.data import LabelsTextData

        return LabelsTextData(config)
    from modelyard.families.text.data import TextData

    return TextData(config)
