"""Tokens of dialogues: with our own marks, or as a checkpoint's chat template writes them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from modelyard.errors import BadData, UsageError
from modelyard.families.language.chat import ASSISTANT, ChatFormat, Marks, Message
from modelyard.families.language.template import OFF, ChatTemplate, Rendered, Renderer
from modelyard.families.language.tokens import Codec
from modelyard.kit.text.tokenizer import open_tokenizer

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def chat_format(assets: Path, codec: Codec, start: int, end: int) -> ChatFormat:
    """How a model's dialogues are written: by the template in its assets, or with our own marks."""
    if (assets / ChatTemplate.FILE).is_file():
        return TemplateFormat(ChatTemplate.load(assets), assets / "tokenizer.json", start)
    return Marks(codec, end)


class Piece(NamedTuple):
    """A token, and where it stands in a text."""

    token: int
    begin: int
    until: int


class TemplateFormat:
    """Tokens of dialogues by a template and the tokenizer that it was made for."""

    def __init__(self, template: ChatTemplate, tokenizer: Path, start: int) -> None:
        """`start`: the token before every document, which a template may write too.

        Raises:
            UsageError: the template is not Jinja's language, or ends a message by no token of its own.
        """
        self._template = Renderer(template)
        content = tokenizer.read_text(encoding="utf-8")
        self._start = start
        # One for what people write, and one that sees marks.
        self._plain = open_tokenizer(content, str(tokenizer))
        self._marked: Tokenizer = open_tokenizer(content, str(tokenizer))
        self._marked.encode_special_tokens = False
        known = self._plain.get_added_tokens_decoder()
        self._special = {number: token.content for number, token in known.items() if token.special}

    @cached_property
    def end(self) -> int:
        """The token that ends the assistant's messages.

        Raises:
            UsageError: there is none.
        """
        said = [Message(role="user", content="a"), Message(role=ASSISTANT, content="b")]
        rendered = self._template.rendered(said)
        _, until = rendered.spans[-1]
        for piece in self._encoded(rendered):
            if piece.begin >= until and piece.token in self._special:
                return piece.token
        raise UsageError(
            "the checkpoint's chat template ends the assistant's messages with no special token of its "
            f"tokenizer. Type: {OFF}"
        )

    def tokens_of(self, messages: Sequence[Message]) -> tuple[list[int], list[bool]]:
        """Tokens of a dialogue without the start token, up to the end of the assistant's last
        message, and which of them the model learns to write.

        Raises:
            BadData: the template refuses the dialogue, or leaves a message out.
        """
        rendered = self._template.rendered(messages)
        pieces = self._encoded(rendered)
        learned = [False] * len(pieces)
        at = 0
        for message, (begin, until) in zip(messages, rendered.spans, strict=True):
            if message.role != ASSISTANT:
                continue
            # A token may hold the blank before the first word too: it is learned with it.
            while at < len(pieces) and pieces[at].until <= begin:
                at += 1
            ended = False
            while at < len(pieces) and not ended:
                learned[at] = True
                ended = pieces[at].begin >= until and pieces[at].token == self.end
                at += 1
            if not ended:
                problem = (
                    "the checkpoint's chat template does not end each message of the assistant"
                )
                raise BadData(problem, column="messages")
        # Nothing behind the last end is learned: `at` is the place after it.
        ids = [piece.token for piece in pieces[:at]]
        return self._without_start(ids, learned[:at])

    def asked_tokens(self, messages: Sequence[Message]) -> list[int]:
        """Tokens of a dialogue that the assistant is to continue.

        Raises:
            BadData: see `tokens_of`.
        """
        pieces = self._encoded(self._template.rendered(messages, asked=True))
        ids = [piece.token for piece in pieces]
        return self._without_start(ids, [False] * len(ids))[0]

    def _without_start(self, ids: list[int], learned: list[bool]) -> tuple[list[int], list[bool]]:
        """Whoever reads a dialogue puts the start token before it."""
        if ids and ids[0] == self._start:
            return ids[1:], learned[1:]
        return ids, learned

    def _encoded(self, rendered: Rendered) -> list[Piece]:
        typed = [rendered.text[begin:until] for begin, until in rendered.spans]
        marks = list(self._special.values())
        if not any(mark in words for words in typed for mark in marks):
            return _pieces(self._marked, rendered.text, 0)
        # A person typed a mark. What stands between the template's own marks is encoded by itself.
        found = []
        at = 0
        for first, last in [*self._own_marks(rendered), (len(rendered.text), len(rendered.text))]:
            found += _pieces(self._plain, rendered.text[at:first], at)
            found += _pieces(self._marked, rendered.text[first:last], first)
            at = last
        return found

    def _own_marks(self, rendered: Rendered) -> list[tuple[int, int]]:
        """Where the template itself wrote special tokens."""
        longest_first = sorted(self._special.values(), key=len, reverse=True)
        pattern = "|".join(re.escape(mark) for mark in longest_first)
        own = []
        for match in re.finditer(pattern, rendered.text):
            first, last = match.span()
            if not any(first < until and last > begin for begin, until in rendered.spans):
                own.append((first, last))
        return own


def _pieces(tokenizer: Tokenizer, text: str, start: int) -> list[Piece]:
    """The tokens of a part that begins at `start`."""
    if not text:
        return []
    found = tokenizer.encode(text, add_special_tokens=False)
    return [
        Piece(token, start + begin, start + until)
        for token, (begin, until) in zip(found.ids, found.offsets, strict=True)
    ]
