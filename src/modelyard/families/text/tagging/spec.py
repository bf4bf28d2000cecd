"""From words to tokens, and from a text to words. `tokenizers` and numpy only."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import numpy as np

from modelyard.families.text.tagging.kind import SENTENCES
from modelyard.families.text.windows import in_windows
from modelyard.kit.text.spec import TokenSpec, as_text

WORD = re.compile(r"\w+(?:[-.'’]\w+)*|[^\w\s]")
"""Words of a text that comes as one: letters and digits, inner hyphens, dots and apostrophes; every
other sign by itself."""


class Laid(NamedTuple):
    """A text as the model reads it."""

    rows: np.ndarray
    """Tokens of its windows, int32 (windows, length)."""
    window: np.ndarray
    """Of each word: the window that it is read in, int64 (words,)."""
    place: np.ndarray
    """Its first token there, int64 (words,)."""


class TagSpec(TokenSpec):
    """Fitted on the training split, or a checkpoint's. The classes are tags in BIO."""

    FILE: ClassVar[str] = "text.json"
    KIND = SENTENCES

    task: str = "tag"

    def decode(self, data: bytes) -> np.ndarray:
        """A stored sentence to the tokens of its first window, int32 (length,)."""
        laid = self.laid_out(words_of(as_text(data, self.limits)))
        return np.asarray(laid.rows[0])

    def laid_out(self, words: Sequence[str]) -> Laid:
        """Words to tokens: the text has a blank between them."""
        starts = np.cumsum([0, *(len(word) + 1 for word in words[:-1])])
        return self.laid(" ".join(words), starts)

    def laid(self, text: str, starts: np.ndarray) -> Laid:
        """A text whose words begin at the characters `starts` (words,) to tokens; a long one in
        windows that overlap, each word in that where most of its surroundings are."""
        encoding = self.encoded(text)
        ids = np.array(encoding.ids, np.int32)
        inner = np.flatnonzero(np.array(encoding.special_tokens_mask) == 0)
        if not len(inner):  # of characters that the tokenizer drops
            nowhere = np.zeros(len(starts), np.int64)
            return Laid(self.fitted(encoding.ids)[None], nowhere, nowhere)
        ends = np.array([encoding.offsets[place][1] for place in inner])
        # The first token that ends behind a word's beginning; blanks may be part of a token.
        first = np.minimum(np.searchsorted(ends, starts, side="right"), len(inner) - 1)
        before, after = ids[: inner[0]], ids[inner[-1] + 1 :]
        tokens = ids[inner[0] : inner[-1] + 1]
        rows, begins = in_windows(self, before, tokens, after)
        size = self.length - len(before) - len(after)
        # Halfway through what two windows share, the later one takes over.
        changes = begins[1:] + (size - np.diff(begins)) // 2
        window = np.searchsorted(changes, first, side="right")
        return Laid(rows, window, first - begins[window] + len(before))


def words_of(stored: str) -> list[str]:
    """The words of a stored sentence."""
    words: list[str] = json.loads(stored)["tokens"]
    return words


def tags_of(stored: str) -> list[str]:
    """Its tags, in BIO."""
    tags: list[str] = json.loads(stored)["tags"]
    return tags
