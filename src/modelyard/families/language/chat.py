"""Dialogues as tokens: what the model reads of them, and what it learns to say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

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


def tokens_of(codec: Codec, messages: Sequence[Message], end: int) -> tuple[list[int], list[bool]]:
    """Tokens of a dialogue without the start token, and which of them the model learns to write:
    the assistant's words and the end of its messages."""
    ids: list[int] = []
    learned: list[bool] = []
    for message in messages:
        before, content = codec.encode(mark(message.role)), codec.encode(message.content)
        ids += [*before, *content, end]
        said = message.role == ASSISTANT
        learned += [False] * len(before) + [said] * (len(content) + 1)
    return ids, learned


def asked_tokens(codec: Codec, messages: Sequence[Message], end: int) -> list[int]:
    """Tokens of a dialogue that the assistant is to continue."""
    return [*tokens_of(codec, messages, end)[0], *codec.encode(mark(ASSISTANT))]


def words_of(messages: Sequence[Message]) -> str:
    """What the assistant says in a dialogue."""
    return "\n".join(message.content for message in messages if message.role == ASSISTANT)
