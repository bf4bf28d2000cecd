"""The process that answers: uvicorn around the app. One is run by `modelyard serve` itself; of
several, each is `python -m modelyard.serving.server SOCKET READY LIFELINE FOLDER`: three
inherited file descriptors, and the folder that the workers share."""

from __future__ import annotations

import asyncio
import importlib.util
import math
import os
import resource
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Literal

import uvicorn

from modelyard.errors import UsageError
from modelyard.serving.app import Service, app_from_environment
from modelyard.serving.settings import ServingSettings
from modelyard.serving.workers import STOP_SECONDS

KEEP_ALIVE_SECONDS = 75
"""Longer than gateways keep an idle connection, so that they and not we close it."""

CONNECTIONS = 10_240
"""What macOS allows too, where the limit that it reports is infinite."""


class _Server(uvicorn.Server):
    """Tells when it is ready."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._tell = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._tell()


def run(listener: socket.socket, environ: Mapping[str, str], ready: Callable[[], None]) -> None:
    """Answers on `listener` until SIGTERM or SIGINT, then drains; `ready` is called once the model
    answers.

    Raises:
        UsageError: the service does not start: the cause.
    """
    allow_connections()
    service: Service = app_from_environment(environ)
    try:
        stop_seconds = ServingSettings.from_environment(environ).stop_ms / 1e3
    except UsageError as error:
        raise UsageError(f"the service did not start: {error}") from None
    config = uvicorn.Config(
        service,
        http=_protocol(),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=math.ceil(stop_seconds),
    )
    try:
        with _quiet_signals():
            _Server(config, ready).run(sockets=[listener])
    except SystemExit:  # uvicorn's way to say that the app did not start
        pass
    if service.failure is not None:
        raise UsageError(f"the service did not start: {service.failure}") from service.failure


def _protocol() -> type[asyncio.Protocol] | Literal["auto"]:
    """Where there is no httptools, as on Windows, uvicorn's own."""
    if importlib.util.find_spec("httptools") is None:
        return "auto"
    from modelyard.serving.protocol import BoundedHttp

    return BoundedHttp


def allow_connections(wanted: int = CONNECTIONS) -> None:
    """Lets this process open `wanted` files if it may: a connection is one, and many containers
    begin with 1,024."""
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY:
        wanted = min(wanted, most)
    if now != resource.RLIM_INFINITY and now < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


@contextmanager
def _quiet_signals() -> Iterator[None]:
    """uvicorn raises the signals that stopped it once more when it has stopped: here they have
    done their work."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda *_: None) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Lifeline:
    """Stops this process when the one that holds the other end is gone, however it went."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe
        self.has_ended = False
        threading.Thread(target=self._wait, daemon=True).start()

    def _wait(self) -> None:
        # Nothing is ever written: the read ends when the system closes the other end, as it also
        # does after a SIGKILL.
        os.read(self._pipe, 1)
        self.has_ended = True
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(STOP_SECONDS)
        os._exit(1)  # what still runs cannot be stopped, and nobody waits for it


def _ready(pipe: int) -> None:
    with suppress(BrokenPipeError):  # the command is gone: the lifeline says so too
        os.write(pipe, b"1")
    os.close(pipe)


def _main(folder: str, listener: int, ready: int, lifeline: int) -> None:
    command = _Lifeline(lifeline)
    try:
        run(socket.socket(fileno=listener), os.environ, lambda: _ready(ready))
    except UsageError as error:
        sys.exit(f"error: {error}")
    finally:
        # The command removes it itself where it lives; all workers may do so at once here.
        if command.has_ended:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    _main(sys.argv[4], *map(int, sys.argv[1:4]))
