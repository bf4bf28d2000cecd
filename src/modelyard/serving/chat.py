"""OpenAI's chat protocol over a host that was trained on dialogues: /v1/chat/completions."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from modelyard.completion import Completed, Completion, Option
from modelyard.host import Completes
from modelyard.serving.calls import Call
from modelyard.serving.openai import MOST_TOKENS, SEEDS, CompletionBody, Completions
from modelyard.serving.problems import refuse

if TYPE_CHECKING:
    from modelyard.serving.endpoints import Endpoints

UNSUPPORTED = (
    "tools",
    "tool_choice",
    "functions",
    "function_call",
    "response_format",
    "audio",
    "modalities",
    "prediction",
    "web_search_options",
)
"""Fields of OpenAI's that this service cannot meet: refused, not left out in silence."""
IGNORED = frozenset(
    {"user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key"}
)
"""Fields that change no answer."""


class TextPart(BaseModel):
    """A piece of a message's content."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["text"]
    text: str


class ChatMessage(BaseModel):
    """A message of a dialogue."""

    model_config = ConfigDict(extra="forbid")

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[TextPart]
    name: str | None = None

    def plain(self) -> dict[str, str]:
        """As hosts take it: `developer` is what `system` was called before."""
        content = self.content
        if not isinstance(content, str):
            content = "".join(part.text for part in content)
        role = "system" if self.role == "developer" else self.role
        return {"role": role, "content": content}


class ChatBody(CompletionBody):
    """Body of a chat request."""

    messages: list[ChatMessage] = Field(min_length=1)
    max_completion_tokens: int | None = Field(default=None, ge=0, le=MOST_TOKENS)
    max_tokens: int | None = Field(default=None, ge=0, le=MOST_TOKENS)
    logprobs: bool | None = False  # a number in completions
    top_logprobs: int | None = Field(default=None, ge=0, le=20)

    def check(self, met: frozenset[Option]) -> None:
        """Raises Refusal for what neither this service nor the host can do."""
        given = self.model_extra or {}
        for field in UNSUPPORTED:
            if given.get(field) not in (None, [], "none", {"type": "text"}):
                raise refuse(400, f"{field!r} is not supported here; leave it out", field=field)
        if self.top_logprobs is not None and not self.logprobs:
            raise refuse(400, "'top_logprobs' needs logprobs: true", field="top_logprobs")
        for field in ("prompt", "echo", "suffix", "best_of"):
            if field in self.model_fields_set:
                raise refuse(400, f"{field!r} belongs to /v1/completions", field=field)
        super().check(met)

    def scores_prompt(self) -> bool:
        """Never: there is no prompt that could come back."""
        return False

    def bodies(self, host: Completes) -> list[dict[str, Any]]:
        """A request body for each of the `n` choices, with seeds of their own."""
        if self.seed is not None:
            seed = self.seed
        else:
            seed = secrets.randbelow(SEEDS)
        # OpenAI renamed `max_tokens` for chats; many clients still send the old name.
        most = self.max_completion_tokens
        if most is None:
            most = self.max_tokens
        logprobs = None
        if self.logprobs:
            logprobs = self.top_logprobs or 0
        extra = dict(self.model_extra or {})
        for name in IGNORED.union(UNSUPPORTED):
            extra.pop(name, None)
        messages = [message.plain() for message in self.messages]
        bodies = []
        for number in range(self.n or 1):
            completion = Completion(
                messages=messages,
                max_tokens=most,
                seed=seed + number,
                logprobs=logprobs,
                extra=extra,
                **self.sampling(),
            )
            bodies.append(host.complete(completion))
        return bodies


class Chats(Completions):
    """The endpoint, over those of the service."""

    Body = ChatBody

    def __init__(self, ends: Endpoints) -> None:
        super().__init__(ends)
        self.offered = self.offered and bool(getattr(self._host, "chats", False))

    def check_offered(self) -> None:
        """Raises Refusal where the model was not trained on dialogues."""
        if not self.offered:
            said = f"family {self._info.family!r} answers no dialogues here"
            if self._writer is None:
                raise refuse(404, f"{said}; POST /predict answers")
            said += ": the model was not trained on any"
            raise refuse(404, f"{said}; POST /v1/completions continues a text")

    def choice(
        self, completion: CompletionBody, number: int, completed: Completed
    ) -> dict[str, Any]:
        """A whole answer: a message of the assistant."""
        return {
            "index": number,
            "message": {"role": "assistant", "content": completed.text, "refusal": None},
            "finish_reason": completed.finish_reason,
            "logprobs": _logprobs(completion, completed),
        }

    def delta(
        self, completion: CompletionBody, number: int, completed: Completed
    ) -> dict[str, Any]:
        """A part of one that is streamed."""
        return {
            "index": number,
            "delta": {"content": completed.text} if completed.text else {},
            "finish_reason": completed.finish_reason,
            "logprobs": _logprobs(completion, completed),
        }

    def opening(self, number: int) -> dict[str, Any] | None:
        """Whose message it is."""
        return {
            "index": number,
            "delta": {"role": "assistant", "content": ""},
            "finish_reason": None,
            "logprobs": None,
        }

    def envelope(
        self, call: Call, choices: list[dict[str, Any]], *, part: bool = False
    ) -> dict[str, Any]:
        """What is around the choices."""
        found = super().envelope(call, choices, part=part)
        kind = "chat.completion.chunk" if part else "chat.completion"
        return found | {"id": f"chatcmpl-{call.id}", "object": kind}


def _logprobs(completion: CompletionBody, completed: Completed) -> dict[str, Any] | None:
    if not completion.logprobs or completed.logprobs is None:
        return None
    content = []
    for score in completed.logprobs:
        top = [_score(token, value) for token, value in score.top.items()]
        content.append(_score(score.token, score.log_probability) | {"top_logprobs": top})
    return {"content": content, "refusal": None}


def _score(token: str, log_probability: float | None) -> dict[str, Any]:
    return {"token": token, "logprob": log_probability, "bytes": list(token.encode())}
