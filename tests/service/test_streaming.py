"""Answers in parts and OpenAI's protocol, over a real server, with OpenAI's own client."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from contextlib import contextmanager

import httpx
import openai
import pytest
import uvicorn
from starlette.testclient import TestClient

from modelyard.packages.package import Package
from modelyard.predictions.log import PredictionLog, read_log
from modelyard.serving.app import create_app
from modelyard.serving.settings import Limits
from tests.service.conftest import build

pytestmark = pytest.mark.timed

EVENTS = {"accept": "text/event-stream"}


@contextmanager
def listening(app):
    """The address of the app on a socket of this machine."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            deadline = time.monotonic() + 20
            while not server.started and time.monotonic() < deadline:
                time.sleep(0.01)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(20)


@pytest.fixture(scope="module")
def teller(tmp_path_factory):
    return Package(
        build(tmp_path_factory.mktemp("teller"), "tests.service.telling:Teller"), threads=1
    )


@pytest.fixture(scope="module")
def served(teller, tmp_path_factory):
    folder = tmp_path_factory.mktemp("log")
    with listening(create_app(teller, PredictionLog(folder, teller, seconds=0.05))) as address:
        yield address, folder


@pytest.fixture(scope="module")
def client(served):
    with httpx.Client(base_url=served[0]) as client:
        yield client


@pytest.fixture(scope="module")
def ai(served):
    with openai.OpenAI(base_url=f"{served[0]}/v1", api_key="none", max_retries=0) as client:
        yield client


MODEL = "tests.service.telling:Teller"


def events(text: str) -> list[tuple[str, dict]]:
    """Name and data of each server-sent event."""
    found = []
    for block in text.strip().split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.split("\n"))
        found.append((lines.get("event", ""), json.loads(lines["data"])))
    return found


def logged(folder, request_id: str, wait: float = 5.0) -> list[dict]:
    """Rows of the prediction log with this id, once there is one, or none came in time."""
    deadline = time.monotonic() + wait
    while True:
        columns = read_log(folder)
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        found = [row for row in rows if row["_id"].split("-")[0] == request_id]
        if found or time.monotonic() > deadline:
            return found
        time.sleep(0.05)


def test_parts_come_as_events_and_the_answer_last(client, served, teller):
    body = {"prompt": "a", "words": 3}
    reply = client.post("/predict", json=body, headers=EVENTS | {"x-request-id": "parts1"})
    assert reply.headers["content-type"].startswith("text/event-stream")
    assert reply.headers["x-request-id"] == "parts1"
    *parts, last = events(reply.text)
    assert parts == [("", {"text": "a0"}), ("", {"text": " a1"}), ("", {"text": " a2"})]
    assert (
        last
        == ("answer", client.post("/predict", json=body).json())
        == ("answer", {"text": "a0 a1 a2", "words": 3})
    )
    rows = logged(served[1], "parts1")
    assert [(row["words"], row["_package"]) for row in rows] == [(3, teller.info.version)]


def test_parts_arrive_while_the_rest_is_being_made(client):
    body = {"prompt": "a", "words": 5, "pause": 0.15}
    with client.stream("POST", "/predict", json=body, headers=EVENTS) as reply:
        times = [time.monotonic() for line in reply.iter_lines() if line.startswith("data")]
    assert times[3] - times[0] > 0.3


def test_a_client_that_leaves_ends_the_writing_and_is_not_logged(served, teller, client):
    before = teller.host.told
    body = {"prompt": "a", "words": 200, "pause": 0.02}
    with client.stream(
        "POST", "/predict", json=body, headers=EVENTS | {"x-request-id": "left"}
    ) as reply:
        next(reply.iter_lines())
    time.sleep(0.3)
    told = teller.host.told
    time.sleep(0.3)
    assert teller.host.told == told < before + 100
    assert logged(served[1], "left", wait=0.3) == []
    counted = [line for line in client.get("/metrics").text.splitlines() if 'code="499"' in line]
    assert [line for line in counted if 'route="predict"' in line]


