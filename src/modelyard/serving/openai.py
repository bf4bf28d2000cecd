"""OpenAI's completions protocol over a host that completes text: /v1/completions and /v1/models;
/v1/chat/completions is in `chat.py`.

Fields that OpenAI does not know (`extra_body` of its client) go to the host's own Request. What
this service cannot do is refused: nothing is left out in silence.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import AsyncIterable, AsyncIterator
from datetime import datetime
from itertools import accumulate
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import to_json
from starlette.responses import StreamingResponse

from modelyard.completion import Completed, Completion, Option
from modelyard.host import Completes
from modelyard.serving import stream
from modelyard.serving.bodies import parse
from modelyard.serving.calls import Call, Reply
from modelyard.serving.problems import Reader, Refusal, refuse
from modelyard.serving.work import Wanted

if TYPE_CHECKING:
    from modelyard.serving.endpoints import Endpoints

log = logging.getLogger("modelyard.serving")

SEEDS = 2**31
MOST_TOKENS = 1_000_000


class _StreamOptions(BaseModel, extra="forbid"):
    include_usage: bool = False


class CompletionBody(BaseModel):
    """Body of a completion request."""

    model_config = ConfigDict(extra="allow")

    model: str
    prompt: str | list[str] = ""
    max_tokens: int | None = Field(default=16, ge=0, le=MOST_TOKENS)
    temperature: float | None = Field(default=1.0, ge=0, le=2)
    top_p: float | None = Field(default=1.0, gt=0, le=1)
    n: int | None = Field(default=1, ge=1, le=128)
    stream: bool | None = False
    stream_options: _StreamOptions | None = None
    logprobs: int | None = Field(default=None, ge=0, le=5)
    echo: bool | None = False
    stop: str | list[str] | None = None
    seed: int | None = Field(default=None, ge=0)
    presence_penalty: float | None = Field(default=0, ge=-2, le=2)
    frequency_penalty: float | None = Field(default=0, ge=-2, le=2)
    best_of: int | None = None
    logit_bias: dict[str, Annotated[float, Field(ge=-100, le=100)]] | None = None
    suffix: str | None = None
    user: str | None = None

    def check(self, met: frozenset[Option]) -> None:
        """Raises Refusal for what neither this service nor the host, which does what `met`
        names, can do."""
        for field in ("presence_penalty", "frequency_penalty", "logit_bias"):
            if getattr(self, field) and field not in met:
                raise refuse(
                    400, f"{field!r} is not supported by this model; leave it out", field=field
                )
        if self.scores_prompt() and "prompt_logprobs" not in met:
            said = "'logprobs' together with echo is not supported by this model; leave one out"
            raise refuse(400, said, field="logprobs")
        if self.suffix:
            raise refuse(400, "'suffix' is not supported here; leave it out", field="suffix")
        if self.best_of not in (None, self.n or 1):
            raise refuse(400, "'best_of' is not supported here; leave it out", field="best_of")

    def scores_prompt(self) -> bool:
        """Whether the prompt comes back with its tokens' scores."""
        return bool(self.echo) and self.logprobs is not None

    def prompts(self) -> list[str]:
        """One or several."""
        if isinstance(self.prompt, str):
            return [self.prompt]
        return self.prompt

    def sampling(self) -> dict[str, Any]:
        """Fields of a Completion that completions and chats share."""
        # OpenAI's clients send null for a field that they leave at its default.
        if isinstance(self.stop, str):
            stop = [self.stop]
        else:
            stop = self.stop or []
        return {
            "temperature": 1.0 if self.temperature is None else self.temperature,
            "top_p": 1.0 if self.top_p is None else self.top_p,
            "stop": stop,
            "presence_penalty": self.presence_penalty or 0.0,
            "frequency_penalty": self.frequency_penalty or 0.0,
            "logit_bias": self.logit_bias or {},
        }

    def bodies(self, host: Completes) -> list[dict[str, Any]]:
        """A request body for each choice: `n` for each prompt, with seeds of their own."""
        if self.seed is not None:
            seed = self.seed
        else:
            seed = secrets.randbelow(SEEDS)
        found = []
        for prompt in self.prompts():
            for number in range(self.n or 1):
                completion = Completion(
                    prompt=prompt,
                    max_tokens=16 if self.max_tokens is None else self.max_tokens,
                    seed=seed + number,
                    logprobs=self.logprobs,
                    prompt_logprobs=self.scores_prompt(),
                    extra=self.model_extra or {},
                    **self.sampling(),
                )
                found.append(host.complete(completion))
        return found


