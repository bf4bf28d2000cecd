"""From a source to tokens, and from tokens to a translation. `tokenizers` and numpy only."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import numpy as np

from modelyard.errors import BadData
from modelyard.kit.classifier.kind import FileKind
from modelyard.kit.classifier.spec import FileSpec
from modelyard.kit.text.spec import TokenSpec
from modelyard.kit.text.tokenizer import byte_level

PAIRS = FileKind(
    one="pair", field="text", input="tokens", suffixes=frozenset({".txt"}), save_as=".txt"
)
PAD, END, UNKNOWN = "<pad>", "</s>", "<unk>"
"""Special tokens of a tokenizer that is trained here, in the order of their numbers, which T5 has
too."""
IGNORED = -100
"""In stored targets: a place behind the end."""


class Decoding(NamedTuple):
    """Shape of the keys and values of a decoder."""

    layers: int
    heads: int
    head_width: int


class TranslationSpec(TokenSpec):
    """Fitted on the training split, or a checkpoint's."""

    FILE: ClassVar[str] = "text.json"
    KIND = PAIRS

    task: str = "translate"
    text_column: str
    """Column of the training data that holds the source."""
    prompt: str
    """What stands before every source."""
    start: int
    """Token that a translation begins with, which is not part of it."""
    end: int
    """Token behind the last one of a translation."""
    most_written: int
    """Tokens of a translation, at most."""

    def read(self, sources: Sequence[str]) -> np.ndarray:
        """Sources to tokens int32 (n, length), the prompt in front."""
        found = np.empty((len(sources), self.length), np.int32)
        texts = [self.prompt + source for source in sources]
        for row, encoding in zip(found, self.opened.encode_batch_fast(texts), strict=True):
            row[:] = self.fitted(encoding.ids)
        return found

    def written(self, targets: Sequence[str]) -> np.ndarray:
        """Targets to tokens int64 (n, most_written), `end` behind the last one where there is room
        and IGNORED behind that. Not every checkpoint's tokenizer.json writes the end by itself."""
        found = np.full((len(targets), self.most_written), IGNORED, np.int64)
        encodings = self.opened.encode_batch_fast(list(targets))
        for row, encoding in zip(found, encodings, strict=True):
            ids = encoding.ids
            if ids[-1:] != [self.end]:
                ids = [*ids, self.end]
            ids = ids[: self.most_written]
            row[: len(ids)] = ids
        return found

    def text_of(self, tokens: Sequence[int]) -> str:
        """The text of tokens, without special ones."""
        return str(self.opened.decode(list(tokens), skip_special_tokens=True)).strip()

    def decode(self, data: bytes) -> np.ndarray:
        """A stored pair to the tokens of its source, int32 (length,)."""
        tokens: np.ndarray = self.read([pair_of(data)[0]])[0]
        return tokens

    def sees_like(self, other: FileSpec) -> bool:
        """Whether both read the same tokens."""
        same = isinstance(other, TranslationSpec) and self.prompt == other.prompt
        return same and super().sees_like(other)


def stored(source: str, target: str) -> bytes:
    """A pair as a split's files hold it."""
    return json.dumps([source, target], ensure_ascii=False).encode()


def pair_of(data: bytes | str) -> tuple[str, str]:
    """Source and target of a stored pair.

    Raises:
        BadData: it is none.
    """
    try:
        source, target = json.loads(data)
    except ValueError:
        raise BadData("is not a stored pair") from None
    return str(source), str(target)


def trained_tokenizer(texts: Sequence[str], most: int) -> str:
    """One of both languages, of at most so many tokens, as JSON."""
    from tokenizers import processors

    tokenizer = byte_level(texts, most, [PAD, END, UNKNOWN], blank=True)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {END}", special_tokens=[(END, 1)]
    )
    return str(tokenizer.to_str())