def test_other_requests_are_answered_while_one_is_streamed(client, served):
    with client.stream(
        "POST", "/predict", json={"prompt": "a", "words": 100, "pause": 0.03}, headers=EVENTS
    ) as reply:
        lines = reply.iter_lines()
        next(lines)
        start = time.monotonic()
        assert httpx.post(f"{served[0]}/predict", json={"prompt": "b"}).status_code == 200
        assert time.monotonic() - start < 2
        list(lines)


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"prompt": "too long"}, 400, "too long"),
        ({"prompt": 3}, 400, "string"),
        ([{"prompt": "a"}], 400, "one example is streamed"),
        ({"prompt": "at once"}, 406, "answers at once"),
    ],
)
def test_what_cannot_be_streamed_is_refused_before_the_first_part(client, body, status, words):
    reply = client.post("/predict", json=body, headers=EVENTS)
    assert (reply.status_code, words in reply.json()["error"]) == (status, True)


def test_a_failure_on_the_way_is_an_event_and_not_a_cut(client, served):
    reply = client.post(
        "/predict", json={"prompt": "fail", "words": 5}, headers=EVENTS | {"x-request-id": "failed"}
    )
    found = events(reply.text)
    assert [name for name, _ in found] == ["", "", "error"]
    assert "failed" in found[-1][1]["error"]
    assert logged(served[1], "failed", wait=0.3) == []


def test_a_family_that_does_not_stream_or_complete_says_so(payments):
    with TestClient(create_app(payments, None)) as client:
        assert client.post("/predict", json={"amount": 1}, headers=EVENTS).status_code == 406
        reply = client.post("/v1/completions", json={"model": "x"})
        assert reply.status_code == 404
        assert "completes no text" in reply.json()["error"]["message"]
        body = {"model": "x", "messages": [{"role": "user", "content": "a"}]}
        said = client.post("/v1/chat/completions", json=body).json()["error"]["message"]
        assert said.endswith("answers no dialogues here; POST /predict answers")
        assert [model["id"] for model in client.get("/v1/models").json()["data"]] == [
            payments.info.family
        ]


def test_openais_client_finds_its_own_errors_for_a_missing_token_a_missing_path_and_a_wrong_method(
    teller,
):
    with listening(create_app(teller, None, Limits(token="secret"))) as address:
        stranger = openai.OpenAI(base_url=f"{address}/v1", api_key="wrong", max_retries=0)
        with (
            stranger,
            pytest.raises(openai.AuthenticationError, match="a token is required") as refused,
        ):
            stranger.models.list()
        assert refused.value.code == "invalid_api_key"
        with openai.OpenAI(base_url=f"{address}/v1", api_key="secret", max_retries=0) as client:
            with pytest.raises(openai.NotFoundError) as missing:
                client.embeddings.create(model=MODEL, input="a")
            assert (missing.value.code, missing.value.type) == (
                "unknown_url",
                "invalid_request_error",
            )
            with pytest.raises(openai.APIStatusError) as wrong:
                client.post("/models", cast_to=object, body={})
            assert (wrong.value.status_code, wrong.value.code) == (405, "method_not_supported")


def test_openais_client_lists_the_model_and_completes(ai, teller):
    assert [model.id for model in ai.models.list()] == [MODEL]
    assert ai.models.retrieve(MODEL).owned_by == "modelyard"
    done = ai.completions.create(model=MODEL, prompt="a", max_tokens=2, temperature=0)
    assert (done.choices[0].text, done.choices[0].finish_reason) == ("a0 a1", "length")
    assert (done.usage.prompt_tokens, done.usage.completion_tokens, done.usage.total_tokens) == (
        1,
        2,
        3,
    )
    assert done.system_fingerprint == teller.info.version
    with pytest.raises(openai.NotFoundError, match="is not served here"):
        ai.completions.create(model="gpt-3.5-turbo-instruct", prompt="a")
    # What was typed to serve it is its name, too.
    assert ai.models.retrieve(teller.info.registered).id == MODEL


def test_a_value_of_several_kinds_has_one_line_where_it_is_wrong(ai):
    for prompt, said in (
        ([5, 6], "field 'prompt.0': it must be a valid string, seen 5"),
        (["a", 6], "field 'prompt.1': it must be a valid string, seen 6"),
        (5, "field 'prompt' must be a string or a list, seen 5"),
    ):
        with pytest.raises(openai.BadRequestError) as wrong:
            ai.completions.create(model=MODEL, prompt=prompt)
        lines = wrong.value.body["message"].split("; ")
        assert re.fullmatch(said, lines[0])
        assert not any("str.0" in line or "[str]" in line for line in lines)
        assert len(lines) == len(prompt if prompt == [5, 6] else [prompt])


