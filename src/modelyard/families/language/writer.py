"""One text being written: its request, its tokens so far, when it ends, what is reported of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, Field, ValidationInfo, field_validator, model_validator

from modelyard.completion import TokenScore
from modelyard.errors import BadData
from modelyard.families.language.chat import Message, asked_tokens, whole_text
from modelyard.families.language.decoder import DecoderSpec
from modelyard.families.language.sampling import adjusted, distribution, draw, log_softmax, penalise
from modelyard.families.language.tokens import UNFINISHED, Codec
from modelyard.host import Caution, WithWarnings
from modelyard.runtimes.types import Arrays

Finish = Literal["length", "stop", "end"]

USUAL = 64
"""Tokens of an answer where the request does not say, and the context has room for them."""


LONGEST = 262_144
"""Most characters of a prompt: more than any context holds, and read in a fraction of a second."""


class Prompt(BaseModel, extra="forbid"):
    """A text to continue, and how."""

    prompt: str = Field(
        default="",
        max_length=LONGEST,
        description="Text that the model continues; empty: it begins a document",
    )
    messages: list[Message] = Field(
        default=[],
        max_length=1_000,
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
        if beams > 1 and info.data.get("temperature", 0) > 0:
            raise ValueError("beam search does not sample: leave temperature at 0")
        return beams

    @field_validator("speculative", "logprobs")
    @classmethod
    def _one_text_at_a_time(cls, value: int | None, info: ValidationInfo) -> int | None:
        if (
            value is not None
            and (value or info.field_name == "logprobs")
            and info.data.get("beams", 1) > 1
        ):
            raise ValueError("not together with beams: leave beams at 1")
        if value and info.field_name == "speculative" and info.data.get("temperature", 0) > 0:
            raise ValueError(
                "guessing ahead works for the likeliest token only: leave temperature at 0"
            )
        return value

    def words(self) -> str:
        """The text that the model is given."""
        return whole_text(self.messages) if self.messages else self.prompt

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
        if self.beams > 1 and (self.presence_penalty or self.frequency_penalty or self.logit_bias):
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


class Writer:
    """Writes one answer: asks for a token's logits, chooses it, and knows when to end."""

    def __init__(
        self, codec: Codec, spec: DecoderSpec, request: Prompt, prefix: Arrays | None = None
    ) -> None:
        """Raises BadData where prompt and answer do not fit the context, or a biased token is
        not in the vocabulary."""
        self.codec, self.spec, self.request, self.prefix = codec, spec, request, prefix
        self._bias = _bias_by_token(request.logit_bias, spec.vocabulary)
        ids = codec.encode(request.prompt)
        if request.messages:
            ids = asked_tokens(codec, request.messages, spec.end)
        self.most = _most(len(ids), request, spec.context)
        """Tokens that may be written."""
        ids, self.truncated = _fitted(ids, self.most, request.truncate, spec.context)
        self.prompt = [spec.start, *ids]
        self.tokens: list[int] = []
        self.logs: list[float] = []
        self.scores: list[TokenScore] = []
        self.prompt_log: float | None = None
        self.prompt_scores: list[TokenScore] | None = None
        self.proposed = self.accepted = 0
        self.finish: Finish | None = "length" if self.most == 0 else None
        self._rng = np.random.default_rng(request.seed)

    @property
    def room(self) -> int:
        """Tokens that may still come."""
        return self.most - len(self.tokens)

    def read(self, logits: np.ndarray) -> None:
        """Takes the prompt's logits (prompt, vocabulary)."""
        if len(self.prompt) > 1:
            logs = log_softmax(logits[:-1])
            self.prompt_log = float(
                logs[np.arange(len(logs)), self.prompt[1:]].mean(dtype=np.float64)
            )
        if self.request.prompt_logprobs:
            self.prompt_scores = self._scores_of_prompt(logits)

    def choose(self, logits: np.ndarray) -> int:
        """The next token from its logits (vocabulary,)."""
        request = self.request
        scores = penalise(logits, [*self.prompt, *self.tokens], request.repetition_penalty)
        scores = adjusted(
            scores, self.tokens, request.presence_penalty, request.frequency_penalty, self._bias
        )
        if request.temperature == 0:
            return int(scores.argmax())
        return draw(
            distribution(scores, request.temperature, request.top_k, request.top_p), self._rng
        )

    def take(self, token: int, logits: np.ndarray) -> None:
        """Appends a token that was chosen from these logits, or ends."""
        logs = log_softmax(logits)
        if token == self.spec.end:
            self.finish = "end"
            return
        if self.request.logprobs is not None:
            before = [*self.prompt[1:], *self.tokens]
            self.scores.append(self._score(before, token, logs, self.request.logprobs))
        self.tokens.append(token)
        self.logs.append(float(logs[token]))
        if self.request.stop and self._stop_at(self._whole()) is not None:
            self.finish = "stop"
        elif self.room == 0:
            self.finish = "length"

    def visible(self) -> str:
        """The text so far that no later token can change: no broken character, no beginning of a
        stop text."""
        text = self._whole()
        cut = self._stop_at(text)
        if cut is not None or self.finish:
            return text[:cut]
        text = text.rstrip(UNFINISHED)
        longest = max(map(len, self.request.stop), default=1) - 1
        for size in range(min(longest, len(text)), 0, -1):
            if any(stop.startswith(text[-size:]) for stop in self.request.stop):
                return text[:-size]
        return text

    def answer(self) -> Answer:
        """The finished answer."""
        assert self.finish is not None, "the answer is still being written"
        text = self._whole()
        cut = self._stop_at(text)
        return Answer(
            text=text[:cut],
            tokens=self.tokens,
            prompt_tokens=len(self.prompt) - 1,
            truncated=self.truncated,
            finish_reason="stop" if cut is not None else self.finish,
            prompt_log_probability=self.prompt_log,
            log_probability=float(np.mean(self.logs)) if self.logs else None,
            acceptance_rate=self.accepted / self.proposed if self.proposed else None,
            logprobs=self.scores if self.request.logprobs is not None else None,
            prompt_logprobs=self.prompt_scores,
            warnings=self._cautions(),
        )

    def _cautions(self) -> tuple[Caution, ...]:
        if self.truncated:
            said = f"its first {self.truncated:,} tokens were left out: there is no room for them"
            return (Caution(field="prompt", message=said),)
        if not self.request.words().strip():
            said = "is empty: the answer is how documents begin"
            return (Caution(field="prompt", message=said),)
        return ()

    def _whole(self) -> str:
        return self.codec.continuation(self.prompt[1:], self.tokens)

    def _stop_at(self, text: str) -> int | None:
        found = [place for stop in self.request.stop if (place := text.find(stop)) >= 0]
        return min(found, default=None)

    def _scores_of_prompt(self, logits: np.ndarray) -> list[TokenScore]:
        """Each token of the prompt, from the logits (prompt, vocabulary) of those before it."""
        count = self.request.logprobs
        assert count is not None, "the request was checked"
        tokens = self.prompt[1:]
        logs = log_softmax(logits[:-1])
        return [self._score(tokens[:at], token, logs[at], count) for at, token in enumerate(tokens)]

    def _score(self, before: list[int], token: int, logs: np.ndarray, count: int) -> TokenScore:
        best = np.argsort(-logs, kind="stable")[:count]
        top = {self._name(before, int(one)): float(logs[one]) for one in reversed(best)}
        return TokenScore(
            token=self._name(before, token), log_probability=float(logs[token]), top=top
        )

    def _name(self, before: list[int], token: int) -> str:
        return self.codec.continuation(before, [token]) if token != self.spec.end else "<end>"


