"""Text to tokens and back, with the `tokenizers` library only: training and serving read the
same file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from modelyard.errors import BrokenArtifact
from modelyard.kit.text.tokenizer import byte_level, open_tokenizer

BOUNDARY = "<|endoftext|>"
"""Token between documents, number 0 of a tokenizer that is trained here."""
TAIL = 32
"""Tokens before a text that may change how it is decoded; in fact a few are enough."""
UNFINISHED = "�"
"""What a byte that is no character alone is decoded to."""


class Codec:
    """A tokenizer file. No text turns into the boundary token: `<|endoftext|>` in a prompt is thirteen characters."""

    def __init__(self, file: Path) -> None:
        """Raises BrokenArtifact where `file` is no tokenizer."""
        try:
            content = Path(file).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise BrokenArtifact(f"{file} cannot be read: {error}") from None
        self._tokenizer = open_tokenizer(content, str(file))

    @property
    def size(self) -> int:
        """Tokens it knows."""
        return int(self._tokenizer.get_vocab_size())

    def encode(self, text: str) -> list[int]:
        """Token numbers of a text, without boundary tokens."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def encode_all(self, texts: Sequence[str]) -> list[list[int]]:
        """`encode` of each text, in parallel."""
        found = self._tokenizer.encode_batch(list(texts), add_special_tokens=False)
        return [encoding.ids for encoding in found]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of tokens; boundary tokens have none."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=True))

    def continuation(self, before: Sequence[int], ids: Sequence[int]) -> str:
        """What `ids` add to the text of `before`: decoded together, since some tokenizers strip
        a leading space. A long text before costs no more than a short one."""
        before = before[-TAIL:]
        return self.decode([*before, *ids])[len(self.decode(before)) :]


def train_tokenizer(texts: Sequence[str], size: int, file: Path) -> None:
    """Writes one of at most `size` tokens."""
    byte_level(texts, size, [BOUNDARY], blank=False).save(str(file))
