"""Dialogues as tokens: what the model reads of them, and what it learns to say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from pydantic import BaseModel, Field

from modelyard.families.language.tokens import Codec

Role = Literal["system", "user", "assistant"]
ASSISTANT: Role = "assistant"


class Message(BaseModel, extra="forbid"):
    """One message of a dialogue."""

    role: Role
    content: str = Field(max_length=262_144)


def mark(role: Role) -> str:
    """What stands before a message.

    A message ends with the boundary token, which no text turns into, and a mark counts only behind
    one: who writes `<|assistant|>` into a message writes thirteen characters.
    """
    return f"<|{role}|>\n"


def whole_text(messages: Sequence[Message]) -> str:
    """A dialogue as one text, for the tokenizer and for people."""
    return "\n".join(f"{mark(message.role)}{message.content}" for message in messages)


class ChatFormat(Protocol):
    """How dialogues become tokens."""

    @property
    def spaced(self) -> bool:
        """Whether a blank stands before each answer that is none of its own."""

    @property
    def end(self) -> int:
        """The token that ends the assistant's messages."""

    def tokens_of(self, messages: Sequence[Message]) -> tuple[list[int], list[bool]]:
        """Tokens of a dialogue without the start token, and which of them the model learns to
        write: the assistant's words and the end of its messages. The last one is `end`."""

    def asked_tokens(self, messages: Sequence[Message]) -> list[int]:
        """Tokens of a dialogue that the assistant is to continue."""


@dataclass(frozen=True)
class Marks:
    """Each message is its mark, its words and the end."""

    codec: Codec
    end: int
    spaced: bool = False

    def tokens_of(self, messages: Sequence[Message]) -> tuple[list[int], list[bool]]:
        """See ChatFormat."""
        ids: list[int] = []
        learned: list[bool] = []
        for message in messages:
            before = self.codec.encode(mark(message.role))
            content = self.codec.encode(message.content)
            ids += [*before, *content, self.end]
            said = message.role == ASSISTANT
            learned += [False] * len(before) + [said] * (len(content) + 1)
        return ids, learned

    def asked_tokens(self, messages: Sequence[Message]) -> list[int]:
        """See ChatFormat."""
        return [*self.tokens_of(messages)[0], *self.codec.encode(mark(ASSISTANT))]


def words_of(messages: Sequence[Message]) -> str:
    """What the assistant says in a dialogue."""
    return "\n".join(message.content for message in messages if message.role == ASSISTANT)
