"""Tokens of dialogues: with our own marks, or as a checkpoint's chat template writes them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
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
            UsageError: the template is not Jinja's language, or cannot write a question and its answer.
        """
        self._template = Renderer(template)
        # A question with its answer shows how this template writes both.
        asked = [Message(role="user", content="a")]
        try:
            self._question = self._template.rendered(asked, asked=True).text
            self._example = self._template.rendered([*asked, Message(role=ASSISTANT, content="b")])
        except BadData as error:
            raise UsageError(f"{error.problem} of a question and its answer. Type: {OFF}") from None
        content, frame = tokenizer.read_text(encoding="utf-8"), _frame(self._example)
        self._start = start
        # One for what people write, and one that sees marks.
        self._plain = _with_special(open_tokenizer(content, str(tokenizer)), frame)
        self._marked = _with_special(open_tokenizer(content, str(tokenizer)), frame)
        self._marked.encode_special_tokens = False
        known = self._plain.get_added_tokens_decoder()
        self._special = {number: token.content for number, token in known.items() if token.special}

    @cached_property
    def end(self) -> int:
        """The token that ends the assistant's messages.

        Raises:
            UsageError: there is none.
        """
        _, until = self._example.spans[-1]
        for piece in self._encoded(self._example):
            if piece.begin >= until and piece.token in self._special:
                return piece.token
        raise UsageError(
            "the checkpoint's chat template ends the assistant's messages with no special token of its "
            f"tokenizer. Type: {OFF}"
        )

    @cached_property
    def _turn(self) -> tuple[str, str]:
        """How the template ends a question, and what is asked in its place: what stands before the
        words of an answer, so that both are learned and written behind the same.

        Templates differ there: some end a question with a mark of thinking that no answer has. A
        blank is left to the answer, whose first token holds it.
        """
        begin, _ = self._example.spans[-1]
        before = self._example.text[:begin].rstrip(" ")
        same = 0
        while self._question[same : same + 1] == before[same : same + 1] != "":
            same += 1
        return self._question[same:], before[same:]

    @cached_property
    def _asked_blanks(self) -> int:
        """Blanks and ends of lines at the end of a question."""
        theirs, ours = self._turn
        return _blanks(self._question.removesuffix(theirs) + ours)

    @cached_property
    def spaced(self) -> bool:
        """See ChatFormat."""
        begin, _ = self._example.spans[-1]
        return _blanks(self._example.text[:begin]) > self._asked_blanks

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
            # Blanks that a question does not end with are the answer's to write.
            blanks = _blanks(rendered.text[:begin]) - self._asked_blanks
            first = begin - max(0, blanks)
            while at < len(pieces) and pieces[at].until <= first:
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
        rendered = self._template.rendered(messages, asked=True)
        theirs, ours = self._turn
        if rendered.text.endswith(theirs):
            rendered = replace(rendered, text=rendered.text.removesuffix(theirs) + ours)
        pieces = self._encoded(rendered)
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
        is_typed = any(mark in words for words in typed for mark in marks)
        if not is_typed:
            return _pieces(self._marked, rendered.text, 0)
        # A person typed a mark. What stands between the template's own marks is encoded by itself.
        found = []
        at = 0
        end = (len(rendered.text), len(rendered.text))
        for first, last in [*self._own_marks(rendered), end]:
            found += _pieces(self._plain, rendered.text[at:first], at)
            found += _pieces(self._marked, rendered.text[first:last], first)
            at = last
        return found

    def _own_marks(self, rendered: Rendered) -> list[tuple[int, int]]:
        """Where the template itself wrote special tokens."""
        # Of two marks that begin alike the longer one is meant.
        longest_first = sorted(self._special.values(), key=len, reverse=True)
        pattern = "|".join(re.escape(mark) for mark in longest_first)
        own = []
        for match in re.finditer(pattern, rendered.text):
            first, last = match.span()
            # A mark that a message holds, or lies across its edge, was typed.
            is_typed = any(first < until and last > begin for begin, until in rendered.spans)
            if not is_typed:
                own.append((first, last))
        return own


def _frame(rendered: Rendered) -> str:
    """What the template itself wrote, without the words of messages."""
    found, at = "", 0
    for begin, until in sorted(rendered.spans):
        found += rendered.text[at:begin]
        at = until
    return found + rendered.text[at:]


def _with_special(tokenizer: Tokenizer, frame: str) -> Tokenizer:
    """The tokenizer, whose tokens for the marks in `frame` become special: in some checkpoints they are
    tokens like others, and whoever types one would write a mark."""
    for token in tokenizer.get_added_tokens_decoder().values():
        if not token.special and token.content.strip() and token.content in frame:
            token.special = True
            tokenizer.add_special_tokens([token])
    return tokenizer


def _blanks(text: str) -> int:
    """How many stand at its end."""
    return len(text) - len(text.rstrip())


def _pieces(tokenizer: Tokenizer, text: str, start: int) -> list[Piece]:
    """The tokens of a part that begins at `start`."""
    if not text:
        return []
    found = tokenizer.encode(text, add_special_tokens=False)
    pieces = []
    for token, (begin, until) in zip(found.ids, found.offsets, strict=True):
        pieces.append(Piece(token, start + begin, start + until))
    return pieces
