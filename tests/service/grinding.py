"""A family outside modelyard for the service's tests: as much work as is asked for, a
millisecond of a core a step."""

from __future__ import annotations

import hashlib
import time

import numpy as np
from pydantic import BaseModel, Field

from modelyard.completion import Completed
from modelyard.family import Entry
from modelyard.host import Cost, Explanation
from tests.toy.family import LineConfig, LineFamily, LineHost

STEP_SECONDS = 0.001
_BLOCK = bytes(50_000)


class Grind(BaseModel, extra="forbid"):
    steps: int = Field(default=1, ge=1, le=1_000_000)
    text: str = Field(default="", max_length=1_000)


class Ground(BaseModel):
    steps: int


class GrinderHost(LineHost):
    Request, Response = Grind, Ground

    def cost(self, request):
        return Cost(1 if request.text == "more than it says" else request.steps)

    def predict(self, run, requests):
        for request in requests:
            for _ in range(request.steps):
                _step(run)
        return [Ground(steps=request.steps) for request in requests]

    def stream(self, run, request):
        return self._parts(run, request)

    def _parts(self, run, request):
        for number in range(1, request.steps + 1):
            _step(run)
            yield Ground(steps=number)

    def explain(self, run, request):
        self.predict(run, [request])
        return Explanation(method="grinding", output="steps", contributions={"steps": 1.0})

    def describe(self, request, response):
        return {"steps": response.steps}

    def complete(self, asked):
        return {"steps": max(1, asked.max_tokens)} | asked.extra

    def completed(self, request, part):
        return Completed(
            text=".", finish_reason="length", prompt_tokens=1, completion_tokens=part.steps
        )


def _step(run):
    run("line", {"x": np.ones((1, 1), np.float32)})
    end = time.thread_time() + STEP_SECONDS
    while time.thread_time() < end:
        hashlib.sha256(_BLOCK)  # as a model does, it lets other threads run


class GrinderFamily(LineFamily):
    def requests(self, features, split, limit=None):
        return [{"steps": 2} for _ in super().requests(features, split, limit)]

    def evaluate(self, host, run, features, split="test"):
        return super().evaluate(LineHost(host.assets), run, features, split)


Grinder = Entry("grinder", LineConfig, build=GrinderFamily, host=GrinderHost)
