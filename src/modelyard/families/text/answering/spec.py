"""From a question and a text to windows of tokens. `tokenizers` and numpy only."""

from __future__ import annotations

import json
from typing import Any, ClassVar, NamedTuple

import numpy as np

from modelyard.errors import BadData
from modelyard.families.text.windows import in_windows
from modelyard.kit.classifier.kind import FileKind
from modelyard.kit.text.spec import TokenSpec

QUESTIONS = FileKind(
    one="question", field="question", input="tokens", suffixes=frozenset({".json"}), save_as=".json"
)
MOST_ASKED = 2
"""A question has at most this part of the model's length."""


class Pair(NamedTuple):
    """A question and a text as the model reads them."""

    rows: np.ndarray
    """Tokens, int32 (windows, length): start, question, end, a part of the text, end."""
    first: int
    """Place of the text's first token in a row."""
    begins: np.ndarray
    """Which of the text's tokens stands there, int64 (windows,)."""
    offsets: np.ndarray
    """First character of each of the text's tokens and the one behind its last, int64 (tokens, 2)."""
    cut: bool
    """Whether the question was cut."""


class PairSpec(TokenSpec):
    """Fitted on the training split, or a checkpoint's."""

    FILE: ClassVar[str] = "text.json"
    KIND = QUESTIONS

    task: str = "answer"
    end: list[int]
    """Tokens behind a text: between question and text, and at the end."""
    may_lack: bool
    """Whether a text may not answer: some training question has no answer."""

    def pair(self, question: str, context: str) -> Pair:
        """Both as tokens; a long text in windows that overlap."""
        asked, cut = self._asked(question)
        encoding = self.encoded(context)
        inner = np.flatnonzero(np.array(encoding.special_tokens_mask) == 0)
        tokens = np.array(encoding.ids, np.int32)[inner]
        offsets = np.array(encoding.offsets, np.int64).reshape(-1, 2)[inner]
        for place, (start, end) in enumerate(offsets.tolist()):
            # A blank in front may be part of a token, but not of an answer.
            offsets[place, 0] = end - len(context[start:end].lstrip())
        rows, begins = in_windows(self, asked, tokens, np.array(self.end, np.int32))
        return Pair(rows, len(asked), begins, offsets, cut)

    def decode(self, data: bytes) -> np.ndarray:
        """A stored question to its first window, int32 (length,)."""
        stored = stored_of(data)
        return np.asarray(self.pair(stored["question"], stored["context"]).rows[0])

    def _asked(self, question: str) -> tuple[np.ndarray, bool]:
        """Start, question and end; and whether the question was cut."""
        encoding = self.encoded(question)
        mask = np.array(encoding.special_tokens_mask)
        ids = np.array(encoding.ids, np.int32)
        inner = np.flatnonzero(mask == 0)
        before = ids[: inner[0]] if len(inner) else ids[:1]
        most = max(1, self.length // MOST_ASKED - len(before) - len(self.end))
        tokens = ids[inner]
        asked = np.concatenate([before, tokens[:most], np.array(self.end, np.int32)])
        return asked, len(tokens) > most


def stored_of(data: bytes | str) -> dict[str, Any]:
    """A stored question: `question`, `context` and `answers`, pairs of text and first character.

    Raises:
        BadData: it is none.
    """
    try:
        found: dict[str, Any] = json.loads(data)
    except ValueError:
        raise BadData("is not a stored question") from None
    return found
