"""A family outside modelyard for the service's tests: tells words one by one, and completes
texts."""

from __future__ import annotations

import time

from pydantic import BaseModel, Field

from modelyard.completion import Completed, TokenScore
from modelyard.errors import BadData
from modelyard.family import Entry
from tests.toy.family import LineConfig, LineFamily, LineHost


class Tell(BaseModel, extra="forbid"):
    prompt: str
    words: int = Field(default=3, ge=0, le=1_000)
    tone: str = ""
    pause: float = 0


class Told(BaseModel):
    text: str
    words: int


class Piece(BaseModel):
    text: str


class TellerHost(LineHost):
    Request, Response = Tell, Told
    sensitive = frozenset({"prompt"})

    def __init__(self, assets):
        super().__init__(assets)
        self.told = 0
        """Words that were told in parts, over all requests."""

    def predict(self, run, requests):
        return [
            Told(text=" ".join(self._words(request)), words=request.words) for request in requests
        ]

    def stream(self, run, request):
        if request.prompt == "at once":
            return None
        words = self._words(request)
        return self._parts(request, words)

    def _parts(self, request, words):
        for number, word in enumerate(words):
            time.sleep(request.pause)
            self.told += 1
            if request.prompt == "fail" and number == 2:
                raise RuntimeError("a bug")
            yield Piece(text=f" {word}" if number else word)
        yield Told(text=" ".join(words), words=request.words)

    def _words(self, request):
        if request.prompt == "too long":
            raise BadData("the prompt is too long", column="prompt")
        return [f"{request.prompt}{request.tone}{number}" for number in range(request.words)]

    def describe(self, request, response):
        return {"words": response.words, "tone": request.tone}

    def complete(self, asked):
        tone = f"?{asked.seed}" if asked.temperature else ""
        return {"prompt": asked.prompt, "words": asked.max_tokens, "tone": tone} | asked.extra

    def completed(self, request, part):
        scores = [TokenScore(token=part.text, log_probability=-0.5, top={part.text: -0.5})]
        if isinstance(part, Piece):
            return Completed(text=part.text, completion_tokens=1, logprobs=scores)
        return Completed(
            text=part.text,
            finish_reason="length",
            prompt_tokens=len(request.prompt.split()),
            completion_tokens=part.words,
            logprobs=scores,
        )


class TellerFamily(LineFamily):
    def requests(self, features, split, limit=None):
        return [
            {"prompt": f"w{body['x']:.2f}-"} for body in super().requests(features, split, limit)
        ]

    def evaluate(self, host, run, features, split="test"):
        return super().evaluate(LineHost(host.assets), run, features, split)


Teller = Entry("teller", LineConfig, build=TellerFamily, host=TellerHost)
