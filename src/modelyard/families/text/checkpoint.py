"""What all tasks read with: a checkpoint's tokenizer or one of their own, and what a warm start must
not change."""

from __future__ import annotations

from typing import Any, ClassVar, Generic, TypeVar

from modelyard.errors import UsageError
from modelyard.families.text.config import TextConfig
from modelyard.kit.checkpoints import FoundCheckpoint, find_checkpoint
from modelyard.kit.classifier.data import ClassifierData, Parts
from modelyard.kit.text.spec import TokenSpec

LABELLING = ("classes", "positive", "text_column", "label_column", "group_pattern")
"""Settings of `features` that are for labels of whole texts."""
T = TypeVar("T", bound=TokenSpec)


class TokensData(ClassifierData[TextConfig, T], Generic[T]):
    """The reading half of a task over tokens."""

    checkpoints: ClassVar[tuple[str, ...]] = ("bert", "distilbert", "electra", "roberta")
    """Values of `model_type` in the config.json of a checkpoint."""

    def checkpoint(self) -> FoundCheckpoint | None:
        """What `model.checkpoint` names."""
        model = self.config.model
        if model.checkpoint is None:
            return None
        return find_checkpoint(model.checkpoint, self.checkpoints, hub=model.hub)

    def refuse_settings(self, *names: str) -> None:
        """Refuses settings of `features` that are for labels of whole texts.

        Raises:
            UsageError: one is set.
        """
        for name in names:
            if getattr(self.config.features, name):
                raise UsageError(f"setting 'features.{name}' is for features.task=classify")

    def unchangeable(self, spec: T, plan: dict[str, Any]) -> list[tuple[str, Any, Any]]:
        """How texts are read, and the kind of network."""
        settings = self.config.features
        return [
            ("features.length", settings.length, spec.length),
            ("features.long", settings.long, spec.long),
            ("model.kind", self.config.model.kind, plan["kind"]),
        ]

    def summary(self, spec: T) -> tuple[str, dict[str, Any]]:
        """What is read of a text."""
        return f"{spec.length} tokens of {spec.opened.get_vocab_size():,}", {"length": spec.length}

    def said_of(
        self, parts: Parts, spec: T, more: str, dropped: dict[str, int], notes: list[str]
    ) -> dict[str, Any]:
        """The card's summary of examples that are in no classes; `more` ends the headline."""
        kind, rows = self.Spec.KIND, {split: len(part) for split, part in parts.items()}
        words, entries = self.summary(spec)
        return {
            "headline": f"{sum(rows.values()):,} {kind.many}, {words}{more}",
            "rows": rows,
            "dropped": dropped,
            "unit": kind.many,
            **entries,
            "notes": notes,
        }
