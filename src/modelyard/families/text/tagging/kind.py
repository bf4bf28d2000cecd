"""What tagged sentences are called."""

from __future__ import annotations

from modelyard.kit.classifier.kind import FileKind

SENTENCES = FileKind(
    one="sentence", field="text", input="tokens", suffixes=frozenset({".txt"}), save_as=".conll"
)
