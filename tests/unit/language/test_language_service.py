"""A package behind the real service, asked by OpenAI's own client; and without any training
library."""

from __future__ import annotations

import httpx
import numpy as np
import openai
import pytest

from modelyard.contract.isolated import ask
from modelyard.families.language.sampling import adjusted
from modelyard.predictions.log import PredictionLog
from modelyard.serving.app import create_app
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
    assert (done.usage.prompt_tokens, done.usage.completion_tokens) == (
        own.prompt_tokens,
        len(own.tokens),
    )
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


def test_echo_with_logprobs_scores_the_prompt_as_the_model_does(ai, package):
    asked = {"model": "language", "prompt": PROMPT, "temperature": 0, "logprobs": 1, "echo": True}
    (own,) = package.predict([{"prompt": PROMPT, "max_new_tokens": 0}])
    choice = ai.completions.create(**asked, max_tokens=0).choices[0]
    assert choice.text == PROMPT
    assert "".join(choice.logprobs.tokens) == PROMPT
    assert np.mean(choice.logprobs.token_logprobs) == pytest.approx(
        own.prompt_log_probability, abs=1e-5
    )
    whole = ai.completions.create(**asked, max_tokens=4).choices[0]
    assert whole.text.startswith(PROMPT)
    assert "".join(whole.logprobs.tokens) == whole.text
    chunks = [
        chunk.choices[0] for chunk in ai.completions.create(**asked, max_tokens=4, stream=True)
    ]
    assert "".join(chunk.text for chunk in chunks) == whole.text
    scores = [
        score for chunk in chunks if chunk.logprobs for score in chunk.logprobs.token_logprobs
    ]
    assert scores == pytest.approx(whole.logprobs.token_logprobs)


def test_penalties_and_biases_change_what_is_written_by_openais_formula(ai, package):
    asked = {"model": "language", "prompt": PROMPT, "max_tokens": 12, "temperature": 0}
    (plain,) = package.predict([{"prompt": PROMPT, "max_new_tokens": 12}])
    (forced,) = package.predict(
        [{"prompt": PROMPT, "max_new_tokens": 3, "logit_bias": {str(plain.tokens[0]): -100}}]
    )
    assert plain.tokens[0] not in forced.tokens
    biased = ai.completions.create(**asked, logit_bias={str(plain.tokens[0]): 100}).choices[0]
    assert biased.text == plain.text[:0] + package.host.codec.continuation(
        [], [plain.tokens[0]] * 12
    )
    varied = ai.completions.create(**asked, presence_penalty=2, frequency_penalty=2)
    (direct,) = package.predict(
        [{"prompt": PROMPT, "max_new_tokens": 12, "presence_penalty": 2, "frequency_penalty": 2}]
    )
    assert varied.choices[0].text == direct.text
    with pytest.raises(openai.BadRequestError, match="is no token: they have the numbers 0 to"):
        ai.completions.create(**asked, logit_bias={"999999": 1})


def test_a_penalty_is_taken_once_for_presence_and_each_time_for_frequency():
    logits = np.zeros(4, np.float32)
    changed = adjusted(logits, [1, 1, 2], presence=0.5, frequency=0.25, bias={3: 7.0})
    assert changed.tolist() == [0.0, -1.0, -0.75, 7.0]
    assert logits.tolist() == [0.0] * 4


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
