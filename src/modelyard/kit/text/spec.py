"""From text to the tokens that the model reads: training and answering share it. `tokenizers` and
numpy only."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from modelyard.errors import BadData
from modelyard.kit.classifier.kind import FileLimits, too_large
from modelyard.kit.classifier.spec import FileSpec
from modelyard.kit.text.tokenizer import open_tokenizer

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

SAMPLED = 256
"""Texts that go through the tokenizer at once, in parallel."""
RECENT = 1_024
"""Texts whose tokens are counted once for an answer, its warnings and its row for drift."""


class Tally(NamedTuple):
    """How many tokens a text has, before it is cut."""

    tokens: int
    unknown: int
    """Those that stand for what the tokenizer cannot write."""


def as_text(data: bytes, limits: FileLimits) -> str:
    """What bytes say in UTF-8.

    Raises:
        BadData: they are too many, or not UTF-8.
    """
    if len(data) > limits.bytes:
        raise too_large(len(data), limits)
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise BadData(f"is not UTF-8: {error.reason} at byte {error.start}") from None


class TokenSpec(FileSpec):
    """Fitted on the training split, or a checkpoint's."""

    DTYPE = np.int32
    INPUT = np.int64
    VARYING = (1,)

    tokenizer: str
    """The tokenizer, as JSON of the tokenizers library."""
    length: int
    """Most tokens of a text that are read."""
    long: Literal["head", "ends"]
    """What is read of a longer one."""
    pad: int
    """Token behind the last one of a text."""
    hidden: int
    """Token in place of one that is hidden."""
    unknown: int | None
    """Token of what the tokenizer cannot write; None: it writes everything."""
    special: list[int]
    """Tokens that no text holds."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(length,)."""
        return (self.length,)

    @cached_property
    def opened(self) -> Tokenizer:
        return open_tokenizer(self.tokenizer, f"the tokenizer of {self.FILE}")

    def encoded(self, text: str) -> Encoding:
        """All tokens of a text, with their places in it."""
        return self.opened.encode(text)

    def counts_of(self, texts: Sequence[str]) -> np.ndarray:
        """Tokens of each text, int64 (texts,), before they are cut."""
        found: list[int] = []
        for start in range(0, len(texts), SAMPLED):
            part = self.opened.encode_batch_fast(list(texts[start : start + SAMPLED]))
            found += [len(encoding.ids) for encoding in part]
        return np.array(found, np.int64)

    def tally(self, text: str) -> Tally:
        """Its tokens, counted; of a text that was just read, they are not looked for again."""
        found = self._recent.get(hash(text))
        if found is not None:
            return found
        return self._noted(text, self.encoded(text).ids)

    def decode(self, data: bytes) -> np.ndarray:
        """UTF-8 to tokens int32 (length,), `pad` behind the last one."""
        tokens: np.ndarray = self.decode_all([data])[0]
        return tokens

    def decode_all(self, files: Sequence[bytes]) -> np.ndarray:
        """Texts in UTF-8 to tokens int32 (n, length); the tokenizer uses all cores."""
        texts = [as_text(data, self.limits) for data in files]
        found = np.empty((len(texts), self.length), np.int32)
        for place, encoding in enumerate(self.opened.encode_batch_fast(texts)):
            ids = encoding.ids
            self._noted(texts[place], ids)
            found[place] = self.fitted(ids)
        return found

    def fitted(self, ids: list[int]) -> np.ndarray:
        """Tokens of a text to int32 (length,): what `long` says of more, and the last one."""
        if len(ids) > self.length:
            # The last token says that the text ends: it stays in any case.
            kept = self.length - 1
            tail = kept // 2 if self.long == "ends" else 0
            ids = ids[: kept - tail] + ids[len(ids) - 1 - tail :]
        tokens = np.full(self.length, self.pad, np.int32)
        tokens[: len(ids)] = ids
        return tokens

    def sees_like(self, other: FileSpec) -> bool:
        """Whether both are of one task and read the same tokens of a text."""
        if not isinstance(other, type(self)):
            return False
        mine = (self.tokenizer, self.length, self.long)
        return mine == (other.tokenizer, other.length, other.long)

    @cached_property
    def _recent(self) -> dict[int, Tally]:
        """By the hash of a text: the texts themselves may be large, and are nobody's to keep."""
        return {}

    def _noted(self, text: str, ids: list[int]) -> Tally:
        unknown = ids.count(self.unknown) if self.unknown is not None else 0
        found = Tally(len(ids), unknown)
        if len(self._recent) >= RECENT:
            self._recent.clear()
        self._recent[hash(text)] = found
        return found
