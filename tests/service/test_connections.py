"""What a caller can do to a service without sending one whole request; real processes, real
sockets."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from modelyard.serving import protocol
from tests.service.costs import memory
from tests.service.test_serve import served

pytestmark = pytest.mark.timed


@pytest.fixture(scope="module")
def service(line_path, tmp_path_factory) -> Iterator[tuple[int, str]]:
    """Process and address of `modelyard serve` with one process."""
    with served(line_path, tmp_path_factory.mktemp("log"), MODELYARD_LOG="off") as (
        process,
        address,
    ):
        httpx.post(f"{address}/predict", json={"x": 1.0}).raise_for_status()
        yield process.pid, address


def connected(address: str) -> socket.socket:
    host, port = address.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=30)


def sent(caller: socket.socket, data: bytes) -> bool:
    """Whether all of it could be sent."""
    try:
        caller.sendall(data)
    except OSError:
        return False
    return True


def received(caller: socket.socket) -> bytes:
    """All that comes until the connection ends."""
    found = b""
    with contextlib.suppress(OSError):
        while chunk := caller.recv(65_536):
            found += chunk
    return found


def answers(address: str) -> bool:
    return httpx.post(f"{address}/predict", json={"x": 1.0}, timeout=5).status_code == 200


@pytest.mark.parametrize(
    ("pieces", "end"),
    [
        ([b"x-long: ", *[b"a" * 65_536] * 3_200], b"\r\n\r\n"),
        (
            [b"".join(b"x-%d: %s\r\n" % (number, b"a" * 100) for number in range(20_000))] * 100,
            b"\r\n",
        ),
        ([b"x: 1\r\n" * (protocol.HEADERS + 1)], b"\r\n"),
    ],
    ids=["one header of 200 MB", "two million headers", "one header too many"],
)
def test_a_head_beyond_its_bounds_is_refused_and_not_held(service, pieces, end):
    process, address = service
    before = memory(process)
    with connected(address) as caller:
        caller.sendall(b"POST /predict HTTP/1.1\r\nhost: x\r\n")
        if all(sent(caller, piece) for piece in pieces):
            sent(caller, end)
        reply = received(caller)
    assert not reply or reply.startswith(b"HTTP/1.1 431 ")
    assert memory(process) - before < 20
    assert answers(address)


def test_a_head_that_is_too_large_is_told_so(service):
    with connected(service[1]) as caller:
        caller.sendall(
            b"GET /livez HTTP/1.1\r\nhost: x\r\nx: "
            + b"a" * (protocol.HEAD_BYTES + 1)
            + b"\r\n\r\n"
        )
        head, _, body = received(caller).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 431 ")
    assert b"at most 64 KiB and 128 headers" in body


def test_a_head_within_its_bounds_is_read_in_whatever_pieces_it_comes(service):
    head = b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx: " + b"a" * 60_000 + b"\r\n"
    head += b"".join(b"y-%d: 1\r\n" % number for number in range(protocol.HEADERS - 3)) + b"\r\n"
    for size in (len(head), 7_001):
        with connected(service[1]) as caller:
            for at in range(0, len(head), size):
                caller.sendall(head[at : at + size])
                time.sleep(0.005)
            assert received(caller).startswith(b"HTTP/1.1 200 ")


def test_what_is_not_http_is_a_400_and_never_ends_the_service(service):
    for rubbish in (
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\0" * 9,
    ):
        with connected(service[1]) as caller:
            caller.sendall(rubbish)
            assert received(caller).startswith(b"HTTP/1.1 400 ")
    assert answers(service[1])


def pipelined(address: str, requests: int, *, read: bool) -> int:
    """Sends so many requests on one connection; returns how many were answered, or 0 where
    nothing is read."""
    one = b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n"
    block, count = one * 1_000, 0
    with connected(address) as caller:
        caller.settimeout(2.0)
        for _ in range(requests // 1_000):
            if read:
                caller.sendall(block)
                reply = b""
                while reply.count(b"HTTP/1.1 200") < 1_000:
                    reply += caller.recv(1_000_000)
                count += reply.count(b"HTTP/1.1 200")
            elif not sent(caller, block):
                break
        return count


def test_requests_sent_ahead_are_all_answered_in_order(service):
    assert pipelined(service[1], 5_000, read=True) == 5_000


@pytest.mark.parametrize("requests", [40_000, pytest.param(400_000, marks=pytest.mark.slow)])
def test_requests_sent_ahead_and_never_read_hold_little_memory(service, requests):
    process, address = service
    before = memory(process)
    pipelined(address, requests, read=False)
    assert memory(process) - before < 30
    assert answers(address)


def test_the_body_of_a_request_sent_ahead_arrives_whole(service):
    body = b"[" + b",".join([b'{"x": 1.0}'] * 900) + b"]"
    head = b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    with connected(service[1]) as caller:
        caller.sendall(
            (head % len(body) + body) * 200
            + b"GET /livez HTTP/1.1\r\nconnection: close\r\nhost: x\r\n\r\n"
        )
        reply = received(caller)
    assert reply.count(b"HTTP/1.1 200 ") == 201
    assert reply.count(b'"y":') == 200 * 900


@pytest.mark.parametrize("connections", [100, pytest.param(1_000, marks=pytest.mark.slow)])
def test_half_open_and_trickling_connections_are_ended_and_hold_up_nobody(service, connections):
    process, address = service
    before = memory(process)
    kinds = [b"", b"POST /predict HT", b"GET / HTTP/1.1\r\nhost: x\r\nx: "]
    with contextlib.ExitStack() as stack:
        # Both wait for the same limit: side by side.
        pool = stack.enter_context(ThreadPoolExecutor(1))
        still_open = pool.submit(trickled, address)
        callers = [stack.enter_context(connected(address)) for _ in range(connections)]
        for number, caller in enumerate(callers):
            caller.sendall(kinds[number % len(kinds)])
        start = time.monotonic()
        assert answers(address)
        assert time.monotonic() - start < 2
        assert memory(process) - before < connections * 0.1 + 10
        for caller in callers:
            caller.settimeout(protocol.HEAD_SECONDS + 5)
            received(caller)
        assert time.monotonic() - start < protocol.HEAD_SECONDS + 5
        assert not still_open.result(), f"still open: {still_open.result()}"


def trickled(address: str) -> list[str]:
    """Sends a byte now and then; what is still open after HEAD_SECONDS and a little."""
    begun = {
        "a head": b"GET / HTTP/1.1\r\nhost: x\r\nx: ",
        "a body after its answer": b"POST /nowhere HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n",
    }
    with contextlib.ExitStack() as stack:
        callers = {name: stack.enter_context(connected(address)) for name in begun}
        for name, caller in callers.items():
            caller.sendall(begun[name])
        end = time.monotonic() + protocol.HEAD_SECONDS + 3
        while callers and time.monotonic() < end:
            callers = {name: caller for name, caller in callers.items() if sent(caller, b"x")}
            time.sleep(0.2)
        return sorted(callers)


def test_a_connection_that_has_had_an_answer_may_wait_for_its_next_request(service):
    with connected(service[1]) as caller:
        for _ in range(2):
            caller.sendall(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n")
            got = b""
            while not got.endswith(b"ok\n"):
                got += caller.recv(1_000)
            assert got.startswith(b"HTTP/1.1 200")
            time.sleep(1.0)
