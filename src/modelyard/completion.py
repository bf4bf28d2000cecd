"""A text completion, whichever family writes it: what a caller asks, and what a host makes of
its own answer."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel


class TokenScore(BaseModel):
    """One token as the model saw it."""

    token: str
    """Its text; a byte that is no character is U+FFFD."""
    log_probability: float
    """Natural logarithm of the model's probability, before temperature and filters."""
    top: dict[str, float] = {}
    """The likeliest tokens at this place with their log probabilities."""


Option = Literal["presence_penalty", "frequency_penalty", "logit_bias", "prompt_logprobs"]
"""What not every host can do; one that can names it in `Host.completion_options`."""


class Completion(BaseModel):
    """A request: the fields that text completion services have in common."""

    prompt: str = ""
    messages: list[dict[str, str]] | None = None
    """A dialogue to continue in place of a prompt: `role` and `content` of each message."""
    max_tokens: int | None = 16
    """None: as many as the host thinks right."""
    temperature: float = 1.0
    top_p: float = 1.0
    stop: list[str] = []
    seed: int = 0
    presence_penalty: float = 0.0
    """Subtracted from the logits of tokens that were written before."""
    frequency_penalty: float = 0.0
    """The same for each time that a token was written."""
    logit_bias: dict[str, float] = {}
    """Added to the logits of tokens, by their number."""
    logprobs: int | None = None
    """How many alternatives to give with each token; None: no scores at all."""
    prompt_logprobs: bool = False
    """Scores of the prompt's tokens too."""
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
    prompt_logprobs: list[TokenScore] | None = None
    """The prompt's tokens, in an answer or in the first of its parts."""
