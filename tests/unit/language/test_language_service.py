"""A package behind the real service, asked by OpenAI's own client; and without any training library."""

from __future__ import annotations

import httpx
import openai
import pytest

from modelyard.contract.alone import ask
from modelyard.serving.app import create_app
from modelyard.serving.prediction_log import PredictionLog
from tests.service.test_streaming import EVENTS, events, listening, logged

PROMPT = "import os\n\ndef "


@pytest.fixture(scope="module")
def served(package, tmp_path_factory):
    folder = tmp_path_factory.mktemp("log")
    with listening(create_app(package, PredictionLog(folder, package, seconds=0.05))) as address:
        yield address, folder


@pytest.fixture(scope="module")
def ai(served):
    with openai.OpenAI(base_url=f"{served[0]}/v1", api_key="none", max_retries=0) as client:
        yield client


def test_openais_client_gets_the_packages_own_text(ai, package):
    (own,) = package.predict([{"prompt": PROMPT, "max_new_tokens": 12}])
    done = ai.completions.create(model="language", prompt=PROMPT, max_tokens=12, temperature=0)
    assert done.choices[0].text == own.text != ""
    assert (done.usage.prompt_tokens, done.usage.completion_tokens) == (own.prompt_tokens, len(own.tokens))
    assert done.choices[0].finish_reason == "length"


def test_openais_client_streams_the_same_text(ai):
    asked = {"model": "language", "prompt": PROMPT, "max_tokens": 12, "temperature": 0.9, "seed": 3}
    whole = ai.completions.create(**asked)
    assert whole.choices[0].text == ai.completions.create(**asked).choices[0].text
    chunks = list(ai.completions.create(**asked, stream=True))
    assert len(chunks) > 4
    assert "".join(chunk.choices[0].text for chunk in chunks) == whole.choices[0].text
    assert chunks[-1].choices[0].finish_reason == whole.choices[0].finish_reason


def test_stop_logprobs_and_own_fields_reach_the_model(ai):
    asked = {"model": "language", "prompt": PROMPT, "max_tokens": 12, "temperature": 0}
    text = ai.completions.create(**asked).choices[0].text
    stopped = ai.completions.create(**asked, stop=text[3:6]).choices[0]
    assert (stopped.text, stopped.finish_reason) == (text[: text.index(text[3:6])], "stop")
    scored = ai.completions.create(**asked, logprobs=2).choices[0].logprobs
    assert "".join(scored.tokens) == text
    assert all(token in top for token, top in zip(scored.tokens, scored.top_logprobs, strict=True))
    ahead = ai.completions.create(**asked, extra_body={"speculative": 3})
    assert ahead.choices[0].text == text


def test_a_prompt_that_is_too_long_is_a_400_or_cut(ai):
    asked = {"model": "language", "prompt": PROMPT * 40, "max_tokens": 5, "temperature": 0}
    with pytest.raises(openai.BadRequestError, match="too many") as refused:
        ai.completions.create(**asked)
    assert refused.value.param == "prompt"
    assert ai.completions.create(**asked, extra_body={"truncate": True}).usage.prompt_tokens == 58


def test_events_end_with_the_answer_of_predict(served):
    body = {"prompt": PROMPT, "max_new_tokens": 10}
    with httpx.Client(base_url=served[0]) as client:
        *parts, last = events(client.post("/predict", json=body, headers=EVENTS).text)
        assert last == ("answer", client.post("/predict", json=body).json())
    assert "".join(data["text"] for _, data in parts) == last[1]["text"]


def test_prompts_are_not_logged(served):
    body = {"prompt": "a very secret prompt", "max_new_tokens": 3}
    reply = httpx.post(f"{served[0]}/predict", json=body, headers={"x-request-id": "secret"})
    assert reply.status_code == 200
    (row,) = logged(served[1], "secret")
    assert row["prompt_characters"] == 20
    assert not [value for value in row.values() if isinstance(value, str) and "very" in value]


def test_the_package_answers_and_explains_without_torch(package):
    seen = ask("serve", str(package.path))
    assert seen["loaded"] == []
    assert seen["response"]["text"] == package.golden()["response"]["text"]
    assert seen["explanation"]["method"] == "occlusion"
