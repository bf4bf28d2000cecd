"""Entries whose debug runs are of the tasks that the family's own is not."""

from __future__ import annotations

from modelyard.families.text.config import TextConfig
from modelyard.family import Entry


class ManyConfig(TextConfig):
    """Docstrings with any number of labels."""

    @classmethod
    def debug(cls) -> ManyConfig:
        """The family's own, and labels of what the code below a docstring does."""
        plain = TextConfig.debug()
        features = plain.features.model_copy(update={"labels": "many"})
        return cls(features=features, model=plain.model, training=plain.training)


PLACE = "modelyard.families.text.tasks"
MANY = Entry(
    "texts: many labels",
    ManyConfig,
    data=f"{PLACE}.data:data",
    build=f"{PLACE}.build:build",
    host=f"{PLACE}.host:host",
)


class TagConfig(TextConfig):
    """Simulated sentences with spans."""

    @classmethod
    def debug(cls) -> TagConfig:
        """A narrow LSTM on 400 of them."""
        features = {"task": "tag", "sample_texts": 400, "vocabulary": 1_000}
        training = {"epochs": 6, "batch_size": 16, "learning_rate": 1e-2, "hide": 0.1}
        model = {"width": 48, "dropout": 0.3}
        return cls.model_validate({"features": features, "model": model, "training": training})


TAG = Entry(
    "texts: spans",
    TagConfig,
    data=f"{PLACE}.data:data",
    build=f"{PLACE}.build:build",
    host=f"{PLACE}.host:host",
)


class AnswerConfig(TextConfig):
    """Simulated questions on notes."""

    @classmethod
    def debug(cls) -> AnswerConfig:
        """A narrow LSTM on those of 200 notes."""
        features = {"task": "answer", "sample_texts": 200, "vocabulary": 1_000}
        training = {"epochs": 6, "batch_size": 16, "learning_rate": 1e-2, "hide": 0.0}
        model = {"width": 48, "dropout": 0.2}
        return cls.model_validate({"features": features, "model": model, "training": training})


ANSWER = Entry(
    "texts: answers",
    AnswerConfig,
    data=f"{PLACE}.data:data",
    build=f"{PLACE}.build:build",
    host=f"{PLACE}.host:host",
)


class TranslateConfig(TextConfig):
    """Phrases in two languages."""

    @classmethod
    def debug(cls) -> TranslateConfig:
        """A narrow T5 of one layer on 1,200 of them."""
        features = {"task": "translate", "sample_texts": 1200, "vocabulary": 1_000}
        training = {"epochs": 12, "batch_size": 16, "learning_rate": 3e-3}
        model = {"width": 64, "layers": 1}
        return cls.model_validate({"features": features, "model": model, "training": training})


TRANSLATE = Entry(
    "texts: translation",
    TranslateConfig,
    data=f"{PLACE}.data:data",
    build=f"{PLACE}.build:build",
    host=f"{PLACE}.host:host",
)
