"""What texts are called, and the asset that turns them into tokens."""

from __future__ import annotations

from typing import ClassVar

from modelyard.kit.classifier.kind import FileKind
from modelyard.kit.text.spec import TokenSpec

TEXTS = FileKind(
    one="text",
    field="text",
    input="tokens",
    suffixes=frozenset({".txt"}),
    unread=frozenset({".doc", ".docx", ".odt", ".pdf", ".rtf", ".html"}),
    save_as=".txt",
)


class TextSpec(TokenSpec):
    """Fitted on the training split, or a checkpoint's."""

    FILE: ClassVar[str] = "text.json"
    KIND = TEXTS

    task: str = "classify"
    """By which the host is found: see `tasks`."""
    text_column: str = TEXTS.field
    """Column of the training data that holds the text."""
