"""The most expensive bodies within the limits: none takes more than its deadline, and small
requests get through."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import numpy as np
import pytest

from modelyard.home import slug
from tests.service.conftest import build
from tests.service.costs import Cost, measured, together
from tests.service.test_serve import served

pytestmark = pytest.mark.timed

FAMILY = "tests.service.grinding:Grinder"
DEADLINE = 3.0
MEGABYTES = 300
JSON = {"content-type": "application/json"}
EVENTS = {"accept": "text/event-stream"}
V2 = f"/v2/models/{slug(FAMILY)}"


@pytest.fixture(scope="module")
def service(tmp_path_factory) -> Iterator[tuple[int, str]]:
    """Process and address of a service whose deadline is short."""
    package = build(tmp_path_factory.mktemp("grinder"), FAMILY)
    with served(
        package, tmp_path_factory.mktemp("log"), MODELYARD_DEADLINE_MS=str(int(DEADLINE * 1e3))
    ) as (
        process,
        address,
    ):
        for _ in range(20):
            httpx.post(f"{address}/predict", json={"steps": 1}).raise_for_status()
        yield process.pid, address


def costs(service: tuple[int, str], ask) -> Cost:
    process, address = service
    return measured(process, address, {"steps": 1}, DEADLINE, ask)


def check(cost: Cost, *, processors: float = 2 * DEADLINE) -> None:
    assert cost.cpu <= processors, cost
    assert cost.memory <= MEGABYTES, cost
    assert set(cost.small) == {200}, cost
    assert cost.slowest < DEADLINE, cost
    assert cost.slowest_health < 1.5, cost


def posted(service: tuple[int, str], path: str, body: bytes, **headers: str) -> httpx.Response:
    return httpx.post(f"{service[1]}{path}", content=body, headers=JSON | headers, timeout=60)


def keys(number: int) -> bytes:
    """An object of very many unknown fields."""
    return b"{" + b",".join(b'"unknown%d":1' % at for at in range(number)) + b"}"


def tensor(count: int) -> bytes:
    """A JSON tensor of as many numbers."""
    head = b'{"inputs":[{"name":"x","datatype":"FP32","shape":[%d,1],"data":[' % count
    return head + b",".join([b"1.5"] * count) + b"]}]}"


def packed(count: int) -> tuple[bytes, dict[str, str]]:
    """A binary tensor of as many numbers, and its header."""
    tensor = {
        "name": "x",
        "datatype": "FP32",
        "shape": [count, 1],
        "parameters": {"binary_data_size": 4 * count},
    }
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    headers = {
        "inference-header-content-length": str(len(head)),
        "content-type": "application/octet-stream",
    }
    return head + np.ones(count, "<f4").tobytes(), headers


TOO_MUCH = {413, 503, 504}
"""Refused by its cost, refused while a small request is being answered (the two together are what
is too much), or ended at its deadline: which one it is hangs on how fast the machine is."""

HEAVY = {
    "one long example": ("/predict", b'{"steps": 3500}', {}, TOO_MUCH),
    "an example that takes longer than its family says": (
        "/predict",
        b'{"steps": 1000000, "text": "more than it says"}',
        {},
        {504},
    ),
    "many examples that take longer than their family says": (
        "/predict",
        json.dumps([{"steps": 50, "text": "more than it says"}] * 500).encode(),
        {},
        {504},
    ),
    "an example beyond all time": ("/predict", b'{"steps": 1000000}', {}, {413}),
    "a list that together takes too long": (
        "/predict",
        json.dumps([{"steps": 4}] * 1_000).encode(),
        {},
        TOO_MUCH,
    ),
    "a list beyond all time": (
        "/predict",
        json.dumps([{"steps": 1_000}] * 1_000).encode(),
        {},
        {413},
    ),
    "reasons": ("/explain", b'{"steps": 1000000}', {}, {504}),
    "a long stream": (
        "/predict",
        b'{"steps": 1000000, "text": "more than it says"}',
        EVENTS,
        {200},
    ),
    "a stream beyond all time": ("/predict", b'{"steps": 1000000}', EVENTS, {413}),
    "a thousand completions": (
        "/v1/completions",
        json.dumps({"model": FAMILY, "prompt": ["x"] * 1_000, "max_tokens": 1_000}).encode(),
        {},
        {413},
    ),
    "very many completions of very many prompts": (
        "/v1/completions",
        json.dumps({"model": FAMILY, "prompt": [""] * 100_000, "n": 128}).encode(),
        {},
        {400},
    ),
    "a streamed completion": (
        "/v1/completions",
        json.dumps({"model": FAMILY, "prompt": "x", "max_tokens": 3_500, "stream": True}).encode(),
        {},
        TOO_MUCH | {200},
    ),
    "documents in a tensor": (
        f"{V2}/infer",
        json.dumps(
            {
                "inputs": [
                    {
                        "name": "request",
                        "datatype": "BYTES",
                        "shape": [500],
                        "data": ['{"steps": 7}'] * 500,
                    }
                ]
            }
        ).encode(),
        {},
        TOO_MUCH,
    ),
    "a million unknown names": ("/predict", keys(900_000), {}, {413}),
    "as many unknown names as are read": ("/predict", keys(240_000), {}, {400}),
    "unknown names for a completion": ("/v1/completions", keys(240_000), {}, {400}),
    "unknown names for a label": ("/feedback", keys(240_000), {}, {400}),
    "16 MB of numbers": (f"{V2}.line/infer", tensor(4_000_000), {}, {413}),
    "as many numbers as are read": (f"{V2}.line/infer", tensor(990_000), {}, {200, 400}),
    "16 MB of lists": ("/predict", b"[" + b"[]," * 5_000_000 + b"[]]", {}, {413}),
    "a deep list": ("/predict", b"[" * 8_000_000 + b"]" * 8_000_000, {}, {413, 400}),
    "a long number": ("/predict", b'{"steps": ' + b"9" * 16_000_000 + b"}", {}, {400}),
    "many long numbers": ("/predict", b"[" + (b"1" * 299 + b",") * 53_000 + b"1]", {}, {400}),
    "a long text": ("/predict", b'{"text": "' + b"a" * 16_000_000 + b'"}', {}, {400}),
    "a long name": ("/predict", b'{"' + b"a" * 16_000_000 + b'": 1}', {}, {400}),
    "a long label": ("/feedback", b'{"id": "a", "label": "' + b"a" * 16_000_000 + b'"}', {}, {400}),
    "texts among numbers": (
        f"{V2}.line/infer",
        b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1],"data":["'
        + b"a" * 9_000_000
        + b'"'
        + b',""' * 900_000
        + b"]}]}",
        {},
        {400},
    ),
}


QUICK = {
    "an example that takes longer than its family says",
    "a list that together takes too long",
    "a long stream",
    "a thousand completions",
    "as many unknown names as are read",
    "as many numbers as are read",
    "16 MB of lists",
    "many long numbers",
}
"""What the quick tests try; the slow ones try all."""


@pytest.mark.parametrize(
    "name",
    [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in HEAVY],
)
def test_the_most_expensive_body_takes_no_more_than_its_time_and_small_ones_get_through(
    service, name
):
    path, body, headers, expected = HEAVY[name]
    assert len(body) <= 16 * 2**20
    cost = costs(service, lambda: posted(service, path, body, **headers))
    assert cost.answers.status_code in expected, cost.answers.text[:300]
    check(cost)


def test_binary_tensors_of_16_mb_leave_room_for_small_requests(service):
    body, headers = packed(4_000_000)
    cost = costs(service, lambda: posted(service, f"{V2}.line/infer", body, **headers))
    assert cost.answers.status_code == 200, cost.answers.text
    check(cost)


def test_empty_texts_in_a_binary_tensor_are_counted_before_they_are_made(service):
    one = {
        "name": "request",
        "datatype": "BYTES",
        "shape": [10],
        "parameters": {"binary_data_size": 16_000_000},
    }
    head = json.dumps({"inputs": [one]}).encode()
    headers = {"inference-header-content-length": str(len(head))}
    cost = costs(
        service, lambda: posted(service, f"{V2}/infer", head + bytes(16_000_000), **headers)
    )
    assert (cost.answers.status_code, "more elements" in cost.answers.text) == (400, True)
    check(cost)


def streamed(client: httpx.Client, service: tuple[int, str], steps: int) -> str:
    """`refused`, or the last event of a stream."""
    reply = client.post(f"{service[1]}/predict", json={"steps": steps}, headers=EVENTS)
    if reply.status_code != 200:
        return (
            "refused" if reply.status_code == 503 and "retry-after" in reply.headers else reply.text
        )
    return next(line for line in reversed(reply.text.splitlines()) if line.startswith("event"))


@pytest.mark.parametrize("number", [60, pytest.param(300, marks=pytest.mark.slow)])
def test_streams_at_once_are_admitted_as_far_as_all_of_them_come_in_time(service, number):
    # One client for all: one each reads the system's certificates, and takes the cores from the
    # service for seconds.
    with httpx.Client(timeout=60, limits=httpx.Limits(max_connections=None)) as client:
        cost = costs(service, lambda: together(number, lambda _: streamed(client, service, 200)))
    assert set(cost.answers) <= {"refused", "event: answer", "event: error"}
    # how many come in time is the machine's speed; a service that took none would be idle
    assert cost.answers.count("event: answer") >= 1
    assert cost.answers.count("refused") >= number // 2
    assert cost.answers.count("event: error") < number // 6, cost.answers
    check(cost, processors=4 * DEADLINE)


def test_a_stream_that_takes_longer_than_its_time_ends_with_an_error_that_says_so(service):
    reply = posted(
        service, "/predict", b'{"steps": 1000000, "text": "more than it says"}', **EVENTS
    )
    last = reply.text.strip().split("\n\n")[-1]
    assert last.startswith("event: error\n")
    assert "did not come in time" in last


@pytest.mark.parametrize("number", [10, pytest.param(60, marks=pytest.mark.slow)])
def test_large_feedbacks_at_once_hold_little_memory(service, number):
    labels = json.dumps([{"id": f"r{at}", "label": "x" * 1_000} for at in range(1_000)]).encode()
    padded = labels + b" " * (15 * 2**20 - len(labels))
    cost = costs(
        service,
        lambda: together(number, lambda _: posted(service, "/feedback", padded).status_code),
    )
    assert set(cost.answers) <= {202, 503, 504}
    assert 202 in cost.answers
    check(cost, processors=4 * DEADLINE)


def test_who_left_is_worked_for_no_more(service):
    def leave() -> None:
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{service[1]}/predict", json={"steps": 2_000}, timeout=0.4)

    cost = costs(service, leave)
    assert cost.cpu < 1.1, cost
    counted = httpx.get(f"{service[1]}/metrics").text
    assert 'code="499"' in counted
