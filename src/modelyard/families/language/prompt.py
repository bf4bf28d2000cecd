"""What a caller sends and gets: a prompt, an answer, and the parts of one that is being written."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field, ValidationInfo, field_validator, model_validator

from modelyard.completion import TokenScore
from modelyard.families.language.chat import Message, whole_text
from modelyard.host import WithWarnings

Finish = Literal["length", "stop", "end"]

USUAL = 64
"""Tokens of an answer where the request does not say, and the context has room for them."""


LONGEST = 262_144
"""Most characters of a prompt; they are cut into tokens in a fraction of a second."""
MOST_MESSAGES = 1_000
"""Of a dialogue."""


class Prompt(BaseModel, extra="forbid"):
    """A text to continue, and how."""

    prompt: str = Field(
        default="",
        max_length=LONGEST,
        description="Text that the model continues; empty: it begins a document",
    )
    messages: list[Message] = Field(
        default=[],
        max_length=MOST_MESSAGES,
        description="A dialogue that the assistant continues, in place of a prompt; of a model that "
        "was trained on dialogues",
    )
    max_new_tokens: int | None = Field(
        default=None,
        ge=0,
        le=1_000_000,
        description=f"Most tokens of the answer; null: {USUAL}, or what room there is",
    )
    temperature: float = Field(
        default=0.0, ge=0, le=100, description="0: always the likeliest token; 1: as learnt"
    )
    top_k: int = Field(
        default=0, ge=0, le=1_000_000, description="Only the so many likeliest tokens; 0: all"
    )
    top_p: float = Field(
        default=1.0, gt=0, le=1, description="Only the likeliest tokens that hold this probability"
    )
    repetition_penalty: float = Field(
        default=1.0, ge=0.1, le=10, description="Above 1: tokens that stood before are less likely"
    )
    presence_penalty: float = Field(
        default=0.0,
        ge=-2,
        le=2,
        description="Subtracted from the logits of tokens that the answer holds already",
    )
    frequency_penalty: float = Field(
        default=0.0,
        ge=-2,
        le=2,
        description="The same, for each time that the answer holds the token",
    )
    logit_bias: dict[str, Annotated[float, Field(ge=-100, le=100)]] = Field(
        default={},
        max_length=300,
        description="Added to the logits of tokens, by their number in the vocabulary",
    )
    beams: int = Field(
        default=1, ge=1, le=16, description="Above 1: beam search with so many beams"
    )
    length_penalty: float = Field(
        default=1.0, ge=-5, le=5, description="Beam scores are divided by length to this power"
    )
    stop: list[str] = Field(
        default=[], max_length=16, description="The answer ends before the first of these texts"
    )
    seed: int = Field(default=0, ge=0, lt=2**63, description="Equal seeds give equal answers")
    speculative: int = Field(
        default=0,
        ge=0,
        le=16,
        description="Tokens that the draft model guesses ahead; the answer stays the same",
    )
    logprobs: int | None = Field(
        default=None,
        ge=0,
        le=20,
        description="Tell each token's log probability, and so many likelier ones",
    )
    prompt_logprobs: bool = Field(
        default=False, description="With logprobs: those of the prompt's tokens too"
    )
    truncate: bool = Field(
        default=False, description="Leave out the beginning of a prompt that is too long"
    )

    @field_validator("stop")
    @classmethod
    def _stop_says_something(cls, stop: list[str]) -> list[str]:
        if "" in stop:
            raise ValueError("an empty text ends nothing")
        return stop

    @field_validator("beams")
    @classmethod
    def _beams_do_not_draw(cls, beams: int, info: ValidationInfo) -> int:
        # Fields that were refused themselves are not in `info.data`.
        if beams > 1 and info.data.get("temperature", 0) > 0:
            raise ValueError("beam search does not sample: leave temperature at 0")
        return beams

    @field_validator("speculative", "logprobs")
    @classmethod
    def _one_text_at_a_time(cls, value: int | None, info: ValidationInfo) -> int | None:
        guesses = info.field_name == "speculative" and value
        # No alternatives, 0, is a wish for scores too.
        scores = info.field_name == "logprobs" and value is not None
        has_beams = info.data.get("beams", 1) > 1
        if has_beams and (guesses or scores):
            raise ValueError("not together with beams: leave beams at 1")
        if guesses and info.data.get("temperature", 0) > 0:
            raise ValueError(
                "guessing ahead works for the likeliest token only: leave temperature at 0"
            )
        return value

    def words(self) -> str:
        """The text that the model is given."""
        if self.messages:
            return whole_text(self.messages)
        return self.prompt

    @model_validator(mode="after")
    def _one_or_the_other(self) -> Prompt:
        if self.messages and self.prompt:
            raise ValueError("give a prompt or messages, not both")
        if "prompt" not in self.model_fields_set and not self.messages:
            raise ValueError("give a prompt, or messages")
        if len(self.words()) > LONGEST:
            raise ValueError(f"the messages have more than {LONGEST:,} characters together")
        return self

    @model_validator(mode="after")
    def _scores_go_together(self) -> Prompt:
        if self.prompt_logprobs and self.logprobs is None:
            raise ValueError(
                "prompt_logprobs needs logprobs: set it to a number of alternatives, such as 0"
            )
        changes_logits = self.presence_penalty or self.frequency_penalty or self.logit_bias
        if self.beams > 1 and changes_logits:
            raise ValueError(
                "presence_penalty, frequency_penalty and logit_bias do not go with beams: leave beams at 1"
            )
        return self


class Answer(WithWarnings):
    """What the model wrote."""

    text: str = Field(description="The continuation only")
    tokens: list[int] = Field(description="Its tokens by number, those of a stop text included")
    prompt_tokens: int = Field(description="Tokens of the prompt that the model read")
    truncated: int = Field(
        default=0, description="Tokens at the beginning of the prompt that were left out"
    )
    finish_reason: Finish = Field(
        description="end: the document ended; stop: a stop text came; length: no more room"
    )
    prompt_log_probability: float | None = Field(
        description="Mean log probability of the prompt's tokens"
    )
    log_probability: float | None = Field(description="Mean log probability of the answer's tokens")
    acceptance_rate: float | None = Field(
        default=None, description="Share of the draft's guesses that were right"
    )
    logprobs: list[TokenScore] | None = Field(default=None, description="The answer token by token")
    prompt_logprobs: list[TokenScore] | None = Field(
        default=None, description="The prompt token by token"
    )


class Part(BaseModel):
    """A piece of an answer that is being written."""

    text: str
    tokens: list[int]
    logprobs: list[TokenScore] | None = None
    prompt_logprobs: list[TokenScore] | None = None
    """In the first piece only."""
