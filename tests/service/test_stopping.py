"""What callers see when the service stops while they wait."""

from __future__ import annotations

import json
import signal
import threading
import time

import httpx
import pytest

from modelyard.packages.package import Package
from tests.service.conftest import build
from tests.service.test_serve import served

pytestmark = pytest.mark.timed

EVENTS = {"accept": "text/event-stream"}
STOP = {"MODELYARD_STOP_MS": "1500", "MODELYARD_LOG": "off"}


@pytest.fixture(scope="module")
def teller(tmp_path_factory) -> Package:
    return Package(
        build(tmp_path_factory.mktemp("teller"), "tests.service.telling:Teller"), threads=1
    )


@pytest.fixture(scope="module")
def grinder(tmp_path_factory) -> Package:
    return Package(
        build(tmp_path_factory.mktemp("grinder"), "tests.service.grinding:Grinder"), threads=1
    )


def test_a_stream_that_runs_when_the_service_stops_ends_with_an_event_of_its_own(teller, tmp_path):
    seen: list[str] = []
    with served(teller.path, tmp_path, **STOP) as (process, address):

        def listen() -> None:
            body = {"prompt": "a", "words": 600, "pause": 0.05}
            with httpx.stream(
                "POST", f"{address}/predict", json=body, headers=EVENTS, timeout=60
            ) as reply:
                seen.extend(reply.iter_lines())

        thread = threading.Thread(target=listen)
        thread.start()
        while len(seen) < 4:
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        thread.join(20)
        assert process.wait(30) == 0
    assert not thread.is_alive()
    assert seen[-3] == "event: error"
    assert "the service stops" in json.loads(seen[-2].removeprefix("data: "))["error"]


def test_a_request_that_runs_when_the_service_stops_is_told_to_ask_again(grinder, tmp_path):
    replies: list[httpx.Response] = []
    with served(grinder.path, tmp_path, **STOP) as (process, address):
        body = {"steps": 20_000, "text": "more than it says"}
        thread = threading.Thread(
            target=lambda: replies.append(httpx.post(f"{address}/predict", json=body, timeout=60))
        )
        thread.start()
        time.sleep(0.7)
        start = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert time.monotonic() - start < 6
        thread.join(20)
    (reply,) = replies
    assert (reply.status_code, reply.headers["connection"]) == (503, "close")
    assert int(reply.headers["retry-after"]) > 0
    assert "the service stops" in reply.json()["error"]
