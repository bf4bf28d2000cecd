"""A text completion, whichever family writes it: what a caller asks, and what a host makes of its own answer."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel


class TokenScore(BaseModel):
    """One token as the model saw it."""

    token: str
    """Its text; a byte that is no character alone is U+FFFD."""
    log_probability: float
    """Natural logarithm of the model's probability, before temperature and filters."""
    top: dict[str, float] = {}
    """The likeliest tokens at this place with their log probabilities."""


class Completion(BaseModel):
    """What is asked: the fields that text completion services have in common."""

    prompt: str
    max_tokens: int = 16
    temperature: float = 1.0
    top_p: float = 1.0
    stop: list[str] = []
    seed: int = 0
    logprobs: int | None = None
    """How many alternatives to tell with each token; None: no scores at all."""
    extra: dict[str, Any] = {}
    """Fields of the host's own Request, which win over the others."""


class Completed(BaseModel):
    """An answer, or a part of one that is still being written."""

    text: str
    finish_reason: Literal["stop", "length"] | None = None
    """None while it is being written."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    logprobs: list[TokenScore] | None = None
