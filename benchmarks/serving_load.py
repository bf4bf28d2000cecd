"""A load generator that costs little: raw HTTP/1.1 over kept connections, latencies of all answers.

`closed` keeps so many requests under way; `open_loop` sends so many a second whether answers come
or not.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import uvloop

CONNECTIONS = 4_000
"""Of an open loop, kept from its beginning to its end."""


@dataclass
class Result:
    """What came back: seconds and status by answer."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)

    def rate(self) -> float:
        """Answers with status 200 a second."""
        return self.statuses[200] / self.seconds

    def quantile(self, share: float) -> float:
        """Latency in ms below which this share of the 200s lies."""
        ordered = sorted(self.latencies)
        return (
            ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1e3
            if ordered
            else float("nan")
        )


class Connection(asyncio.Protocol):
    """One kept connection; `ask` sends a request and gives its status."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._answer: asyncio.Future[int] | None = None
        self.closed = False

    def connection_made(self, transport):
        self._transport = transport

    def connection_lost(self, error):
        self.closed = True
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(0)

    def data_received(self, data):
        buffer = self._buffer
        buffer += data
        end = buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = bytes(buffer[:end]).lower()
        at = head.find(b"content-length:")
        length = int(
            head[at + 15 : (head.find(b"\r", at) if head.find(b"\r", at) > 0 else len(head))]
        )
        if len(buffer) < end + 4 + length:
            return
        del buffer[: end + 4 + length]
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(int(head[9:12]))

    def close(self) -> None:
        self._transport.close()

    def ask(self, request: bytes) -> asyncio.Future[int]:
        self._answer = asyncio.get_running_loop().create_future()
        if self.closed:
            self._answer.set_result(0)
        else:
            self._transport.write(request)
        return self._answer


def message(url: str, body: bytes, headers: dict[str, str] | None = None) -> bytes:
    """A POST request as it goes over the wire."""
    place = urlsplit(url)
    given = {
        "host": place.netloc,
        "content-type": "application/json",
        "content-length": len(body),
        **(headers or {}),
    }
    lines = [f"POST {place.path} HTTP/1.1", *(f"{name}: {value}" for name, value in given.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def _connect(url: str) -> Connection:
    place = urlsplit(url)
    _, connection = await asyncio.get_running_loop().create_connection(
        Connection, place.hostname, place.port
    )
    return connection


async def _closed(url: str, requests: list[bytes], clients: int, seconds: float) -> Result:
    result, stop = Result(), time.perf_counter() + seconds
    connections = await asyncio.gather(*(_connect(url) for _ in range(clients)))

    async def client(number: int) -> None:
        turn = number
        while time.perf_counter() < stop:
            start = time.perf_counter()
            status = await connections[number].ask(requests[turn % len(requests)])
            taken = time.perf_counter() - start
            turn += 1
            result.statuses[status] += 1
            if status == 200:
                result.latencies.append(taken)
            if status == 0:
                connections[number] = await _connect(url)

    begun = time.perf_counter()
    await asyncio.gather(*(client(number) for number in range(clients)))
    result.seconds = time.perf_counter() - begun
    return result


async def _open(
    url: str,
    requests: list[bytes],
    rate: float,
    seconds: float,
    windows: int,
    each: Callable[[Result], None],
) -> None:
    pool: asyncio.LifoQueue[Connection] = asyncio.LifoQueue()
    for _ in range(CONNECTIONS):
        pool.put_nowait(await _connect(url))
    tasks: set[asyncio.Task[None]] = set()
    result = Result()

    async def one(turn: int, due: float) -> None:
        connection = await pool.get()
        try:
            if connection.closed:
                connection = await _connect(url)
            status = await connection.ask(requests[turn % len(requests)])
        except OSError:
            status = 0
        result.statuses[status] += 1
        if status == 200:
            result.latencies.append(time.perf_counter() - due)
        pool.put_nowait(connection)

    begun = time.perf_counter()
    turn = 0
    for number in range(windows):
        while (now := time.perf_counter() - begun) < seconds * (number + 1):
            while turn < now * rate:
                task = asyncio.ensure_future(one(turn, begun + turn / rate))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
                turn += 1
            await asyncio.sleep(0.002)
        if tasks and number == windows - 1:
            await asyncio.wait(set(tasks), timeout=60)
            result.statuses[0] += len(tasks)
        result.seconds, ended = seconds, result
        result = Result()
        each(ended)
    while not pool.empty():
        pool.get_nowait().close()


def closed(url: str, requests: list[bytes], clients: int, seconds: float) -> Result:
    """So many requests under way for so many seconds."""
    return uvloop.run(_closed(url, requests, clients, seconds))


def open_loop(
    url: str,
    requests: list[bytes],
    rate: float,
    seconds: float,
    windows: int,
    each: Callable[[Result], None],
) -> None:
    """So many requests a second over CONNECTIONS; `each` is told what came back in each of so many
    windows of so many seconds. Latencies count from when a request was due, so that one that finds
    no connection free waits on the clock.
    """
    uvloop.run(_open(url, requests, rate, seconds, windows, each))


if (
    __name__ == "__main__"
):  # `serving_load.py URL BODIES.json CLIENTS SECONDS`: a process of its own, as JSON
    address, file, clients, seconds = sys.argv[1:5]
    bodies = [json.dumps(body).encode() for body in json.loads(open(file).read())]  # noqa: PTH123, SIM115
    got = closed(address, [message(address, body) for body in bodies], int(clients), float(seconds))
    figures = {
        "rate": got.rate(),
        "p50": got.quantile(0.5),
        "p99": got.quantile(0.99),
        "statuses": dict(got.statuses),
    }
    print(json.dumps(figures))