def test_openais_client_streams(ai, served):
    chunks = list(
        ai.completions.create(
            model=MODEL,
            prompt="a",
            max_tokens=3,
            temperature=0,
            stream=True,
            stream_options={"include_usage": True},
            extra_headers={"x-request-id": "streamed"},
        )
    )
    *parts, usage = chunks
    assert [chunk.choices[0].text for chunk in parts] == ["a0", " a1", " a2", ""]
    assert [chunk.choices[0].finish_reason for chunk in parts] == [None, None, None, "length"]
    assert (usage.choices, usage.usage.completion_tokens) == ([], 3)
    assert len(logged(served[1], "streamed")) == 1


def test_several_prompts_and_choices_are_numbered_and_seeded(ai, served):
    asked = {
        "model": MODEL,
        "prompt": ["a", "b"],
        "max_tokens": 1,
        "n": 2,
        "seed": 7,
        "temperature": 1.0,
    }
    done = ai.completions.create(**asked, extra_headers={"x-request-id": "four"})
    texts = ["a?70", "a?80", "b?70", "b?80"]
    assert [(one.index, one.text) for one in done.choices] == list(enumerate(texts))
    assert (done.usage.prompt_tokens, done.usage.completion_tokens) == (2, 4)
    streamed: dict[int, str] = {}
    for chunk in ai.completions.create(**asked, stream=True):
        for choice in chunk.choices:
            streamed[choice.index] = streamed.get(choice.index, "") + choice.text
    assert streamed == dict(enumerate(texts))
    assert len(logged(served[1], "four")) == 4


def test_without_a_seed_answers_differ(ai):
    texts = {
        ai.completions.create(model=MODEL, prompt="a", max_tokens=1).choices[0].text
        for _ in range(3)
    }
    assert len(texts) == 3


def test_echo_logprobs_and_the_hosts_own_fields_are_supported(ai):
    done = ai.completions.create(model=MODEL, prompt="a", max_tokens=1, temperature=0, echo=True)
    assert done.choices[0].text == "aa0"
    done = ai.completions.create(model=MODEL, prompt="a", max_tokens=1, temperature=0, logprobs=1)
    assert done.choices[0].logprobs.token_logprobs == [-0.5]
    done = ai.completions.create(model=MODEL, prompt="a", max_tokens=1, extra_body={"tone": "!"})
    assert done.choices[0].text == "a!0"
    (chunk, _) = ai.completions.create(
        model=MODEL, prompt="at once", max_tokens=1, temperature=0, stream=True, echo=True
    )
    assert chunk.choices[0].text == "at once"


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ({"presence_penalty": 0.5}, "'presence_penalty' is not supported by this model"),
        ({"frequency_penalty": 0.5}, "'frequency_penalty' is not supported"),
        ({"logit_bias": {"5": 1}}, "'logit_bias' is not supported"),
        ({"suffix": "end"}, "'suffix' is not supported"),
        ({"best_of": 3}, "'best_of' is not supported"),
        ({"echo": True, "logprobs": 1}, "'logprobs' together with echo"),
        ({"temperature": 3}, "'temperature' must be"),
        ({"n": 0}, "'n' must be"),
        ({"max_tokens": 5_000}, "words"),
        ({"prompt": "too long"}, "too long"),
        ({"prompt": [1, 2]}, "prompt"),
        ({"extra_body": {"wrods": 2}}, "'wrods' is unknown. Did you mean 'words'"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_what_is_not_supported_is_a_clear_400(ai, wish, words, stream):
    with pytest.raises(openai.BadRequestError) as refused:
        ai.completions.create(**{"model": MODEL, "prompt": "a", "stream": stream} | wish)
    assert words in refused.value.message
    assert refused.value.type == "invalid_request_error"


def test_the_document_tells_of_parts_and_completions_where_there_are_any(client, payments):
    document = client.get("/openapi.json").json()
    assert (
        "text/event-stream" in document["paths"]["/predict"]["post"]["responses"]["200"]["content"]
    )
    assert "/v1/completions" in document["paths"]
    with TestClient(create_app(payments, None)) as other:
        document = other.get("/openapi.json").json()
    assert list(document["paths"]["/predict"]["post"]["responses"]["200"]["content"]) == [
        "application/json"
    ]
    assert "/v1/completions" not in document["paths"]