class Completions:
    """The endpoints, over those of the service. `chat.Chats` is the same with other words."""

    Body: type[CompletionBody] = CompletionBody

    def __init__(self, ends: Endpoints) -> None:
        self._ends, self._package = ends, ends.opened
        self._host, self._info = ends.opened.host, ends.opened.info
        self._read = Reader(self.Body)
        self._writer = ends.opened.host if isinstance(ends.opened.host, Completes) else None
        self.offered = self._writer is not None

    @property
    def _written(self) -> Completes:
        assert self._writer is not None, "the endpoint looked"
        return self._writer

    async def models(self, call: Call) -> Reply:
        """GET /v1/models, and /v1/models/{model}: what is served, whether or not it completes
        text."""
        created = int(datetime.fromisoformat(self._info.created).timestamp())
        model = {
            "id": self._info.family,
            "object": "model",
            "created": created,
            "owned_by": "modelyard",
        }
        if name := call.path.removeprefix("/v1/models").lstrip("/"):
            self._check_model(name)
            return _json(model)
        return _json({"object": "list", "data": [model]})

    async def completions(self, call: Call) -> Reply | StreamingResponse:
        """POST /v1/completions."""
        self.check_offered()
        body = await call.json(self._ends.limits)
        completion, examples = await self._ends.read_in_time(self._parsed, body, call)
        if completion.stream:
            return await self._streamed(completion, examples, call)
        answers = await self._ends.answers(examples, call, many=len(examples) > 1)
        self._ends.record(call, examples, answers)
        done = self._completed(examples, answers)
        choices = []
        for number, completed in enumerate(done):
            choices.append(self.choice(completion, number, completed))
        return _json(self.envelope(call, choices) | {"usage": _usage(done, completion.n or 1)})

    def check_offered(self) -> None:
        """Raises Refusal where the host has no such answers."""
        if not self.offered:
            raise refuse(
                404, f"family {self._info.family!r} completes no text; POST /predict answers"
            )

    def choice(
        self, completion: CompletionBody, number: int, completed: Completed
    ) -> dict[str, Any]:
        """A whole answer."""
        return _choice(completion, number, completed, echo=True)

    def delta(
        self, completion: CompletionBody, number: int, completed: Completed
    ) -> dict[str, Any]:
        """A part of one that is streamed."""
        return _choice(completion, number, completed)

    def envelope(
        self, call: Call, choices: list[dict[str, Any]], *, part: bool = False
    ) -> dict[str, Any]:
        """What is around the choices; `part`: of a stream."""
        return {
            "id": f"cmpl-{call.id}",
            "object": "text_completion",
            "created": int(call.time),
            "model": self._info.family,
            "system_fingerprint": self._info.version,
            "choices": choices,
        }

    def opening(self, number: int) -> dict[str, Any] | None:
        """What a streamed choice begins with, if anything."""
        return None

    def _completed(self, examples: list[BaseModel], answers: list[BaseModel]) -> list[Completed]:
        done = []
        for example, answer in zip(examples, answers, strict=True):
            done.append(self._written.completed(example, answer))
        return done

    def _parsed(self, body: bytes, wanted: Wanted) -> tuple[CompletionBody, list[BaseModel]]:
        (completion,) = self._read([parse(body)], many=False)
        assert isinstance(completion, CompletionBody)
        self._check_model(completion.model)
        completion.check(self._host.completion_options)
        # Counted before they are made: a small body may ask for very many.
        self._ends.check_number(range(len(completion.prompts()) * (completion.n or 1)))
        bodies = completion.bodies(self._written)
        return completion, self._ends.read(bodies, len(bodies) > 1, wanted)

    def _check_model(self, name: str) -> None:
        allowed = dict.fromkeys((self._info.family, self._info.registered))
        if name not in (*allowed, self._info.version):
            raise refuse(
                404,
                f"model {name!r} is not served here; allowed: {', '.join(allowed)}",
                field="model",
            )

    async def _streamed(
        self, completion: CompletionBody, examples: list[BaseModel], call: Call
    ) -> StreamingResponse:
        parts = await self._ends.begin_stream(examples, call)
        return stream.response(self._events(completion, examples, parts, call))

    async def _events(
        self,
        completion: CompletionBody,
        examples: list[BaseModel],
        parts: list[stream.Parts | None],
        call: Call,
    ) -> AsyncIterator[bytes]:
        answers: list[BaseModel] = []
        options = completion.stream_options
        try:
            for number, (example, own) in enumerate(zip(examples, parts, strict=True)):
                async for delta in self._deltas(completion, number, example, own, call, answers):
                    yield self._chunk(call, [delta])
            if options is not None and options.include_usage:
                done = self._completed(examples, answers)
                # As OpenAI sends it: a last chunk without choices.
                yield self._chunk(call, [], usage=_usage(done, completion.n or 1))
            yield stream.event(b"[DONE]")
            self._ends.record(call, examples, answers)
        except Refusal as refused:
            yield stream.event(to_json(refused.openai_body()))
        except Exception:
            log.exception("request %s failed while its answer was streamed", call.id)
            failure = refuse(500, f"the model failed on this request: {call.id}")
            yield stream.event(to_json(failure.openai_body()))
        finally:
            for own in parts:
                if own is not None:
                    own.close()

    async def _deltas(
        self,
        completion: CompletionBody,
        number: int,
        example: BaseModel,
        own: stream.Parts | None,
        call: Call,
        answers: list[BaseModel],
    ) -> AsyncIterator[dict[str, Any]]:
        """What is sent of choice `number`, in order; its whole answer is added to `answers`."""
        opening = self.opening(number)
        if opening is not None:
            yield opening
        is_echo_due = bool(completion.echo)
        if completion.echo and not completion.scores_prompt():
            yield self.delta(completion, number, _prompt(completion, number))
            is_echo_due = False
        if own is not None:
            parts: AsyncIterable[BaseModel] = own
        else:
            parts = self._whole(example, call)
        async for part in parts:
            completed = self._written.completed(example, part)
            if is_echo_due:
                # The prompt's scores are known only once the model has read it.
                scores = {"logprobs": completed.prompt_logprobs}
                prompt = _prompt(completion, number).model_copy(update=scores)
                yield self.delta(completion, number, prompt)
                is_echo_due = False
            if isinstance(part, self._host.Response):
                answers.append(part)
                if own is not None:
                    # Its text has gone out in parts; what is left is why it ended.
                    completed = completed.model_copy(update={"text": "", "logprobs": None})
            yield self.delta(completion, number, completed)

    async def _whole(self, example: BaseModel, call: Call) -> AsyncIterator[BaseModel]:
        """The answer of a host that does not stream, in one part."""
        (answer,) = await self._ends.answers([example], call, many=False)
        yield answer

    def _chunk(self, call: Call, choices: list[dict[str, Any]], **fields: Any) -> bytes:
        return stream.event(to_json(self.envelope(call, choices, part=True) | fields))