def _bias_by_token(bias: Mapping[str, float], vocabulary: int) -> dict[int, float]:
    """Raises BadData for a key that is no token's number."""
    for key in bias:
        if not (key.isascii() and key.isdigit() and len(key) < 10 and int(key) < vocabulary):
            raise BadData(
                f"{key!r} is no token: they have the numbers 0 to {vocabulary - 1}",
                column="logit_bias",
            )
    return {int(key): value for key, value in bias.items()}


def _most(size: int, request: Prompt, context: int) -> int:
    if request.max_new_tokens is None:
        return min(USUAL, max(1, context - 1 - size))
    if request.max_new_tokens > context - 1:
        raise BadData(
            f"{request.max_new_tokens} is more than this model's context allows: at most {context - 1}",
            column="max_new_tokens",
        )
    return request.max_new_tokens


def _fitted(ids: list[int], most: int, truncate: bool, context: int) -> tuple[list[int], int]:
    room = context - 1 - most
    over = len(ids) - room
    if over <= 0:
        return ids, 0
    if not truncate:
        raise BadData(
            f"the prompt has {len(ids)} tokens; with an answer of up to {most} there is room for {room}, "
            f"so {over} are too many",
            column="prompt",
            hint="Shorten it, lower max_new_tokens, or set truncate to leave its beginning out",
        )
    return ids[over:], over