def _prompt(completion: CompletionBody, number: int) -> Completed:
    """The prompt of a choice, as the text that comes first where it is echoed."""
    return Completed(text=completion.prompts()[number // (completion.n or 1)])


def _choice(
    completion: CompletionBody, number: int, completed: Completed, *, echo: bool = False
) -> dict[str, Any]:
    text = completed.text
    if echo and completion.echo:
        text = _prompt(completion, number).text + text
        if completed.logprobs is not None and completed.prompt_logprobs is not None:
            completed = completed.model_copy(
                update={"logprobs": [*completed.prompt_logprobs, *completed.logprobs]}
            )
    return {
        "index": number,
        "text": text,
        "finish_reason": completed.finish_reason,
        "logprobs": _logprobs(completion, completed),
    }


def _logprobs(completion: CompletionBody, completed: Completed) -> dict[str, Any] | None:
    if completion.logprobs is None or completed.logprobs is None:
        return None
    tokens = [score.token for score in completed.logprobs]
    # Where each token begins, in characters: the last sum is where the text ends.
    offsets = list(accumulate(map(len, tokens), initial=0))[:-1]
    # `logprobs: 0` asks for the scores of the tokens themselves and no others.
    top = [score.top for score in completed.logprobs] if completion.logprobs else None
    return {
        "tokens": tokens,
        "token_logprobs": [score.log_probability for score in completed.logprobs],
        "top_logprobs": top,
        "text_offset": offsets,
    }


def _usage(done: list[Completed], n: int) -> dict[str, int]:
    # A prompt counts once, however many choices it has: they follow each other, n by n.
    read = sum(completed.prompt_tokens for completed in done[::n])
    written = sum(completed.completion_tokens for completed in done)
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


def _json(value: dict[str, Any]) -> Reply:
    return Reply(to_json(value))
